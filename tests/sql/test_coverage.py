"""Coverage stays disjoint, belongs to whoever came first, and costs what the new ranges cost, not what is stored."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import Connection, text
from toysky import ToySky

NOBODY = 0
SKY = 4000


def mask_ranges(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(low), int(high)) for low, high in edges.reshape(-1, 2)]


def as_multirange(ranges: list[tuple[int, int]]) -> str:
    return "{" + ",".join(f"[{low},{high})" for low, high in ranges) + "}"


def add(connection: Connection, catalog: str, lookup_id: int, ranges: str) -> int:
    statement = text("SELECT ref.add_coverage(:catalog, :id, CAST(:ranges AS int8multirange))")
    return int(connection.execute(statement, {"catalog": catalog, "id": lookup_id, "ranges": ranges}).scalar_one())


def random_sky(rng: np.random.Generator, n_ranges: int) -> NDArray[np.bool_]:
    """Ranges at random, from single cells to wide ones, some of them touching."""
    mask = np.zeros(SKY, dtype=bool)
    for _ in range(n_ranges):
        low, width = rng.integers(SKY), int(2 ** rng.uniform(0, rng.choice([1, 3, 10])))
        mask[low : low + width] = True
    return mask


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), counts=st.lists(st.integers(0, 400), min_size=1, max_size=5))
def test_coverage_is_the_disjoint_union_and_the_first_who_covered_keeps_it(
    connection: Connection, seed: int, counts: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    with connection.begin_nested() as savepoint:
        toy = ToySky(connection)
        catalog, other = toy.catalog("toy_a"), toy.catalog("toy_b")
        toy.lookup(other)
        owner = np.full(SKY, NOBODY)
        for count in counts:
            mask = random_sky(rng, count)
            lookup_id = toy.service_lookup(catalog)
            added = add(connection, catalog, lookup_id, as_multirange(mask_ranges(mask)))
            new = mask & (owner == NOBODY)
            owner[new] = lookup_id
            # What is added comes in the pieces of the new ranges that nobody has covered.
            assert added == len(mask_ranges(new))
        rows = connection.execute(
            text("SELECT lower(hpx29), upper(hpx29), lookup_id FROM ref.coverage WHERE catalog = :c"), {"c": catalog}
        ).all()
        stored = np.full(SKY, NOBODY)
        for low, high, lookup_id in rows:
            assert (stored[low:high] == NOBODY).all(), "two ranges overlap"
            stored[low:high] = lookup_id
        np.testing.assert_array_equal(stored, owner)
        savepoint.rollback()


def test_nothing_to_add_adds_nothing(connection: Connection, toy: ToySky) -> None:
    catalog = toy.catalog("toy_a")
    lookup_id = toy.service_lookup(catalog)
    assert add(connection, catalog, lookup_id, "{}") == 0
    assert add(connection, catalog, lookup_id, "{[5,9)}") == 1
    assert add(connection, catalog, lookup_id, "{[6,8)}") == 0


def test_what_is_covered_is_no_gap_any_more(connection: Connection, toy: ToySky) -> None:
    catalog = toy.catalog("toy_a")
    failed = toy.service_lookup(catalog, complete=False)
    connection.execute(text("SELECT ref.add_gap(:c, :id, '{[0,100)}')"), {"c": catalog, "id": failed})
    add(connection, catalog, toy.service_lookup(catalog), "{[10,20),[90,120)}")
    gaps = connection.scalars(
        text("SELECT CAST(range_agg(hpx29) AS text) FROM ref.gap WHERE catalog = :c"), {"c": catalog}
    ).one()
    assert gaps == "{[0,10),[20,90)}"


@pytest.mark.parametrize("analysed", [True, False], ids=["fresh statistics", "no statistics"])
def test_only_what_overlaps_is_touched(connection: Connection, toy: ToySky, analysed: bool) -> None:
    """To add 100 ranges to 200,000 stored ones, far fewer pages are looked at than those are."""
    catalog = toy.catalog("toy_a")
    stored = toy.service_lookup(catalog)
    connection.execute(
        text("""
            INSERT INTO ref.coverage (catalog, hpx29, lookup_id)
            SELECT :c, int8range(1000 * i, 1000 * i + 400), :id FROM generate_series(0, 199999) AS i
        """),
        {"c": catalog, "id": stored},
    )
    if analysed:
        connection.execute(text("ANALYZE ref.coverage"))
    # One half lies together where nothing is stored, the other lies between and across stored ranges.
    ranges = [(10**9 + 10 * i, 10**9 + 10 * i + 5) for i in range(50)]
    ranges += [(10**6 + 50_000 * i + 300, 10**6 + 50_000 * i + 700) for i in range(50)]
    statement = text("""
        EXPLAIN (ANALYZE, BUFFERS, FORMAT json)
        SELECT ref.add_coverage(:catalog, :id, CAST(:ranges AS int8multirange))
    """)
    values = {"catalog": catalog, "id": toy.service_lookup(catalog), "ranges": as_multirange(ranges)}
    explained = connection.execute(statement, values).scalar_one()
    plan = explained[0] if isinstance(explained, list) else json.loads(explained)[0]
    buffers = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    stored_pages = connection.execute(text("SELECT pg_relation_size('ref.coverage') / 8192")).scalar_one()
    # Some probes of some pages each, the rows, their index entries, and the check of each one's look-up.
    assert buffers < 15 * len(ranges) < stored_pages
