"""Equal content has an equal fingerprint, whatever the order, the time and the machine."""

from collections.abc import Iterator

import pytest
from toysky import ToySky, gates_of

from vascodb.plates.footprint import multirange

# How services answered, not what.
LEFT_OUT = {"ref.endpoint", "ref.async_job", "ref.gap", "plate.fetch"}


def fingerprints(toy: ToySky) -> dict[str, str]:
    rows = toy.execute("SELECT table_name, fingerprint FROM api.fingerprint")
    return {name: value for name, value in rows}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.fixture
def filled(toy: ToySky) -> Iterator[ToySky]:
    """A tile from detections to verdicts."""
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0, 10.1, 10.2], [1.0, 2.0, 3.0], fwhm_image=[3.9, 4.0, 4.1])
    toy.sources("gaia_dr3", [10.0, 50.0], [1.0, 5.0], [1.5, None], [2.5, None])
    toy.lookup("gaia_dr3")
    toy.match(extraction_id, "gaia_dr3")
    toy.judge(gates_of("vasco60"), extraction_id)
    yield toy


def test_every_table_of_content_has_one_and_all_have_one_together(filled: ToySky) -> None:
    tables = filled.execute("""
        SELECT n.nspname || '.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('plate', 'ref', 'vasco') AND c.relkind = 'r' AND c.relname <> 'source_template'
    """).scalars()
    assert set(fingerprints(filled)) == (set(tables) - LEFT_OUT) | {"all"}
    rows = filled.execute("SELECT table_name, n_rows FROM api.fingerprint").all()
    counts = {name: n for name, n in rows}
    assert (counts["vasco.detection"], counts["ref.gaia_dr3"], counts["vasco.match"]) == (3, 2, 3)
    assert counts["all"] == sum(n for name, n in rows if name != "all")


def test_the_order_of_rows_does_not_matter(filled: ToySky) -> None:
    before = fingerprints(filled)
    filled.execute("""
        CREATE TEMPORARY TABLE copy AS SELECT * FROM ref.gaia_dr3;
        DELETE FROM ref.gaia_dr3;
        INSERT INTO ref.gaia_dr3 SELECT * FROM copy ORDER BY source_id DESC
    """)
    assert fingerprints(filled) == before


def test_where_and_when_do_not_matter(filled: ToySky) -> None:
    before = fingerprints(filled)
    filled.execute("""
        UPDATE plate.image SET path = '/elsewhere', recorded_at = now() - interval '1 day';
        UPDATE ref.lookup SET asked_at = now() - interval '1 day';
        UPDATE vasco.extraction SET extracted_at = now() - interval '1 day';
        UPDATE vasco.run SET started_at = now() - interval '1 day', code_version = '9.9'
    """)
    assert fingerprints(filled) == before


@pytest.fixture
def asked(filled: ToySky) -> ToySky:
    """The same with services asked: one for an area, one for moving objects over the image."""
    filled.service_lookup("gaia_dr3", row_cap=50, response_bytes=1000)
    filled.catalog("asteroids", moving=True)
    filled.moving_look("asteroids", 1, 10.0, 1.0, 0.5, [{"ra": 10.0, "dec": 1.0, "mag": 17.0}])
    return filled


def test_how_hard_an_answer_was_to_get_does_not_matter(asked: ToySky) -> None:
    before = fingerprints(asked)
    other_canary = asked.service_lookup("gaia_dr3", "canary", rows_in=2, rows_kept=2)
    asked.execute(
        """
        UPDATE ref.lookup SET seconds = 7, attempts = 3, http_status = 200, canary_id = :canary, endpoint = 'http://mirror'
        WHERE kind IN ('area', 'moving')
        """,
        canary=other_canary,
    )
    asked.service_lookup("gaia_dr3", "canary", complete=False)
    asked.gap("gaia_edr3")
    asked.service_lookup("gaia_dr3", status="split", complete=False, cause="overflow", error="cut at 50 rows")
    asked.moving_look("asteroids", 1, 10.0, 1.0, 0.5, [{"ra": 10.0, "dec": 1.5}], complete=False)
    asked.execute("""
        INSERT INTO ref.endpoint VALUES ('toy', 'http://toy', now(), NULL, NULL);
        INSERT INTO ref.async_job VALUES (1, 'toy', 'http://toy', 'http://toy/1');
        INSERT INTO plate.fetch (fetch_id, service, request, name, state, cause, detail, attempts)
        VALUES (1, 'stsci', '{}', 'tile_1', 'retryable', 'timeout', 'late', 1)
    """)
    assert fingerprints(asked) == before


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("ref.lookup", "response_sha256 = 'another' WHERE kind = 'area'"),
        ("ref.lookup", "rows_in = 2, rows_kept = 2 WHERE kind = 'area'"),
        ("ref.lookup", "endpoint = 'another.csv' WHERE kind = 'file'"),
        ("ref.lookup", "region = 'another' WHERE kind = 'moving'"),
        ("ref.moving_look", "radius_deg = 0.6"),
        ("ref.moving_object", "rate_ra_arcsec_h = 1"),
    ],
)
def test_what_was_answered_does(asked: ToySky, table: str, change: str) -> None:
    before = fingerprints(asked)
    asked.execute(f"UPDATE {table} SET {change}")
    assert changed(before, fingerprints(asked)) == {table, "all"}


