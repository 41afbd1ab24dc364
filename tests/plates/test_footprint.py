"""Cells and ranges of HEALPix against mocpy and astropy's own indexing."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude, SkyCoord
from cdshealpix.nested import healpix_to_lonlat
from mocpy import MOC
from sqlalchemy import Connection, text

from vascodb.plates.footprint import ORDER, cells, multirange, polygon


def test_a_position_is_in_its_cell() -> None:
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 2000), np.degrees(np.arcsin(rng.uniform(-1, 1, 2000)))
    lon, lat = healpix_to_lonlat(cells(ra, dec).astype(np.uint64), depth=ORDER)
    # A cell of order 29 is 0.4 mas wide.
    assert SkyCoord(lon, lat).separation(SkyCoord(ra, dec, unit="deg")).mas.max() < 0.6


@pytest.mark.parametrize(
    ("ra", "dec"), [(0.0, 90.0), (0.0, -90.0), (0.0, 0.0), (359.9999999999, 0.0), (45.0, 41.8103148957786)]
)
def test_every_position_has_a_cell(ra: float, dec: float) -> None:
    cell = cells(np.array([ra]), np.array([dec]))
    assert cell.dtype == np.int64
    assert 0 <= cell[0] < 12 * 4**29


def test_no_positions_have_no_cells() -> None:
    assert len(cells(np.array([]), np.array([]))) == 0


@pytest.mark.parametrize("centre", [(150.0, 20.0), (0.0, 0.0), (10.0, 89.9), (359.99, -60.0)])
def test_a_polygon_holds_every_point_between_its_corners(centre: tuple[float, float]) -> None:
    corners = SkyCoord(*centre, unit="deg").directional_offset_by([45, 135, 225, 315] * u.deg, 0.7 * u.deg)
    moc = polygon(corners.ra.deg, corners.dec.deg)
    rng = np.random.default_rng(0)
    middle = SkyCoord(*centre, unit="deg")
    # Inside the square: within the inscribed circle.
    points = middle.directional_offset_by(rng.random(500) * 360 * u.deg, 0.49 * np.sqrt(rng.random(500)) * u.deg)
    assert moc.contains_lonlat(Longitude(points.ra), Latitude(points.dec)).all()
    outside = middle.directional_offset_by(rng.random(500) * 360 * u.deg, (0.72 + rng.random(500)) * u.deg)
    assert not moc.contains_lonlat(Longitude(outside.ra), Latitude(outside.dec)).any()
    assert moc.sky_fraction * 41252.96 == pytest.approx(0.98, rel=0.03)


def test_a_multirange_is_the_moc_in_postgresql(connection: Connection) -> None:
    moc = MOC.from_cone(Longitude(0, u.deg), Latitude(0, u.deg), radius=0.3 * u.deg, max_depth=12)
    ranges = moc.to_depth29_ranges
    cells_stored = connection.scalar(
        text("SELECT sum(upper(r) - lower(r)) FROM unnest(CAST(:m AS int8multirange)) AS r"), {"m": multirange(moc)}
    )
    assert cells_stored == int((ranges[:, 1] - ranges[:, 0]).sum())
    inside = text("SELECT CAST(:m AS int8multirange) @> CAST(:cell AS bigint)")
    for ra, dec, expected in ((0.0, 0.0, True), (359.9, 0.0, True), (0.29, 0.0, True), (1.0, 0.0, False)):
        cell = int(cells(np.array([ra]), np.array([dec]))[0])
        assert connection.scalar(inside, {"m": multirange(moc), "cell": cell}) is expected
    assert multirange(MOC.new_empty(10)) == "{}"
