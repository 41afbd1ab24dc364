"""Which circles of sky are covered: never one that is not, whatever shape the coverage has."""

import json
import math

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude, SkyCoord, angular_separation
from cdshealpix.nested import healpix_to_lonlat, vertices
from mocpy import MOC
from toysky import ToySky

from vascodb.plates.footprint import cells

PLACES = [
    (150.0, 20.0), (0.0, 0.0), (359.99999, -0.00001), (45.0, 41.8103149), (90.0, -41.8103149), (0.0, 90.0),
    (123.0, -90.0), (200.0, 89.999), (10.0, -89.97), (44.99, 0.01), (270.0, 85.0), (180.0, 66.4), (315.0, -50.0),
]  # fmt: skip


def points_about(ra: float, dec: float, radius_arcsec: float, n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Random points of a circle, every fifth of them on its rim."""
    rng = np.random.default_rng(seed)
    distance = radius_arcsec * np.where(np.arange(n) % 5 == 0, 1 - 1e-9, np.sqrt(rng.uniform(size=n)))
    around = SkyCoord(ra * u.deg, dec * u.deg).directional_offset_by(
        rng.uniform(0, 360, n) * u.deg, distance * u.arcsec
    )
    return around.ra.deg % 360, around.dec.deg


def ranges(toy: ToySky, ra: float, dec: float, radius: float, slack: float) -> np.ndarray:
    """Ranges of cells of a circle, one per row."""
    rows = toy.execute(
        "SELECT lower(r), upper(r) FROM unnest(sky.circle_cells(:ra, :dec, :radius, :slack)) AS r",
        ra=ra, dec=dec, radius=radius, slack=slack,
    )  # fmt: skip
    return np.array([tuple(row) for row in rows], dtype=np.int64)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("radius", "slack"), [(85.0, 5.0), (85.0, 85.0), (165.0, 10.0), (0.0, 1.0), (7200.0, 500.0)])
def test_the_cells_hold_all_of_the_circle_and_little_more(toy: ToySky, place, radius: float, slack: float) -> None:
    found = ranges(toy, *place, radius, slack)
    within = cells(*points_about(*place, radius, 2000))
    last_begun = np.searchsorted(found[:, 0], within, side="right") - 1
    assert (last_begun >= 0).all()
    assert (within < found[last_begun, 1]).all()
    # The corners of the largest cells that the ranges are made of are within the slack.
    for begin, high in found:
        low = int(begin)
        while low < high:
            level = next(k for k in range(29, -1, -1) if low % 4**k == 0 and low + 4**k <= high)
            ra, dec = vertices(np.array([low >> (2 * level)], dtype=np.uint64), np.uint8(29 - level))
            farthest = np.degrees(angular_separation(*np.radians(place), np.radians(ra.deg), np.radians(dec.deg)).max())
            assert farthest * 3600 <= radius + slack + 0.02
            low += 4**level


def test_no_cell_reaches_farther_than_its_order_allows(toy: ToySky) -> None:
    for order in (0, 1, 2, 5):
        cell = np.arange(12 * 4**order, dtype=np.uint64)
        ra, dec = healpix_to_lonlat(cell, np.uint8(order))
        corner_ra, corner_dec = vertices(cell, np.uint8(order), step=8)
        reach = angular_separation(
            ra.rad[:, None], dec.rad[:, None], np.radians(corner_ra.deg), np.radians(corner_dec.deg)
        ).max()
        allowed = toy.scalar("SELECT sky.cell_radius_arcsec(:order)", order=order)
        assert np.degrees(reach) * 3600 <= allowed <= np.degrees(reach) * 3600 * 1.02


def covered(toy: ToySky, name: str, ra: float, dec: float, radius: float) -> bool:
    return bool(
        toy.scalar("SELECT sky.circle_covered(:name, :ra, :dec, :radius)", name=name, ra=ra, dec=dec, radius=radius)
    )


def test_what_is_called_covered_is_within_the_match_radius_of_covered_cells(toy: ToySky) -> None:
    """Random coverage in patches, holes of all sizes: an oracle by points, in both directions."""
    rng = np.random.default_rng(5)
    name = toy.catalog("bright", match_radius_arcsec=5.0)
    moc = MOC.from_cone(Longitude(0, u.deg), Latitude(89.9, u.deg), radius=0.3 * u.deg, max_depth=13)
    for _ in range(40):
        ra, dec = rng.uniform(0, 360), 90 - 0.4 * math.sqrt(rng.uniform())
        hole = MOC.from_cone(
            Longitude(ra, u.deg), Latitude(dec, u.deg), radius=10 ** rng.uniform(-3.5, -1.5) * u.deg,
            max_depth=int(rng.integers(14, 20)),
        )  # fmt: skip
        moc = moc.difference(hole)
    toy.lookup(name, moc)
    told: list[bool] = []
    for k in range(120):
        ra, dec = rng.uniform(0, 360), 90 - 0.35 * math.sqrt(rng.uniform())
        answer = covered(toy, name, ra, dec, 60.0)
        inner = moc.contains_lonlat(*_lonlat(*points_about(ra, dec, 55.0, 4000, k)))
        outer = moc.contains_lonlat(*_lonlat(*points_about(ra, dec, 55.0 * 1.125, 4000, k)))
        if answer:
            assert inner.all()
        else:
            # Some cell at most an eighth of the radius beyond is not covered; so thin a sliver points may miss.
            assert not outer.all() or _touches_a_hole(moc, ra, dec, 55.0 * 1.125)
        told.append(answer)
    assert 25 < sum(told) < 95


def _lonlat(ra: np.ndarray, dec: np.ndarray) -> tuple[Longitude, Latitude]:
    return Longitude(ra, u.deg), Latitude(dec, u.deg)


def _touches_a_hole(moc: MOC, ra: float, dec: float, radius_arcsec: float) -> bool:
    circle = MOC.from_cone(Longitude(ra, u.deg), Latitude(dec, u.deg), radius=radius_arcsec * u.arcsec, max_depth=19)
    return not circle.difference(moc).empty()


def test_a_hole_of_a_single_smallest_cell_is_seen(toy: ToySky) -> None:
    name = toy.catalog("bright")
    hole = int(cells(np.array([150.01]), np.array([20.0]))[0])
    everything = 12 * 4**29
    identity = toy.lookup(name, MOC.new_empty(14))
    toy.execute(
        "SELECT ref.add_coverage(:c, :id, CAST(:r AS int8multirange))",
        c=name, id=identity, r=f"{{[0,{hole}),[{hole + 1},{everything})}}",
    )  # fmt: skip
    away = 0.01 * 3600 * math.cos(math.radians(20.0))
    assert not covered(toy, name, 150.0, 20.0, away + 5.1)
    assert covered(toy, name, 150.0, 20.0, away * 8 / 9 + 4.9)
    assert covered(toy, name, 150.2, 20.0, 90.0)


def test_ranges_of_several_lookups_that_meet_cover_together(toy: ToySky) -> None:
    name = toy.catalog("bright")
    middle = int(cells(np.array([150.0]), np.array([20.0]))[0])
    for part in (f"[0,{middle})", f"[{middle},{12 * 4**29})"):
        identity = toy.lookup(name, MOC.new_empty(14))
        toy.execute(
            "SELECT ref.add_coverage(:c, :id, CAST(:r AS int8multirange))", c=name, id=identity, r=f"{{{part}}}"
        )
    assert covered(toy, name, 150.0, 20.0, 90.0)


def test_nothing_is_covered_by_nothing_nor_by_another_catalogue(toy: ToySky) -> None:
    name, other = toy.catalog("bright"), toy.catalog("other")
    assert not covered(toy, name, 150.0, 20.0, 90.0)
    toy.lookup(other)
    assert not covered(toy, name, 150.0, 20.0, 90.0)
    for ra, dec in PLACES:
        assert covered(toy, other, ra, dec, 90.0)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("radius", [5.0, 6.0, 90.0, 300.0])
def test_a_circle_is_covered_where_its_rim_is(toy: ToySky, place, radius: float) -> None:
    toy.catalog("toy")
    rim = toy.scalar("SELECT ref.circle_rim_arcsec('toy', :radius)", radius=radius)
    assert rim <= radius * 9 / 8
    # All cells that a circle of that radius touches, as a fetch for a position covers it.
    about = MOC.from_cone(
        Longitude(place[0], u.deg), Latitude(place[1], u.deg), radius=max(rim, 0.1) * u.arcsec, max_depth=18
    )
    toy.lookup("toy", about.extended())
    assert toy.scalar("SELECT sky.circle_covered('toy', :ra, :dec, :r)", ra=place[0], dec=place[1], r=radius)


def test_the_rim_of_a_catalogue_is_that_of_the_stage_that_searches_farthest(toy: ToySky) -> None:
    toy.catalog("stars", "stars")
    toy.catalog("rocks", "rocks", moving=True, coverage_margin_arcsec=90.0)

    def rim(catalog: str, *parameters: dict[str, object]) -> float:
        query = "SELECT ref.stage_rim_arcsec(:catalog, CAST(:parameters AS jsonb))"
        return float(toy.scalar(query, catalog=catalog, parameters=json.dumps(parameters)))

    spike = {"families": ["other", "stars"], "radius_arcsec": 45}
    assert rim("stars") == 0
    assert rim("stars", {"family": "stars"}, {"radius_arcsec": 900}, {"family": "rocks", "radius_arcsec": 900}) == 0
    assert rim("stars", {"family": "stars", "radius_arcsec": 5}) == 0
    assert rim("stars", spike) == 40 + 5
    assert rim("stars", spike, {"families": ["stars"], "radius_arcsec": 15, "radius_max_arcsec": 85}) == 80 + 10
    assert rim("rocks", {"family": "rocks", "radius_arcsec": 60}) == 55
    assert rim("rocks", {"family": "rocks", "radius_arcsec": 5, "error_max_arcsec": 30}) == 30
