"""Columns say what they hold, and the tables refuse rows that would break the promise."""

import re

import pytest
from astropy import units as u
from astropy.io.votable.ucd import parse_ucd
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from toysky import ToySky

from vascodb.db import Database

COMMENT = re.compile(r"(?P<description>\S.*\S) \[(?P<unit>[^\]]+)\] \{(?P<ucd>[^}]+)\}")
WHOLE_SKY = 12 * 4**29


def columns(connection: Connection) -> list[tuple[str, str | None]]:
    rows = connection.execute(
        text("""
            SELECT n.nspname || '.' || c.relname || '.' || a.attname, col_description(c.oid, a.attnum)
            FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE n.nspname IN ('plate', 'ref', 'vasco', 'api', 'meta') AND c.relkind IN ('r', 'p', 'v', 'm')
            ORDER BY 1
        """)
    )
    return [(name, comment) for name, comment in rows]


def test_every_column_of_every_table_and_view_has_a_description_a_unit_and_a_ucd(connection: Connection) -> None:
    found = columns(connection)
    assert len(found) > 250
    assert {"vasco.detection.ra", "api.candidates.src_id", "ref.gaia_dr3.pmra_masyr"} <= {name for name, _ in found}
    bad = [name for name, comment in found if comment is None or not COMMENT.fullmatch(comment)]
    assert bad == []


def test_every_unit_is_one_that_astropy_parses(connection: Connection) -> None:
    units = {COMMENT.fullmatch(comment or "")["unit"] for _, comment in columns(connection)}  # type: ignore[index]
    assert {"deg", "arcsec", "mas/yr", "pix", "mag", "yr", "-"} <= units
    for unit in units - {"-"}:
        u.Unit(unit)


def test_every_ucd_is_in_the_controlled_vocabulary(connection: Connection) -> None:
    ucds = {COMMENT.fullmatch(comment or "")["ucd"] for _, comment in columns(connection)}  # type: ignore[index]
    for ucd in ucds:
        parse_ucd(ucd, check_controlled_vocabulary=True)


def test_every_table_and_view_and_function_says_what_it_is(connection: Connection) -> None:
    relations = connection.scalars(
        text("""
            SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname IN ('plate', 'ref', 'vasco', 'api', 'meta') AND c.relkind IN ('r', 'p', 'v', 'm')
            AND obj_description(c.oid, 'pg_class') IS NULL
        """)
    ).all()
    functions = connection.scalars(
        text("""
            SELECT f.oid::regprocedure::text FROM pg_proc AS f JOIN pg_namespace AS n ON n.oid = f.pronamespace
            WHERE n.nspname IN ('plate', 'ref', 'vasco', 'api', 'meta', 'sky', 'stage')
            AND obj_description(f.oid, 'pg_proc') IS NULL
        """)
    ).all()
    assert (relations, functions) == ([], [])


def refuse(toy, sql: str, **values: object) -> None:
    """The statement breaks a CHECK or a foreign key."""
    with pytest.raises(IntegrityError, match=r"check constraint|foreign key"), toy.connection.begin_nested():
        toy.execute(sql, **values)


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        (float("nan"), 0), (0, float("nan")), (float("inf"), 0), (0, float("-inf")), (360, 0), (-1e-9, 0), (0, 90.001),
        (0, -91),
    ],
)  # fmt: skip
def test_a_position_that_is_no_position_is_refused_everywhere(toy, ra: float, dec: float) -> None:
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0], [10.0])
    toy.sources("gaia_dr3", [10.0], [10.0])
    for table, columns in [
        ("vasco.detection", ("ra", "dec")), ("vasco.detection", ("ra_raw", "dec_raw")), ("ref.gaia_dr3", ("ra", "dec")),
        ("ref.gaia_dr3", ("ra_j1954", "dec_j1954")), ("plate.image", ("ra", "dec")), ("plate.tile", ("ra", "dec")),
        ("plate.solution", ("tangent_ra", "tangent_dec")),
    ]:  # fmt: skip
        refuse(toy, f"UPDATE {table} SET {columns[0]} = :ra, {columns[1]} = :dec", ra=ra, dec=dec)


@pytest.mark.parametrize(("ra", "dec"), [(0.0, -90.0), (359.999999999, 90.0), (180.0, 0.0)])
def test_the_poles_and_the_meridian_are_positions(toy, ra: float, dec: float) -> None:
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [ra], [dec])
    toy.sources("gaia_dr3", [ra], [dec])
    assert toy.scalar("SELECT count(*) FROM vasco.detection JOIN ref.gaia_dr3 USING (ra, dec)") == 1


INSERT_MATCH = """
INSERT INTO vasco.match (
    extraction_id, number, catalog, state, source_id, sep_arcsec, n_within, lookup_id, lookup_complete, reason
)
VALUES (:e, 1, :catalog, :state, :source_id, :sep, :n, :lookup, :complete, :reason)
"""


