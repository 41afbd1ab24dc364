"""Matches of many detections and sources against a KD-tree and against zones with haversines: the same source, the
same separation to a billionth of an arcsecond, the same number within the radius."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from manystars import (
    Stars,
    about,
    angles,
    clumps,
    copying,
    detections_of,
    put_detections,
    put_stars,
    scatter,
    stars_at,
    unit_vectors,
)
from numpy.typing import NDArray
from pyarrow import parquet
from scipy.spatial import cKDTree
from sqlalchemy import Connection, text
from toysky import ToySky
from zones import Nearest, nearest, pairs_within

from vascodb.db import Database

Floats = NDArray[np.float64]
Place = tuple[float, float]
Spread = Callable[[np.random.Generator, int, Place, float], tuple[Floats, Floats]]
EPOCH = 1951.3


@pytest.fixture
def own_connection(module_database: Database) -> Iterator[Connection]:
    """A transaction that can copy, rolled back when the test ends."""
    with copying(module_database) as connection:
        yield connection
        connection.rollback()


def database_nearest(connection: Connection, extraction_id: int, radius_arcsec: float, n: int) -> Nearest:
    """What the database finds."""
    rows = connection.execute(
        text("SELECT number, source_id, sep_arcsec, n_within FROM sky.nearest_at_epoch(:e, 'toy', :r)"),
        {"e": extraction_id, "r": radius_arcsec},
    ).all()
    found = Nearest(np.zeros(n, np.int64), np.full(n, np.nan), np.zeros(n, np.int64))
    if rows:
        number, source_id, sep, n_within = (np.array(column) for column in zip(*rows, strict=True))
        assert len(np.unique(number)) == len(number)
        found.source_id[number - 1], found.sep_arcsec[number - 1], found.n_within[number - 1] = source_id, sep, n_within
    return found


def kd_tree_nearest(stars: Stars, ra: Floats, dec: Floats, radius_arcsec: float) -> Nearest:
    """By a KD-tree on unit vectors."""
    chord = 2 * np.sin(np.radians(radius_arcsec / 3600) / 2)
    pairs = cKDTree(unit_vectors(ra, dec)).sparse_distance_matrix(
        cKDTree(stars.vectors_at(EPOCH)), chord, output_type="ndarray"
    )
    smallest = np.full(len(ra), np.inf)
    np.minimum.at(smallest, pairs["i"], pairs["v"])
    equal = pairs[pairs["v"] == smallest[pairs["i"]]]
    source_id = np.full(len(ra), np.iinfo(np.int64).max)
    np.minimum.at(source_id, equal["i"], stars.source_id[equal["j"]])
    none = np.isinf(smallest)
    sep = np.degrees(2 * np.arcsin(np.where(none, np.nan, smallest) / 2)) * 3600
    return Nearest(np.where(none, 0, source_id), sep, np.bincount(pairs["i"], minlength=len(ra)))


def zones_nearest(stars: Stars, ra: Floats, dec: Floats, radius_arcsec: float) -> Nearest:
    """By zones and haversines."""
    pairs = pairs_within(ra, dec, *angles(stars.vectors_at(EPOCH)), radius_arcsec)
    return nearest(pairs, stars.source_id, len(ra))


def assert_same(got: Nearest, expected: Nearest) -> None:
    assert np.array_equal(got.n_within, expected.n_within)
    assert np.array_equal(got.source_id, expected.source_id)
    found = got.source_id != 0
    assert np.array_equal(found, ~np.isnan(got.sep_arcsec))
    assert np.abs(got.sep_arcsec - expected.sep_arcsec)[found].max(initial=0) < 1e-9


def assert_matches(
    connection: Connection, stars: Stars, ra: Floats, dec: Floats, image: tuple[float, float, float], *radii: float
) -> list[Nearest]:
    """Match detections with the toy catalogue's stars within some radii and compare with both oracles."""
    # Detections lie on their image, those of clusters at the rim too.
    extraction_id = put_detections(connection, ra, dec, EPOCH, image[0], image[1], 1.7 * image[2])
    everything = []
    for radius_arcsec in radii:
        got = database_nearest(connection, extraction_id, radius_arcsec, len(ra))
        assert_same(got, zones_nearest(stars, ra, dec, radius_arcsec))
        assert_same(got, kd_tree_nearest(stars, ra, dec, radius_arcsec))
        everything.append(got)
    return everything


