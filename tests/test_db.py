"""Connections: one transaction each, errors of one line, and no password anywhere."""

import time
from pathlib import Path

import psycopg2
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from vascodb.bulk import staged
from vascodb.db import Database
from vascodb.errors import InputError, ServiceError
from vascodb.settings import Settings


def on(url: str, home: Path = Path("/nowhere")) -> Database:
    return Database(Settings(home=home, url=SecretStr(url)))


def count(database: Database) -> int:
    with database.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM plate.tile")))


def test_a_transaction_is_committed_at_its_end_and_rolled_back_on_any_exception(database: Database) -> None:
    insert = text("INSERT INTO plate.tile VALUES (:name, 1, 1, 60)")
    with database.connect() as connection:
        connection.execute(insert, {"name": "kept"})
    with pytest.raises(KeyboardInterrupt), database.connect() as connection:
        connection.execute(insert, {"name": "lost"})
        raise KeyboardInterrupt
    assert count(database) == 1


def test_sessions_are_in_utc_without_compilation_and_print_floats_in_full(database: Database) -> None:
    with database.connect() as connection:
        settings = [connection.scalar(text(f"SHOW {name}")) for name in ("timezone", "jit", "extra_float_digits")]
    assert settings == ["UTC", "off", "1"]


@pytest.mark.parametrize(
    "url", ["not a url", "postgresql://host:port/x", "mysql://u@h/db", "sqlite:///x.db", "://", ""]
)  # fmt: skip
def test_a_url_that_names_no_postgresql_is_the_users_mistake(url: str) -> None:
    with pytest.raises(InputError, match="VASCODB_URL") as caught:
        on(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody:secret-word@127.0.0.1:1/none",
        "postgresql://nobody:secret-word@/none?host=/no/such/folder",
        "postgresql://nobody:secret-word@no-such-host.invalid/none",
    ],
)
def test_an_unreachable_server_is_a_service_error_that_keeps_the_password(url: str) -> None:
    with pytest.raises(ServiceError, match="safe to run again") as caught, on(url).connect():
        pass
    assert caught.value.exit_status == 4
    assert "\n" not in str(caught.value)
    assert "secret-word" not in str(caught.value)


def terminate_others(database: Database) -> None:
    with psycopg2.connect(database.libpq_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_server_that_goes_away_half_way_is_a_service_error_and_the_next_connection_works(database: Database) -> None:
    with pytest.raises(ServiceError, match="safe to run again"), database.connect() as connection:
        connection.execute(text("INSERT INTO plate.tile VALUES ('lost', 1, 1, 60)"))
        terminate_others(database)
        connection.execute(text("SELECT 1"))
    assert count(database) == 0


def test_a_server_that_goes_away_during_a_bulk_load_is_a_service_error(database: Database) -> None:
    import pyarrow as pa  # noqa: PLC0415

    rows = pa.table({"number": pa.array([1, 2], pa.int32())})
    with pytest.raises(ServiceError), database.connect() as connection, staged(database, connection, rows, "test"):
        terminate_others(database)
        connection.execute(text("SELECT 1"))
    with database.connect() as connection, staged(database, connection, rows, "test") as staging:
        assert connection.scalar(text(f"SELECT sum(number) FROM {staging}")) == 3


def test_mistakes_in_sql_and_broken_constraints_are_not_the_services_fault(database: Database) -> None:
    with pytest.raises(ProgrammingError), database.connect() as connection:
        connection.execute(text("SELECT no_such_column"))
    with pytest.raises(IntegrityError), database.connect() as connection:
        connection.execute(text("INSERT INTO plate.tile VALUES ('x', 999, 0, 1)"))


def test_the_url_for_other_programs_is_libpqs(database: Database) -> None:
    with psycopg2.connect(database.libpq_url) as connection:
        assert connection.info.dbname == database.url.database
    assert database.libpq_url.startswith("postgresql://")


def test_outside_a_transaction_vacuum_is_possible(database: Database) -> None:
    with database.autocommit() as connection:
        connection.execute(text("VACUUM plate.tile"))


def backend(cursor) -> int:
    cursor.execute("SELECT pg_backend_pid()")
    return cursor.fetchone()[0]


def connected(database: Database, pid: int) -> bool:
    with database.connect() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE pid = :p"), {"p": pid}))


def test_a_connection_for_bulk_is_kept_for_the_next_without_its_locks(database: Database) -> None:
    with database.bulk_cursor() as one, database.bulk_cursor() as other:
        first, second = backend(one), backend(other)
        assert first != second
        one.execute("SELECT pg_advisory_lock(1951)")
    with database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) == 0
    with database.bulk_cursor() as one, database.bulk_cursor() as other:
        assert {backend(one), backend(other)} == {first, second}


def test_a_connection_for_bulk_that_failed_or_was_ended_is_not_used_again(database: Database) -> None:
    with pytest.raises(KeyboardInterrupt), database.bulk_cursor() as cursor:
        failed = backend(cursor)
        raise KeyboardInterrupt
    with database.bulk_cursor() as cursor:
        ended = backend(cursor)
        assert ended != failed
    with database.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:p)"), {"p": ended})
    with database.bulk_cursor() as cursor:
        assert backend(cursor) not in (failed, ended)


def test_connections_for_bulk_are_closed_with_the_database(database: Database) -> None:
    with database.bulk_cursor() as cursor:
        pid = backend(cursor)
    assert connected(database, pid)
    database.close()
    deadline = time.monotonic() + 10
    while connected(database, pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
