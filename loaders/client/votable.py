"""Read VOTable answers strictly and fast: what is cut, overflowed or an error is refused by its name.

Libraries read what they can of a damaged VOTable, some return what they got before the damage, and
status elements behind the table are easily missed. Here the whole document counts.
"""

import binascii
import re
import struct
from dataclasses import dataclass
from html import escape, unescape
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.raw import RawTable, refuse_pages
from vascodb.loaders.client.session import text_of_page

__all__ = ["read_votable"]

_END = re.compile(rb"(</(\w+:)?VOTABLE\s*>|<(\w+:)?VOTABLE[^>]*/>)\s*(<!--.*?-->\s*)*$", re.DOTALL)
_DATA = re.compile(rb"<((?:\w+:)?(?:TABLEDATA|STREAM))\b([^>]*?)(/?)>")
_CELL = re.compile(rb"<(?:\w+:)?TD\b[^>]*?(?:/>|>([^<]*)</(?:\w+:)?TD\s*>)")
_LITERAL = re.compile(rb"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_TYPES = {
    "unsignedByte": "u1", "short": ">i2", "int": ">i4", "long": ">i8", "float": ">f4", "double": ">f8",
    "char": "S", "unicodeChar": "U", "boolean": "S",
}  # fmt: skip


@dataclass(frozen=True)
class _Field:
    """A column as it is declared; ``count`` is none where each row says how long its value is."""

    name: str
    kind: str
    count: int | None
    unit: str
    null: str | None

    @property
    def is_text(self) -> bool:
        return self.kind in "SU"

    @property
    def item_bytes(self) -> int:
        return {"S": 1, "U": 2}.get(self.kind) or np.dtype(self.kind).itemsize


def read_votable(body: bytes) -> RawTable:
    """Read the one table of a VOTable document.

    VizieR's ASU interface counts the rows in an INFO ``matches``; no table beside a count of none is
    a proper empty answer, and a count that differs from the rows is a cut one.

    Parameters
    ----------
    body : bytes
        The answer; TABLEDATA, BINARY or BINARY2.

    Returns
    -------
    `RawTable`
        All rows.

    Raises
    ------
    LookupFailure
        If it is no VOTable, is cut, reports an error or an overflow, or has columns but no data.
    """
    refuse_pages(body, "a VOTable")
    if not re.search(rb"<(\w+:)?VOTABLE\b", body[:4096]):
        raise LookupFailure(Cause.NOT_THE_FORMAT, f"no VOTable: {text_of_page(body)}")
    if not _END.search(body[-4096:]):
        raise LookupFailure(Cause.TRUNCATED, f"the VOTable ends before its end, after {len(body)} bytes")
    outline, data, stream_attributes = _cut_out_data(body)
    try:
        root = ElementTree.fromstring(outline)
    except ElementTree.ParseError as error:
        raise LookupFailure(Cause.TRUNCATED, f"the VOTable is damaged: {error}") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    _check_status(root)
    tables = [table for table in root.iter("TABLE") if table.find("FIELD") is not None]
    matches = [info.get("value", "") for info in root.iter("INFO") if info.get("name") == "matches"]
    if not tables:
        if matches and set(matches) == {"0"}:
            return RawTable(pa.table({}), said_empty=True)
        raise LookupFailure(Cause.TRUNCATED, "the VOTable has no table, not even one without rows")
    if len(tables) > 1:
        raise LookupFailure(Cause.NOT_THE_FORMAT, f"the VOTable has {len(tables)} tables instead of one")
    fields = [_read_field(element) for element in tables[0].iter("FIELD")]
    kind = next((child.tag for child in tables[0].iterfind("DATA/*") if child.tag != "INFO"), None)
    if kind is None or data is None:
        raise LookupFailure(Cause.TRUNCATED, "the VOTable has columns but no data")
    if kind == "TABLEDATA":
        columns = _from_cells(data, fields)
    elif kind in ("BINARY", "BINARY2") and b"base64" in stream_attributes:
        columns = _from_binary(data, fields, with_flags=kind == "BINARY2")
    else:
        raise LookupFailure(Cause.NOT_THE_FORMAT, f"the VOTable's data are {kind}, {stream_attributes.decode()[:100]}")
    named = {each.name: column for each, column in zip(fields, columns, strict=True)}
    _refuse_full(root, len(columns[0]))
    if matches and matches != [str(len(columns[0]))]:
        raise LookupFailure(Cause.TRUNCATED, f"the VOTable has {len(columns[0])} rows of {', '.join(matches)} matches")
    return RawTable(pa.table(named), {each.name: each.unit for each in fields if each.unit})


