"""Partitions are loaded whole or not at all, cover what they hold together, and nothing beside."""

import random
import shutil
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import astropy.units as u
import numpy as np
import psycopg2
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord
from cataloguefiles import fingerprints
from cdshealpix.nested import healpix_to_skycoord
from commandline import Vascodb, assert_one_line
from hatsfiles import (
    nested,
    partition_path,
    ring,
    scattered,
    split_by_density,
    stars,
    write_cache,
    write_hats,
)
from mocpy import MOC
from pyarrow import parquet
from sqlalchemy import text

from vascodb.db import Database
from vascodb.errors import InputError, ServiceError
from vascodb.loaders.partitioned.load import BulkLoad, load_partitions
from vascodb.loaders.partitioned.partition_load import PartitionLoad
from vascodb.loaders.reference import load_reference
from vascodb.loaders.regions import Cone, MocRegion
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


@pytest.fixture
def hats(tmp_path: Path) -> Path:
    """A catalogue of mixed orders across the border of the polar cap."""
    return write_hats(PARTS, tmp_path / "gaia")


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


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_catalogue_is_loaded_and_covers_what_it_holds(
    database: Database, tmp_path: Path, place: tuple[float, float]
) -> None:
    parts = about(place)
    seen: list[tuple[int, PartitionLoad]] = []
    load = load_partitions(
        database, GAIA, write_hats(parts, tmp_path / "gaia"), progress=lambda n, outcome: seen.append((n, outcome))
    )
    n_rows = sum(part.num_rows for part in parts.values())
    assert load == BulkLoad("gaia_dr3", len(parts), len(parts), len(parts), n_rows, n_rows, ())
    assert stored_ids(database) == ids(parts)
    assert [n for n, _ in seen] == [len(parts)] * len(parts)
    assert sum(outcome.rows_new for _, outcome in seen) == n_rows
    check_coverage(database, list(parts))


def test_the_evidence_of_each_partition_is_a_complete_lookup(database: Database, hats: Path) -> None:
    load_partitions(database, GAIA, hats)
    with database.connect() as connection:
        rows = connection.execute(text("SELECT * FROM ref.lookup ORDER BY endpoint")).all()
        owners = set(connection.scalars(text("SELECT lookup_id FROM ref.coverage")))
    paths = sorted(partition_path(hats, *key).relative_to(hats.parent).as_posix() for key in PARTS)
    assert [row.endpoint for row in rows] == paths
    assert {(row.kind, row.status, row.complete, row.overflow) for row in rows} == {("bulk", "ok", True, False)}
    assert sum(row.rows_kept for row in rows) == N_ROWS
    assert owners <= {row.lookup_id for row in rows}
    for row, path in zip(rows, paths, strict=True):
        assert row.response_bytes == (hats.parent / path).stat().st_size
        assert len(row.response_sha256) == 64
        order, pixel = (int(word) for word in row.region.split() if word.isdecimal())
        assert row.parameters["cells"] == [[pixel * 4 ** (29 - order), (pixel + 1) * 4 ** (29 - order)]]


def test_the_same_catalogue_again_writes_nothing(database: Database, hats: Path, tmp_path: Path) -> None:
    load_partitions(database, GAIA, hats)
    before = fingerprints(database)
    outcomes: list[str] = []
    again = load_partitions(database, GAIA, hats, progress=lambda _, outcome: outcomes.append(outcome.state))
    assert (again.n_loaded, again.rows_in, again.rows_new) == (0, 0, 0)
    assert set(outcomes) == {"already"}
    # Nor does it from another place.
    shutil.copytree(hats, tmp_path / "elsewhere" / "gaia")
    assert load_partitions(database, GAIA, tmp_path / "elsewhere" / "gaia").n_loaded == 0
    assert fingerprints(database) == before


def in_cone(cone: Cone, n: int = 1500) -> SkyCoord:
    rng = np.random.default_rng(8)
    distance = cone.radius_deg * np.concatenate([np.sqrt(rng.random(n)), np.full(n, 1 - 1e-9)])
    return SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg").directional_offset_by(
        rng.random(2 * n) * 360 * u.deg, distance * u.deg
    )