def test_clear_stands_only_on_a_complete_lookup_of_the_same_catalogue(toy) -> None:
    e = toy.extraction()
    toy.detections(e, [10.0], [10.0])
    complete, failed = toy.lookup("gaia_dr3"), toy.lookup("gaia_dr3", complete=False)
    nothing = {"source_id": None, "sep": None, "n": 0, "reason": None, "state": "clear", "catalog": "gaia_dr3", "e": e}
    refuse(toy, INSERT_MATCH, **nothing, lookup=None, complete=None)
    refuse(toy, INSERT_MATCH, **nothing, lookup=complete, complete=None)
    refuse(toy, INSERT_MATCH, **nothing, lookup=None, complete=True)
    refuse(toy, INSERT_MATCH, **nothing, lookup=failed, complete=True)
    refuse(toy, INSERT_MATCH, **nothing, lookup=failed, complete=False)
    refuse(toy, INSERT_MATCH, **nothing, lookup=987654321, complete=True)
    refuse(toy, INSERT_MATCH, **nothing | {"catalog": "gaia_edr3"}, lookup=complete, complete=True)
    toy.execute(INSERT_MATCH, **nothing, lookup=complete, complete=True)


def test_a_match_names_its_source_and_a_failure_its_reason(toy) -> None:
    e = toy.extraction()
    toy.detections(e, [10.0], [10.0])
    row = {"e": e, "catalog": "gaia_dr3", "lookup": None, "complete": None, "reason": None}
    refuse(toy, INSERT_MATCH, **row, state="matched", source_id=None, sep=1.0, n=1)
    refuse(toy, INSERT_MATCH, **row, state="matched", source_id=5, sep=None, n=1)
    refuse(toy, INSERT_MATCH, **row, state="matched", source_id=5, sep=1.0, n=0)
    refuse(toy, INSERT_MATCH, **row, state="matched", source_id=5, sep=-1.0, n=1)
    refuse(toy, INSERT_MATCH, **row, state="not_covered", source_id=5, sep=1.0, n=1)
    refuse(toy, INSERT_MATCH, **row, state="unknown", source_id=None, sep=None, n=0)
    toy.execute(INSERT_MATCH, **row, state="matched", source_id=5, sep=1.0, n=1)


def test_coverage_comes_only_from_complete_lookups(toy) -> None:
    failed, complete = toy.lookup("gaia_dr3", complete=False), toy.lookup("gaia_edr3", moc=None)
    insert = (
        "INSERT INTO ref.coverage (catalog, hpx29, lookup_id, lookup_complete) VALUES (:c, int8range(:a, :b), :l, :k)"
    )
    refuse(toy, insert, c="gaia_dr3", a=0, b=10, l=failed, k=True)
    refuse(toy, insert, c="gaia_dr3", a=0, b=10, l=failed, k=False)
    refuse(toy, insert, c="gaia_dr3", a=0, b=10, l=complete, k=True)
    refuse(toy, insert, c="gaia_edr3", a=5, b=5, l=complete, k=True)
    refuse(toy, insert, c="gaia_edr3", a=-1, b=5, l=complete, k=True)


def test_a_complete_lookup_cannot_lose_its_completeness_while_coverage_stands_on_it(toy) -> None:
    complete = toy.lookup("gaia_dr3")
    refuse(toy, "UPDATE ref.lookup SET complete = false WHERE lookup_id = :id", id=complete)
    refuse(toy, "DELETE FROM ref.lookup WHERE lookup_id = :id", id=complete)


INSERT_LOOKUP = """
INSERT INTO ref.lookup (
    lookup_id, catalog, kind, endpoint, parameters, region, status, error, rows_in, rows_kept, rows_rejected, row_cap,
    overflow, complete, response_sha256
)
VALUES (7, 'gaia_dr3', 'file', 'x', '{}', 'x', :status, :error, :rows_in, :kept, :rejected, :cap, :overflow, true, :sha)
"""
GOOD_LOOKUP = {
    "status": "ok", "error": None, "rows_in": 10, "kept": 9, "rejected": 1, "cap": 11, "overflow": False, "sha": "x"
}  # fmt: skip


@pytest.mark.parametrize(
    "fault",
    [
        {"overflow": True},
        {"cap": 10},
        {"cap": 9},
        {"sha": None},
        {"status": "failed", "error": "timed out"},
        {"kept": 10},
        {"rows_in": -1, "kept": -1, "rejected": 0},
    ],
    ids=str,
)
def test_a_lookup_that_was_cut_off_or_failed_cannot_be_complete(toy, fault: dict[str, object]) -> None:
    refuse(toy, INSERT_LOOKUP, **GOOD_LOOKUP | fault)
    toy.execute(INSERT_LOOKUP, **GOOD_LOOKUP)


def test_a_failed_lookup_says_why(toy) -> None:
    failed = INSERT_LOOKUP.replace("true, :sha", "false, :sha, :cause").replace("sha256\n)", "sha256, cause\n)")
    for reasons in ({}, {"error": "timed out"}, {"cause": "timeout"}):
        refuse(toy, failed, **GOOD_LOOKUP | {"status": "failed", "cause": None} | reasons)
    toy.execute(failed, **GOOD_LOOKUP | {"status": "failed", "error": "timed out", "cause": "timeout"})


