"""Units of work: whatever a unit vouches for, its cone holds with the margin about it, everywhere on the sky."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude, SkyCoord
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mocpy import MOC

from vascodb.loaders.fetch.units import (
    Unit,
    around,
    bounding_cone,
    cell_units,
    declination_zone,
    parts,
    sky_of_cone,
    units_for,
)
from vascodb.loaders.regions import Cone

MARGIN_ARCSEC = 60.0
# |dec| = 41.81 deg is where HEALPix changes from its equatorial to its polar shape.
DECLINATIONS = st.one_of(
    st.floats(-90, 90), st.sampled_from([-90.0, -89.99, -41.8103, 0.0, 41.8103, 41.7, 41.9, 89.5, 90.0])
)
CONES = st.builds(
    Cone,
    st.one_of(st.floats(0, 359.999), st.sampled_from([0.0, 1e-9, 359.9999, 45.0])),
    DECLINATIONS,
    st.sampled_from([0.01, 0.36, 0.71, 2.5]),
)


def points_in(cone: Cone, n: int, seed: int) -> SkyCoord:
    """Random positions in a cone, some of them on its very rim."""
    random = np.random.default_rng(seed)
    distance = cone.radius_deg * np.sqrt(random.random(n))
    distance[: n // 4] = cone.radius_deg * (1 - 1e-9)
    centre = SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg")
    return centre.directional_offset_by(random.random(n) * 360 * u.deg, distance * u.deg)


def holds(moc: MOC, positions: SkyCoord) -> np.ndarray:
    return moc.contains_lonlat(Longitude(positions.ra), Latitude(positions.dec))


def assert_covered(units: list[Unit], positions: SkyCoord, margin_arcsec: float) -> None:
    """Every position is vouched for by a unit whose cone holds all that is within the margin of it."""
    covered = np.zeros(len(positions), dtype=bool)
    for unit in units:
        inside = holds(unit.vouches, positions)
        covered |= inside
        if inside.any():
            centre = SkyCoord(unit.cone.ra_deg, unit.cone.dec_deg, unit="deg")
            farthest = centre.separation(positions[inside]).arcsec.max()
            assert farthest + margin_arcsec <= unit.cone.radius_deg * 3600 + 1e-3
    assert covered.all()


@settings(max_examples=60, deadline=None)
@given(area=CONES, max_radius_deg=st.sampled_from([0.1, 0.5, 1.0]), seed=st.integers(0, 9))
def test_units_cover_an_area_with_its_margin(area: Cone, max_radius_deg: float, seed: int) -> None:
    if area.radius_deg / max_radius_deg > 8:
        max_radius_deg = 1.0
    units = units_for(area, sky_of_cone(area), MARGIN_ARCSEC, max_radius_deg)
    assert all(unit.cone.radius_deg <= max_radius_deg for unit in units)
    assert_covered(units, points_in(area, 300, seed), MARGIN_ARCSEC)


# About the poles MOC.from_cone overlooked a cell of which the rim cut a corner off.
@settings(max_examples=40, deadline=None)
@example(area=Cone(45.0, -89.8335956925402, 0.36), seed=4)
@given(area=CONES.filter(lambda cone: cone.radius_deg < 1), seed=st.integers(0, 9))
def test_parts_cover_what_the_whole_covered(area: Cone, seed: int) -> None:
    whole = around(area, MARGIN_ARCSEC)
    smaller = parts(whole, MARGIN_ARCSEC)
    assert_covered(smaller, points_in(area, 300, seed), MARGIN_ARCSEC)
    rim_deg = MARGIN_ARCSEC / 3600
    assert max(part.cone.radius_deg for part in smaller) < max(0.75 * whole.cone.radius_deg, 1.5 * rim_deg)
    assert_covered(
        [p for part in smaller for p in parts(part, MARGIN_ARCSEC)], points_in(area, 100, seed), MARGIN_ARCSEC
    )


@settings(max_examples=60, deadline=None)
@given(order=st.integers(2, 14), where=st.floats(0, 1, exclude_max=True))
def test_a_bounding_cone_holds_its_cell(order: int, where: float) -> None:
    cell = int(where * 12 * 4**order)
    cone = bounding_cone(cell, order, MARGIN_ARCSEC)
    moc = MOC.from_healpix_cells(np.array([cell], dtype=np.uint64), np.array([order], dtype=np.uint8), max_depth=order)
    around_it = points_in(Cone(cone.ra_deg, cone.dec_deg, min(180.0, cone.radius_deg * 1.5)), 400, cell % 7)
    inside = around_it[holds(moc, around_it)]
    distance = SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg").separation(inside).arcsec
    assert (distance + MARGIN_ARCSEC <= cone.radius_deg * 3600).all()


@settings(max_examples=60, deadline=None)
@given(area=CONES, seed=st.integers(0, 9))
def test_the_sky_of_a_cone_is_never_less_than_the_cone(area: Cone, seed: int) -> None:
    assert holds(sky_of_cone(area), points_in(area, 500, seed)).all()


def test_a_cone_that_fits_is_asked_for_as_it_is() -> None:
    units = units_for(Cone(132.85, 11.8, 0.3536), sky_of_cone(Cone(132.85, 11.8, 0.3536)), MARGIN_ARCSEC, 1.0)
    assert [unit.order for unit in units] == [None]
    assert units[0].cone.radius_deg == pytest.approx(0.3536 + 60 / 3600, abs=31 / 3600)


def test_a_covered_area_needs_no_unit() -> None:
    assert units_for(Cone(10, 10, 1), MOC.new_empty(10), MARGIN_ARCSEC, 1.0) == []


def test_cells_come_once_each_and_only_where_they_are_needed() -> None:
    needed = sky_of_cone(Cone(0.0, 0.0, 0.2))
    units = list(cell_units(needed, 7, MARGIN_ARCSEC))
    together = units[0].vouches
    for unit in units[1:]:
        assert together.intersection(unit.vouches).empty()
        together = together.union(unit.vouches)
    assert needed.difference(together).empty()
    assert all(not unit.vouches.intersection(needed).empty() for unit in units)


def test_the_smallest_unit_cannot_be_split() -> None:
    unit = next(cell_units(sky_of_cone(Cone(10.0, 10.0, 0.001)), 15, MARGIN_ARCSEC))
    assert parts(unit, MARGIN_ARCSEC) == []


@pytest.mark.parametrize(("low", "high"), [(-30.0, 90.0), (-90.0, 16.0), (-3.0, 16.0), (-90.0, 90.0)])
def test_a_survey_zone_is_never_more_than_the_survey(low: float, high: float) -> None:
    zone = declination_zone(low, high)
    dec = np.concatenate([np.linspace(-90, 90, 1801), [low - 1e-6, high + 1e-6]]).clip(-90, 90)
    ra = np.linspace(0, 359.9, len(dec))
    inside = zone.contains_lonlat(Longitude(ra, u.deg), Latitude(dec, u.deg))
    assert not inside[(dec < low) | (dec > high)].any()
    assert inside[(dec > low + 0.15) & (dec < high - 0.15)].all()
