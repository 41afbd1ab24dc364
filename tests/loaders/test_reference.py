"""Loading references: all or nothing, twice is once, and coverage only where it was vouched for."""

import threading
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude, SkyCoord
from astropy.table import Table
from astropy.time import Time
from cataloguefiles import fingerprints, gaia_table, write
from mocpy import MOC
from sqlalchemy import text

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.reference import ReferenceLoad, load_reference
from vascodb.loaders.regions import Cone, MocRegion
from vascodb.loaders.registry import catalog
from vascodb.plates.footprint import cells

DR3, EDR3 = catalog("gaia_dr3"), catalog("gaia_edr3")
CONE = Cone(150.0, 20.0, 0.5)


def scalar(database: Database, sql: str) -> object:
    with database.connect() as connection:
        return connection.scalar(text(sql))


@pytest.mark.parametrize("name", ["t.csv", "t.ecsv", "t.fits", "t.vot", "t.parquet"])
def test_every_format_loads_the_same_rows(tmp_path: Path, temporary_database, template_database, name: str) -> None:
    table = gaia_table()
    found = []
    for file_name in ("t.fits", name):
        with temporary_database(template_database) as database:
            load = load_reference(database, DR3, write(table, tmp_path / file_name), CONE)
            assert (load.rows_in, load.rows_new) == (50, 50)
            found.append(fingerprints(database)["ref.gaia_dr3"])
            assert scalar(database, "SELECT sum(upper(hpx29) - lower(hpx29)) FROM ref.coverage") == covered_cells(CONE)
    assert found[0] == found[1]


def covered_cells(cone: Cone) -> int:
    ranges = cone.covered(60.0).to_depth29_ranges
    return int((ranges[:, 1] - ranges[:, 0]).sum())


def test_rows_are_in_the_order_of_the_sky_index_and_moved_to_1954(database: Database, tmp_path: Path) -> None:
    table = gaia_table(400)
    load_reference(database, DR3, write(table, tmp_path / "t.fits"), CONE)
    with database.connect() as connection:
        rows = connection.execute(
            text("""
                SELECT source_id, ra_j1954, dec_j1954,
                    row_number() OVER (ORDER BY q3c_ang2ipix(ra_j1954, dec_j1954)) AS place
                FROM ref.gaia_dr3 ORDER BY ctid
            """)
        ).all()
    assert [row.place for row in rows] == list(range(1, 401))
    order = np.argsort(table["source_id"])
    pmra, pmdec = (np.float32(table[name].filled(0).value) * u.mas / u.yr for name in ("pmra", "pmdec"))
    gaia = SkyCoord(
        table["ra"], table["dec"], pm_ra_cosdec=pmra, pm_dec=pmdec, obstime="J2016", distance=1 * u.kpc
    )  # fmt: skip
    moved = gaia.apply_space_motion(new_obstime=Time("J1954"))[order]
    got = sorted(tuple(row) for row in rows)
    stored = SkyCoord([r[1] for r in got], [r[2] for r in got], unit="deg")
    # J1954 in TT and the database's year are a minute apart.
    assert stored.separation(moved).arcsec.max() < 1e-5


def test_the_evidence_of_a_load_is_a_complete_lookup(database: Database, tmp_path: Path) -> None:
    path = write(gaia_table(), tmp_path / "t.fits")
    load_reference(database, DR3, path, CONE)
    with database.connect() as connection:
        row = connection.execute(text("SELECT * FROM ref.lookup")).one()
        coverage = connection.scalars(text("SELECT DISTINCT lookup_id FROM ref.coverage")).all()
    assert (row.catalog, row.kind, row.endpoint, row.status, row.complete) == ("gaia_dr3", "file", "t.fits", "ok", True)
    assert (row.rows_in, row.rows_kept, row.rows_rejected, row.overflow) == (50, 50, 0, False)
    assert row.region == "cone 150,20,0.5deg"
    assert coverage == [row.lookup_id]


def test_the_same_file_again_writes_nothing(database: Database, tmp_path: Path) -> None:
    path = write(gaia_table(), tmp_path / "t.fits")
    first = load_reference(database, DR3, path, CONE)
    before = fingerprints(database)
    again = load_reference(database, DR3, path, CONE)
    assert again == ReferenceLoad("gaia_dr3", 50, 0, first.covered_sqdeg)
    assert fingerprints(database) == before