def _cut_out_data(body: bytes) -> tuple[bytes, bytes | None, bytes]:
    """The document without its rows, the rows, and how those are encoded."""
    match = _DATA.search(body)
    if match is None:
        return body, None, b""
    if match[3]:
        return body, b"", match[2]
    end = body.find(b"</" + match[1], match.end())
    if end < 0:
        raise LookupFailure(Cause.TRUNCATED, "the VOTable's data do not end")
    if _DATA.search(body, end + len(match[1])):
        raise LookupFailure(Cause.NOT_THE_FORMAT, "the VOTable has more than one table with data")
    return body[: match.end()] + body[end:], body[match.end() : end], match[2]


def _check_status(root: ElementTree.Element) -> None:
    overflow = None
    for element in root.iter():
        if element.tag not in ("INFO", "PARAM"):
            continue
        name, value = element.get("name", "").upper(), element.get("value", "")
        said = f"{value} {element.text or ''}".strip()
        if (name == "QUERY_STATUS" and value.upper() == "ERROR") or name == "ERROR":
            raise LookupFailure(Cause.SERVICE_ERROR, said or "an error without a word")
        if name == "QUERY_STATUS" and value.upper() == "OVERFLOW":
            overflow = said
    if overflow is not None:
        raise LookupFailure(Cause.OVERFLOW, f"the service cut the answer: {overflow}")


def _refuse_full(root: ElementTree.Element, n_rows: int) -> None:
    """VizieR says how many rows it sends at most, and older hosts say no more when they cut there."""
    for info in root.iter("INFO"):
        limit = info.get("value", "").strip()
        if info.get("name") in ("MaxTuples", "-out.max") and limit.isdigit() and n_rows >= int(limit):
            raise LookupFailure(Cause.ROW_CAP, f"{n_rows} rows, as many as the service sends at most")


def _read_field(element: ElementTree.Element) -> _Field:
    datatype, size = element.get("datatype", ""), element.get("arraysize", "1")
    if datatype not in _TYPES or "x" in size:
        raise LookupFailure(
            Cause.NOT_THE_FORMAT, f"column {element.get('name')} is of a kind that is not read: {datatype} {size}"
        )
    values = element.find("VALUES")
    return _Field(
        name=element.get("name", element.get("ID", "")),
        kind=_TYPES[datatype],
        count=None if "*" in size else int(size or 1),
        unit=element.get("unit", ""),
        null=values.get("null") if values is not None else None,
    )


def _from_cells(data: bytes, fields: list[_Field]) -> list[pa.Array]:
    if b"<![CDATA[" in data:
        data = _LITERAL.sub(lambda match: escape(match[1].decode("utf-8", "replace")).encode(), data)
    cells = _CELL.findall(data)
    rows = re.split(rb"</(?:\w+:)?TR\s*>", data)
    if rows.pop().strip():
        raise LookupFailure(Cause.TRUNCATED, "the VOTable's last row does not end")
    if len(cells) != len(rows) * len(fields) or any(_n_cells(row) != len(fields) for row in rows):
        raise LookupFailure(Cause.TRUNCATED, f"the VOTable has rows of other than {len(fields)} cells")
    return [_column_of_cells(cells[i :: len(fields)], each) for i, each in enumerate(fields)]


def _n_cells(row: bytes) -> int:
    return row.count(b"<TD") or row.count(b":TD") // 2


def _column_of_cells(cells: list[bytes], declared: _Field) -> pa.Array:
    if declared.is_text or declared.count != 1:
        words = (unescape(cell.decode("utf-8", "replace")).strip() for cell in cells)
        return pa.array([word or None for word in words], pa.string())
    null = (declared.null or "").encode()
    missing = np.array([not cell.strip() or cell.strip() == null for cell in cells], dtype=bool)
    filler = b"nan" if declared.kind in (">f4", ">f8") else b"0"
    texts = np.array([filler if gone else cell for cell, gone in zip(cells, missing, strict=True)], dtype=bytes)
    try:
        values = texts.astype(np.dtype(declared.kind).newbyteorder("="))
    except (ValueError, OverflowError) as error:
        raise LookupFailure(Cause.BAD_ROWS, f"column {declared.name}: {error}") from error
    return _masked(values, missing)