@pytest.mark.parametrize(
    "cone", [Cone(150.0, BOUNDARY, 0.5), Cone(149.5, 40.6, 0.76), Cone(150.2, 43.0, 0.05)], ids=str
)
def test_a_region_is_covered_by_the_partitions_that_it_needs(database: Database, hats: Path, cone: Cone) -> None:
    load = load_partitions(database, GAIA, hats, cone)
    assert 0 < load.n_wanted < load.n_listed == len(PARTS)
    assert is_covered(database, in_cone(cone)).all()
    with database.connect() as connection:
        regions = connection.scalars(text("SELECT region FROM ref.lookup")).all()
    loaded = [tuple(int(word) for word in region.split() if word.isdecimal()) for region in regions]
    assert stored_ids(database) == ids({key: PARTS[key] for key in loaded})
    check_coverage(database, loaded)


def test_rims_between_partitions_that_come_one_after_the_other_vanish(
    database: Database, hats: Path, tmp_path: Path, temporary_database, template_database: str
) -> None:
    instants = random.Random(4)
    for _ in range(5):
        cone = Cone(150 + instants.uniform(-3, 3), BOUNDARY + instants.uniform(-2, 2), 0.1)
        load_partitions(database, GAIA, hats, cone)
    key = next(iter(PARTS))
    cell = MocRegion(MOC.from_string(f"{key[0]}/{key[1]}"), "cell", "0" * 64)
    load_partitions(database, GAIA, hats, cell)
    assert 0 < load_partitions(database, GAIA, hats).n_loaded < len(PARTS)
    with temporary_database(template_database) as at_once:
        load_partitions(at_once, GAIA, hats, workers=1)
        assert fingerprints(at_once) == fingerprints(database)


def test_a_region_without_partitions_is_an_error(database: Database, hats: Path) -> None:
    with pytest.raises(InputError, match=r"none of its partitions is in the cone 10,-20,1deg"):
        load_partitions(database, GAIA, hats, Cone(10.0, -20.0, 1.0))


def test_of_files_that_say_what_their_row_groups_hold_only_those_needed_are_read(
    database: Database, tmp_path: Path
) -> None:
    stars_here = scattered(20_000, (150.0, BOUNDARY), 1.5, seed=1)
    parts = split_by_density(stars_here, 3, 10**9)
    hats = write_hats(parts, tmp_path / "gaia", row_group_size=1000)
    cone = Cone(150.0, BOUNDARY + 0.5, 0.1)
    load = load_partitions(database, GAIA, hats, cone)
    assert 0 < load.rows_in < 8000
    assert is_covered(database, in_cone(cone)).all()
    with database.connect() as connection:
        ranges = connection.execute(
            text("""
                SELECT CAST(c ->> 0 AS bigint), CAST(c ->> 1 AS bigint)
                FROM ref.lookup, jsonb_array_elements(parameters -> 'cells') AS c
            """)
        ).all()
    cell = stars_here["_healpix_29"].to_numpy()
    held = np.any([(low <= cell) & (cell < high) for low, high in ranges], axis=0)
    assert stored_ids(database) == sorted(stars_here["source_id"].to_numpy()[held].tolist())
    # The rest comes later, and none of it twice.
    rest = load_partitions(database, GAIA, hats)
    assert load.rows_in + rest.rows_in == load.rows_new + rest.rows_new == 20_000
    check_coverage(database, list(parts))


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


FAULTS = {
    "missing": "its file is missing",
    "truncated": "is damaged",
    "a row fewer": "rows, but",
    "a row of another place": "lie in other cells",
    "a source twice": "1 rows repeat a source",
    "no magnitudes": "has no column source_id",
    "a bad row": "has no right ascension",
}


