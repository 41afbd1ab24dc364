"""A catalogue of mixed orders across the border of the polar cap, and what of it is stored and covered."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pyarrow as pa
from astropy.coordinates import SkyCoord
from cdshealpix.nested import healpix_to_skycoord
from hatsfiles import (
    nested,
    partition_path,
    scattered,
    split_by_density,
    stars,
)
from pyarrow import parquet
from sqlalchemy import text

from vascodb.db import Database
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import catalog
from vascodb.plates.footprint import cells

GAIA = catalog("gaia_dr3")
BOUNDARY = 41.8103
PLACES = [(150.0, BOUNDARY), (0.0, -2.0), (80.0, 89.5)]
Parts = dict[tuple[int, int], pa.Table]


def about(place: tuple[float, float], n: int = 1600, radius_deg: float = 3.0, most: int = 200) -> Parts:
    """Partitions of mixed orders about a place; sources are denser on one side, so that orders differ."""
    wide = scattered(n // 2, place, radius_deg, seed=1)
    dense = scattered(n // 2, (place[0], place[1] + (radius_deg / 3) * (-1 if place[1] > 0 else 1)), 1.0, seed=2)
    parts = split_by_density(pa.concat_tables([wide, dense]).sort_by("_healpix_29"), 4, most, deepest=7)
    assert len({order for order, _ in parts}) > 1
    return parts


PARTS = about(PLACES[0])
N_ROWS = sum(part.num_rows for part in PARTS.values())


def scalar(database: Database, sql: str, **values: object) -> object:
    with database.connect() as connection:
        return connection.scalar(text(sql), values)


def stored_ids(database: Database) -> list[int]:
    with database.connect() as connection:
        return list(connection.scalars(text("SELECT source_id FROM ref.gaia_dr3 ORDER BY 1")))


def ids(parts: Parts) -> list[int]:
    return sorted(source for part in parts.values() for source in part["source_id"].to_pylist())


def is_covered(database: Database, points: SkyCoord, catalog_name: str = "gaia_dr3") -> np.ndarray:
    with database.connect() as connection:
        found = connection.scalars(
            text("""
                SELECT l.lookup_id IS NOT NULL
                FROM unnest(CAST(:cells AS bigint[])) WITH ORDINALITY AS c (cell, i)
                LEFT JOIN LATERAL sky.covering_lookup(:catalog, c.cell) AS l ON true
                ORDER BY c.i
            """),
            {"cells": cells(points.ra.deg, points.dec.deg).tolist(), "catalog": catalog_name},
        ).all()
    return np.array(found)


def is_loaded(points: SkyCoord, loaded: list[tuple[int, int]]) -> np.ndarray:
    """Whether points are in partitions, by their numbers alone."""
    held = np.zeros(points.shape, dtype=bool)
    for order in {order for order, _ in loaded}:
        pixels = [pixel for o, pixel in loaded if o == order]
        held |= np.isin(nested(points.ra.deg.ravel(), points.dec.deg.ravel(), order), pixels).reshape(points.shape)
    return held


def circles(points: SkyCoord, *radii_arcsec: float) -> SkyCoord:
    """Points all around each point, at some distances."""
    angles = np.arange(0, 360, 15) * u.deg
    distances = np.array(radii_arcsec)[:, None, None] * u.arcsec
    return points[None, None, :].directional_offset_by(angles[None, :, None], distances)


def check_coverage(
    database: Database, loaded: list[tuple[int, int]], margin_arcsec: float = 60.0, n: int = 3000
) -> None:
    """By brute force: a margin inside the loaded partitions, and nearly all of them."""
    rng = np.random.default_rng(3)
    points = []
    for order, pixel in loaded:
        inside = (pixel << 2 * (29 - order)) + rng.integers(0, 4 ** (29 - order), max(20, n // len(loaded)))
        points.append(inside)
    at = healpix_to_skycoord(np.concatenate(points).astype(np.uint64), depth=29)
    beside = at.directional_offset_by(rng.random(len(at)) * 360 * u.deg, rng.random(len(at)) * 2 * u.deg)
    at = SkyCoord(np.concatenate([at.ra.deg, beside.ra.deg]), np.concatenate([at.dec.deg, beside.dec.deg]), unit="deg")
    covered = is_covered(database, at)
    assert covered.any()
    assert is_loaded(at[covered], loaded).all()
    assert is_loaded(circles(at[covered], margin_arcsec), loaded).all()
    # The rim is a ring of cells of 206 arcsec (412 for caches), wherever in it the outside begins.
    deep = is_loaded(circles(at, *np.linspace(60, 900 * max(1.0, margin_arcsec / 60), 8)), loaded).all(axis=(0, 1))
    assert covered[deep & is_loaded(at, loaded)].all()
    assert deep.sum() > 200


def in_cone(cone: Cone, n: int = 1500) -> SkyCoord:
    rng = np.random.default_rng(8)
    distance = cone.radius_deg * np.concatenate([np.sqrt(rng.random(n)), np.full(n, 1 - 1e-9)])
    return SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg").directional_offset_by(
        rng.random(2 * n) * 360 * u.deg, distance * u.deg
    )


def spoil(hats: Path, key: tuple[int, int], fault: str) -> None:
    path = partition_path(hats, *key)
    part = parquet.read_table(path)
    if fault == "missing":
        path.unlink()
    elif fault == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif fault == "a row fewer":
        parquet.write_table(part.slice(1), path)
    elif fault == "a row of another place":
        parquet.write_table(pa.concat_tables([part.slice(1), stars(np.array([1.0]), np.array([2.0]))]), path)
    elif fault == "a source twice":
        parquet.write_table(pa.concat_tables([part.slice(1), part.slice(1, 1)]), path)
    elif fault == "no magnitudes":
        parquet.write_table(part.drop_columns("source_id"), path)
    elif fault == "a bad row":
        ra = part["ra"].to_numpy().copy()
        ra[3] = np.nan
        parquet.write_table(part.set_column(part.column_names.index("ra"), "ra", pa.array(ra)), path)
