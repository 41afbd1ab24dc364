"""Skies of very many sources and detections, and how they get into the database in little time."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection
from toysky import STAR, ToySky

from vascodb.copying import copy_rows, plain_waiting
from vascodb.db import Database
from vascodb.loaders.store import copy_sources
from vascodb.plates.footprint import cells

Floats = NDArray[np.float64]
CATALOG_EPOCH = 2016.0
_SHORTS = ("flags", "xmin_image", "xmax_image", "ymin_image", "ymax_image")
_DOUBLES = ("xwin_image", "ywin_image")
_MAS = np.pi / 180 / 3.6e6


@dataclass(frozen=True)
class Stars:
    """Sources of a catalogue: degrees at J2016.0, and motions in mas/yr that are NaN where there is none."""

    source_id: NDArray[np.int64]
    ra: Floats
    dec: Floats
    pmra: NDArray[np.float32]
    pmdec: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ra)

    def vectors_at(self, epoch_jyear: float) -> Floats:
        """Unit vectors at an epoch, shape (n, 3): moved along the tangent plane, and back to the sphere."""
        v = unit_vectors(self.ra, self.dec)
        years = epoch_jyear - CATALOG_EPOCH
        east, north = (np.nan_to_num(pm.astype(np.float64)) * years * _MAS for pm in (self.pmra, self.pmdec))
        sin_ra, cos_ra = np.sin(np.radians(self.ra)), np.cos(np.radians(self.ra))
        sin_dec, cos_dec = v[:, 2].copy(), np.cos(np.radians(self.dec))
        v[:, 0] -= east * sin_ra + north * sin_dec * cos_ra
        v[:, 1] += east * cos_ra - north * sin_dec * sin_ra
        v[:, 2] += north * cos_dec
        v /= np.sqrt(np.einsum("ij,ij->i", v, v))[:, None]
        return v


def unit_vectors(ra_deg: Floats, dec_deg: Floats) -> Floats:
    """Unit vectors, shape (n, 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def angles(v: Floats) -> tuple[Floats, Floats]:
    """Right ascension in [0, 360) and declination of vectors of any length, in degrees."""
    ra = np.degrees(np.arctan2(v[:, 1], v[:, 0])) % 360.0
    ra[ra >= 360.0] = 0.0
    return ra, np.degrees(np.arctan2(v[:, 2], np.hypot(v[:, 0], v[:, 1])))


def scatter(rng: np.random.Generator, n: int, centre: tuple[float, float], radius_deg: float) -> tuple[Floats, Floats]:
    """Positions evenly in a circle anywhere, about a pole and over right ascension 0 too; 180 degrees are the sky."""
    axis = unit_vectors(np.array([centre[0]]), np.array([centre[1]]))[0]
    east = np.array([-np.sin(np.radians(centre[0])), np.cos(np.radians(centre[0])), 0.0])
    north = np.cross(axis, east)
    # 1 - cos, so that small circles keep their digits.
    versine = rng.random(n) * 2 * np.sin(np.radians(radius_deg) / 2) ** 2
    out = np.sqrt(versine * (2 - versine))
    angle = rng.random(n) * 2 * np.pi
    v = (1 - versine)[:, None] * axis
    v += (out * np.cos(angle))[:, None] * east + (out * np.sin(angle))[:, None] * north
    return angles(v)


def about(
    rng: np.random.Generator, ra_deg: Floats, dec_deg: Floats, sigma_deg: Floats | float
) -> tuple[Floats, Floats]:
    """A position near each of some, normally distributed on the tangent plane."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    east, north = (rng.normal(0, 1, len(ra_deg)) * np.radians(sigma_deg) for _ in range(2))
    v = unit_vectors(ra_deg, dec_deg)
    v[:, 0] += -east * np.sin(ra) - north * np.sin(dec) * np.cos(ra)
    v[:, 1] += east * np.cos(ra) - north * np.sin(dec) * np.sin(ra)
    v[:, 2] += north * np.cos(dec)
    return angles(v)


def clumps(rng: np.random.Generator, n: int, centre: tuple[float, float], radius_deg: float) -> tuple[Floats, Floats]:
    """Positions in clusters of very different sizes and richness, and an even half among them."""
    ra, dec = scatter(rng, n, centre, radius_deg)
    n_clustered = n // 2
    n_clusters = max(1, n // 500)
    cluster = (n_clusters * rng.random(n_clustered) ** 2).astype(np.int64)
    share = np.bincount(cluster, minlength=n_clusters) / n
    # A spread like this makes cores 10 to 500 times as dense as the even half.
    spread = radius_deg * np.sqrt(share) * 10.0 ** rng.uniform(-1.5, -0.7, n_clusters)
    place = n_clustered + cluster
    ra[:n_clustered], dec[:n_clustered] = about(rng, ra[place], dec[place], spread[cluster])
    return ra, dec


def stars_at(rng: np.random.Generator, ra: Floats, dec: Floats, fast: float = 0.002, moving: bool = True) -> Stars:
    """Stars there: motions as Gaia has them, none for a tenth, up to 5 arcsec/yr for a few; ids in no order."""
    n = len(ra)
    speed = rng.exponential(8.0, n)
    is_fast = rng.random(n) < fast
    speed[is_fast] = 100.0 * 50.0 ** rng.random(int(is_fast.sum()))
    speed[rng.random(n) < (0.1 if moving else 1.0)] = np.nan
    angle = rng.random(n) * 2 * np.pi
    pmra, pmdec = ((speed * f(angle)).astype(np.float32) for f in (np.sin, np.cos))
    return Stars(rng.permutation(n).astype(np.int64) + 1, ra, dec, pmra, pmdec)


def detections_of(
    rng: np.random.Generator, stars: Stars, n: int, epoch_jyear: float, sigma_arcsec: float
) -> tuple[Floats, Floats]:
    """Detections near where some of the stars were, each of which is seen once while there are enough of them."""
    pick = rng.permutation(len(stars))[:n] if n <= len(stars) else rng.integers(0, len(stars), n)
    seen = Stars(*(getattr(stars, name)[pick] for name in ("source_id", "ra", "dec", "pmra", "pmdec")))
    return about(rng, *angles(seen.vectors_at(epoch_jyear)), sigma_arcsec / 3600)


@contextmanager
def copying(database: Database) -> Iterator[Connection]:
    """A transaction in which `put_stars` and `put_detections` can copy; committed at the end."""
    with plain_waiting(), closing(Database(database.settings)) as own, own.connect() as connection:
        yield connection


def put_stars(connection: Connection, catalog: str, stars: Stars) -> None:
    """Put stars into a catalogue, in the order of the sky."""
    order = np.argsort(cells(stars.ra, stars.dec))
    copied = copy_sources(connection, catalog, (_star_rows(stars, part) for part in np.array_split(order, 16)))
    assert copied == len(stars)


def _star_rows(stars: Stars, rows: NDArray[np.int64]) -> pa.Table:
    n = len(rows)
    motions = {f"{name}_masyr": pa.array(getattr(stars, name)[rows], from_pandas=True) for name in ("pmra", "pmdec")}
    columns = {
        "source_id": stars.source_id[rows], "ra": stars.ra[rows], "dec": stars.dec[rows],
        "epoch_jyear": np.full(n, CATALOG_EPOCH, np.float32), **motions, "mag": np.full(n, 15, np.float32),
        "designation": pa.nulls(n, pa.string()),
    }  # fmt: skip
    return pa.table(columns)


def put_detections(connection: Connection, ra: Floats, dec: Floats, epoch_jyear: float, *place: float) -> int:
    """An extraction of an image (right ascension, declination, radius in degrees) with these detections, numbered
    from 1; returns its id."""
    toy = ToySky(connection)
    # A toy sky numbers what it makes from 1.
    for _ in range(toy.scalar("SELECT coalesce(max(image_id), 0) FROM plate.image")):
        next(toy._ids)
    extraction_id = toy.extraction(place[0], place[1], place[2], epoch_jyear)
    n = len(ra)
    columns: dict[str, NDArray[np.generic]] = {
        "extraction_id": np.full(n, extraction_id), "number": np.arange(1, n + 1, dtype=np.int32), "ra": ra, "dec": dec,
        "ra_raw": ra, "dec_raw": dec, "hpx29": cells(ra, dec),
    }  # fmt: skip
    for name, value in STAR.items():
        kind = np.int16 if name in _SHORTS else np.float64 if name in _DOUBLES else np.float32
        columns[name] = np.full(n, value, kind)
    copy_rows(connection, "vasco.detection", [pa.table(columns)])
    return extraction_id
