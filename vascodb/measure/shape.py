"""Shapes of detections: how a detection differs from stars of like brightness on the same image."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vascodb.measure.background import without_background
from vascodb.measure.contour import Contour, half_maximum_contour, seed_contour
from vascodb.measure.profile import normalised, profile_difference, radial_profile

__all__ = ["ImageDetections", "ShapeMeasure", "Variant", "measure_direct", "measure_inverted"]

Variant = Literal["inverted", "direct"]

_FLUX_RANGE = 0.1
_SEED_CUTOUT_ARCMIN = 8.0
_SEED_INVERT_MAX = 65535
_SEED_BOX_PX = 40
_BOX_PX = 64
_MOST_NEIGHBOURS = 30
# 1.4826 MAD is the standard deviation of a normal distribution.
_MAD_SIGMA = 1.4826


@dataclass(frozen=True)
class ImageDetections:
    """All detections of an image.

    Parameters
    ----------
    number : ndarray of int, shape (n,)
        Numbers.
    x, y : ndarray, shape (n,)
        Positions, pixels, the middle of the first pixel being 0.
    flux : ndarray, shape (n,)
        ``FLUX_AUTO``.
    elongation : ndarray, shape (n,)
        Axis ratios.
    is_star : ndarray of bool, shape (n,)
        Whether it is an unblended known star.
    """

    number: NDArray[np.integer]
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    flux: NDArray[np.floating]
    elongation: NDArray[np.floating]
    is_star: NDArray[np.bool_]

    def like(self, index: int, candidates: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Those of some detections whose flux is within 10 % of that of one, without itself, nearest first."""
        alike = candidates & (np.abs(self.flux - self.flux[index]) <= _FLUX_RANGE * np.abs(self.flux[index]))
        alike[index] = False
        found = np.flatnonzero(alike)
        return found[np.argsort(np.hypot(self.x[found] - self.x[index], self.y[found] - self.y[index]), kind="stable")]


@dataclass(frozen=True)
class ShapeMeasure:
    """The shape of one detection; NaN is what could not be measured.

    Parameters
    ----------
    number : int
        The detection.
    profile_diff : float
        How far its radial profile lies from the mean of its neighbours'.
    contour : Contour
        Its outline.
    elongation : float
        Its axis ratio.
    n_neighbours : int
        Detections of like flux that it was compared with.
    profile_log_median, profile_log_sigma : float
        Median and robust sigma of the natural logarithm of the neighbours' own ``profile_diff``, each from
        the mean of the others. Direct only.
    circularity_median, circularity_sigma : float
        The same of the neighbours' circularities. Direct only.
    """

    number: int
    profile_diff: float
    contour: Contour
    elongation: float
    n_neighbours: int
    profile_log_median: float = np.nan
    profile_log_sigma: float = np.nan
    circularity_median: float = np.nan
    circularity_sigma: float = np.nan


def measure_inverted(
    image: NDArray[Any], detections: ImageDetections, indices: Iterable[int], scale_arcsec_px: float
) -> list[ShapeMeasure]:
    """Shapes as the seeds measure them: on a negative of a cutout of 8 arcmin.

    The seeds took this from a measurement of negatives, where stars are dark. In digitised sky surveys stars are
    bright, so that here a star is a hole, its wings weigh more than its core, and the difference of profiles is three
    to four times what it should be. Outlines, on the other hand, are those of the raw pixels. It is kept to compare
    with the seeds; `measure_direct` is the right measurement.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x)
        Pixels as they are in the file.
    detections : ImageDetections
        Every detection of the image.
    indices : iterable of int
        Which of them to measure.
    scale_arcsec_px : float
        Pixel scale.
    """
    half = _SEED_CUTOUT_ARCMIN * 60 / scale_arcsec_px / 2
    measures = []
    for index in indices:
        x, y = float(detections.x[index]), float(detections.y[index])
        left, low = max(round(x - half), 0), max(round(y - half), 0)
        cutout = np.asarray(image[low : round(y + half), left : round(x + half)], np.float32)
        flat = without_background(_SEED_INVERT_MAX - cutout, _SEED_BOX_PX)
        inside = (np.abs(detections.x - x) <= half) & (np.abs(detections.y - y) <= half)
        neighbours = detections.like(index, inside)
        profiles = [
            normalised(radial_profile(flat, detections.x[i] - left, detections.y[i] - low))
            for i in (index, *neighbours)
        ]
        measures.append(
            ShapeMeasure(
                number=int(detections.number[index]),
                profile_diff=profile_difference(profiles[0], _mean(profiles[1:])),
                contour=seed_contour(image, x, y),
                elongation=float(detections.elongation[index]),
                n_neighbours=len(neighbours),
            )
        )
    return measures


def measure_direct(image: NDArray[Any], detections: ImageDetections, indices: Iterable[int]) -> list[ShapeMeasure]:
    """Shapes as they are on the plate, beside how much those of known stars scatter.

    A detection is compared with the thirty nearest unblended known stars whose flux is within 10 % of its own. They
    are also compared with each other, so that what is measured can be judged in their own scatter: on a photographic
    plate that depends on brightness and on the plate.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x)
        Pixels as they are in the file, stars being bright.
    detections : ImageDetections
        Every detection of the image.
    indices : iterable of int
        Which of them to measure.
    """
    flat = without_background(image, _BOX_PX)

    def profile_at(index: int) -> NDArray[np.float64]:
        return normalised(radial_profile(flat, float(detections.x[index]), float(detections.y[index])))

    def contour_at(index: int) -> Contour:
        return half_maximum_contour(flat, float(detections.x[index]), float(detections.y[index]))

    # Stars are neighbours of many.
    profile, contour = cache(profile_at), cache(contour_at)
    return [_compared(detections, index, profile, contour) for index in indices]


def _compared(
    detections: ImageDetections,
    index: int,
    profile: Callable[[int], NDArray[np.float64]],
    contour: Callable[[int], Contour],
) -> ShapeMeasure:
    neighbours = [int(i) for i in detections.like(index, detections.is_star)[:_MOST_NEIGHBOURS]]
    # A neighbour with a ring outside of the image or without pixels would make the mean unknown.
    whole = [i for i in neighbours if np.isfinite(profile(i)).all()]
    profiles = [profile(i) for i in whole]
    own = [profile_difference(p, _mean(profiles[:i] + profiles[i + 1 :])) for i, p in enumerate(profiles)]
    with np.errstate(divide="ignore"):
        log_median, log_sigma = _robust(np.log(own))
    roundness_median, roundness_sigma = _robust([contour(i).circularity for i in whole])
    return ShapeMeasure(
        number=int(detections.number[index]),
        profile_diff=profile_difference(profile(index), _mean(profiles)),
        contour=contour(index),
        elongation=float(detections.elongation[index]),
        n_neighbours=len(whole),
        profile_log_median=log_median,
        profile_log_sigma=log_sigma,
        circularity_median=roundness_median,
        circularity_sigma=roundness_sigma,
    )


def _mean(profiles: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.mean(profiles, axis=0) if profiles else np.array([np.nan])


def _robust(values: Iterable[float]) -> tuple[float, float]:
    """Median, and standard deviation from the median absolute deviation; NaN for fewer than two values."""
    finite = np.asarray([v for v in values if np.isfinite(v)])
    if len(finite) < 2:
        return float("nan"), float("nan")
    median = float(np.median(finite))
    return median, float(_MAD_SIGMA * np.median(np.abs(finite - median)))
