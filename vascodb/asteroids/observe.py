"""How bodies look from Palomar: time scales, the observatory's place, light time, trails and magnitudes."""

import warnings
from dataclasses import dataclass

import erfa
import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from vascodb.asteroids.planets import Planets

__all__ = ["PALOMAR", "Site", "Trails", "observe", "observer_places", "tdb_of", "visual_magnitude"]

Floats = NDArray[np.float64]

_WGS84 = 1


@dataclass(frozen=True)
class Site:
    """An observatory.

    Parameters
    ----------
    code : str
        Its code at the Minor Planet Center.
    longitude_deg, latitude_deg : float
        Geodetic, east and north positive.
    height_m : float
        Above the ellipsoid.
    """

    code: str
    longitude_deg: float
    latitude_deg: float
    height_m: float


PALOMAR = Site("675", -116.863, 33.356, 1706.0)


@dataclass(frozen=True)
class Trails:
    """How some bodies look over one exposure, astrometric positions of J2000 seen from the observatory.

    Parameters
    ----------
    ra_deg, dec_deg : array of float
        In the middle of the exposure.
    rate_ra_arcsec_h, rate_dec_arcsec_h : array of float
        Mean motion from start to end, in right ascension times cos(dec) and declination.
    mag : array of float
        Predicted V.
    distance_au : array of float
        From the observer.
    """

    ra_deg: Floats
    dec_deg: Floats
    rate_ra_arcsec_h: Floats
    rate_dec_arcsec_h: Floats
    mag: Floats
    distance_au: Floats


def tdb_of(jd_utc: Floats) -> Floats:
    """Julian dates in TDB of Julian dates in UTC.

    There was no UTC before 1960; TT less UT was 29 to 32 s while the survey ran. Taken is 32.2 s as for 1960: 3 s are
    0.03 arcsec for an asteroid of the main belt.
    """
    return np.asarray(_scales(jd_utc)[1].jd)


def observer_places(jd_utc: Floats, planets: Planets, site: Site | None = PALOMAR) -> Floats:
    """Barycentric places of an observer, shape (3, n) [au].

    UT1 is taken for UTC and the pole for where it is on average: 1 s and 0.5 arcsec, both below 0.5 km.

    Parameters
    ----------
    jd_utc : array of float
        Times, Julian dates in UTC.
    planets : `Planets`
        Where the Earth is.
    site : `Site` or None
        The observatory; None for the centre of the Earth.

    References
    ----------
    .. [1] IERS Conventions 2010, chapter 5; IAU 2006/2000A precession and nutation.
    """
    earth, _ = planets.earth(tdb_of(jd_utc))
    if site is None:
        return earth
    on_ground = erfa.gd2gc(_WGS84, np.radians(site.longitude_deg), np.radians(site.latitude_deg), site.height_m)
    terrestrial, _ = _scales(jd_utc)
    turn = erfa.c2t06a(terrestrial.jd1, terrestrial.jd2, jd_utc, 0.0, 0.0, 0.0)
    there: Floats = earth + np.einsum("nij,i->jn", turn, on_ground) / (1000.0 * planets.au_km)
    return there


def observe(
    position: Floats,
    velocity: Floats,
    sun: Floats,
    observers: Floats,
    exposure_d: float,
    absolute_mag: Floats,
    slope: Floats,
    planets: Planets,
) -> Trails:
    """How bodies look over one exposure.

    About its middle, hours at most, bodies move along their orbit about the Sun to second order: below 0.001 arcsec.

    Parameters
    ----------
    position, velocity : array of float, shape (3, n)
        Barycentric, in the middle of the exposure [au, au/d].
    sun : array of float, shape (3,)
        Barycentric place of the Sun then [au].
    observers : array of float, shape (3, 3)
        Columns: barycentric places of the observer at start, middle and end [au].
    exposure_d : float
        Length [d].
    absolute_mag, slope : array of float
        H and G of the bodies.
    planets : `Planets`
        Constants.
    """
    heliocentric = position - sun[:, None]
    sun_distance = np.linalg.norm(heliocentric, axis=0)
    pull = -planets.sun_gm * heliocentric / sun_distance**3
    seen = [
        _seen(position, velocity, pull, observers[:, i], offset * exposure_d, planets.light_au_d)
        for i, offset in enumerate((-0.5, 0.0, 0.5))
    ]
    middle = seen[1]
    distance = np.linalg.norm(middle, axis=0)
    ra, dec = np.arctan2(middle[1], middle[0]), np.arcsin(middle[2] / distance)
    # On the plane tangent to the sphere at the middle.
    east = np.array([-np.sin(ra), np.cos(ra), np.zeros_like(ra)])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    along = middle / distance
    xi, eta = (
        [np.einsum("ij,ij->j", where, axis) / np.einsum("ij,ij->j", where, along) for where in (seen[0], seen[2])]
        for axis in (east, north)
    )
    per_hour = np.degrees(1.0) * 3600.0 / (24.0 * exposure_d)
    phase = np.arccos(
        np.clip(np.einsum("ij,ij->j", heliocentric, middle) / (sun_distance * distance), -1.0, 1.0)
    )  # fmt: skip
    return Trails(
        np.degrees(ra) % 360.0,
        np.degrees(dec),
        (xi[1] - xi[0]) * per_hour,
        (eta[1] - eta[0]) * per_hour,
        visual_magnitude(absolute_mag, slope, sun_distance, distance, phase),
        distance,
    )


def visual_magnitude(
    absolute_mag: Floats, slope: Floats, sun_au: Floats, distance_au: Floats, phase_rad: Floats
) -> Floats:
    """V magnitude in the system of H and G.

    Parameters
    ----------
    absolute_mag, slope : array of float
        H and G.
    sun_au, distance_au : array of float
        Distances from Sun and observer.
    phase_rad : array of float
        Angle Sun, body, observer.

    References
    ----------
    .. [1] Bowell et al. 1989, in Asteroids II, eq. A4; constants of the simplified form.
    """
    tangent = np.tan(phase_rad / 2.0)
    dims = (1.0 - slope) * np.exp(-3.33 * tangent**0.63) + slope * np.exp(-1.87 * tangent**1.22)
    result: Floats = absolute_mag + 5.0 * np.log10(sun_au * distance_au) - 2.5 * np.log10(dims)
    return result


def _seen(position: Floats, velocity: Floats, pull: Floats, observer: Floats, days: float, light_au_d: float) -> Floats:
    """From the observer, some days after the middle, to where the light left the bodies, shape (3, n)."""
    light_d = np.zeros(position.shape[1])
    for _ in range(4):
        at = days - light_d
        where = position + velocity * at + pull * (at * at / 2.0) - observer[:, None]
        light_d = np.linalg.norm(where, axis=0) / light_au_d
    return where


def _scales(jd_utc: Floats) -> tuple[Time, Time]:
    """TT and TDB."""
    with warnings.catch_warnings():
        # Before 1960 there was no UTC; see tdb_of.
        warnings.simplefilter("ignore", erfa.ErfaWarning)
        time = Time(np.asarray(jd_utc, dtype=np.float64), format="jd", scale="utc")
        return time.tt, time.tdb
