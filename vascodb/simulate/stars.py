"""The stars of a simulated sky, as a modern catalogue knows them at 2016.0."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vascodb.simulate.motion import move_stars, offset_position
from vascodb.simulate.spec import SimulationSpec

__all__ = ["REFERENCE_EPOCH_JYEAR", "Cone", "Stars", "draw_field", "draw_moving_stars", "make_stars"]

Floats = NDArray[np.float64]

REFERENCE_EPOCH_JYEAR = 2016.0
STARS_BELOW_LIMIT_MAG = 1.0
REFERENCE_BELOW_LIMIT_MAG = 1.5
_BRIGHTEST_ABOVE_LIMIT_MAG = 12.5
# Slope d log N / dm of the cumulative counts, at 12 magnitudes above the limit and at the limit.
_SLOPE_BRIGHT, _SLOPE_FAINT = 0.42, 0.26
# Gaia's G less the plate's red magnitude.
_COLOUR_MEAN, _COLOUR_SIGMA = 0.2, 0.2
# Proper motions: log-normal, most of the disc and the few near stars of the tail, mas per year.
_MOTION_MEDIAN, _MOTION_SPREAD = 5.0, 0.75
_NEAR_FRACTION, _NEAR_MEDIAN, _NEAR_SPREAD = 0.015, 45.0, 0.7
_FAINT_WITHOUT_MOTION = 0.10
_BRIGHT_WITHOUT_MOTION = 0.005
# Far above any real Gaia identifier, whose HEALPix part ends at 6.9e18.
_FIRST_SOURCE_ID = 8_000_000_000_000_000_000


@dataclass(frozen=True)
class Cone:
    """A circle on the sky: centre and radius in degrees."""

    ra_deg: float
    dec_deg: float
    radius_deg: float

    @property
    def area_arcmin2(self) -> float:
        """Its solid angle."""
        return float(2 * np.pi * (1 - np.cos(np.radians(self.radius_deg))) * np.degrees(60.0) ** 2)


@dataclass(frozen=True)
class Stars:
    """Columns of the stars, all of shape (n,).

    Parameters
    ----------
    source_id : ndarray of int64
        Unique.
    ra_deg, dec_deg : ndarray
        Position at 2016.0.
    pmra, pmdec : ndarray
        Proper motion, mas per year, ``pmra`` with cos(dec); 0 where not known.
    has_motion : ndarray of bool
        Whether the catalogue gives the proper motion. The others do not move.
    mag : ndarray
        Magnitude on the plate.
    g_mag : ndarray
        Magnitude in the catalogue.
    kind : ndarray of str
        ``star``, ``high_pm`` or ``blend``.
    pair : ndarray of int64
        Number of the blend the star belongs to, or -1.
    """

    source_id: NDArray[np.int64]
    ra_deg: Floats
    dec_deg: Floats
    pmra: Floats
    pmdec: Floats
    has_motion: NDArray[np.bool_]
    mag: Floats
    g_mag: Floats
    kind: NDArray[np.str_]
    pair: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.mag)

    def at_epoch(self, epoch_jyear: float) -> tuple[Floats, Floats]:
        """Positions in degrees at a Julian epoch."""
        years = epoch_jyear - REFERENCE_EPOCH_JYEAR
        return move_stars(self.ra_deg, self.dec_deg, self.pmra, self.pmdec, years)

    def joined(self, other: Self) -> Self:
        """These stars and others, with new identifiers for the others."""
        columns = {f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)}
        columns["source_id"] = _FIRST_SOURCE_ID + np.arange(len(self) + len(other), dtype=np.int64)
        return type(self)(**columns)


def draw_field(
    spec: SimulationSpec, cone: Cone, image_arcmin2: float, limit_mag: float, rng: np.random.Generator
) -> Stars:
    """Field stars over a cone, down to 1.5 magnitudes below the plate limit.

    Parameters
    ----------
    spec : SimulationSpec
        Gives the number of stars and the cluster.
    cone : Cone
        The sky to fill.
    image_arcmin2 : float
        Area of the image, on which ``spec.n_stars`` are brighter than one magnitude below the limit.
    limit_mag : float
        The plate's limit.
    rng : numpy.random.Generator
        Draws everything.
    """
    grid, counts = _cumulative_counts(limit_mag)
    deeper = 1.0 / float(np.interp(limit_mag + STARS_BELOW_LIMIT_MAG, grid, counts))
    n_field = round(spec.n_stars * (1 - spec.cluster_fraction) * deeper * cone.area_arcmin2 / image_arcmin2)
    n_cluster = round(spec.n_stars * spec.cluster_fraction * deeper)
    n = n_field + n_cluster
    # Uniform on the sphere: the cosine of the distance from the centre is uniform.
    cos_distance = 1 - rng.uniform(0, 1, n_field) * (1 - np.cos(np.radians(cone.radius_deg)))
    in_cluster = np.minimum(rng.rayleigh(spec.cluster_radius_arcmin / 60.0, n_cluster), cone.radius_deg)
    distance = np.concatenate([np.degrees(np.arccos(cos_distance)), in_cluster])
    ra, dec = offset_position(cone.ra_deg, cone.dec_deg, distance, rng.uniform(0, 2 * np.pi, n))
    mag = np.interp(rng.uniform(0, 1, n), counts, grid)
    pmra, pmdec = _draw_motion(n, rng)
    lost = np.where(mag > limit_mag - 0.5, _FAINT_WITHOUT_MOTION, _BRIGHT_WITHOUT_MOTION)
    return make_stars(ra, dec, pmra, pmdec, mag, rng, known=rng.uniform(0, 1, n) >= lost)


def draw_moving_stars(
    ra_deg: Floats, dec_deg: Floats, years_before: float, limit_mag: float, rng: np.random.Generator
) -> Stars:
    """Stars of high proper motion, by where they were ``years_before`` 2016.0.

    Parameters
    ----------
    ra_deg, dec_deg : ndarray, shape (n,)
        Where they are wanted on the plate; they come to within some arcsec of it.
    years_before : float
        From the plate to 2016.0.
    limit_mag : float
        The plate's limit; the stars are 0.8 to 6 magnitudes brighter.
    rng : numpy.random.Generator
        Draws motions (0.1 to 3 arcsec per year, evenly in the logarithm) and magnitudes.
    """
    n = len(ra_deg)
    motion_mas = 10 ** rng.uniform(2.0, np.log10(3000.0), n)
    angle = rng.uniform(0, 2 * np.pi, n)
    ra, dec = offset_position(ra_deg, dec_deg, motion_mas * years_before / 3.6e6, angle)
    mag = rng.uniform(limit_mag - 6.0, limit_mag - 0.8, n)
    return make_stars(ra, dec, motion_mas * np.sin(angle), motion_mas * np.cos(angle), mag, rng, kind="high_pm")


def make_stars(
    ra_deg: Floats,
    dec_deg: Floats,
    pmra: Floats,
    pmdec: Floats,
    mag: Floats,
    rng: np.random.Generator,
    *,
    known: NDArray[np.bool_] | None = None,
    kind: str = "star",
    pair: NDArray[np.int64] | None = None,
) -> Stars:
    """Stars from their columns, rounded to the digits the catalogue is written with.

    Parameters
    ----------
    ra_deg, dec_deg, pmra, pmdec, mag : ndarray, shape (n,)
        See `Stars`.
    rng : numpy.random.Generator
        Draws the colours.
    known : ndarray of bool, shape (n,), optional
        Which stars have a known proper motion; all by default. The others get none.
    kind : str
        Kind of all of them.
    pair : ndarray of int64, shape (n,), optional
        Number of the blend; -1 by default.
    """
    n = len(mag)
    has_motion = np.ones(n, np.bool_) if known is None else known
    ra = np.round(ra_deg, 11)
    return Stars(
        source_id=_FIRST_SOURCE_ID + np.arange(n, dtype=np.int64),
        ra_deg=np.where(ra >= 360.0, 0.0, ra),
        dec_deg=np.round(dec_deg, 11),
        pmra=np.where(has_motion, np.round(pmra, 3), 0.0),
        pmdec=np.where(has_motion, np.round(pmdec, 3), 0.0),
        has_motion=has_motion,
        mag=np.round(mag, 4),
        g_mag=np.round(mag + rng.normal(_COLOUR_MEAN, _COLOUR_SIGMA, n), 4),
        kind=np.full(n, kind, dtype="U16"),
        pair=np.full(n, -1, np.int64) if pair is None else pair,
    )


def _cumulative_counts(limit_mag: float) -> tuple[Floats, Floats]:
    """Magnitudes and the fraction of all reference stars brighter than each."""
    grid = np.linspace(limit_mag - _BRIGHTEST_ABOVE_LIMIT_MAG, limit_mag + REFERENCE_BELOW_LIMIT_MAG, 500)
    slope = np.interp(grid, [limit_mag - 12.0, limit_mag], [_SLOPE_BRIGHT, _SLOPE_FAINT])
    log_counts = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2 * np.diff(grid))])
    counts = 10 ** (log_counts - log_counts[-1])
    counts[0] = 0.0
    return grid, counts


def _draw_motion(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    near = rng.uniform(0, 1, n) < _NEAR_FRACTION
    size = np.where(near, _NEAR_MEDIAN, _MOTION_MEDIAN) * np.exp(
        np.where(near, _NEAR_SPREAD, _MOTION_SPREAD) * rng.standard_normal(n)
    )
    angle = rng.uniform(0, 2 * np.pi, n)
    return size * np.sin(angle), size * np.cos(angle)