def test_the_same_file_for_another_region_adds_coverage_but_no_rows(database: Database, tmp_path: Path) -> None:
    path = write(gaia_table(), tmp_path / "t.fits")
    load_reference(database, DR3, path, CONE)
    before = fingerprints(database)
    assert load_reference(database, DR3, path, Cone(150.2, 20.0, 0.5)).rows_new == 0
    after = fingerprints(database)
    assert {name for name in after if after[name] != before[name]} == {"ref.coverage", "ref.lookup", "all"}


def test_overlapping_files_add_what_is_new_and_coverage_stays_disjoint(database: Database, tmp_path: Path) -> None:
    table = gaia_table(60)
    load_reference(database, DR3, write(table[:40], tmp_path / "a.fits"), CONE)
    assert load_reference(database, DR3, write(table[20:], tmp_path / "b.fits"), Cone(150.3, 20.1, 0.4)).rows_new == 20
    assert scalar(database, "SELECT count(*) FROM ref.gaia_dr3") == 60
    overlaps = """
        SELECT count(*) FROM ref.coverage AS a JOIN ref.coverage AS b ON a.hpx29 && b.hpx29 AND a.ctid <> b.ctid
    """
    assert scalar(database, overlaps) == 0
    union = CONE.covered(60.0).union(Cone(150.3, 20.1, 0.4).covered(60.0)).to_depth29_ranges
    stored = scalar(database, "SELECT sum(upper(hpx29) - lower(hpx29)) FROM ref.coverage")
    assert stored == int((union[:, 1] - union[:, 0]).sum())


def test_catalogues_do_not_share_rows_or_coverage(database: Database, tmp_path: Path) -> None:
    path = write(gaia_table(), tmp_path / "t.fits")
    load_reference(database, DR3, path, CONE)
    assert load_reference(database, EDR3, path, CONE).rows_new == 50
    assert scalar(database, "SELECT count(DISTINCT catalog) FROM ref.coverage") == 2


@pytest.mark.parametrize("cone", [Cone(0.01, 5.0, 0.4), Cone(150.0, 89.8, 0.5), Cone(20.0, -90.0, 0.4)], ids=str)
def test_every_stored_range_is_a_margin_inside_the_cone(database: Database, tmp_path: Path, cone: Cone) -> None:
    load_reference(database, DR3, write(gaia_table(20, (cone.ra_deg, cone.dec_deg)), tmp_path / "t.fits"), cone)
    rng = np.random.default_rng(7)
    centre = SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg")
    points = centre.directional_offset_by(
        rng.random(4000) * 360 * u.deg, cone.radius_deg * 1.05 * np.sqrt(rng.random(4000)) * u.deg
    )
    with database.connect() as connection:
        covered = connection.scalars(
            text("""
                SELECT l.lookup_id IS NOT NULL
                FROM unnest(CAST(:cells AS bigint[])) WITH ORDINALITY AS c (cell, i)
                LEFT JOIN LATERAL sky.covering_lookup('gaia_dr3', c.cell) AS l ON true
                ORDER BY c.i
            """),
            {"cells": cells(points.ra.deg, points.dec.deg).tolist()},
        ).all()
    distance = points.separation(centre).arcsec
    margin = cone.radius_deg * 3600 - distance
    assert margin[covered].min() >= 60.0
    # Two cells of 13 arcsec inside the margin everything is covered.
    assert np.array(covered)[margin > 60 + 2 * 18].all()


def test_a_moc_vouches_for_what_is_inside_its_rim(database: Database, tmp_path: Path) -> None:
    moc = MOC.from_cone(Longitude(150, u.deg), Latitude(20, u.deg), radius=0.5 * u.deg, max_depth=13)
    moc.save(str(tmp_path / "moc.fits"), format="fits")
    region = MocRegion.read(tmp_path / "moc.fits")
    load = load_reference(database, DR3, write(gaia_table(), tmp_path / "t.fits"), region)
    assert 0 < load.covered_sqdeg < moc.sky_fraction * 41253
    assert scalar(database, "SELECT region FROM ref.lookup") == region.description


@pytest.fixture
def loaded(database: Database, tmp_path: Path) -> Database:
    """A database with one file in it."""
    load_reference(database, DR3, write(gaia_table(), tmp_path / "loaded.fits"), CONE)
    return database


