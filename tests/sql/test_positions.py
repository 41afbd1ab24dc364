"""Offsets along great circles and HEALPix cells, against astropy and cdshealpix."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from cdshealpix.nested import healpix_to_lonlat
from toysky import ToySky

from vascodb.plates.footprint import cells

RNG = np.random.default_rng(5)
ARCSEC = 1 / 3600


def on_the_sky(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions all over the sphere, and in every corner where formulas go wrong."""
    ra, dec = RNG.uniform(0, 360, n), np.degrees(np.arcsin(RNG.uniform(-1, 1, n)))
    near_poles = 90 - 10 ** RNG.uniform(-9, 0, 200)
    rings = np.degrees(np.arcsin(2 / 3)) + RNG.uniform(-1e-6, 1e-6, 200)
    meridians = np.repeat([0.0, 1e-9, 45.0, 90.0, 180.0, 270.0, 359.999999999], 20)
    ra = np.concatenate([ra, RNG.uniform(0, 360, 800), meridians])
    dec = np.concatenate([dec, near_poles, -near_poles, rings, -rings, np.tile(np.linspace(-90, 90, 20), 7)])
    return ra, dec


def sql_cells(toy: ToySky, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    rows = toy.execute(
        "SELECT sky.cell(p.ra, p.dec) FROM unnest(CAST(:ra AS float8[]), CAST(:dec AS float8[])) AS p (ra, dec)",
        ra=ra.tolist(), dec=dec.tolist(),
    )  # fmt: skip
    return np.array(rows.scalars().all())


def test_cells_are_those_of_cdshealpix(toy: ToySky) -> None:
    ra, dec = on_the_sky(3000)
    got, expected = sql_cells(toy, ra, dec), cells(ra, dec)
    assert np.mean(got == expected) > 0.99
    # Where the last digits differ, the position is at the rim of a cell of 0.4 mas, and the neighbour is as good.
    lon, lat = healpix_to_lonlat(got, 29)
    assert SkyCoord(ra, dec, unit="deg").separation(SkyCoord(lon, lat)).max() < 0.5 * u.mas


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 90.0), (123.4, 90.0), (0.0, -90.0), (359.9, -90.0), (0.0, 0.0)])
def test_a_pole_has_a_cell(toy: ToySky, ra: float, dec: float) -> None:
    lon, lat = healpix_to_lonlat(sql_cells(toy, np.array([ra]), np.array([dec])), 29)
    assert SkyCoord(ra, dec, unit="deg").separation(SkyCoord(lon, lat)[0]) < 0.5 * u.mas


def test_offsets_are_great_circles(toy: ToySky) -> None:
    ra, dec = on_the_sky(1000)
    distance, angle = 10 ** RNG.uniform(-1, 5, len(ra)), RNG.uniform(-180, 540, len(ra))
    rows = toy.execute(
        """
        SELECT o.ra_deg, o.dec_deg
        FROM unnest(CAST(:ra AS float8[]), CAST(:dec AS float8[]), CAST(:s AS float8[]), CAST(:a AS float8[]))
            WITH ORDINALITY AS p (ra, dec, s, a, place)
        CROSS JOIN LATERAL sky.offset_position(p.ra, p.dec, p.s, p.a) AS o
        ORDER BY p.place
        """,
        ra=ra.tolist(), dec=dec.tolist(), s=distance.tolist(), a=angle.tolist(),
    ).all()  # fmt: skip
    got = SkyCoord([row.ra_deg for row in rows], [row.dec_deg for row in rows], unit="deg")
    start = SkyCoord(ra, dec, unit="deg")
    assert np.allclose(start.separation(got).arcsec, distance, rtol=1e-9, atol=1e-6)
    # astropy gives up directions where the pole is nearer than it can tell.
    near = np.abs(dec) < 89.99
    expected = start.directional_offset_by(angle * u.deg, distance * u.arcsec)
    assert got.separation(expected)[near].max() < 0.01 * u.mas
    assert all(0 <= row.ra_deg < 360 for row in rows)


@pytest.mark.parametrize("angle", [0.0, 60.0, 200.0])
def test_from_a_pole_every_way_leads_away(toy: ToySky, angle: float) -> None:
    row = toy.execute("SELECT * FROM sky.offset_position(77, 90, 360, :a)", a=angle).one()
    assert row.dec_deg == pytest.approx(89.9, abs=1e-12)
    # North over east: at the pole itself north is where the right ascension points to from the other side.
    assert row.ra_deg == pytest.approx((77 + 180 - angle) % 360, abs=1e-9)


def test_cells_about_a_position_are_nine(toy: ToySky) -> None:
    size, holds = toy.execute(
        "SELECT (SELECT count(*) FROM unnest(c)), c @> sky.cell(10, 89.9999) FROM sky.cells_about(10, 89.9999, 2) AS c"
    ).one()
    assert (size, holds) == (9, True)


def test_unmoved_neighbours_are_where_the_catalogue_has_them(toy: ToySky) -> None:
    n = 300
    ra, dec = 359.99 + RNG.uniform(-0.005, 0.015, n), 89.0 + RNG.uniform(-0.01, 0.01, n)
    ra = ra % 360
    pm = np.where(np.arange(n) < 40, 9000.0, RNG.normal(0, 30, n))
    toy.sources("gaia_dr3", ra, dec, pm, -pm, epoch_jyear=2016.0)
    toy.sources("gsc242", ra[:50], dec[:50], pm[:50], pm[:50], epoch_jyear=2099.0)
    here = SkyCoord(0.0, 89.0, unit="deg")
    for catalog, these in (("gaia_dr3", slice(None)), ("gsc242", slice(50))):
        distance = here.separation(SkyCoord(ra[these], dec[these], unit="deg")).arcsec
        for radius in (5.0, 20.0):
            rows = toy.execute("SELECT * FROM sky.neighbours_unmoved(:c, 0, 89, :r)", c=catalog, r=radius).all()
            expected = np.flatnonzero(distance <= radius)
            assert [row.source_id for row in rows] == (expected[np.argsort(distance[expected])] + 1).tolist()
            assert np.allclose([row.sep_arcsec for row in rows], np.sort(distance[expected]), atol=1e-6)
        assert len(expected) > 10 or catalog == "gsc242"
