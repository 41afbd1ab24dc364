"""What PostgreSQL really does: the sky index of the reference table is used, and work grows with the rows.

Every statement is run with auto_explain, which also shows the plans inside functions. "Work" is the number
of rows that all nodes of a plan handled, so that a nested loop over two large sets stands out on any machine.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mocpy import MOC
from sqlalchemy import text
from toysky import ToySky

from vascodb.pipeline.runs import ensure_run
from vascodb.plates.footprint import multirange
from vascodb.profiles import load_profile

N_SOURCES, N_DETECTIONS, N_FAST = 10_000, 1_000, 20


class Notices:
    """All notices of a connection; in a list psycopg2 keeps no more than 50."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def append(self, text: str) -> None:
        self.texts.append(text)


def plans(toy: ToySky, statement: str) -> list[dict[str, Any]]:
    """Plans of a statement and of all statements in the functions it calls, with what they did."""
    raw = toy.connection.connection.dbapi_connection
    raw.notices = notices = Notices()  # type: ignore[union-attr]
    with raw.cursor() as cursor:  # type: ignore[union-attr]
        cursor.execute("""
            LOAD 'auto_explain'; SET LOCAL auto_explain.log_min_duration = 0; SET LOCAL auto_explain.log_analyze = on;
            SET LOCAL auto_explain.log_timing = off; SET LOCAL auto_explain.log_format = json;
            SET LOCAL auto_explain.log_nested_statements = on; SET LOCAL client_min_messages = log
        """)
        cursor.execute(statement)
        cursor.execute("SET LOCAL client_min_messages = notice; SET LOCAL auto_explain.log_min_duration = -1")
    found = [json.loads(notice.partition("plan:\n")[2])["Plan"] for notice in notices.texts if "plan:\n" in notice]
    assert found
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def work(plan: dict[str, Any]) -> float:
    """Rows that all nodes of a plan put out or threw away."""
    discarded = ("Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck")
    return sum(n["Actual Loops"] * (n["Actual Rows"] + sum(n.get(d, 0) for d in discarded)) for n in nodes(plan))


def assert_work(toy: ToySky, statement: str, most: float) -> list[dict[str, Any]]:
    """Run a statement; all its plans together handle fewer rows than that."""
    found = plans(toy, statement)
    heaviest = max(found, key=work)
    tree = [(n["Node Type"], n.get("Relation Name"), n.get("Index Name"), n["Actual Rows"], n["Actual Loops"])
            for n in nodes(heaviest)]  # fmt: skip
    assert sum(map(work, found)) < most, (statement, tree)
    return found


@pytest.fixture(params=["just written", "analysed", "stale statistics", "more indexes"])
def crowded(request: pytest.FixtureRequest, toy: ToySky) -> ToySky:
    """Detections and sources of one image, number 2, with what the planner knows of them."""
    rng = np.random.default_rng(2)
    ra, dec = 150 + rng.uniform(-0.5, 0.5, N_SOURCES), 20 + rng.uniform(-0.5, 0.5, N_SOURCES)
    pm = np.where(np.arange(N_SOURCES) < N_FAST, 500.0, rng.normal(0, 5, N_SOURCES))
    other = toy.extraction(10, -10)
    toy.detections(other, [10.0], [-10.0])
    # The checks of foreign keys are statements of their own, one for each row.
    toy.execute("SET LOCAL session_replication_role = replica")
    if request.param == "stale statistics":
        toy.sources("gaia_dr3", [10.0], [-10.0], source_id=[N_SOURCES + 1])
        toy.lookup("gaia_dr3")
        toy.match(other, "gaia_dr3")
        toy.judge(load_profile("vasco60"), other)
        toy.execute("DELETE FROM ref.coverage")
        toy.gap("gaia_dr3", MOC.from_string("0/0"))
        analyse(toy)
        toy.execute("DELETE FROM ref.gap")
    toy.sources("gaia_dr3", ra, dec, pm, pm, mag=rng.uniform(10, 20, N_SOURCES))
    toy.lookup("gaia_dr3")
    extraction_id = toy.extraction(150, 20, radius_deg=0.8)
    pick = rng.choice(N_SOURCES, N_DETECTIONS)
    toy.detections(extraction_id, ra[pick] + rng.choice([0, 0.002], N_DETECTIONS), dec[pick])
    if request.param == "more indexes":
        toy.execute("CREATE INDEX ON ref.gaia_dr3 (mag); CREATE INDEX ON ref.gaia_dr3 (pmra_masyr)")
        toy.execute("CREATE INDEX ON ref.gaia_dr3 (dec); CREATE INDEX ON vasco.detection (snr_win)")
        toy.execute("CREATE INDEX ON ref.gaia_dr3 (dec_j1954); CREATE INDEX ON ref.gaia_dr3 (epoch_jyear)")
        toy.execute("CREATE INDEX ON vasco.detection (hpx29); CREATE INDEX ON vasco.detection (dec)")
        analyse(toy)
    elif request.param == "analysed":
        analyse(toy)
    toy.extraction_id = extraction_id
    return toy


