"""Positions at the survey's epoch, by which reference tables are indexed."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["SURVEY_EPOCH_JYEAR", "at_survey_epoch"]

SURVEY_EPOCH_JYEAR = 1954.0
_RADIANS_PER_MAS = np.pi / 180.0 / 3_600_000.0


def at_survey_epoch(
    ra_deg: NDArray[np.float64],
    dec_deg: NDArray[np.float64],
    pmra_masyr: NDArray[np.floating],
    pmdec_masyr: NDArray[np.floating],
    epoch_jyear: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move sources to J1954.0 by their proper motions.

    The same linear space motion as ``sky.propagate``, on many rows at once: the unit vector moves
    along the tangent plane and is projected back (Hipparcos Catalogue, ESA SP-1200, vol. 1, 1.5.5).

    Parameters
    ----------
    ra_deg, dec_deg : ndarray of float64, shape (n,)
        Positions at their own epochs.
    pmra_masyr, pmdec_masyr : ndarray of float, shape (n,)
        Proper motions, the first times cos(dec); NaN where there is none.
    epoch_jyear : ndarray of float, shape (n,)
        Epochs of the positions.

    Returns
    -------
    ra_deg, dec_deg : ndarray of float64, shape (n,)
        Right ascension in [0, 360).
    """
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    sin_ra, cos_ra, sin_dec, cos_dec = np.sin(ra), np.cos(ra), np.sin(dec), np.cos(dec)
    radians_per_motion = (SURVEY_EPOCH_JYEAR - epoch_jyear.astype(np.float64)) * _RADIANS_PER_MAS
    east = np.nan_to_num(pmra_masyr.astype(np.float64)) * radians_per_motion
    north = np.nan_to_num(pmdec_masyr.astype(np.float64)) * radians_per_motion
    x = cos_dec * cos_ra - east * sin_ra - north * sin_dec * cos_ra
    y = cos_dec * sin_ra + east * cos_ra - north * sin_dec * sin_ra
    z = sin_dec + north * cos_dec
    moved_ra = np.degrees(np.arctan2(y, x))
    moved_ra[moved_ra < 0] += 360.0
    # A hair below zero rounds to 360 itself.
    moved_ra[moved_ra >= 360.0] = 0.0
    return moved_ra, np.degrees(np.arctan2(z, np.hypot(x, y)))
