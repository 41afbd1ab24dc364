"""Which asteroids were over many exposures: one march through time, all bodies at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vascodb.asteroids.elements import Elements
from vascodb.asteroids.integrate import Accuracy, Moment, march
from vascodb.asteroids.observe import PALOMAR, Site, Trails, observe, observer_places, tdb_of
from vascodb.asteroids.planets import Planets

__all__ = ["Exposures", "Passages", "predict"]

Floats = NDArray[np.float64]

_COARSE_DEG = 0.5
"""Light time and half an exposure move no body but one passing close by the Earth as far as that."""
_USUAL_EXPOSURE_MINUTES = 60.0


@dataclass(frozen=True)
class Exposures:
    """Circles of sky, each exposed about one moment.

    Parameters
    ----------
    ra_deg, dec_deg, radius_deg : array of float
        The circles.
    mid_jd : array of float
        Middle of the exposure, Julian date in UTC.
    exposure_minutes : array of float
        Its length; NaN is taken for an hour, as the matching takes it.
    """

    ra_deg: Floats
    dec_deg: Floats
    radius_deg: Floats
    mid_jd: Floats
    exposure_minutes: Floats

    def __len__(self) -> int:
        return len(self.mid_jd)


@dataclass(frozen=True)
class Passages:
    """The bodies over one exposure.

    Parameters
    ----------
    exposure : int
        Which exposure.
    bodies : array of int
        Which of the elements.
    trails : `Trails`
        How they look, in the order of ``bodies``.
    """

    exposure: int
    bodies: NDArray[np.int64]
    trails: Trails


def predict(
    elements: Elements,
    planets: Planets,
    exposures: Exposures,
    progress: Callable[[int], None] = lambda _: None,
    *,
    site: Site | None = PALOMAR,
    accuracy: Accuracy | None = None,
) -> Iterator[Passages]:
    """The bodies whose middle of the trail lies in the circle of each exposure; the latest exposure first.

    Parameters
    ----------
    elements : `Elements`
        The bodies.
    planets : `Planets`
        What pulls them.
    exposures : `Exposures`
        The circles and moments.
    progress : callable, optional
        Called with the number of exposures that are done.
    site : `Site` or None, optional
        The observatory, None for the centre of the Earth.
    accuracy : `Accuracy`, optional
        How the motion is computed.

    Yields
    ------
    `Passages`
        One for each exposure, also if nothing was there.
    """
    if len(exposures) == 0:
        return
    minutes = np.where(np.isfinite(exposures.exposure_minutes), exposures.exposure_minutes, _USUAL_EXPOSURE_MINUTES)
    half_d = minutes / 2880.0
    # Start, middle and end of each exposure: shape (3 axes, 3 instants, n).
    observers = np.stack(
        [observer_places(exposures.mid_jd + offset * half_d, planets, site) for offset in (-1.0, 0.0, 1.0)], axis=1
    )
    jd_tdb = tdb_of(exposures.mid_jd)
    suns, _ = planets.sun(jd_tdb)
    centres = _unit(exposures.ra_deg, exposures.dec_deg)
    for n_done, moment in enumerate(march(elements, planets, jd_tdb, accuracy), start=1):
        i = moment.index
        near = _within(moment, observers[:, 1, i], centres[:, i], exposures.radius_deg[i] + _COARSE_DEG)
        trails = observe(
            moment.position[:, near], moment.velocity[:, near], suns[:, i], observers[:, :, i], 2.0 * float(half_d[i]),
            elements.absolute_mag[near], elements.slope[near], planets,
        )  # fmt: skip
        inside = _unit(trails.ra_deg, trails.dec_deg).T @ centres[:, i] >= np.cos(np.radians(exposures.radius_deg[i]))
        kept = Trails(*(getattr(trails, name)[inside] for name in Trails.__dataclass_fields__))
        yield Passages(i, near[inside], kept)
        progress(n_done)


def _within(moment: Moment, observer: Floats, centre: Floats, radius_deg: float) -> NDArray[np.int64]:
    """Bodies that are, but for the time that light takes, within a circle."""
    towards = moment.position - observer[:, None]
    distance = np.sqrt(np.einsum("ij,ij->j", towards, towards))
    return np.flatnonzero(centre @ towards >= distance * np.cos(np.radians(min(radius_deg, 180.0))))


def _unit(ra_deg: Floats, dec_deg: Floats) -> Floats:
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