def test_which_of_two_overlapping_look_ups_came_first_does_not_matter(toy: ToySky, cone_moc) -> None:
    e = toy.extraction(10.0, 0.0)
    toy.detections(e, [9.7, 10.0, 10.3, 10.05], [0.0] * 4)
    looks = [(toy.service_lookup("gaia_dr3"), cone_moc(ra, 0.0, 0.5)) for ra in (9.8, 10.2)]
    found, named = [], []
    for order in (looks, looks[::-1]):
        undo = toy.connection.begin_nested()
        for lookup_id, moc in order:
            toy.execute(
                "SELECT ref.add_coverage('gaia_dr3', :l, CAST(:r AS int8multirange))", l=lookup_id, r=multirange(moc)
            )
        toy.match(e, "gaia_dr3")
        toy.judge(gates_of("vasco60"), e)
        named.append(toy.execute("SELECT lookup_id FROM vasco.match ORDER BY number").scalars().all())
        found.append(toy.execute("SELECT * FROM api.fingerprint ORDER BY 1").all())
        undo.rollback()
    assert named[0] != named[1]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("vasco.detection", "snr_win = snr_win * 1.000001"),
        ("vasco.detection", "spread_model = NULL, spreaderr_model = NULL"),
        ("ref.gaia_dr3", "ra = ra + 1e-13"), ("ref.gaia_dr3", "mag = 'NaN'"), ("vasco.match", "state = 'not_covered'"),
        ("vasco.verdict", "value = value + 1e-12"), ("ref.coverage", "hpx29 = int8range(0, 1)"),
        ("plate.image", "header = '{\"a\": 1}'"), ("vasco.clip_window", "median = median + 1e-14"),
    ],
)  # fmt: skip
def test_the_smallest_change_shows_in_its_table_and_in_all(filled: ToySky, table: str, change: str) -> None:
    before = fingerprints(filled)
    # One row: changes of two rows must not cancel out.
    filled.execute(f"UPDATE {table} SET {change} WHERE ctid = (SELECT max(ctid) FROM {table})")
    after = fingerprints(filled)
    expected = {table, "all"} if before[table] != after[table] else set()
    assert expected, f"{change} did not change {table}"
    assert changed(before, after) == expected


def test_swapping_values_between_rows_shows(filled: ToySky) -> None:
    before = fingerprints(filled)
    filled.execute("UPDATE vasco.detection SET dec = 13.0 - dec - 9.0 WHERE number IN (1, 3)")
    assert filled.scalar("SELECT sum(dec) FROM vasco.detection") == 6.0
    assert changed(before, fingerprints(filled)) == {"vasco.detection", "all"}


def test_a_row_more_or_twice_the_same_shows(filled: ToySky) -> None:
    before = fingerprints(filled)
    filled.execute("INSERT INTO plate.exposure_time VALUES ('XE1', 'x', 'literal', NULL, NULL, NULL, 'unknown', 'x')")
    once = fingerprints(filled)
    filled.execute("INSERT INTO plate.exposure_time VALUES ('XE1', 'y', 'literal', NULL, NULL, NULL, 'unknown', 'x')")
    twice = fingerprints(filled)
    assert len({f["plate.exposure_time"] for f in (before, once, twice)}) == 3


def test_the_same_work_in_two_databases_and_sessions_gives_one_fingerprint(
    temporary_database, template_database: str
) -> None:
    found = []
    sessions = [
        "SET timezone = 'UTC'",
        "SET timezone = 'Pacific/Auckland'; SET extra_float_digits = 0; SET datestyle = SQL",
    ]
    for numbers, session in zip(([1, 2, 3], [3, 1, 2]), sessions, strict=True):
        with temporary_database(template_database) as database, database.connect() as connection:
            toy = ToySky(connection)
            toy.execute(session)
            extraction_id = toy.extraction()
            for n in numbers:
                toy.detections(extraction_id, [10.1 + n / 7], [1.0 / 3 * n], first=n)
            toy.match(extraction_id, "gaia_dr3")
            toy.execute(
                "INSERT INTO plate.exposure_time VALUES ('XE1', 'x', 'literal', :t, :t, 1952.1, 'single', 'x')",
                t="1952-02-03 04:05:06+00",
            )
            found.append(fingerprints(toy))
    assert found[0] == found[1]
