"""Astropy's KD-tree on the same sky, in memory and on one core."""

from time import monotonic, process_time
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
from astropy.coordinates import Distance, Latitude, Longitude, SkyCoord
from astropy.time import Time
from numpy.typing import NDArray

__all__ = ["ALONE", "SAME", "WITH_TREE", "AstropyMatch", "time_astropy"]

SAME = "astropy: moves the sources, makes its tree, asks it"
WITH_TREE = "astropy: sources moved before; makes its tree, asks it"
ALONE = "astropy: sources moved and tree made before; asks it"


class AstropyMatch(NamedTuple):
    """CPU and wall seconds, and the nearest source's place and separation for each detection."""

    cpu: float
    wall: float
    index: NDArray[np.int64]
    sep_arcsec: NDArray[np.float64]


def time_astropy(sky: Any, catalog_epoch_jyear: float, epoch_jyear: float) -> dict[str, AstropyMatch]:
    """Match once each way: the whole question, and what is left of it where more and more of it is done before."""
    detections = coordinates(sky.ra, sky.dec)
    started = process_time(), monotonic()
    moved = moved_to(sky.stars, catalog_epoch_jyear, epoch_jyear)
    found = {SAME: asked(detections, moved, *started)}
    sources = coordinates(sky.there_ra, sky.there_dec)
    # The tree that the first question makes stays with the sources for the second.
    found[WITH_TREE] = asked(detections, sources, process_time(), monotonic())
    found[ALONE] = asked(detections, sources, process_time(), monotonic())
    return found


def moved_to(stars: Any, from_jyear: float, to_jyear: float) -> SkyCoord:
    """Sources at another epoch; a missing motion is none."""
    n = len(stars)
    pmra, pmdec = (np.nan_to_num(motion.astype(np.float64)) * u.mas / u.yr for motion in (stars.pmra, stars.pmdec))
    there = SkyCoord(
        # Astropy moves stars in space: far away and without radial velocity that is motion on the sky alone.
        Longitude(stars.ra, u.deg), Latitude(stars.dec, u.deg), distance=Distance(np.full(n, 100.0), u.pc),
        radial_velocity=np.zeros(n) * u.km / u.s, pm_ra_cosdec=pmra, pm_dec=pmdec,
        obstime=Time(from_jyear, format="jyear", scale="tdb"),
    ).apply_space_motion(new_obstime=Time(to_jyear, format="jyear", scale="tdb"))  # fmt: skip
    return SkyCoord(there.ra, there.dec)


def coordinates(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> SkyCoord:
    """Positions as astropy has them."""
    return SkyCoord(Longitude(ra_deg, u.deg), Latitude(dec_deg, u.deg))


def asked(detections: SkyCoord, sources: SkyCoord, cpu: float, started: float) -> AstropyMatch:
    """Match, with the times since the work began."""
    index, separation, _ = detections.match_to_catalog_sky(sources)
    return AstropyMatch(process_time() - cpu, monotonic() - started, index, separation.arcsec)
