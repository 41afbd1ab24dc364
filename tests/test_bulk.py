"""Staging tables: exact values in, and nothing left behind."""

import math
import os
import signal
import subprocess
import sys
import threading
import time

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import extensions
from sqlalchemy import text

from vascodb.bulk import advisory_lock, loading, staged, try_advisory_lock
from vascodb.db import Database

ROWS = pa.table({"number": pa.array([1, 2, 3], pa.int32())})

LOAD_AND_WAIT = """
import sys, time
import pyarrow as pa
from pydantic import SecretStr
from vascodb.bulk import staged
from vascodb.db import Database
from vascodb.settings import Settings
database = Database(Settings(url=SecretStr(sys.argv[1])))
with database.connect() as connection, staged(database, connection, pa.table({"number": [1]}), "waiting") as staging:
    print(staging, flush=True)
    time.sleep(60)
"""


def leftovers(database: Database) -> list[str]:
    with database.connect() as connection:
        return list(
            connection.scalars(text("SELECT relname FROM pg_class WHERE relnamespace = 'staging'::regnamespace"))
        )


def test_every_kind_of_column_arrives_exactly(database: Database) -> None:
    table = pa.table({
        "a": pa.array([-(2**63), 2**63 - 1, None], pa.int64()),
        "b": pa.array([-(2**31), 2**31 - 1, None], pa.int32()),
        "c": pa.array([-(2**15), 2**15 - 1, None], pa.int16()),
        "d": pa.array([0.1, math.inf, None], pa.float64()),
        "e": pa.array([2.0**-126, -1.5 * 2.0**127, None], pa.float32()),
        "f": pa.array(["", "naïve ' \\ \" \t\n name", None], pa.string()),
    })  # fmt: skip
    with database.connect() as connection, staged(database, connection, table, "test") as staging:
        rows = connection.execute(text(f"SELECT a, b, c, d, e::float8, f FROM {staging}")).all()
    assert {tuple(row) for row in rows} == set(zip(*(column.to_pylist() for column in table.columns), strict=True))


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.none() | st.floats(), max_size=20))
def test_floats_survive_bit_by_bit(module_database: Database, values: list[float | None]) -> None:
    table = pa.table({"place": pa.array(range(len(values)), pa.int32()), "x": pa.array(values, pa.float64())})
    with module_database.connect() as connection, staged(module_database, connection, table, "test") as staging:
        got = connection.scalars(text(f"SELECT x FROM {staging} ORDER BY place")).all()
    assert list(map(repr, got)) == list(map(repr, values))


def test_no_rows_are_a_table_too(database: Database) -> None:
    with database.connect() as connection, staged(database, connection, ROWS.slice(0, 0), "test") as staging:
        assert connection.scalar(text(f"SELECT count(*) FROM {staging}")) == 0


def test_the_table_is_there_inside_and_gone_outside(database: Database) -> None:
    with database.connect() as connection, staged(database, connection, ROWS, "test") as staging:
        assert staging.startswith('staging."test_')
        assert connection.scalar(text(f"SELECT sum(number) FROM {staging}")) == 6
    assert leftovers(database) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_neither_the_table_nor_merged_rows(database: Database, error: type[BaseException]) -> None:
    with pytest.raises(error), loading(database) as connection, staged(database, connection, ROWS, "test") as staging:
        connection.execute(text(f"INSERT INTO plate.tile SELECT 't' || number, 1, 1, 1 FROM {staging}"))
        raise error
    assert leftovers(database) == []
    with database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM plate.tile")) == 0


def test_a_failure_after_the_merge_leaves_no_table_either(database: Database) -> None:
    def merge_and_fail() -> None:
        with loading(database) as connection:
            with staged(database, connection, ROWS, "test"):
                pass
            raise ValueError

    with pytest.raises(ValueError):
        merge_and_fail()
    assert leftovers(database) == []


def test_what_the_server_has_still_to_roll_back_is_waited_for(database: Database) -> None:
    def interrupted(connection: extensions.connection) -> None:
        # As Ctrl-C does, but nobody cancels: the server notices when its statement has ended.
        connection.poll()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), loading(database) as connection:
        with staged(database, connection, ROWS, "test") as staging:
            connection.execute(text(f"SELECT count(*) FROM {staging}"))
        extensions.set_wait_callback(interrupted)
        try:
            connection.execute(text("SELECT pg_sleep(0.7)"))
        finally:
            extensions.set_wait_callback(None)
    assert leftovers(database) == []


def test_what_a_killed_load_left_is_swept_by_the_next_and_a_running_one_is_not(database: Database) -> None:
    def start() -> tuple["subprocess.Popen[str]", str]:
        process = subprocess.Popen(
            [sys.executable, "-c", LOAD_AND_WAIT, database.libpq_url], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        return process, process.stdout.readline().strip().removeprefix('staging."').removesuffix('"')

    killed, abandoned = start()
    running, in_use = start()
    try:
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate()
        assert set(leftovers(database)) == {abandoned, in_use}
        wait_until_gone(database, 2)
        with database.connect() as connection, staged(database, connection, ROWS, "test"):
            assert abandoned not in leftovers(database)
        assert leftovers(database) == [in_use]
    finally:
        running.kill()
        running.communicate()


def wait_until_gone(database: Database, connections: int) -> None:
    """The server notices that a client is gone when it next talks to it; wait for that."""
    deadline = time.monotonic() + 20
    with database.connect() as connection:
        while time.monotonic() < deadline:
            n = connection.scalar(
                text("""
                    SELECT count(DISTINCT pid) FROM pg_locks
                    WHERE locktype = 'advisory'
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                """)
            )
            if n < connections:
                return
            time.sleep(0.05)
    raise AssertionError("the killed client's session is still there")


def test_an_advisory_lock_makes_others_wait_until_the_transaction_ends(database: Database) -> None:
    order: list[str] = []

    def second() -> None:
        with database.connect() as connection:
            advisory_lock(connection, "subject")
            order.append("second")

    thread = threading.Thread(target=second)
    with database.connect() as connection:
        advisory_lock(connection, "subject")
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]


def test_a_lock_that_is_tried_is_had_or_not_at_once(database: Database) -> None:
    with database.connect() as holder:
        assert try_advisory_lock(holder, "subject")
        with database.connect() as other:
            assert not try_advisory_lock(other, "subject")
            assert try_advisory_lock(other, "another subject")
    with database.connect() as other:
        assert try_advisory_lock(other, "subject")


def test_a_lock_may_be_shared_but_is_nobodys_alone_then(database: Database) -> None:
    with database.connect() as one, database.connect() as other:
        advisory_lock(one, "subject", shared=True)
        advisory_lock(other, "subject", shared=True)
        with database.connect() as third:
            assert not try_advisory_lock(third, "subject")
