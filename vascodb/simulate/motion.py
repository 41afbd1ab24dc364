"""Uniform space motion on the unit sphere, without parallax or radial velocity."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["move_stars", "offset_position", "separation_arcsec", "unit_vectors"]

Floats = NDArray[np.float64]

_RADIANS_PER_MAS = np.pi / 180.0 / 3.6e6


def unit_vectors(ra_deg: ArrayLike, dec_deg: ArrayLike) -> Floats:
    """Unit vectors of positions in degrees; shape (n, 3)."""
    ra, dec = np.radians(np.asarray(ra_deg, np.float64)), np.radians(np.asarray(dec_deg, np.float64))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def move_stars(ra_deg: Floats, dec_deg: Floats, pmra: Floats, pmdec: Floats, years: float) -> tuple[Floats, Floats]:
    """Positions after some years of uniform motion in the tangent plane of the first position.

    Parameters
    ----------
    ra_deg, dec_deg : ndarray, shape (n,)
        Positions in degrees.
    pmra, pmdec : ndarray, shape (n,)
        Proper motions, mas per year; ``pmra`` includes cos(dec).
    years : float
        Time to move, negative into the past.

    Returns
    -------
    ra_deg, dec_deg : ndarray of float64, shape (n,)
        Positions in degrees, right ascension in [0, 360).

    References
    ----------
    .. [1] The Hipparcos and Tycho Catalogues, ESA SP-1200, vol. 1, section 1.5.5, without the
       radial terms.
    """
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    zero = np.zeros_like(ra)
    east = np.stack([-np.sin(ra), np.cos(ra), zero], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    motion = (pmra[:, None] * east + pmdec[:, None] * north) * (_RADIANS_PER_MAS * years)
    return _angles(unit_vectors(ra_deg, dec_deg) + motion)


def offset_position(
    ra_deg: ArrayLike, dec_deg: ArrayLike, angle_deg: ArrayLike, east_of_north: ArrayLike
) -> tuple[Floats, Floats]:
    """Positions at an angular distance and position angle (radians, from north to east)."""
    ra, dec = np.radians(np.asarray(ra_deg, np.float64)), np.radians(np.asarray(dec_deg, np.float64))
    distance, position_angle = np.radians(np.asarray(angle_deg, np.float64)), np.asarray(east_of_north, np.float64)
    ra, dec, distance, position_angle = np.broadcast_arrays(ra, dec, distance, position_angle)
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    there = np.sin(position_angle)[..., None] * east + np.cos(position_angle)[..., None] * north
    here = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
    return _angles(np.cos(distance)[..., None] * here + np.sin(distance)[..., None] * there)


def separation_arcsec(a: Floats, b: Floats) -> Floats:
    """Angle between unit vectors, arcsec, exact for small angles; shapes (n, 3)."""
    half_chord = np.linalg.norm(a - b, axis=-1) / 2
    return np.asarray(np.degrees(2 * np.arcsin(np.minimum(half_chord, 1.0))) * 3600.0, dtype=np.float64)


def _angles(vectors: Floats) -> tuple[Floats, Floats]:
    ra = np.mod(np.degrees(np.arctan2(vectors[..., 1], vectors[..., 0])), 360.0)
    dec = np.degrees(np.arctan2(vectors[..., 2], np.hypot(vectors[..., 0], vectors[..., 1])))
    # np.mod can round a tiny negative angle up to exactly 360.
    return np.where(ra >= 360.0, 0.0, ra), dec
