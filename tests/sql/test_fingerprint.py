"""Equal content has an equal fingerprint, whatever the order, the time and the machine."""

from collections.abc import Iterator

import pytest
from toysky import ToySky

from vascodb.profiles import load_profile


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
    toy.judge(load_profile("vasco60"), extraction_id)
    yield toy


def test_every_table_of_content_has_one_and_all_have_one_together(filled: ToySky) -> None:
    tables = filled.execute("""
        SELECT n.nspname || '.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('plate', 'ref', 'vasco') AND c.relkind = 'r' AND c.relname <> 'source_template'
    """).scalars()
    assert set(fingerprints(filled)) == set(tables) | {"all"}
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
