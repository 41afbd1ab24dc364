"""Bulk loading: an Arrow table into an unlogged staging table by binary COPY."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from time import monotonic, sleep

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from sqlalchemy import Connection, text

from vascodb.db import Database
from vascodb.errors import ServiceError

__all__ = ["advisory_lock", "loading", "staged", "try_advisory_lock"]

_POSTGRES_TYPES = {
    pa.int64(): "bigint",
    pa.int32(): "integer",
    pa.int16(): "smallint",
    pa.float64(): "double precision",
    pa.float32(): "real",
    pa.string(): "text",
}

_ROLLBACK_S = 3.0
"""What takes longer to be rolled back is left to the next load."""


@contextmanager
def loading(database: Database) -> Iterator[Connection]:
    """One transaction in which rows are `staged`: as `Database.connect`, and nothing is left if it fails.

    To roll it back is to take back that staging tables were dropped, so they are dropped again then.
    """
    transaction = f"loading {secrets.token_hex(8)}"
    with ExitStack() as unless_committed:
        unless_committed.callback(_sweep, database, transaction)
        with database.connect() as connection:
            advisory_lock(connection, transaction)
            yield connection
        unless_committed.pop_all()


@contextmanager
def staged(
    database: Database, connection: Connection, table: pa.Table | pa.RecordBatchReader, purpose: str
) -> Iterator[str]:
    """Copy rows into a staging table from which the caller's transaction merges.

    The table is unlogged and has a name of its own; the caller's transaction drops it when the
    context ends well; see `loading` for when it does not. A load that is killed leaves its table
    behind; the next load removes it, because nobody holds its lock any more.

    Parameters
    ----------
    database : `Database`
        Where to.
    connection : `~sqlalchemy.Connection`
        The transaction that merges; rolled back if the context ends in an exception.
    table : `pyarrow.Table` or `pyarrow.RecordBatchReader`
        Rows; columns of int16, int32, int64, float32, float64 or string.
    purpose : str
        Becomes part of the table's name, for people who look.

    Yields
    ------
    str
        Qualified name of the staging table, safe to put into SQL.
    """
    name = f"{purpose}_{secrets.token_hex(6)}"
    qualified = f'staging."{name}"'
    columns = ", ".join(f'"{field.name}" {_POSTGRES_TYPES[field.type]}' for field in table.schema)
    with database.bulk_cursor() as cursor, ExitStack() as unless_merged:
        _drop_abandoned(cursor)
        # Held until this cursor is given back: the sign that the table is in use.
        cursor.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", (name,))
        cursor.execute(f"CREATE UNLOGGED TABLE {qualified} ({columns})")
        # Last comes first: the transaction's own locks on the table must go before this connection can drop it.
        unless_merged.callback(cursor.execute, f"DROP TABLE IF EXISTS {qualified}")
        unless_merged.callback(connection.rollback)
        cursor.adbc_ingest(name, table, mode="append", db_schema_name="staging")
        cursor.execute(f"ANALYZE {qualified}")
        yield qualified
        connection.execute(text(f"DROP TABLE {qualified}"))
        unless_merged.pop_all()


def advisory_lock(connection: Connection, subject: str, *, shared: bool = False) -> None:
    """Hold a lock on a subject until the transaction ends; others that want it wait.

    Any number may share it, but nobody holds it alone then.
    """
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    connection.execute(text(f"SELECT {function}(hashtextextended(:subject, 0))"), {"subject": subject})


def try_advisory_lock(connection: Connection, subject: str) -> bool:
    """Hold a lock on a subject until the transaction ends, unless somebody else does; returns whether it is held."""
    statement = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:subject, 0))")
    return bool(connection.scalar(statement, {"subject": subject}))


def _sweep(database: Database, transaction: str) -> None:
    with suppress(ServiceError), database.bulk_cursor() as cursor:
        _wait_for_the_end(cursor, transaction)
        _drop_abandoned(cursor)


def _wait_for_the_end(cursor: adbc.Cursor, transaction: str) -> None:
    # An interrupted connection is closed at once; the server rolls back when it notices, and holds its locks till then.
    deadline = monotonic() + _ROLLBACK_S
    while not _try_lock(cursor, transaction):
        if monotonic() > deadline:
            return
        sleep(0.02)
    _unlock(cursor, transaction)


def _try_lock(cursor: adbc.Cursor, subject: str) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", (subject,))
    row = cursor.fetchone()
    return row is not None and bool(row[0])


def _unlock(cursor: adbc.Cursor, subject: str) -> None:
    cursor.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", (subject,))
    cursor.fetchone()


def _drop_abandoned(cursor: adbc.Cursor) -> None:
    # A table that any transaction still has a lock on is not abandoned: ours may have dropped it, uncommitted.
    cursor.execute("""
        SELECT c.relname
        FROM pg_class AS c
        WHERE c.relnamespace = 'staging'::regnamespace AND c.relkind = 'r'
        AND NOT EXISTS (SELECT 1 FROM pg_locks AS l WHERE l.relation = c.oid)
    """)
    for (name,) in cursor.fetchall():
        if _try_lock(cursor, name):
            cursor.execute(f'DROP TABLE IF EXISTS staging."{name}"')
            _unlock(cursor, name)
