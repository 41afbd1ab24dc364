"""What a fit to the residuals of an image's astrometric solution is, whichever way it was made."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vascodb.plates.polynomial import ROBUST_SIGMA, evaluate
from vascodb.plates.tangent import plane_to_sky, sky_to_plane

__all__ = ["FitKind", "ResidualFit", "Solution", "TieOffsets", "rounded", "tie_offsets", "tie_shifts", "wrap180"]

Array = NDArray[np.float64]
FitKind = Literal["plate_fit", "wcsfix"]


@dataclass(frozen=True)
class Solution:
    """A polynomial correction of positions.

    Parameters
    ----------
    kind : {'plate_fit', 'wcsfix'}
        ``plate_fit`` corrects standard coordinates about the tangent point, in arcsec; ``wcsfix`` right
        ascension and declination themselves, in degrees.
    degree : int
        Of the polynomial.
    ra0_deg, dec0_deg : float
        Its origin.
    unit_deg : float
        Length that counts as 1 in it.
    coef_x, coef_y : tuple of float
        Coefficients in the order of `~vascodb.plates.polynomial.evaluate`, eastward and northward.
    """

    kind: FitKind
    degree: int
    ra0_deg: float
    dec0_deg: float
    unit_deg: float
    coef_x: tuple[float, ...]
    coef_y: tuple[float, ...]

    def correct(self, ra_deg: Array, dec_deg: Array) -> tuple[Array, Array]:
        """Corrected positions.

        Parameters
        ----------
        ra_deg, dec_deg : ndarray of float64, shape (n,)
            Raw positions in degrees.

        Returns
        -------
        ra_deg, dec_deg : ndarray of float64, shape (n,)
            Of a ``wcsfix`` to 10 decimals, as the seeds write them.
        """
        if self.kind == "plate_fit":
            xi, eta = sky_to_plane(ra_deg, dec_deg, self.ra0_deg, self.dec0_deg)
            dx, dy = self._correction(xi / 3600.0, eta / 3600.0)
            return plane_to_sky(xi + dx, eta + dy, self.ra0_deg, self.dec0_deg)
        dx, dy = self._correction(wrap180(ra_deg - self.ra0_deg), dec_deg - self.dec0_deg)
        ra = np.mod(np.round(ra_deg + dx, 10), 360.0)
        return np.where(ra >= 360.0, 0.0, ra), np.round(dec_deg + dy, 10)

    def shift_arcsec(self, ra_deg: Array, dec_deg: Array) -> Array:
        """Corrections of positions, eastward and northward, in arcsec, shape (2, n)."""
        if self.kind == "plate_fit":
            xi, eta = sky_to_plane(ra_deg, dec_deg, self.ra0_deg, self.dec0_deg)
            return np.stack(self._correction(xi / 3600.0, eta / 3600.0))
        dx, dy = self._correction(wrap180(ra_deg - self.ra0_deg), dec_deg - self.dec0_deg)
        return 3600.0 * np.stack((dx * np.cos(np.radians(dec_deg)), dy))

    def _correction(self, x_deg: Array, y_deg: Array) -> tuple[Array, Array]:
        x, y = x_deg / self.unit_deg, y_deg / self.unit_deg
        return evaluate(self.coef_x, x, y), evaluate(self.coef_y, x, y)


@dataclass(frozen=True)
class ResidualFit:
    """A fit, or why there is none, with everything that ``vasco.plate_fit`` says of it.

    Parameters
    ----------
    solution : `Solution` or None
        The polynomial; None where none could be made.
    accepted : bool
        Whether it may be used.
    reason : str or None
        Why not.
    radius_arcsec : float
        Within which stars were looked for.
    n_eligible, n_ties, n_kept : int
        Detections that could be ties, those with a star, and those that the fit was made of.
    iterations : int
        Rounds of clipping.
    sigma_arcsec, clip_arcsec : float or None
        Scatter of the residuals, and what was clipped.
    offset_arcsec : tuple of 2 float or None
        Median of star minus raw position, east and north.
    sigma_before_arcsec : float or None
        Scatter of raw positions about that.
    largest_residual_arcsec, worst_cell_arcsec, coverage : float or None
        Of the ties that were kept, of the worst cell of the image, and the share of cells with ties.
    tie_shifts_arcsec : tuple of 2 tuples of 2 float or None
        Least and largest correction of the ties that were kept, eastward and northward.
    largest_shift_arcsec : float or None
        Largest correction of any detection.
    extrapolation_arcsec : float or None
        How far corrections of detections leave the range of those of the ties, in either coordinate.
    """

    solution: Solution | None
    accepted: bool
    reason: str | None
    radius_arcsec: float
    n_eligible: int
    n_ties: int
    n_kept: int = 0
    iterations: int = 0
    sigma_arcsec: float | None = None
    clip_arcsec: float | None = None
    offset_arcsec: tuple[float, float] | None = None
    sigma_before_arcsec: float | None = None
    largest_residual_arcsec: float | None = None
    worst_cell_arcsec: float | None = None
    coverage: float | None = None
    tie_shifts_arcsec: tuple[tuple[float, float], tuple[float, float]] | None = None
    largest_shift_arcsec: float | None = None
    extrapolation_arcsec: float | None = None


@dataclass(frozen=True)
class TieOffsets:
    """Offsets of stars from raw positions: their median and their scatter per coordinate about it, arcsec."""

    median_arcsec: tuple[float, float]
    sigma_arcsec: float


def tie_offsets(east_arcsec: Array, north_arcsec: Array) -> TieOffsets | None:
    """Median and robust scatter of offsets; None where there are none."""
    if len(east_arcsec) == 0:
        return None
    median = float(np.median(east_arcsec)), float(np.median(north_arcsec))
    about = np.concatenate((east_arcsec - median[0], north_arcsec - median[1]))
    return TieOffsets((rounded(median[0]), rounded(median[1])), rounded(ROBUST_SIGMA * np.median(np.abs(about))))


def tie_shifts(solution: Solution, ra_deg: Array, dec_deg: Array) -> tuple[tuple[float, float], tuple[float, float]]:
    """Least and largest correction of some positions, eastward and northward, in arcsec."""
    east, north = solution.shift_arcsec(ra_deg, dec_deg)
    return (float(east.min()), float(east.max())), (float(north.min()), float(north.max()))


def rounded(arcsec: float) -> float:
    """A figure to a microarcsecond, so that libraries of different machines agree."""
    return round(float(arcsec), 6)


def wrap180(difference_deg: Array) -> Array:
    """Difference of two right ascensions, in [-180, 180)."""
    return np.mod(difference_deg + 180.0, 360.0) - 180.0
