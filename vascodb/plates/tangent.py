"""The gnomonic projection between the sky and a tangent plane in arcsec."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["plane_to_sky", "sky_to_plane"]

ARCSEC_PER_RADIAN = np.degrees(1.0) * 3600.0


def plane_to_sky(
    xi_arcsec: ArrayLike, eta_arcsec: ArrayLike, ra0_deg: float, dec0_deg: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sky position of standard coordinates about a tangent point.

    Parameters
    ----------
    xi_arcsec, eta_arcsec : array_like of float, any one shape
        Standard coordinates, east and north, in arcsec.
    ra0_deg, dec0_deg : float
        The tangent point in degrees.

    Returns
    -------
    ra_deg, dec_deg : ndarray of float64
        Right ascension in [0, 360) and declination in degrees.

    References
    ----------
    .. [1] Calabretta & Greisen 2002, A&A 395, 1077, section 5.1.3.
    """
    xi = np.asarray(xi_arcsec, dtype=np.float64) / ARCSEC_PER_RADIAN
    eta = np.asarray(eta_arcsec, dtype=np.float64) / ARCSEC_PER_RADIAN
    sin0, cos0 = np.sin(np.radians(dec0_deg)), np.cos(np.radians(dec0_deg))
    toward_pole = cos0 - eta * sin0
    ra = np.mod(ra0_deg + np.degrees(np.arctan2(xi, toward_pole)), 360.0)
    dec = np.degrees(np.arctan2(sin0 + eta * cos0, np.hypot(xi, toward_pole)))
    # np.mod can round a tiny negative angle up to exactly 360.
    return np.where(ra >= 360.0, 0.0, ra), dec


def sky_to_plane(
    ra_deg: ArrayLike, dec_deg: ArrayLike, ra0_deg: float, dec0_deg: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standard coordinates of sky positions about a tangent point.

    Parameters
    ----------
    ra_deg, dec_deg : array_like of float, any one shape
        Positions in degrees.
    ra0_deg, dec0_deg : float
        The tangent point in degrees.

    Returns
    -------
    xi_arcsec, eta_arcsec : ndarray of float64
        Standard coordinates, east and north, in arcsec; NaN 90 degrees or more from the tangent point.
    """
    delta_ra = np.radians(np.asarray(ra_deg, dtype=np.float64) - ra0_deg)
    dec = np.radians(np.asarray(dec_deg, dtype=np.float64))
    sin0, cos0 = np.sin(np.radians(dec0_deg)), np.cos(np.radians(dec0_deg))
    cos_distance = np.sin(dec) * sin0 + np.cos(dec) * cos0 * np.cos(delta_ra)
    cos_distance = np.where(cos_distance > 0, cos_distance, np.nan)
    xi = np.cos(dec) * np.sin(delta_ra) / cos_distance
    eta = (np.sin(dec) * cos0 - np.cos(dec) * sin0 * np.cos(delta_ra)) / cos_distance
    return xi * ARCSEC_PER_RADIAN, eta * ARCSEC_PER_RADIAN
