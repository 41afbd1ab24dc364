"""Rows straight into a table that is in use: PostgreSQL's binary COPY, in the caller's transaction."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain

import numpy as np
import psycopg2
import psycopg2.extensions as pg
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection

from vascodb.errors import ServiceError

__all__ = ["copy_rows", "plain_waiting"]

_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"
_BIG_ENDIAN = {pa.int64(): ">i8", pa.int32(): ">i4", pa.int16(): ">i2", pa.float64(): ">f8", pa.float32(): ">f4"}
# About a megabyte of rows: they are encoded within the processor's cache.
_ROWS_AT_ONCE = 8192


@contextmanager
def plain_waiting() -> Iterator[None]:
    """Let connections made inside COPY, which they cannot while a wait callback is set for the process."""
    callback = pg.get_wait_callback()
    pg.set_wait_callback(None)
    try:
        yield
    finally:
        pg.set_wait_callback(callback)


def copy_rows(connection: Connection, table: str, rows: Iterable[pa.Table]) -> int:
    """Copy rows into a table with its indexes and checks, in the caller's transaction.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        Made inside `plain_waiting`.
    table : str
        Qualified name, safe to put into SQL.
    rows : iterable of `pyarrow.Table`
        All with the same columns, each under the table's name for it; of int16, int32, int64,
        float32, float64 or string. Null is NULL; NaN stays NaN.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    psycopg2.Error
        As any statement: a check or a unique index refuses a row. The transaction must be rolled back
        then, at least to a savepoint.
    """
    parts = iter(rows)
    first = next(parts, None)
    if first is None:
        return 0
    stream = _Stream(chain([first], parts))
    columns = ", ".join(f'"{name}"' for name in first.column_names)
    try:
        with closing(connection.connection.cursor()) as cursor:
            cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN (FORMAT binary)", stream)
    except psycopg2.Error as error:
        if stream.failure is not None:
            raise stream.failure from None
        if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
            raise ServiceError(
                f"the database is not available: {' '.join(str(error).split())}; safe to run again"
            ) from error
        raise
    return stream.n_rows


class _Stream:
    """What psycopg2 reads from: each call brings the next chunk, whatever its size, and nothing at the end.

    psycopg2 makes words of an exception that is raised in here, so it is kept for the caller.
    """

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self.n_rows = 0
        self.failure: BaseException | None = None
        self._chunks = self._encoded(tables)

    def read(self, _size: int = -1) -> bytes:
        try:
            return next(self._chunks, b"")
        except BaseException as error:
            self.failure = error
            raise

    def _encoded(self, tables: Iterator[pa.Table]) -> Iterator[bytes]:
        yield _HEADER
        for table in tables:
            for start in range(0, table.num_rows, _ROWS_AT_ONCE):
                part = table.slice(start, _ROWS_AT_ONCE)
                self.n_rows += part.num_rows
                yield _encode([column.combine_chunks() for column in part.columns], part.num_rows)
        yield _TRAILER


def _encode(columns: Sequence[pa.Array], n_rows: int) -> bytes:
    """Rows side by side at their greatest width; then the bytes that are not there are left out."""
    fields = [_text_field(column) if column.type == pa.string() else _number_field(column) for column in columns]
    count = np.broadcast_to(np.array([len(columns)], ">i2").view(np.uint8), (n_rows, 2))
    laid_out = np.concatenate([count, *(part for length, value, _ in fields for part in (length, value))], axis=1)
    if all(there is None for _, _, there in fields):
        return laid_out.tobytes()
    keep = np.ones(laid_out.shape, dtype=bool)
    end = 2
    for _, value, there in fields:
        end += 4 + value.shape[1]
        if there is not None:
            keep[:, end - value.shape[1] : end] = there
    return laid_out[keep].tobytes()


_Bytes = NDArray[np.uint8]
_Field = tuple[_Bytes, _Bytes, NDArray[np.bool_] | None]


def _number_field(column: pa.Array) -> _Field:
    kind = np.dtype(_BIG_ENDIAN[column.type])
    values = column.fill_null(0).to_numpy(zero_copy_only=False).astype(kind).view(np.uint8).reshape(-1, kind.itemsize)
    if column.null_count == 0:
        return _lengths(np.full(len(column), kind.itemsize)), values, None
    there = column.is_valid().to_numpy(zero_copy_only=False)
    return _lengths(np.where(there, kind.itemsize, -1)), values, there[:, None]


def _text_field(column: pa.Array) -> _Field:
    if column.null_count == len(column):
        return _lengths(np.full(len(column), -1)), np.empty((len(column), 0), dtype=np.uint8), None
    there = column.is_valid().to_numpy(zero_copy_only=False)
    encoded = column.fill_null("").cast(pa.binary())
    lengths = np.array([len(value) for value in encoded.to_pylist()], dtype=np.int64)
    there_bytes = np.arange(max(lengths, default=0)) < lengths[:, None]
    values = np.zeros(there_bytes.shape, dtype=np.uint8)
    values[there_bytes] = np.frombuffer(b"".join(encoded.to_pylist()), dtype=np.uint8)
    return _lengths(np.where(there, lengths, -1)), values, there_bytes


def _lengths(values: NDArray[np.int64]) -> _Bytes:
    return values.astype(">i4").view(np.uint8).reshape(-1, 4)
