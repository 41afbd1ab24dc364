"""Gaps: where a look-up failed and none has covered since; disjoint, and disjoint from coverage."""

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from toysky import ToySky

from vascodb.db import Database
from vascodb.loaders.regions import Cone
from vascodb.loaders.store import add_coverage as store_coverage
from vascodb.plates.footprint import multirange

N_CELLS = 60


def ranges_of(cells: set[int]) -> str:
    """A multirange, one range for each cell: adjacent ones are merged by PostgreSQL."""
    return "{" + ",".join(f"[{c},{c + 1})" for c in sorted(cells)) + "}"


def gaps(toy: ToySky, catalog: str = "gaia_dr3") -> dict[int, int]:
    """Look-up by cell; every range is expanded, and none overlaps another."""
    found: dict[int, int] = {}
    rows = toy.execute(
        "SELECT lower(hpx29) AS a, upper(hpx29) AS b, lookup_id FROM ref.gap WHERE catalog = :c", c=catalog
    )
    for row in rows:
        for cell in range(row.a, row.b):
            assert cell not in found, "two gaps overlap"
            found[cell] = row.lookup_id
    return found


def add_gap(toy: ToySky, lookup_id: int, cells: set[int], catalog: str = "gaia_dr3") -> int:
    added: int = toy.scalar(
        "SELECT ref.add_gap(:c, :l, CAST(:r AS int8multirange))", c=catalog, l=lookup_id, r=ranges_of(cells)
    )
    return added


def add_coverage(toy: ToySky, lookup_id: int, cells: set[int], catalog: str = "gaia_dr3") -> None:
    toy.execute(
        "SELECT ref.add_coverage(:c, :l, CAST(:r AS int8multirange))", c=catalog, l=lookup_id, r=ranges_of(cells)
    )


def test_the_newest_failure_stands_for_what_it_overlaps(toy: ToySky) -> None:
    first, second = (toy.service_lookup("gaia_dr3", complete=False) for _ in range(2))
    assert add_gap(toy, first, set(range(0, 10)) | set(range(20, 30))) == 2
    assert add_gap(toy, second, set(range(5, 25))) == 1
    expected = (
        dict.fromkeys(range(5), first) | dict.fromkeys(range(5, 25), second) | dict.fromkeys(range(25, 30), first)
    )
    assert gaps(toy) == expected


def test_a_failure_within_an_older_one_leaves_its_rims(toy: ToySky) -> None:
    first, second = (toy.service_lookup("gaia_dr3", complete=False) for _ in range(2))
    add_gap(toy, first, set(range(10)))
    add_gap(toy, second, {4, 5})
    assert gaps(toy) == dict.fromkeys(range(10), first) | {4: second, 5: second}
    assert toy.scalar("SELECT count(*) FROM ref.gap") == 3


def test_what_is_covered_is_no_gap_whatever_fails_later(toy: ToySky) -> None:
    failed, good = toy.service_lookup("gaia_dr3", complete=False), toy.service_lookup("gaia_dr3")
    add_coverage(toy, good, set(range(10, 20)))
    assert add_gap(toy, failed, set(range(12, 15))) == 0
    assert add_gap(toy, failed, set(range(5, 25))) == 2
    assert set(gaps(toy)) == set(range(5, 10)) | set(range(20, 25))


def test_coverage_takes_gaps_away(toy: ToySky) -> None:
    failed, good = toy.service_lookup("gaia_dr3", complete=False), toy.service_lookup("gaia_dr3")
    add_gap(toy, failed, set(range(20)))
    add_coverage(toy, good, set(range(5, 8)) | {19, 20, 21})
    assert set(gaps(toy)) == set(range(19)) - {5, 6, 7}


def test_one_catalogues_gaps_are_not_anothers(toy: ToySky) -> None:
    add_gap(toy, toy.service_lookup("gaia_dr3", complete=False), {1, 2, 3})
    add_gap(toy, toy.service_lookup("gaia_edr3", complete=False), {2, 3, 4}, "gaia_edr3")
    add_coverage(toy, toy.service_lookup("gaia_dr3"), {2})
    assert (set(gaps(toy)), set(gaps(toy, "gaia_edr3"))) == ({1, 3}, {2, 3, 4})


def test_nothing_adds_nothing(toy: ToySky) -> None:
    assert add_gap(toy, toy.service_lookup("gaia_dr3", complete=False), set()) == 0
    assert toy.scalar("SELECT ref.clip_gaps('gaia_dr3', '{}')") == 0
    assert gaps(toy) == {}


