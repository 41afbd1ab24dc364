"""Binary COPY: exact values in, and a failure on either side is told for what it is."""

import math
from collections.abc import Iterator

import psycopg2
import psycopg2.extensions as pg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from vascodb.copying import copy_rows, plain_waiting
from vascodb.db import Database
from vascodb.errors import ServiceError

KINDS = {
    "a": (pa.int64(), "bigint"), "b": (pa.int32(), "integer"), "c": (pa.int16(), "smallint"),
    "d": (pa.float64(), "double precision"), "e": (pa.float32(), "real"), "f": (pa.string(), "text"),
}  # fmt: skip


def make_table(connection: Connection, extra: str = "") -> None:
    columns = ", ".join(f"{name} {kind}" for name, (_, kind) in KINDS.items())
    connection.execute(text(f"CREATE TEMPORARY TABLE t (place serial, {columns}{extra}) ON COMMIT DROP"))


def stored(connection: Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(text("SELECT a, b, c, d, e::float8, f FROM t ORDER BY place"))]


ANY_ROW = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.integers(-(2**15), 2**15 - 1),
    st.none() | st.floats(),
    st.none() | st.floats(width=32),
    st.none() | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=9),
)


def as_table(rows: list[tuple[object, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [[] for _ in KINDS]
    return pa.table(
        {name: pa.array(list(c), kind) for (name, (kind, _)), c in zip(KINDS.items(), columns, strict=True)}
    )


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.lists(ANY_ROW, max_size=8), max_size=3))
def test_every_value_arrives_bit_by_bit(connection: Connection, parts: list[list[tuple[object, ...]]]) -> None:
    with connection.begin_nested() as savepoint:
        make_table(connection)
        assert copy_rows(connection, "t", (as_table(part) for part in parts)) == sum(map(len, parts))
        assert list(map(repr, stored(connection))) == [repr(row) for part in parts for row in part]
        savepoint.rollback()


def test_many_rows_come_in_order_over_all_chunks(connection: Connection) -> None:
    n = 50_001
    table = pa.table({"a": pa.array(range(n)), "d": [None if i % 3 == 0 else i / 7 for i in range(n)]})
    make_table(connection)
    assert copy_rows(connection, "t", [table.slice(0, 20_000), table.slice(20_000)]) == n
    rows = connection.execute(text("SELECT a, d FROM t ORDER BY place")).all()
    assert [tuple(row) for row in rows] == list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_no_tables_are_no_rows(connection: Connection) -> None:
    make_table(connection)
    assert copy_rows(connection, "t", []) == 0


def test_a_failure_of_the_rows_is_raised_as_it_is(connection: Connection) -> None:
    def rows() -> Iterator[pa.Table]:
        yield as_table([(1, 2, 3, 4.0, 5.0, "six")])
        raise LookupError("the disk is on fire")

    make_table(connection)
    savepoint = connection.begin_nested()
    with pytest.raises(LookupError, match="the disk is on fire"):
        copy_rows(connection, "t", rows())
    savepoint.rollback()
    assert stored(connection) == []


def test_a_row_that_the_table_refuses_is_the_databases_error(connection: Connection) -> None:
    make_table(connection, ", CHECK (d < 90)")
    savepoint = connection.begin_nested()
    with pytest.raises(psycopg2.errors.CheckViolation):
        copy_rows(connection, "t", [as_table([(1, 2, 3, 95.0, 5.0, None)])])
    savepoint.rollback()


def test_a_database_that_goes_away_is_a_service_error(database: Database) -> None:
    def rows() -> Iterator[pa.Table]:
        yield pa.table({"d": [math.pi]})
        with database.autocommit() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        for _ in range(200):
            yield pa.table({"d": [math.e] * 10_000})

    with pytest.raises(ServiceError, match=r"not available.*safe to run again"), database.connect() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE t (d double precision)"))
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        copy_rows(connection, "t", rows())


def test_copying_goes_where_waiting_is_interruptible_and_that_comes_back(database: Database) -> None:
    def waiter(_connection: object) -> None: ...

    pg.set_wait_callback(waiter)
    try:
        with plain_waiting(), database.connect() as connection:
            connection.execute(text("CREATE TEMPORARY TABLE t (d double precision)"))
            assert copy_rows(connection, "t", [pa.table({"d": [1.0]})]) == 1
        assert pg.get_wait_callback() is waiter
    finally:
        pg.set_wait_callback(None)