def analyse(toy: ToySky) -> None:
    for table in (
        "ref.gaia_dr3",
        "ref.coverage",
        "ref.gap",
        "vasco.detection",
        "vasco.match",
        "vasco.verdict",
        "vasco.run_image",
    ):
        toy.execute(f"ANALYZE {table}")


def assert_index_searches(found: list[dict[str, Any]], table: str, index: str) -> None:
    """The table is only ever reached by its indexes, among them that one."""
    scans = [n for plan in found for n in nodes(plan) if n.get("Relation Name") == table]
    assert scans
    assert {n["Node Type"] for n in scans} <= {"Bitmap Heap Scan", "Index Scan", "Index Only Scan"}
    assert index in {n.get("Index Name") for plan in found for n in nodes(plan)}


def test_searches_use_the_index_of_the_sky_and_that_of_coverage(crowded: ToySky, cone_moc) -> None:
    e = crowded.extraction_id
    # Each detection looks at a handful of sources; each of the few fast stars at all detections near it.
    found = assert_work(crowded, f"SELECT * FROM sky.nearest_at_epoch({e}, 'gaia_dr3', 5.0)", 60 * N_DETECTIONS)
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_fast")
    # Few detections are so near a great boundary of Q3C's curve that the index is probed for each of four cells.
    four_probes = [n for plan in found for n in nodes(plan) if n["Node Type"] == "BitmapOr"]
    assert sum(n["Actual Loops"] for n in four_probes) < 0.4 * N_DETECTIONS

    found = assert_work(crowded, "SELECT * FROM sky.neighbours('gaia_dr3', 150, 20, 10, 1952)", 50 * N_FAST)
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")

    found = assert_work(crowded, "SELECT * FROM sky.cone(150, 20, 60)", N_DETECTIONS)
    assert_index_searches(found, "detection", "detection_sky")

    crowded.execute("DELETE FROM ref.coverage")
    crowded.lookup("gaia_dr3", cone_moc(150, 20, 3.0))
    assert crowded.scalar("SELECT count(*) FROM ref.coverage") > 1000
    look = "LEFT JOIN LATERAL sky.covering_lookup('gaia_dr3', d.hpx29) AS l ON true"
    found = assert_work(
        crowded, f"SELECT d.number, l.lookup_id FROM vasco.detection AS d {look}", 8 * (N_DETECTIONS + 1)
    )
    assert_index_searches(found, "coverage", "coverage_lower")

    crowded.execute("DELETE FROM ref.coverage")
    crowded.gap("gaia_dr3", cone_moc(150, 20, 3.0))
    assert crowded.scalar("SELECT count(*) FROM ref.gap") > 1000
    gap = "LEFT JOIN LATERAL sky.gap_at('gaia_dr3', d.hpx29) AS g ON true"
    found = assert_work(
        crowded, f"SELECT d.number, g.lookup_id FROM vasco.detection AS d {gap}", 8 * (N_DETECTIONS + 1)
    )
    assert_index_searches(found, "gap", "gap_lower")
    found = assert_work(crowded, f"SELECT * FROM stage.look({e}, 'gaia_dr3')", 100 * N_DETECTIONS)
    assert_index_searches(found, "gap", "gap_lower")


def test_trails_are_compared_with_the_detections_near_them(crowded: ToySky) -> None:
    e = crowded.extraction_id
    rng = np.random.default_rng(3)
    n_objects = 300
    name = crowded.catalog("asteroids", moving=True)
    objects = [
        {"ra": float(ra), "dec": float(dec), "rate_ra_arcsec_h": 30.0}
        for ra, dec in zip(150 + rng.uniform(-0.5, 0.5, n_objects), 20 + rng.uniform(-0.5, 0.5, n_objects), strict=True)
    ]
    crowded.moving_look(name, e, 150.0, 20.0, 1.5, objects)
    found = assert_work(crowded, f"SELECT * FROM stage.look({e}, '{name}')", 30 * (N_DETECTIONS + n_objects))
    assert "detection_sky" in {n.get("Index Name") for plan in found for n in nodes(plan)}
    assert_work(crowded, f"SELECT * FROM sky.moving_near({e}, '{name}', 150, 20, 60)", 10 * n_objects)
    assert_work(crowded, f"SELECT * FROM api.moving_near({e}, 17)", 20 * n_objects)
    assert_work(crowded, f"SELECT * FROM sky.trails({e}, '{name}')", 10 * n_objects)
    found = assert_work(crowded, f"SELECT * FROM sky.nearest_trail({e}, '{name}', 30)", 20 * (N_DETECTIONS + n_objects))
    assert_index_searches(found, "detection", "detection_sky")