def _from_binary(data: bytes, fields: list[_Field], *, with_flags: bool) -> list[pa.Array]:
    try:
        packed = binascii.a2b_base64(data)
    except binascii.Error as error:
        raise LookupFailure(Cause.TRUNCATED, f"the VOTable's data are cut: {error}") from error
    flag_bytes = (len(fields) + 7) // 8 if with_flags else 0
    starts, places = _places(packed, fields, flag_bytes)
    buffer = np.frombuffer(packed, dtype=np.uint8)
    if flag_bytes:
        flags = np.unpackbits(_gathered(buffer, starts, flag_bytes), axis=1).astype(bool)
    else:
        flags = np.zeros((len(starts), len(fields)), dtype=bool)
    columns = []
    for i, (each, (at, lengths)) in enumerate(zip(fields, places, strict=True)):
        columns.append(_column_of_bytes(packed, buffer, each, at, lengths, flags[:, i]))
    return columns


def _places(
    packed: bytes, fields: list[_Field], flag_bytes: int
) -> tuple[NDArray[np.int64], list[tuple[NDArray[np.int64], NDArray[np.int64] | None]]]:
    """Where each row starts, and where each of its values; with their lengths where those vary."""
    fixed_bytes = flag_bytes + sum((each.count or 0) * each.item_bytes for each in fields)
    variable = [i for i, each in enumerate(fields) if each.count is None]
    if variable:
        starts, ends = _walk(packed, fields, flag_bytes)
    else:
        if len(packed) % fixed_bytes:
            raise LookupFailure(
                Cause.TRUNCATED, f"the VOTable's data end in the middle of a row of {fixed_bytes} bytes"
            )
        starts, ends = np.arange(0, len(packed), fixed_bytes, dtype=np.int64), {}
    places: list[tuple[NDArray[np.int64], NDArray[np.int64] | None]] = []
    at = starts + flag_bytes
    for i, each in enumerate(fields):
        if each.count is None:
            first = at + 4
            places.append((first, ends[i] - first))
            at = ends[i]
        else:
            places.append((at, None))
            at = at + each.count * each.item_bytes
    return starts, places


def _walk(
    packed: bytes, fields: list[_Field], flag_bytes: int
) -> tuple[NDArray[np.int64], dict[int, NDArray[np.int64]]]:
    """Step through rows of varying length: where each starts, and where each value of varying length ends."""
    steps: list[tuple[int, int, list[int]]] = []
    ends: dict[int, list[int]] = {}
    gap = flag_bytes
    for i, each in enumerate(fields):
        if each.count is None:
            ends[i] = []
            steps.append((gap, each.item_bytes, ends[i]))
            gap = 0
        else:
            gap += each.count * each.item_bytes
    starts: list[int] = []
    at, size, length_of = 0, len(packed), struct.Struct(">i").unpack_from
    try:
        while at < size:
            starts.append(at)
            for before, item_bytes, found in steps:
                at += before
                (length,) = length_of(packed, at)
                at += 4 + max(length, 0) * item_bytes
                found.append(at)
            at += gap
    except struct.error as error:
        raise LookupFailure(Cause.TRUNCATED, "the VOTable's data end in the middle of a row") from error
    if at != size:
        raise LookupFailure(Cause.TRUNCATED, "the VOTable's data end in the middle of a row")
    return np.array(starts, dtype=np.int64), {i: np.array(found, dtype=np.int64) for i, found in ends.items()}


def _column_of_bytes(
    packed: bytes,
    buffer: NDArray[np.uint8],
    declared: _Field,
    at: NDArray[np.int64],
    lengths: NDArray[np.int64] | None,
    missing: NDArray[np.bool_],
) -> pa.Array:
    if declared.is_text or declared.count != 1:
        if lengths is None:
            lengths = np.full(len(at), (declared.count or 0) * declared.item_bytes)
        encoding = "utf-16-be" if declared.kind == "U" else "utf-8"
        words = (
            packed[start : start + length].decode(encoding, "replace").partition("\0")[0].strip()
            for start, length in zip(at.tolist(), lengths.tolist(), strict=True)
        )
        known = [None if gone or not word else word for word, gone in zip(words, missing, strict=True)]
        return pa.array(known, pa.string())
    values = _gathered(buffer, at, declared.item_bytes).view(declared.kind)[:, 0]
    values = values.astype(values.dtype.newbyteorder("="))
    if declared.null is not None and values.dtype.kind in "iu" and re.fullmatch(r"\s*[-+]?\d+\s*", declared.null):
        missing = missing | (values.astype(np.int64) == int(declared.null))
    return _masked(values, missing)


def _gathered(buffer: NDArray[np.uint8], at: NDArray[np.int64], n_bytes: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(buffer[at[:, None] + np.arange(n_bytes)])


def _masked(values: NDArray[Any], missing: NDArray[np.bool_]) -> pa.Array:
    if values.dtype.kind == "f":
        missing = missing | np.isnan(values)
    return pa.array(values, mask=missing)