def test_partitions_that_fail_cover_nothing_and_keep_no_other_from_being_loaded(
    database: Database, hats: Path, tmp_path: Path, temporary_database, template_database: str
) -> None:
    keys = sorted(PARTS, key=lambda key: PARTS[key].num_rows)[-len(FAULTS) :]
    shutil.copytree(hats, tmp_path / "good")
    for key, fault in zip(keys, FAULTS, strict=True):
        spoil(hats, key, fault)
    load = load_partitions(database, GAIA, hats)
    good = {key: part for key, part in PARTS.items() if key not in keys}
    assert load.n_loaded == len(good)
    assert stored_ids(database) == ids(good)
    check_coverage(database, list(good))
    assert len(load.failures) == len(FAULTS)
    for (order, pixel), fault in zip(keys, FAULTS, strict=True):
        (line,) = [line for line in load.failures if f"order {order} pixel {pixel}:" in line]
        assert FAULTS[fault] in line
        assert "\n" not in line
        assert line.startswith(str(partition_path(hats, order, pixel)))
    with database.connect() as connection:
        rows = connection.execute(text("SELECT * FROM ref.lookup WHERE status = 'failed'")).all()
    assert sorted(row.region for row in rows) == sorted(f"healpix order {o} pixel {p}" for o, p in keys)
    assert all(row.error and row.cause and not row.complete for row in rows)

    for key in keys:
        shutil.copy(partition_path(tmp_path / "good", *key), partition_path(hats, *key))
    assert load_partitions(database, GAIA, hats).n_loaded == len(keys)
    with temporary_database(template_database) as undisturbed:
        load_partitions(undisturbed, GAIA, hats)
        assert fingerprints(undisturbed) == fingerprints(database)


def test_a_catalogue_numbered_in_the_ring_scheme_covers_nothing(database: Database, tmp_path: Path) -> None:
    table = scattered(2000, (150.0, 20.0), 3.0)
    pixels = ring(table["ra"].to_numpy(), table["dec"].to_numpy(), 5)
    parts = {(5, int(pixel)): table.filter(pa.array(pixels == pixel)) for pixel in np.unique(pixels)}
    load = load_partitions(database, GAIA, write_hats(parts, tmp_path / "gaia"))
    assert len(load.failures) == len(parts)
    assert all("RING" in line for line in load.failures)
    assert scalar(database, "SELECT count(*) FROM ref.gaia_dr3") == 0
    assert scalar(database, "SELECT count(*) FROM ref.coverage") == 0


def test_a_partition_that_is_changed_afterwards_is_refused(database: Database, hats: Path) -> None:
    load_partitions(database, GAIA, hats)
    before = fingerprints(database)
    key = next(iter(PARTS))
    parquet.write_table(PARTS[key], partition_path(hats, *key), compression="snappy")
    (line,) = load_partitions(database, GAIA, hats).failures
    assert "other content is loaded already" in line
    assert fingerprints(database) == before


def test_sources_that_a_file_brought_before_are_not_stored_again(
    database: Database, hats: Path, tmp_path: Path
) -> None:
    table = pa.concat_tables(PARTS.values())
    parquet.write_table(table.slice(100, 700), tmp_path / "some.parquet")
    load_reference(database, GAIA, tmp_path / "some.parquet", Cone(150.0, BOUNDARY, 5.0))
    load = load_partitions(database, GAIA, hats)
    assert (load.rows_in, load.rows_new, load.failures) == (N_ROWS, N_ROWS - 700, ())
    assert stored_ids(database) == ids(PARTS)


def test_a_source_that_contradicts_a_stored_one_fails_its_partition(
    database: Database, hats: Path, tmp_path: Path
) -> None:
    key, part = next(iter(PARTS.items()))
    one = part.slice(0, 1)
    parquet.write_table(one.set_column(3, "dec", pa.array([one["dec"][0].as_py() + 0.01])), tmp_path / "other.parquet")
    load_reference(database, GAIA, tmp_path / "other.parquet", Cone(150.0, BOUNDARY, 5.0))
    (line,) = load_partitions(database, GAIA, hats).failures
    assert f"order {key[0]} pixel {key[1]}" in line
    assert "1 sources are stored in gaia_dr3 with other values" in line
    assert len(stored_ids(database)) == N_ROWS - part.num_rows + 1