def make_sky(
    rng: np.random.Generator, spread: Spread, n_sources: int, n: int, image: tuple[float, float, float], **motion: Any
) -> tuple[Stars, Floats, Floats]:
    """Stars with some twins in one place, and detections: of stars, of nothing, and exactly on a star."""
    place, radius_deg = image[:2], image[2]
    ra, dec = spread(rng, n_sources, place, radius_deg)
    n_twins = n_sources // 50
    ra[:n_twins], dec[:n_twins] = ra[-n_twins:], dec[-n_twins:]
    stars = stars_at(rng, ra, dec, **motion)
    for motions in (stars.pmra, stars.pmdec):
        motions[:n_twins] = motions[-n_twins:]
    d_ra, d_dec = scatter(rng, n, place, radius_deg)
    seen = n // 5 * 4
    sigma_arcsec = 10.0 ** rng.uniform(-2, 0.8, seen)
    there = detections_of(rng, stars, seen, EPOCH, 0.0)
    d_ra[:seen], d_dec[:seen] = about(rng, *there, sigma_arcsec / 3600)
    on_twins = min(n_twins, n // 10)
    exact = Stars(*(getattr(stars, name)[:on_twins] for name in ("source_id", "ra", "dec", "pmra", "pmdec")))
    d_ra[:on_twins], d_dec[:on_twins] = angles(exact.vectors_at(EPOCH))
    return stars, d_ra, d_dec


# Right ascension, declination and radius of images: over RA 0, about a pole, by a pole, on the corner of Q3C's faces.
IMAGES = [(0.0, 1.0, 15.0), (77.0, 90.0, 15.0), (200.0, -86.0, 8.0), (45.0, 36.0, 15.0)]


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("spread", [scatter, clumps], ids=["even", "clustered"])
@pytest.mark.parametrize("motion", [{"moving": False}, {"fast": 0.05}], ids=["still", "moving"])
def test_matches_of_all_radii_equal_two_oracles(own_connection: Connection, spread, image, motion) -> None:
    rng = np.random.default_rng(round(image[0]) + len(motion))
    ToySky(own_connection).catalog("toy")
    stars, ra, dec = make_sky(rng, spread, 4000, 1500, image, **motion)
    put_stars(own_connection, "toy", stars)
    found = assert_matches(own_connection, stars, ra, dec, image, 0.1, 1.0, 5.0, 60.0, 600.0, 3600.0)
    shares = [np.mean(one.source_id != 0) for one in found]
    assert 0.1 < shares[0] < shares[1] < shares[2] < 0.9
    # Ten degrees hold a good part of the sources: the pairs of fewer detections are enough.
    assert_matches(own_connection, stars, ra[::25], dec[::25], image, 36000.0)


@pytest.mark.slow
@pytest.mark.parametrize("motion", [{"moving": False}, {}], ids=["still", "moving"])
def test_a_hundred_thousand_detections_among_a_million_sources(
    own_connection: Connection, motion: dict[str, Any]
) -> None:
    # By a pole and over right ascension 0; half of the sources in clusters, half of them even.
    image = (358.0, 84.0, 9.0)
    rng = np.random.default_rng(6)
    ToySky(own_connection).catalog("toy")
    stars, ra, dec = make_sky(rng, clumps, 1_000_000, 100_000, image, **motion)
    put_stars(own_connection, "toy", stars)
    (found,) = assert_matches(own_connection, stars, ra, dec, image, 5.0)
    assert 70_000 < np.count_nonzero(found.source_id) < 100_000
    assert found.n_within.max() > 10


@pytest.mark.parametrize("motion", [{"moving": False}, {"fast": 0.01}], ids=["still", "moving"])
def test_real_stars(own_connection: Connection, shared_data: Path, motion: dict[str, Any]) -> None:
    table = parquet.read_table(shared_data / "benchmark" / "tycho2_positions_1871011.parquet")
    all_ra, all_dec = (table[name].to_numpy().astype(np.float64) for name in ("ra", "dec"))
    vectors = unit_vectors(all_ra, all_dec)
    # Over right ascension 0, both poles, and the crowd towards Carina.
    images = [(0.0, 62.0, 6.0), (0.0, 90.0, 6.0), (0.0, -90.0, 6.0), (161.0, -59.7, 6.0)]
    near = [vectors @ unit_vectors(*(np.array([x]) for x in image[:2]))[0] > np.cos(np.radians(7)) for image in images]
    rng = np.random.default_rng(2)
    ToySky(own_connection).catalog("toy")
    pick = np.any(near, axis=0)
    stars = stars_at(rng, all_ra[pick], all_dec[pick], **motion)
    put_stars(own_connection, "toy", stars)
    for image, here in zip(images, near, strict=True):
        place = np.flatnonzero(here[pick])[::3]
        seen = Stars(*(getattr(stars, name)[place] for name in ("source_id", "ra", "dec", "pmra", "pmdec")))
        ra, dec = detections_of(rng, seen, min(len(place), 2000), EPOCH, 2.0)
        found = assert_matches(own_connection, stars, ra, dec, image, 5.0, 90.0)
        assert np.mean(found[0].source_id != 0) > 0.9