def test_what_is_known_of_an_image_is_found_without_reading_a_catalogue(crowded: ToySky) -> None:
    e = crowded.extraction_id
    statement = f"SELECT * FROM stage.catalogs_to_match({e}, '{{}}')"
    assert_work(crowded, statement, N_DETECTIONS)
    # Where neither coverage nor gaps tell, the catalogue's sources do.
    crowded.execute("DELETE FROM ref.coverage")
    assert "gaia_dr3" in crowded.execute(statement).scalars().all()
    elsewhere = crowded.extraction(150, -20, radius_deg=0.8)
    found = assert_work(crowded, f"SELECT * FROM stage.catalogs_to_match({elsewhere}, '{{}}')", N_DETECTIONS)
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")


def test_coverage_and_gaps_are_changed_by_looking_at_what_they_overlap(crowded: ToySky, cone_moc) -> None:
    crowded.execute("DELETE FROM ref.coverage")
    covering = crowded.lookup("gaia_dr3", cone_moc(150, 20, 8.0))
    failed = crowded.gap("gaia_dr3", cone_moc(150, -20, 8.0))
    n_stored = crowded.scalar("SELECT count(*) FROM ref.coverage") + crowded.scalar("SELECT count(*) FROM ref.gap")
    ranges = multirange(cone_moc(150.5, 20, 0.02)), multirange(cone_moc(150.5, -20, 0.02))
    most = 100 * max(one.count("[") for one in ranges)
    assert most < n_stored
    for statement in (
        *(f"SELECT ref.uncovered('gaia_dr3', '{one}')" for one in ranges),
        *(f"SELECT ref.knows_of('gaia_dr3', '{one}')" for one in ranges),
        *(f"SELECT ref.add_gap('gaia_dr3', {failed}, '{one}')" for one in ranges),
        *(f"SELECT ref.add_coverage('gaia_dr3', {covering}, '{one}')" for one in ranges),
    ):
        assert_work(crowded, statement, most)


def test_every_function_that_searches_the_sky_is_looked_at_here(connection) -> None:
    searching = connection.execute(
        text("""
            SELECT p.oid::regproc::text
            FROM pg_proc AS p
            JOIN pg_namespace AS n ON n.oid = p.pronamespace
            WHERE n.nspname = 'sky' AND p.prosrc ~ '(FROM|JOIN) (vasco|ref|plate)[.]' OR p.prosrc LIKE '%q3c_join%'
        """)
    ).scalars()
    here = Path(__file__).read_text()
    assert [name for name in searching if f"{name}(" not in here and not name.startswith("q3c_")] == []


def test_matching_judging_and_reading_handle_each_detection_a_few_times(crowded: ToySky) -> None:
    e = crowded.extraction_id
    match = f"SELECT * FROM stage.match({e}, 'gaia_dr3')"
    for _ in ("first", "again"):
        assert_index_searches(assert_work(crowded, match, 100 * N_DETECTIONS), "gaia_dr3", "gaia_dr3_sky")
    crowded.match(e, "gaia_edr3")
    run_ids = [judge_with_plans(crowded, name) for name in ("vasco60", "default")]
    assert len(crowded.candidates(run_ids[0])) > 100
    for statement in (
        f"SELECT * FROM stage.measure_targets({e}, '{{gaia}}', 200)",
        f"SELECT * FROM api.funnel WHERE run_id = {run_ids[0]} AND extraction_id = {e}",
        f"SELECT * FROM api.candidates WHERE run_id = {run_ids[0]}",
        f"SELECT * FROM api.candidates WHERE tile_id = 'tile_{e}'",
        f"SELECT * FROM api.match_states WHERE extraction_id = {e}",
    ):
        assert_work(crowded, statement, 200 * N_DETECTIONS)
    # What explains a single detection reads no whole image.
    for statement in (
        f"SELECT * FROM api.detections WHERE tile_id = 'tile_{e}' AND number = 17",
        f"SELECT * FROM api.nearest_sources({e}, 17)",
        f"SELECT * FROM api.verdicts WHERE extraction_id = {e} AND number = 17",
        f"SELECT * FROM api.candidates WHERE run_id = {run_ids[0]} AND extraction_id = {e} AND number = 17",
    ):
        assert_work(crowded, statement, N_DETECTIONS)


def judge_with_plans(toy: ToySky, name: str) -> int:
    profile = load_profile(name)
    run_id = ensure_run(toy.connection, profile)
    toy.execute("INSERT INTO vasco.run_image VALUES (:run, :e)", run=run_id, e=toy.extraction_id)
    for _ in ("first", "again"):
        for stage in profile.stages:
            assert_work(
                toy, f"SELECT stage.apply({run_id}, '{stage.stage}', '{{{toy.extraction_id}}}')", 100 * N_DETECTIONS
            )
    return run_id


def test_the_sessions_do_not_compile(connection) -> None:
    assert connection.scalar(text("SHOW jit")) == "off"
