"""Rows out: a table for people, or a file with units and descriptions for programs."""

import io
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.table import MaskedColumn, Table
from pyarrow import parquet
from rich.console import Console
from rich.table import Table as RichTable
from sqlalchemy import Connection, text

from vascodb.errors import InputError

__all__ = ["PlainConsole", "Query", "emit", "print_sql", "run_query"]

_COMMENT = re.compile(r"(?P<description>.*) \[(?P<unit>[^\]]+)\] \{(?P<ucd>[^}]+)\}")
_BINARY = ("fits", "parquet")
# Types of PostgreSQL that are numbers, by their object id, and what stands in masked places. Sums of
# bigint are numeric.
_NUMBERS: dict[object, tuple[np.dtype[Any], Any]] = {
    16: (np.dtype(bool), False),
    **dict.fromkeys((20, 21, 23), (np.dtype(np.int64), 0)),
    700: (np.dtype(np.float32), np.nan),
    **dict.fromkeys((701, 1700), (np.dtype(np.float64), np.nan)),
}


class PlainConsole(Console):
    """Standard output for people; what is not a terminal gets lines of a fixed width.

    Parameters
    ----------
    width : int
        Width where the output is not a terminal.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width=None if sys.stdout.isatty() else width, highlight=False)

    def on_broken_pipe(self) -> None:
        """Leave it to the command's edge that the reader has gone; rich would end with status 1."""
        raise BrokenPipeError


@dataclass(frozen=True)
class Query:
    """A statement with bound parameters, and the view whose column comments describe its result."""

    statement: str
    parameters: Mapping[str, Any]
    relation: str


def print_sql(query: Query) -> None:
    """Print a statement so that it can be pasted into psql."""
    for name, value in query.parameters.items():
        quoted = str(value).replace("\\", "\\\\").replace("'", "\\'")
        print(f"\\set {name} '{quoted}'")
    print(re.sub(r"(?<!:):(\w+)", lambda m: f":'{m[1]}'", query.statement.strip()) + ";")


def run_query(connection: Connection, query: Query) -> Table:
    """Run a statement; the columns carry the units, UCDs and descriptions of the relation's comments."""
    result = connection.execute(text(query.statement), dict(query.parameters))
    names = list(result.keys())
    types = [column[1] for column in result.cursor.description] if result.cursor else []
    rows = result.all()
    comments = {
        name: comment
        for name, comment in connection.execute(
            text("""
                SELECT attname, col_description(attrelid, attnum)
                FROM pg_attribute
                WHERE attrelid = CAST(:relation AS regclass) AND attnum > 0
            """),
            {"relation": query.relation},
        )
        if comment
    }
    table = Table()
    for index, name in enumerate(names):
        table[name] = _column(name, [row[index] for row in rows], types[index], comments.get(name))
    return table


def emit(table: Table, kind: str, output: Path | None, brief: Sequence[str] = ()) -> None:
    """Print or write rows.

    Parameters
    ----------
    table : `~astropy.table.Table`
        From `run_query`.
    kind : str
        ``table``, ``json``, ``csv``, ``ecsv``, ``votable``, ``fits`` or ``parquet``.
    output : `~pathlib.Path` or None
        File to write; None for standard output.
    brief : sequence of str, optional
        Columns that people are shown who ask for nothing else; files and other formats have all.

    Raises
    ------
    InputError
        If a binary format would go to a terminal, or the file cannot be written.
    """
    if kind in _BINARY and output is None and sys.stdout.isatty():
        raise InputError(f"{kind} is binary; give a file with -o")
    if kind == "table" and output is None:
        _print_table(table[list(brief)] if brief else table)
        return
    content = _render(table, kind)
    if output is None:
        sys.stdout.buffer.write(content)
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror}") from error


def _column(name: str, values: Sequence[Any], type_oid: object, comment: str | None) -> MaskedColumn:
    # The type is the column's own, not that of the values: a result without rows has types, too.
    dtype, empty = _NUMBERS.get(type_oid, (np.dtype(str), ""))
    if dtype.kind == "U":
        data = np.array([empty if value is None else _plain_text(value) for value in values], dtype=dtype)
    else:
        data = np.array([empty if value is None else value for value in values], dtype=dtype)
    column = MaskedColumn(data, name=name, mask=[value is None for value in values])
    if comment and (match := _COMMENT.fullmatch(comment)):
        column.description = match["description"]
        column.unit = None if match["unit"] == "-" else match["unit"]
        column.meta["ucd"] = match["ucd"]
    return column


def _plain_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _print_table(table: Table) -> None:
    view = RichTable(box=None, header_style="bold", pad_edge=False)
    for name in table.colnames:
        view.add_column(name, justify="right" if table[name].dtype.kind in "if" else "left", no_wrap=True)
    for row in table:
        view.add_row(*[_cell(value) for value in row])
    PlainConsole(400).print(view)


def _cell(value: Any) -> str:
    if np.ma.is_masked(value):
        return ""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float | np.floating) else str(value)


def _render(table: Table, kind: str) -> bytes:
    if kind == "json":
        return (json.dumps([_plain_row(table, row) for row in table], indent=1) + "\n").encode()
    if kind == "parquet":
        sink = io.BytesIO()
        parquet.write_table(_arrow(table), sink)
        return sink.getvalue()
    formats = {"table": "ascii.fixed_width_two_line", "csv": "ascii.csv", "ecsv": "ascii.ecsv"}
    if kind in ("fits", "votable"):
        stream = io.BytesIO()
        table.write(stream, format=kind)
        return stream.getvalue()
    lines = io.StringIO()
    table.write(lines, format=formats[kind])
    return lines.getvalue().encode()


def _plain_row(table: Table, row: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name in table.colnames:
        value = row[name]
        if np.ma.is_masked(value) or (isinstance(value, float | np.floating) and not np.isfinite(value)):
            plain[name] = None
        elif isinstance(value, np.float32):
            plain[name] = float(str(value))  # the shortest digits that name it, not those of its double
        else:
            plain[name] = value.item() if hasattr(value, "item") else value
    return plain


def _arrow(table: Table) -> pa.Table:
    arrays, fields = [], []
    for name in table.colnames:
        column = table[name]
        data = np.asarray(column)
        as_text = data.dtype.kind == "U"
        values = pa.array(
            data.tolist() if as_text else data, mask=np.ma.getmaskarray(column), type=pa.string() if as_text else None
        )
        metadata = {
            "description": column.description or "",
            "unit": str(column.unit or ""),
            "ucd": column.meta.get("ucd", ""),
        }
        arrays.append(values)
        fields.append(pa.field(name, values.type, metadata=metadata))
    return pa.table(arrays, schema=pa.schema(fields))