def contradicting(column: str, value: float) -> Table:
    table = gaia_table()
    table[column][9] = value
    return table


BAD_LOADS = {
    "wrong sky": ("x.fits", gaia_table(), Cone(10.0, -50.0, 0.5), "none of its 50 sources is in the cone .*right sky"),
    "a small cone": ("x.fits", gaia_table(900), Cone(150.0, 20.0, 0.017), "is too small; nothing of it lies 60 arcsec"),
    "same name": ("loaded.fits", gaia_table(40), CONE, r"this name with other content is loaded .*\(50 rows.*40 rows"),
    "other ra": ("x.fits", contradicting("ra", 150.1), CONE, "1 sources are stored in gaia_dr3 with other values"),
    "other motion": ("x.fits", contradicting("pmra", 7.0), CONE, "stored in gaia_dr3 with other values"),
    "other magnitude": ("x.fits", contradicting("phot_g_mean_mag", 3.0), CONE, "stored in gaia_dr3 with other values"),
    "other epoch": ("x.fits", contradicting("ref_epoch", 2015.5), CONE, "stored in gaia_dr3 with other values"),
    "a bad row": ("x.fits", contradicting("dec", 95.0), CONE, "row 10 has a declination outside"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_LOADS)
def test_a_bad_load_says_file_and_reason_and_changes_nothing(loaded: Database, tmp_path: Path, fault: str) -> None:
    name, table, region, reason = BAD_LOADS[fault]
    before = fingerprints(loaded)
    path = write(table, tmp_path / name)
    with pytest.raises(InputError, match=reason) as caught:
        load_reference(loaded, DR3, path, region)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 1
    assert fingerprints(loaded) == before
    assert scalar(loaded, "SELECT count(*) FROM pg_class WHERE relnamespace = 'staging'::regnamespace") == 0


def test_a_load_sweeps_what_a_killed_one_left(loaded: Database, tmp_path: Path) -> None:
    with loaded.connect() as connection:
        connection.execute(text("CREATE UNLOGGED TABLE staging.gaia_dr3_0123456789ab (source_id bigint)"))
    more = gaia_table(3, seed=2)
    more["source_id"] = [1, 2, 3]
    assert load_reference(loaded, DR3, write(more, tmp_path / "x.fits"), CONE).rows_new == 3
    assert scalar(loaded, "SELECT count(*) FROM pg_class WHERE relnamespace = 'staging'::regnamespace") == 0


def test_two_loads_of_one_file_at_once_write_it_once(database: Database, tmp_path: Path) -> None:
    path = write(gaia_table(2000), tmp_path / "t.fits")
    loads: list[ReferenceLoad] = []
    threads = [
        threading.Thread(target=lambda: loads.append(load_reference(database, DR3, path, CONE))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(load.rows_new for load in loads) == [0, 0, 2000]
    assert scalar(database, "SELECT count(*) FROM ref.lookup") == 1


def test_a_load_that_fails_in_the_database_leaves_nothing(loaded: Database, tmp_path: Path) -> None:
    before = fingerprints(loaded)
    with loaded.connect() as connection:
        connection.execute(text("ALTER TABLE ref.coverage ADD CHECK (lower(hpx29) < 0) NOT VALID"))
    more = gaia_table(3, seed=2)
    more["source_id"] = [1, 2, 3]
    with pytest.raises(Exception, match="coverage"):
        load_reference(loaded, DR3, write(more, tmp_path / "x.fits"), Cone(150.5, 20.0, 0.6))
    assert fingerprints(loaded) == before
    assert scalar(loaded, "SELECT count(*) FROM pg_class WHERE relnamespace = 'staging'::regnamespace") == 0


def test_the_real_table_of_m67_loads(database: Database, shared_data: Path) -> None:
    path = shared_data / "gaia" / "gaia_edr3_M67_6179rows.csv"
    load = load_reference(database, EDR3, path, Cone(132.8242, 11.8010, 0.50))
    assert (load.rows_in, load.rows_new) == (6179, 6179)
    assert load.covered_sqdeg == pytest.approx(np.pi * (0.5 - 1 / 60) ** 2, rel=0.03)
    assert load_reference(database, EDR3, path, Cone(132.8242, 11.8010, 0.50)).rows_new == 0
