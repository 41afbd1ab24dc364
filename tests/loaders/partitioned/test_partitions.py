"""Which partitions a region needs: never fewer than those that hold any part of it."""

from functools import cache
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hatsfiles import nested
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

from vascodb.loaders.partitioned.partitions import Partition, overlapping, overlaps
from vascodb.loaders.regions import Cone, with_rim, without_rim

BOUNDARY = np.degrees(np.arcsin(2 / 3))
PLACES = [
    (10.0, 0.0, 0.76), (0.0, 5.0, 0.5), (359.999, -3.0, 1.0), (45.0, BOUNDARY, 0.76), (100.0, BOUNDARY + 0.4, 0.76),
    (222.0, -BOUNDARY, 0.5), (300.0, -BOUNDARY - 2, 0.76), (33.0, 75.0, 0.76), (0.0, 90.0, 0.3), (180.0, 89.8, 0.5),
    (90.0, -90.0, 1.0), (134.9, 44.9, 0.02), (270.0, 66.0, 4.0),
]  # fmt: skip


@cache
def everywhere(order: int) -> list[Partition]:
    return [Partition(order, pixel, Path("x")) for pixel in range(12 * 4**order)]


def points_in(ra: float, dec: float, radius: float, n: int, seed: int = 0) -> SkyCoord:
    rng = np.random.default_rng(seed)
    distance = radius * np.concatenate([np.sqrt(rng.random(n)), np.full(n, 1 - 1e-12)])
    return SkyCoord(ra, dec, unit="deg").directional_offset_by(rng.random(2 * n) * 360 * u.deg, distance * u.deg)


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
def test_every_partition_with_any_part_of_a_cone_is_needed(place: tuple[float, float, float], order: int) -> None:
    """By brute force; to take the cells whose centres are in the cone loses up to half of it."""
    needed = {p.pixel for p in overlapping(everywhere(order), Cone(*place).touched())}
    points = points_in(*place, 2000)
    assert set(nested(points.ra.deg, points.dec.deg, order).tolist()) <= needed


@settings(deadline=None, max_examples=40)
@given(
    ra=st.floats(0, 360, exclude_max=True),
    dec=st.floats(-90, 90) | st.floats(BOUNDARY - 2, BOUNDARY + 2) | st.floats(-BOUNDARY - 2, -BOUNDARY + 2),
    radius=st.floats(0.003, 3),
    deep=st.integers(3, 5),
    seed=st.integers(0, 99),
)
def test_the_partitions_for_a_cone_and_its_rim_cover_the_cone(
    ra: float, dec: float, radius: float, deep: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # A mix of orders: some cells of the order before are whole, the others in four.
    whole = rng.random(12 * 4 ** (deep - 1)) < 0.5
    mixed = [Partition(deep - 1, int(pixel), Path("x")) for pixel in np.flatnonzero(whole)]
    mixed += [Partition(deep, 4 * int(pixel) + k, Path("x")) for pixel in np.flatnonzero(~whole) for k in range(4)]
    needed = overlapping(mixed, with_rim(Cone(ra, dec, radius).touched(), 60.0))
    ranges = np.array(sorted(p.cells for p in needed), dtype=np.uint64)
    covered = without_rim(MOC.from_depth29_ranges(max_depth=29, ranges=ranges), 60.0)
    points = points_in(ra, dec, radius, 200, seed)
    assert covered.contains_skycoords(points).all()


def test_a_small_region_needs_few_partitions() -> None:
    for place in PLACES:
        assert len(overlapping(everywhere(5), Cone(*place).touched())) < 10 + 2 * place[2] ** 2


def test_nothing_is_needed_for_nothing() -> None:
    assert overlapping(everywhere(2), MOC.new_empty(9)) == []
    assert overlapping([], MOC.from_string("0/0")) == []


@given(data=st.data())
def test_ranges_overlap_as_sets_do(data: st.DataObject) -> None:
    edges = sorted(data.draw(st.sets(st.integers(0, 60), max_size=12)))
    ranges = np.array(edges[: len(edges) // 2 * 2], dtype=np.int64).reshape(-1, 2)
    low = np.array(data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=5)))
    high = low + np.array(data.draw(st.lists(st.integers(1, 20), min_size=len(low), max_size=len(low))))
    expected = [any(a < y and x < b for x, y in ranges) for a, b in zip(low, high, strict=True)]
    assert overlaps(low, high, ranges).tolist() == expected


def test_cells_of_a_partition_are_those_of_order_29_in_it() -> None:
    assert Partition(29, 5, Path()).cells == (5, 6)
    assert Partition(0, 11, Path()).cells == (11 * 4**29, 12 * 4**29)
    point = nested(np.array([123.4]), np.array([-56.7]), 29)[0]
    low, high = Partition(7, int(nested(np.array([123.4]), np.array([-56.7]), 7)[0]), Path()).cells
    assert low <= point < high
