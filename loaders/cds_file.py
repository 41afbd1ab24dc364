"""Read a fixed-width file as the CDS distributes catalogues, such as ``vsx.dat``, by the ReadMe beside it.

The ReadMe says which bytes of a line are which column (http://vizier.cds.unistra.fr/doc/catstd.htx);
they move from one version of a catalogue to the next, so none are assumed here.
"""

import gzip
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vascodb.errors import InputError

__all__ = ["Column", "read_cds_file", "read_columns"]

_BYTES_AT_ONCE = 32 * 1024**2
_KINDS = {"I": pa.int64(), "F": pa.float64(), "E": pa.float64(), "D": pa.float64(), "A": pa.string()}
_LINE = re.compile(
    r"""\s*(?:(?P<first>\d+)\s*-)?\s*(?P<last>\d+)\s+   # 42- 50, or one byte
        (?P<kind>[AIFED])\d+(?:\.\d+)?\s+               # F9.5
        (?P<unit>\S+)\s+(?P<label>\S+)                  # deg RAdeg
        (?:\s+(?:[\[\]]\S*\s*)?\?=(?P<null>\S+))?       # ?=99.9: what stands for none
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Column:
    """One column of a file.

    Parameters
    ----------
    label : str
        Its name.
    unit : str
        Its unit; empty if it has none.
    kind : str
        Letter of its FORTRAN format: A, I, F, E or D.
    first, last : int
        Bytes of a line, from 1, both included.
    null : str or None
        What stands for no value beside blanks.
    """

    label: str
    unit: str
    kind: str
    first: int
    last: int
    null: str | None = None


def read_cds_file(path: Path, wanted: Collection[str]) -> tuple[pa.Table, dict[str, str]]:
    """Read some columns of a fixed-width file.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file, perhaps compressed (``.gz``), with a file ``ReadMe`` beside it.
    wanted : collection of str
        Names of columns; those that are not there are left out.

    Returns
    -------
    table : `pyarrow.Table`
        Integers, double precision numbers and text; blanks are null.
    units : dict of str to str
        Units of the columns that have one.

    Raises
    ------
    InputError
        If there is no ReadMe, it does not describe the file, the file has another number of lines, or a
        value is not of its column's kind.
    """
    readme, name = path.with_name("ReadMe"), path.name.removesuffix(".gz")
    described = read_columns(readme, name)
    columns = [column for column in described if column.label in wanted]
    if not columns:
        raise InputError(
            f"has none of the columns that are needed; its ReadMe tells of: {', '.join(c.label for c in described)}"
        )
    schema = pa.schema([(column.label, _KINDS[column.kind]) for column in columns])
    opener = gzip.open if path.name.endswith(".gz") else Path.open
    with cast(BinaryIO, opener(path, "rb")) as stream:
        width = max(column.last for column in described)
        parts = [_parsed(lines, columns, schema) for lines in _lines(stream, width)]
    table = pa.concat_tables([schema.empty_table(), *parts])
    n_rows = _count_records(readme, name)
    if table.num_rows != n_rows:
        raise InputError(
            f"has {table.num_rows} lines, but its ReadMe says {n_rows}; one of them is not whole, or older"
        )
    return table, {column.label: column.unit for column in columns if column.unit}


def read_columns(readme: Path, file_name: str) -> list[Column]:
    """The columns of a file as a ReadMe describes them."""
    try:
        lines = readme.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"needs the file ReadMe of its catalogue beside it ({readme})") from error
    about = re.compile(rf"Byte-by-byte Description of file.*(?<![\w.]){re.escape(file_name)}(?![\w.])")
    start = next((number for number, line in enumerate(lines) if about.match(line.strip())), None)
    if start is None:
        raise InputError(f"{readme} does not describe a file {file_name}")
    # Three lines of dashes: above and below the heads of the columns, and at the end.
    rules = [number for number, line in enumerate(lines[start:], start) if line.strip().startswith("-----")][:3]
    found = []
    for line in lines[rules[1] + 1 : rules[2]] if len(rules) == 3 else []:
        match = _LINE.match(line)
        if match is not None:
            last = int(match["last"])
            unit = "" if match["unit"] == "---" else match["unit"]
            found.append(Column(match["label"], unit, match["kind"], int(match["first"] or last), last, match["null"]))
    if not found:
        raise InputError(f"{readme}: the description of {file_name} has no columns")
    return found


def _count_records(readme: Path, file_name: str) -> int:
    """Number of lines of a file by the summary of files; without it a file that is cut off looks whole."""
    for line in readme.read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.match(rf"\s*{re.escape(file_name)}\s+\d+\s+(\d+)\s", line + " ")
        if match is not None:
            return int(match[1])
    raise InputError(f"{readme}: its summary of files does not say how many records {file_name} has")


def _lines(stream: BinaryIO, width: int) -> Iterator[list[bytes]]:
    """Whole lines, some megabytes at a time; only a line that has its end may lack blanks before it."""
    rest = b""
    while chunk := stream.read(_BYTES_AT_ONCE):
        *lines, rest = (rest + chunk).split(b"\n")
        yield [line for line in lines if line.strip()]
    if rest.strip():
        if len(rest) < width:
            raise InputError("its last line is not whole")
        yield [rest]


def _parsed(lines: list[bytes], columns: list[Column], schema: pa.Schema) -> pa.Table:
    width = max(column.last for column in columns)
    text = np.array(lines, dtype=f"S{width}").view(np.uint8).reshape(len(lines), width)
    return pa.table([_values(text, column) for column in columns], schema=schema)


def _values(text: np.ndarray, column: Column) -> pa.Array:
    field = np.ascontiguousarray(text[:, column.first - 1 : column.last])
    values = pa.array(field.view(f"S{field.shape[1]}").ravel()).cast(pa.binary())
    try:
        words = pc.utf8_trim_whitespace(values.cast(pa.string()))
        words = pc.if_else(pc.equal(words, ""), pa.scalar(None, pa.string()), words)
        numbers = words.cast(_KINDS[column.kind])
        if column.null is not None:
            none = pa.scalar(column.null).cast(_KINDS[column.kind])
            numbers = pc.if_else(pc.equal(numbers, none), pa.scalar(None, numbers.type), numbers)
    except pa.ArrowException as error:
        raise InputError(f"column {column.label}: {' '.join(str(error).split())[:200]}") from error
    return numbers
