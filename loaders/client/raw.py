"""Tables as services send them as text: CSV and JSON, refused where they are cut or are something else."""

import io
import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import csv

from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.session import text_of_page

__all__ = ["RawTable", "read_csv", "read_json", "refuse_pages"]


@dataclass(frozen=True)
class RawTable:
    """A table as it came, under the service's names.

    Parameters
    ----------
    rows : `pyarrow.Table`
        Columns and rows.
    units : dict of str to str
        Units of the columns that say one.
    said_empty : bool
        Whether the service said in words that it found nothing, and therefore sent no columns.
    """

    rows: pa.Table
    units: dict[str, str] = field(default_factory=dict)
    said_empty: bool = False


def refuse_pages(body: bytes, expected: str) -> None:
    """Refuse an answer that is empty or a page for people.

    Parameters
    ----------
    body : bytes
        The answer.
    expected : str
        What it should be, in words.
    """
    start = body[:2048].lstrip().lower()
    if not start:
        raise LookupFailure(Cause.TRUNCATED, f"the answer is empty, not even {expected} without rows")
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        raise LookupFailure(Cause.NOT_THE_FORMAT, f"a page instead of {expected}: {text_of_page(body)}")


def read_csv(body: bytes, text_columns: tuple[str, ...] = ()) -> RawTable:
    """Read a CSV answer with a line of names.

    A cut at the very end of a line cannot be seen in CSV: prefer formats that say where they end.

    Parameters
    ----------
    body : bytes
        The answer.
    text_columns : tuple of str
        Columns that are text even where they look like numbers.

    Raises
    ------
    LookupFailure
        If it is a page, XML or JSON, ends in the middle of a line, or a row has another number of fields.
    """
    refuse_pages(body, "a CSV table")
    if body.lstrip()[:1] in (b"<", b"{", b"["):
        raise LookupFailure(Cause.NOT_THE_FORMAT, f"no CSV table: {text_of_page(body)}")
    if not body.endswith(b"\n"):
        raise LookupFailure(Cause.TRUNCATED, f"the CSV table ends in the middle of a line, after {len(body)} bytes")
    header = body[: body.index(b"\n")]
    if b"," not in header:
        raise LookupFailure(Cause.NOT_THE_FORMAT, f"no CSV table: {text_of_page(body)}")
    options = csv.ConvertOptions(
        null_values=["", "null", "NULL", "nan", "NaN"],
        strings_can_be_null=True,
        column_types={name: pa.string() for name in text_columns},
    )
    try:
        table = csv.read_csv(io.BytesIO(body), convert_options=options)
    except pa.ArrowException as error:
        raise LookupFailure(Cause.TRUNCATED, f"the CSV table is damaged: {error}") from error
    return RawTable(table)


def read_json(body: bytes) -> RawTable:
    """Read a JSON answer of MAST: ``info`` about the columns, ``data`` row by row.

    Raises
    ------
    LookupFailure
        If it is a page, ends in the middle, or reports an error.
    """
    refuse_pages(body, "a JSON table")
    if body.lstrip()[:1] not in (b"{", b"["):
        raise LookupFailure(Cause.NOT_THE_FORMAT, f"no JSON: {text_of_page(body)}")
    try:
        document = json.loads(body)
    except ValueError as error:
        raise LookupFailure(Cause.TRUNCATED, f"the JSON is damaged or ends too early: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("info"), list):
        raise LookupFailure(Cause.SERVICE_ERROR, f"no table but {json.dumps(document)[:300]}")
    if not isinstance(document.get("data"), list):
        raise LookupFailure(Cause.TRUNCATED, "the JSON table has columns but no data")
    return RawTable(_json_table(document["info"], document["data"]))


def _json_table(info: list[dict[str, Any]], rows: list[list[Any]]) -> pa.Table:
    try:
        names = [str(column["name"]) for column in info]
        kinds = [str(column.get("type", "")).lower() for column in info]
    except (KeyError, TypeError, AttributeError) as error:
        raise LookupFailure(Cause.NOT_THE_FORMAT, f"the JSON table describes its columns otherwise: {error}") from error
    if any(not isinstance(row, list) or len(row) != len(names) for row in rows):
        raise LookupFailure(Cause.TRUNCATED, f"the JSON table has rows of other than {len(names)} fields")
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    try:
        return pa.table([_json_column(values, kind) for values, kind in zip(columns, kinds, strict=True)], names=names)
    except (ValueError, TypeError, pa.ArrowException) as error:
        raise LookupFailure(Cause.BAD_ROWS, f"a value of the JSON table is of another kind: {error}") from error


def _json_column(values: tuple[Any, ...], kind: str) -> pa.Array:
    if kind in ("long", "int", "short", "unsignedbyte", "integer"):
        # Numbers of 64 bits are sent as text, because JavaScript cannot hold them.
        return pa.array([None if value is None else int(value) for value in values], pa.int64())
    if kind in ("double", "float", "decimal"):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string())