def test_a_cells_gap_is_found_to_the_last_cell_of_the_sky(toy: ToySky) -> None:
    lookup_id = toy.service_lookup("gaia_dr3", complete=False)
    last = 12 * 4**29 - 1
    add_gap(toy, lookup_id, {0, 5, 6, last})
    found = {
        cell: toy.scalar("SELECT lookup_id FROM sky.gap_at('gaia_dr3', :cell)", cell=cell)
        for cell in (0, 1, 4, 5, 6, 7, last - 1, last)
    }
    assert {cell for cell, value in found.items() if value == lookup_id} == {0, 5, 6, last}
    assert {value for value in found.values()} == {lookup_id, None}


cells = st.sets(st.integers(0, N_CELLS - 1), max_size=25)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.tuples(st.booleans(), cells), max_size=8))
def test_any_order_of_failures_and_successes_gives_what_a_dictionary_gives(toy: ToySky, events) -> None:
    undo = toy.connection.begin_nested()
    try:
        covered: dict[int, int] = {}
        failed: dict[int, int] = {}
        for good, where in events:
            if good:
                lookup_id = toy.service_lookup("gaia_dr3")
                add_coverage(toy, lookup_id, where)
                covered |= {cell: lookup_id for cell in where if cell not in covered}
                failed = {cell: by for cell, by in failed.items() if cell not in where}
            else:
                lookup_id = toy.service_lookup("gaia_dr3", complete=False)
                add_gap(toy, lookup_id, where)
                failed |= dict.fromkeys(where - set(covered), lookup_id)
        assert gaps(toy) == failed
        rows = toy.execute(
            """
            SELECT c AS cell, l.lookup_id AS covered, g.lookup_id AS failed
            FROM generate_series(0, :n - 1) AS c
            LEFT JOIN LATERAL sky.covering_lookup('gaia_dr3', c) AS l ON true
            LEFT JOIN LATERAL sky.gap_at('gaia_dr3', c) AS g ON true
            """,
            n=N_CELLS,
        ).all()
        assert {row.cell: row.covered for row in rows if row.covered} == covered
        assert {row.cell: row.failed for row in rows if row.failed} == failed
    finally:
        undo.rollback()


def test_a_small_change_among_many_gaps_takes_no_longer_than_among_few(toy: ToySky) -> None:
    failed, good = toy.service_lookup("gaia_dr3", complete=False), toy.service_lookup("gaia_dr3")
    # The checks of foreign keys are not what is measured.
    toy.execute("SET LOCAL session_replication_role = replica")

    def seconds(statement: str, first: int, lookup_id: int) -> float:
        started = time.perf_counter()
        for n in range(20):
            toy.execute(statement, l=lookup_id, r=f"{{[{first + 1000 * n},{first + 1000 * n + 550})}}")
        return time.perf_counter() - started

    add = "SELECT ref.add_gap('gaia_dr3', :l, CAST(:r AS int8multirange))"
    cover = "SELECT ref.add_coverage('gaia_dr3', :l, CAST(:r AS int8multirange))"
    few = [seconds(add, 0, failed), seconds(cover, 25, good)]
    toy.execute(
        "INSERT INTO ref.gap SELECT 'gaia_dr3', int8range(g, g+50), :l FROM generate_series(100000, 6000000, 100) AS g",
        l=failed,
    )
    many = [seconds(add, 3_000_000, failed), seconds(cover, 3_000_025, good)]
    assert np.max(np.array(many) / np.array(few)) < 20, (few, many)


def test_gaps_and_coverage_of_a_catalogue_wait_for_each_other(database: Database) -> None:
    cone = Cone(10.0, 0.0, 1.0).covered(60.0)
    with database.connect() as setup:
        toy = ToySky(setup)
        good, failed = toy.service_lookup("gaia_dr3"), toy.service_lookup("gaia_dr3", complete=False)
        other = toy.service_lookup("gaia_edr3", complete=False)
    gap = "SELECT ref.add_gap(:c, :l, CAST(:r AS int8multirange))"
    with database.connect() as first:
        store_coverage(first, "gaia_dr3", good, cone)
        with database.connect() as second:
            second.execute(text("SET LOCAL lock_timeout = '100ms'"))
            second.execute(text(gap), {"c": "gaia_edr3", "l": other, "r": multirange(cone)})
            with pytest.raises(OperationalError, match="lock timeout"), second.begin_nested():
                second.execute(text(gap), {"c": "gaia_dr3", "l": failed, "r": multirange(cone)})
    with database.connect() as after:
        assert after.scalar(text(gap), {"c": "gaia_dr3", "l": failed, "r": multirange(cone)}) == 0


def test_a_gap_needs_a_lookup_on_record(toy: ToySky) -> None:
    with pytest.raises(Exception, match="foreign key"), toy.connection.begin_nested():
        add_gap(toy, 987654321, {1})