def test_a_pass_stands_on_a_value_or_a_lookup_and_everything_else_on_a_reason(toy) -> None:
    e = toy.extraction()
    toy.detections(e, [10.0], [10.0])
    lookup = toy.lookup("gaia_dr3")
    toy.execute(
        """
        INSERT INTO vasco.run (run_id, run, profile, parameters, code_version) VALUES (1, 'r', 'p', '{}', '0');
        INSERT INTO vasco.run_image VALUES (1, :e);
        INSERT INTO vasco.run_stage VALUES (1, 1, 's', 1, 'flags', '{}')
        """,
        e=e,
    )
    insert = "INSERT INTO vasco.verdict VALUES (1, 's', :e, 1, :outcome, :value, :reason, :lookup)"
    refuse(toy, insert, e=e, outcome="pass", value=None, reason=None, lookup=None)
    refuse(toy, insert, e=e, outcome="pass", value=None, reason="it looks fine", lookup=None)
    for outcome in ("fail", "unknown", "not_covered"):
        refuse(toy, insert, e=e, outcome=outcome, value=1.0, reason=None, lookup=None)
    refuse(toy, insert, e=e, outcome="pass", value=None, reason=None, lookup=lookup + 1000)
    toy.execute(insert, e=e, outcome="pass", value=None, reason=None, lookup=lookup)


def test_an_image_without_position_solution_or_epoch_is_not_ok(toy) -> None:
    toy.extraction()
    for column in ("plate_id", "tile_id", "ra", "footprint", "scale_arcsec_px", "solution_id", "epoch_jyear"):
        refuse(toy, f"UPDATE plate.image SET {column} = NULL")
        toy.execute(f"UPDATE plate.image SET {column} = {column}")
    refuse(toy, "UPDATE plate.image SET status = 'refused'")


def test_half_a_proper_motion_and_half_a_measurement_are_refused(toy) -> None:
    e = toy.extraction()
    toy.detections(e, [10.0], [10.0])
    toy.sources("gaia_dr3", [10.0], [10.0])
    refuse(toy, "UPDATE ref.gaia_dr3 SET pmra_masyr = 1, pmdec_masyr = NULL")
    refuse(toy, "UPDATE ref.gaia_dr3 SET pmra_masyr = 20001, pmdec_masyr = 0")
    refuse(toy, "UPDATE vasco.detection SET spread_model = NULL")


def test_a_detection_takes_230_bytes_or_less_with_its_indexes(database: Database) -> None:
    n = 5000
    with database.connect() as connection:
        toy = ToySky(connection)
        toy.detections(toy.extraction(), [10 + i / n for i in range(n)], [10.0] * n)
        assert toy.scalar("SELECT pg_total_relation_size('vasco.detection')") / n <= 230


@pytest.mark.parametrize("kind", ["area", "list", "moving"])
def test_a_services_answer_is_complete_only_beside_a_canary(toy, kind: str) -> None:
    answer = toy.service_lookup("gaia_dr3", kind)
    refuse(toy, "UPDATE ref.lookup SET canary_id = NULL WHERE lookup_id = :id", id=answer)
    toy.execute("UPDATE ref.lookup SET canary_id = NULL, complete = false WHERE lookup_id = :id", id=answer)


def test_a_lookup_of_a_service_names_it(toy) -> None:
    answer = toy.service_lookup("gaia_dr3", "footprint")
    refuse(toy, "UPDATE ref.lookup SET service = NULL WHERE lookup_id = :id", id=answer)
    toy.execute("UPDATE ref.lookup SET service = NULL, kind = 'file' WHERE lookup_id = :id", id=answer)


def test_a_failed_look_for_moving_objects_cannot_pass_for_a_complete_one(toy) -> None:
    name, image_id = toy.catalog("asteroids", moving=True), toy.extraction()
    toy.moving_look(name, image_id, 10.0, 0.0, 1.0, complete=False)
    refuse(toy, "UPDATE ref.moving_look SET complete = true")
    toy.detections(image_id, [10.0], [0.0])
    row = {"e": image_id, "catalog": name, "source_id": None, "sep": None, "n": 0, "reason": None}
    failed = toy.scalar("SELECT lookup_id FROM ref.moving_look")
    refuse(toy, INSERT_MATCH, **row, state="clear", lookup=failed, complete=True)


def test_a_gap_is_a_range_of_cells_with_a_lookup(toy) -> None:
    failed = toy.service_lookup("gaia_dr3", complete=False)
    insert = "INSERT INTO ref.gap VALUES ('gaia_dr3', int8range(:a, :b), :l)"
    refuse(toy, insert, a=5, b=5, l=failed)
    refuse(toy, insert, a=-1, b=5, l=failed)
    refuse(toy, insert, a=1, b=5, l=failed + 1000)
    toy.execute(insert, a=1, b=5, l=failed)