def test_a_cache_is_loaded_with_a_wider_rim(database: Database, tmp_path: Path) -> None:
    table = scattered(6000, (150.0, BOUNDARY), 4.0)
    cache = write_cache(table, tmp_path / "cache")
    load = load_partitions(database, GAIA, cache)
    assert (load.rows_new, load.failures) == (6000, ())
    assert stored_ids(database) == sorted(table["source_id"].to_pylist())
    pixels = np.unique(nested(table["ra"].to_numpy(), table["dec"].to_numpy(), 5))
    check_coverage(database, [(5, int(pixel)) for pixel in pixels], margin_arcsec=120.0)
    with database.connect() as connection:
        endpoints = set(connection.scalars(text("SELECT endpoint FROM ref.lookup")))
    assert endpoints == {f"cache/parquet/healpix_5={pixel}" for pixel in pixels}


def test_a_part_of_a_cache_is_enough_but_an_unfinished_one_is_not(database: Database, tmp_path: Path) -> None:
    cache = write_cache(scattered(3000, (150.0, BOUNDARY), 4.0), tmp_path / "cache")
    cone = Cone(150.0, BOUNDARY + 0.3, 0.3)
    load_partitions(database, GAIA, cache, cone)
    assert is_covered(database, in_cone(cone)).all()
    next((cache / "parquet").glob("*/source_1*")).unlink()
    with pytest.raises(InputError, match=r"its files hold \d+ rows, not the 3000"):
        load_partitions(database, GAIA, cache, Cone(150.0, BOUNDARY - 1.0, 0.3))


def test_beyond_the_limit_of_the_survey_nothing_is_covered(database: Database, tmp_path: Path) -> None:
    ps1 = catalog("ps1_dr2")
    table = scattered(3000, (150.0, -29.0), 3.0)
    columns = {"source_id": "objID", "ra": "raMean", "dec": "decMean", "phot_g_mean_mag": "rMeanPSFMag"}
    table = table.rename_columns([columns.get(name, name) for name in table.column_names])
    table = table.append_column("nDetections", pa.array(np.full(3000, 5, dtype=np.int16)))
    hats = write_hats(
        split_by_density(table, 5, 10**9),
        tmp_path / "otmo",
        properties={"hats_col_ra": "raMean", "hats_col_dec": "decMean"},
    )
    assert load_partitions(database, ps1, hats).failures == ()
    points = in_cone(Cone(150.0, -29.5, 1.5), 3000)
    covered = is_covered(database, points, "ps1_dr2")
    assert not covered[points.dec.deg < -30].any()
    assert covered[points.dec.deg > -29.8].all()


