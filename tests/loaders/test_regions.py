"""Covered is only what lies a whole margin inside the region: never more."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude, SkyCoord
from cdshealpix.nested import healpix_to_skycoord
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

from vascodb.errors import InputError
from vascodb.loaders.regions import Cone, MocRegion, grown, with_rim, without_rim

ARCSEC = 1 / 3600
CONES = [
    Cone(150.0, 20.0, 0.5), Cone(0.0, 0.0, 0.5), Cone(359.9999, -45.0, 1.0), Cone(10.0, 90.0, 0.7),
    Cone(0.0, -90.0, 2.0), Cone(200.0, 89.7, 0.5), Cone(45.0, 41.81, 0.3), Cone(33.0, -5.0, 0.03),
    Cone(33.0, -5.0, 10.0), Cone(120.0, 60.0, 89.0), Cone(300.0, -10.0, 179.0),
]  # fmt: skip


def inside(moc: MOC, n: int, seed: int = 0) -> SkyCoord:
    """Random points in a MOC: in random cells of it, evenly, and at the corners of its cells."""
    rng = np.random.default_rng(seed)
    ranges = np.asarray(moc.to_depth29_ranges, dtype=np.uint64).reshape(-1, 2).astype(np.int64)
    width = np.diff(ranges, axis=1)[:, 0].astype(float)
    pick = rng.choice(len(ranges), n, p=width / width.sum())
    index = ranges[pick, 0] + (rng.random(n) * (ranges[pick, 1] - ranges[pick, 0])).astype(np.int64)
    ends = rng.choice(len(ranges), n)
    index = np.concatenate([index, ranges[ends, 0], ranges[ends, 1] - 1])
    return healpix_to_skycoord(index, depth=29)


@pytest.mark.parametrize("cone", CONES, ids=str)
@pytest.mark.parametrize("margin_arcsec", [5.0, 60.0])
def test_what_a_cone_covers_is_a_margin_inside_it(cone: Cone, margin_arcsec: float) -> None:
    moc = cone.covered(margin_arcsec)
    points = inside(moc, 3000)
    separation = points.separation(SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg")).deg
    assert separation.max() <= cone.radius_deg - margin_arcsec * ARCSEC + 1e-9


@settings(deadline=None, max_examples=60)
@given(
    ra=st.floats(0, 360, exclude_max=True), dec=st.floats(-90, 90), radius=st.floats(0.01, 60), margin=st.floats(1, 120)
)
def test_no_cone_covers_more_than_itself_without_its_rim(ra: float, dec: float, radius: float, margin: float) -> None:
    cone = Cone(ra, dec, radius)
    moc = cone.covered(margin)
    if not moc.empty():
        separation = inside(moc, 200).separation(SkyCoord(ra, dec, unit="deg")).deg
        assert separation.max() <= radius - margin * ARCSEC + 1e-9


@pytest.mark.parametrize(
    ("cone", "most"), [(Cone(150.0, 20.0, 0.5), 0.05), (Cone(10.0, 90.0, 0.7), 0.05), (Cone(33.0, -5.0, 10.0), 0.01)]
)
def test_a_cone_loses_little_beyond_its_margin(cone: Cone, most: float) -> None:
    wanted = (1 - np.cos(np.radians(cone.radius_deg - 60 * ARCSEC))) / 2
    assert 1 - most < cone.covered(60.0).sky_fraction / wanted <= 1


def test_a_cone_as_narrow_as_its_margin_covers_nothing() -> None:
    assert Cone(10, 10, 60 * ARCSEC).covered(60.0).empty()
    assert Cone(10, 10, 10 * ARCSEC).covered(60.0).empty()


@pytest.mark.parametrize("cone", CONES, ids=str)
def test_what_a_cone_contains_is_what_astropy_says(cone: Cone) -> None:
    rng = np.random.default_rng(1)
    centre = SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg")
    distance = np.minimum(cone.radius_deg * np.sqrt(rng.random(500) * 2), 179.9)
    points = centre.directional_offset_by(rng.random(500) * 360 * u.deg, distance * u.deg)
    expected = points.separation(centre).deg <= cone.radius_deg
    assert np.array_equal(cone.contains(points.ra.deg, points.dec.deg), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("132.8242,11.8010,0.50deg", (132.8242, 11.801, 0.5)), ("10, -20, 0.5", (10, -20, 0.5)),
        ("0,90,30arcmin", (0, 90, 0.5)), ("359.9 -90 3600arcsec", (359.9, -90, 1)), ("1,2,180", (1, 2, 180)),
    ],
)  # fmt: skip
def test_a_cone_is_read_as_people_write_it(text: str, expected: tuple[float, float, float]) -> None:
    cone = Cone.parse(text)
    assert (cone.ra_deg, cone.dec_deg, cone.radius_deg) == pytest.approx(expected)
    assert Cone.parse(str(cone)) == cone


@pytest.mark.parametrize(
    "text",
    [
        "", "10,20", "10,20,30,40", "a,b,c", "10,20,0.5parsec", "360,0,1", "-1,0,1", "0,91,1", "0,0,0", "0,0,-1",
        "0,0,181", "nan,0,1", "0,0,nan", "inf,0,1", "10,20,deg",
    ],
)  # fmt: skip
def test_what_is_no_cone_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match="cone") as caught:
        Cone.parse(text)
    assert "\n" not in str(caught.value)


def moc_region(tmp_path: Path, moc: MOC, name: str = "region.fits") -> MocRegion:
    path = tmp_path / name
    moc.save(str(path), format={"fits": "fits", "json": "json", "txt": "ascii"}[name.rpartition(".")[2]])
    return MocRegion.read(path)


MOCS = {
    "circle": MOC.from_cone(Longitude(150, u.deg), Latitude(20, u.deg), radius=0.5 * u.deg, max_depth=13),
    "coarse": MOC.from_cone(Longitude(10, u.deg), Latitude(-30, u.deg), radius=3 * u.deg, max_depth=8),
    "pole": MOC.from_cone(Longitude(0, u.deg), Latitude(90, u.deg), radius=1 * u.deg, max_depth=12),
    "meridian": MOC.from_cone(Longitude(0, u.deg), Latitude(5, u.deg), radius=1 * u.deg, max_depth=12),
    "half the sky": MOC.from_cone(Longitude(80, u.deg), Latitude(0, u.deg), radius=90 * u.deg, max_depth=7),
}
RING = MOCS["circle"].difference(
    MOC.from_cone(Longitude(150, u.deg), Latitude(20, u.deg), radius=0.2 * u.deg, max_depth=13)
)


@pytest.mark.parametrize("moc", [*MOCS.values(), RING], ids=[*MOCS, "ring"])
@pytest.mark.parametrize("margin_arcsec", [5.0, 60.0])
def test_every_circle_about_a_covered_point_is_in_the_moc(tmp_path: Path, moc: MOC, margin_arcsec: float) -> None:
    region = moc_region(tmp_path, moc)
    covered = region.covered(margin_arcsec)
    assert not covered.empty()
    points = inside(covered, 400)
    for angle in range(0, 360, 15):
        rim = points.directional_offset_by(angle * u.deg, margin_arcsec * u.arcsec)
        assert region.contains(rim.ra.deg, rim.dec.deg).all()


def test_the_whole_sky_is_covered_wholly(tmp_path: Path) -> None:
    sky = MOC.from_string("0/0-11")
    assert moc_region(tmp_path, sky).covered(60.0).sky_fraction == 1.0


@pytest.mark.parametrize("name", ["region.fits", "region.json", "region.txt"])
def test_a_moc_is_read_from_every_form(tmp_path: Path, name: str) -> None:
    region = moc_region(tmp_path, MOCS["circle"], name)
    assert region.moc == MOCS["circle"]
    assert name in region.description
    assert region.sha256 in region.description


@pytest.mark.parametrize("name", ["bad.fits", "bad.json", "bad.txt", "missing.fits"])
def test_what_is_no_moc_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"SIMPLE  = no moc at all\n\n\x00\xff")
    with pytest.raises(InputError, match=name) as caught:
        MocRegion.read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_an_empty_moc_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        moc_region(tmp_path, MOC.new_empty(10))


def around(cone: Cone, n: int, seed: int = 0) -> SkyCoord:
    """Points in a cone: evenly, at its rim, and at its centre."""
    rng = np.random.default_rng(seed)
    centre = SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg")
    radius = cone.radius_deg * np.concatenate([np.sqrt(rng.random(n)), np.full(n, 1 - 1e-12), [0.0]])
    return centre.directional_offset_by(rng.random(len(radius)) * 360 * u.deg, radius * u.deg)


@settings(deadline=None, max_examples=80)
@given(
    ra=st.floats(0, 360, exclude_max=True) | st.sampled_from([0.0, 45.0, 90.0, 359.9999]),
    dec=st.floats(-90, 90) | st.sampled_from([-90.0, -41.8103, 41.8103, 41.9, 89.99, 90.0]),
    radius=st.floats(0.001, 180) | st.sampled_from([0.5, 0.76, 90.0]),
)
def test_the_cells_that_a_cone_touches_hold_all_of_it(ra: float, dec: float, radius: float) -> None:
    cone = Cone(ra, dec, radius)
    points = around(cone, 300)
    assert cone.touched().contains_lonlat(Longitude(points.ra), Latitude(points.dec)).all()


@pytest.mark.parametrize("cone", CONES[:8], ids=str)
def test_the_cells_that_a_cone_touches_are_not_many_more_than_it_has(cone: Cone) -> None:
    assert cone.touched().sky_fraction < 1.6 * (1 - np.cos(np.radians(cone.radius_deg))) / 2 + 1e-9


@pytest.mark.parametrize("moc", [*MOCS.values(), RING], ids=[*MOCS, "ring"])
@pytest.mark.parametrize("margin_arcsec", [5.0, 60.0, 120.0])
def test_a_rim_that_is_added_and_taken_away_leaves_all(moc: MOC, margin_arcsec: float) -> None:
    kept = without_rim(with_rim(moc, margin_arcsec), margin_arcsec)
    assert moc.difference(kept).empty()


def test_the_rim_of_a_wide_cell_is_narrow() -> None:
    cell = MOC.from_string("5/1000")
    assert 0.8 < without_rim(cell, 60.0).sky_fraction / cell.sky_fraction < 0.95


@pytest.mark.parametrize("cone", [cone for cone in CONES if cone.radius_deg < 5], ids=str)
@pytest.mark.parametrize("by_arcsec", [55.0, 333.0])
def test_a_grown_moc_holds_all_within_the_distance_and_little_more(cone: Cone, by_arcsec: float) -> None:
    moc = MOC.from_cone(
        Longitude(cone.ra_deg, u.deg), Latitude(cone.dec_deg, u.deg), radius=cone.radius_deg * u.deg, max_depth=11
    )
    wide = grown(moc, by_arcsec)
    points = inside(moc, 3000)
    around = np.random.default_rng(2).uniform(0, 360, len(points)) * u.deg
    near = points.directional_offset_by(around, by_arcsec * u.arcsec)
    assert np.asarray(wide.contains_lonlat(near.ra, near.dec)).all()
    centre = SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg")
    beyond = centre.separation(inside(wide, 3000)).arcsec.max() - centre.separation(points).arcsec.max()
    assert beyond < 1.2 * by_arcsec + 90
