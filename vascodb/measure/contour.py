"""Outlines of detections: how round they are."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Contour", "half_maximum_contour", "seed_contour"]

_STAMP_HALF_PX = 10
_SEED_THRESHOLDS = (21, 45)
_SEED_AREA_ABOVE_PX = 7.0
_SEED_EPSILON = 0.01
_ENLARGED = 8
_PEAK_WITHIN_PX = 1.5

# What OpenCV takes for, and gives as, an array of points or of pixels.
Points = NDArray[Any]


@dataclass(frozen=True)
class Contour:
    r"""Measures of an outline; NaN where there is none.

    Parameters
    ----------
    circularity : float
        :math:`4 \pi A / P^2` of area and perimeter: 1 for a disc.
    area_px : float
        Area, pixels of the image.
    defect : float
        Depths of its dents, as parts of its greater side.
    circle_deviation : float
        Standard deviation of the distances of its points from the middle of the smallest circle around
        them, as a part of that circle's radius.
    """

    circularity: float = np.nan
    area_px: float = np.nan
    defect: float = np.nan
    circle_deviation: float = np.nan


def seed_contour(image: NDArray[Any], x: float, y: float) -> Contour:
    """The outline as the seeds measure it, on a few raw pixels.

    A cutout of 21 pixels is scaled to 0 to 255 and cut at 21 and at 45; of the outlines with more than 7
    pixels the last counts. Its defect is that of all of them together, as the published values show: some of
    their outlines are perfect octagons, with dents.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x)
        Pixels as they are in the file.
    x, y : float
        The position, pixels, the middle of the first pixel being 0.

    Returns
    -------
    Contour
    """
    stamp, _ = _cutout(image, x, y)
    if stamp.size == 0 or not np.isfinite(stamp).all() or stamp.max() == stamp.min():
        return Contour()
    low, high = float(stamp.min()), float(stamp.max())
    scaled = ((stamp.astype(np.float64) - low) / (high - low) * 255).astype(np.uint8)
    outlines = [
        outline
        for threshold in _SEED_THRESHOLDS
        for outline in _outlines(cv2.threshold(scaled, threshold, 255, cv2.THRESH_BINARY)[1])
        if cv2.contourArea(outline) > _SEED_AREA_ABOVE_PX
    ]
    if not outlines:
        return Contour()
    defect = sum(_dents(outline, _SEED_EPSILON * cv2.arcLength(outline, closed=True)) for outline in outlines)
    return _measured(outlines[-1], defect)


def half_maximum_contour(image: NDArray[np.floating], x: float, y: float) -> Contour:
    """The outline of a star at half of its height, on an enlarged cutout, so that it is more than a few corners.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x)
        Pixels less their background; stars are bright.
    x, y : float
        The position, pixels, the middle of the first pixel being 0.

    Returns
    -------
    Contour
        NaN where a pixel of the cutout has no value, where the outline leaves the cutout (10 pixels to each
        side), or where nothing stands out of the background.
    """
    stamp, (left, low) = _cutout(image, x, y)
    if stamp.size == 0 or not np.isfinite(stamp).all():
        return Contour()
    enlarged = cv2.resize(
        np.ascontiguousarray(stamp, np.float32), None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC
    )
    # The middle of the first pixel is at (enlargement - 1) / 2 of the enlarged ones.
    at = ((x - left + 0.5) * _ENLARGED - 0.5, (y - low + 0.5) * _ENLARGED - 0.5)
    row, column = np.indices(enlarged.shape)
    near = np.hypot(column - at[0], row - at[1]) <= _PEAK_WITHIN_PX * _ENLARGED
    if not near.any() or (peak := float(enlarged[near].max())) <= 0:
        return Contour()
    above = (enlarged > peak / 2).astype(np.uint8)
    top = np.flatnonzero((near & (enlarged == peak)).ravel())[0]
    peak_at = (float(top % enlarged.shape[1]), float(top // enlarged.shape[1]))
    for outline in _outlines(above):
        if cv2.pointPolygonTest(outline, peak_at, measureDist=False) >= 0:
            points = outline.reshape(-1, 2)
            if (points == 0).any() or (points == np.array(enlarged.shape[::-1]) - 1).any():
                return Contour()
            # Steps of a slanting edge are longer than the edge; a polygon within one enlarged pixel is not.
            polygon = cv2.approxPolyDP(outline, 1.0, closed=True)
            measured = _measured(polygon, _dents(polygon, 0.0))
            return Contour(
                measured.circularity, measured.area_px / _ENLARGED**2, measured.defect, measured.circle_deviation
            )
    return Contour()


def _cutout(image: NDArray[Any], x: float, y: float) -> tuple[NDArray[Any], tuple[int, int]]:
    """The 21 by 21 pixels about a position, fewer at an edge, and the column and row where they begin."""
    left, low = max(round(x) - _STAMP_HALF_PX, 0), max(round(y) - _STAMP_HALF_PX, 0)
    right, high = max(round(x) + _STAMP_HALF_PX + 1, 0), max(round(y) + _STAMP_HALF_PX + 1, 0)
    return image[low:high, left:right], (left, low)


def _outlines(binary: NDArray[Any]) -> list[Points]:
    found, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [np.asarray(outline, np.int32).reshape(-1, 1, 2) for outline in found]


def _measured(outline: Points, defect: float) -> Contour:
    area, perimeter = cv2.contourArea(outline), cv2.arcLength(outline, closed=True)
    (x, y), radius = cv2.minEnclosingCircle(outline)
    if perimeter == 0 or radius == 0:
        return Contour()
    distance = np.hypot(outline[:, 0, 0] - x, outline[:, 0, 1] - y) / radius
    return Contour(4 * np.pi * area / perimeter**2, area, defect, float(np.std(distance)))


def _dents(outline: Points, epsilon_px: float) -> float:
    polygon = cv2.approxPolyDP(outline, epsilon_px, closed=True) if epsilon_px > 0 else outline
    if len(polygon) < 4:
        return 0.0
    try:
        dents = cv2.convexityDefects(polygon, cv2.convexHull(polygon, returnPoints=False))
    except cv2.error:
        # An outline of single pixels in a row runs back over itself.
        return float("nan")
    _, _, width, height = cv2.boundingRect(outline)
    # OpenCV gives depths in 1/256 pixel; some versions have one axis more.
    return 0.0 if dents is None else float(dents.reshape(-1, 4)[:, 3].sum() / 256 / max(width, height))