def test_processes_side_by_side_share_the_work(database: Database, hats: Path) -> None:
    loads: list[BulkLoad] = []
    others = [Database(database.settings) for _ in range(3)]
    threads = [threading.Thread(target=lambda d=d: loads.append(load_partitions(d, GAIA, hats))) for d in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for other in others:
        other.close()
    assert sum(load.n_loaded for load in loads) == len(PARTS)
    assert sum(load.rows_in for load in loads) == N_ROWS
    assert all(load.n_wanted == len(PARTS) for load in loads)
    assert scalar(database, "SELECT count(*) FROM ref.lookup") == len(PARTS)
    check_coverage(database, list(PARTS), n=600)


def nothing_is_half_visible(database: Database) -> int:
    """Sources are those of the look-ups on record, and only these cover; returns how many look-ups there are."""
    with database.connect() as connection:
        n_sources = connection.scalar(text("SELECT count(*) FROM ref.gaia_dr3"))
        kept, n = connection.execute(text("SELECT coalesce(sum(rows_kept), 0), count(*) FROM ref.lookup")).one()
    assert n_sources == kept
    return n


def test_who_stops_it_finds_whole_partitions(database: Database, hats: Path) -> None:
    seen: list[PartitionLoad] = []

    def stop(_n_wanted: int, outcome: PartitionLoad) -> None:
        seen.append(outcome)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_partitions(database, GAIA, hats, progress=stop)
    assert 3 <= nothing_is_half_visible(database) < len(PARTS)
    load_partitions(database, GAIA, hats)
    assert nothing_is_half_visible(database) == len(PARTS)


def test_a_database_that_goes_away_is_a_service_error(database: Database, hats: Path) -> None:
    def cut(_n_wanted: int, _outcome: PartitionLoad) -> None:
        with database.autocommit() as connection:
            connection.execute(
                text("""
                    SELECT pg_terminate_backend(pid)
                    FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()
                """)
            )

    with pytest.raises(ServiceError, match="safe to run again"):
        load_partitions(database, GAIA, hats, progress=cut)
    nothing_is_half_visible(database)
    load_partitions(database, GAIA, hats)
    assert nothing_is_half_visible(database) == len(PARTS)


def test_killed_at_random_instants_it_goes_on_with_what_is_missing(vascodb: Vascodb, tmp_path: Path) -> None:
    instants = random.Random(1952)
    parts = split_by_density(scattered(60_000, (150.0, BOUNDARY), 5.0), 4, 1500)
    hats = write_hats(parts, tmp_path / "gaia")
    n_loaded = 0
    with closing(psycopg2.connect(vascodb.url)) as server, server.cursor() as cursor:
        server.autocommit = True

        def state() -> tuple[int, int, int]:
            cursor.execute("""
                SELECT (SELECT count(*) FROM ref.gaia_dr3), coalesce(sum(rows_kept), 0), count(*) FROM ref.lookup
            """)
            return cursor.fetchone()

        for _ in range(5):
            running = vascodb.begin("load-hats", "gaia_dr3", hats)
            while state()[2] == n_loaded:
                time.sleep(0.005)
            time.sleep(instants.uniform(0, 0.1))
            running.kill(signal.SIGKILL)
            assert running.wait().status == -signal.SIGKILL
            n_sources, n_kept, n_now = state()
            assert n_sources == n_kept
            assert n_loaded < n_now < len(parts)
            n_loaded = n_now
        outcome = vascodb.ok("load-hats", "gaia_dr3", hats)
        # The server may have ended the last transactions of the process after that was killed.
        assert f" of {len(parts)} partitions loaded now" in outcome.out
        assert state() == (60_000, 60_000, len(parts))
        cursor.execute("SELECT count(DISTINCT endpoint) FROM ref.lookup WHERE complete")
        assert cursor.fetchone() == (len(parts),)
        cursor.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'staging'::regnamespace")
        assert cursor.fetchone() == (0,)


def test_the_command_says_what_it_did(vascodb: Vascodb, hats: Path) -> None:
    outcome = vascodb.ok("load-hats", "gaia_dr3", hats, "--cone", f"150.0,{BOUNDARY},0.3deg", "--workers", "1")
    assert outcome.out.startswith("gaia_dr3: ")
    assert "deg² in all" in outcome.out
    spoil(hats, next(iter(PARTS)), "missing")
    outcome = vascodb.run("load-hats", "gaia_dr3", hats)
    assert outcome.status == 1
    assert outcome.err.splitlines()[-1].startswith(f"vascodb: 1 of {len(PARTS)} partitions failed and cover nothing")
    assert "its file is missing" in outcome.err.splitlines()[-2]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--cone", "1,2,3deg", "--moc", "x.fits"], "give --cone or --moc, not both"),
        (["--column", "ra"], "write CORE=NAME"),
        (["--cone", "1,2"], "give RA,DEC,RADIUS"),
    ],
)
def test_the_command_refuses_in_one_line(vascodb: Vascodb, hats: Path, arguments: list[str], reason: str) -> None:
    outcome = vascodb.run("load-hats", "gaia_dr3", hats, *arguments)
    assert_one_line(outcome, reason)
