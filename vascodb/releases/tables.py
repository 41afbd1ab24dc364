"""CSV tables of a release, every value checked; a fault is told by file, row and column. The header is row 1."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from vascodb.errors import InputError
from vascodb.releases.folder import ReleaseFile

__all__ = ["CsvTable"]

_YES = ("1", "True", "true")
_NO = ("0", "False", "false")


class CsvTable:
    """A CSV file as text columns, and its columns as numbers.

    Parameters
    ----------
    file : `ReleaseFile`
        The file.
    columns : sequence of str
        Columns that it must have; others are kept too.

    Raises
    ------
    InputError
        If it is no CSV file, a column is missing or comes twice, or a row has another number of fields.
    """

    def __init__(self, file: ReleaseFile, columns: Sequence[str]) -> None:
        self.name = file.name
        header = file.content.split(b"\n", 1)[0].decode("utf-8", errors="replace").lstrip("\ufeff").strip()
        names = header.split(",")
        for column in columns:
            if names.count(column) != 1:
                fault = "is missing" if column not in names else "comes twice"
                raise InputError(f"{self.name}: row 1, column {column}: {fault}")
        ragged: list[csv.InvalidRow] = []

        def refuse(row: csv.InvalidRow) -> str:
            ragged.append(row)
            return "error"

        try:
            self.table = csv.read_csv(
                pa.BufferReader(file.content),
                # Rows are numbered only in a single thread.
                read_options=csv.ReadOptions(use_threads=False),
                parse_options=csv.ParseOptions(invalid_row_handler=refuse),
                convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
            )
        except pa.ArrowInvalid as error:
            if ragged:
                row = ragged[0]
                raise InputError(
                    f"{self.name}: row {row.number}: has {row.actual_columns} fields instead of "
                    f"{row.expected_columns}; is the file cut?"
                ) from error
            raise InputError(f"{self.name}: is not a CSV file: {' '.join(str(error).split())[:200]}") from error
        if file.content and not file.content.endswith(b"\n"):
            raise InputError(f"{self.name}: row {self.n_rows + 1}: does not end; is the file cut?")

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.table.num_rows)

    def has(self, column: str) -> bool:
        """Whether there is a column of that name."""
        return column in self.table.column_names

    def text(self, column: str) -> pa.Array:
        """A column as text; empty where there is nothing."""
        return self.table[column].combine_chunks()

    def words(self, column: str) -> pa.Array:
        """A column as text, nowhere empty."""
        found = self.text(column)
        self.refuse(column, pc.equal(found, "").to_numpy(zero_copy_only=False), "is empty")
        return found

    def numbers(self, column: str, low: float, high: float, *, optional: bool = False) -> NDArray[np.float64]:
        """A column as numbers between two limits, which are included; NaN where nothing is and may be."""
        found = self.text(column)
        values = _as_floats(found)
        ok = (values >= low) & (values <= high)
        if optional:
            ok |= pc.is_in(found, pa.array(["", "nan", "NaN"])).to_numpy(zero_copy_only=False)
        self.refuse(column, ~ok, f"is not a number from {low:g} to {high:g}")
        return values

    def integers(self, column: str, low: int, high: int) -> NDArray[np.int64]:
        """A column as whole numbers between two limits, which are included."""
        values = self.numbers(column, low, high)
        self.refuse(column, values != np.round(values), "is not a whole number")
        return values.astype(np.int64)

    def flags(self, column: str) -> NDArray[np.bool_]:
        """A column of yes and no, as 1 and 0 or as True and False."""
        found = self.text(column)
        yes = pc.is_in(found, pa.array(_YES)).to_numpy(zero_copy_only=False)
        no = pc.is_in(found, pa.array(_NO)).to_numpy(zero_copy_only=False)
        self.refuse(column, ~(yes | no), "is neither 1 nor 0")
        return np.asarray(yes, dtype=bool)

    def unique(self, column: str) -> pa.Array:
        """A column in which every value comes once, and none is empty."""
        found = self.words(column)
        if len(pc.unique(found)) != len(found):
            first: dict[str, int] = {}
            for row, value in enumerate(found.to_pylist(), start=2):
                if first.setdefault(value, row) != row:
                    raise InputError(
                        f"{self.name}: row {row}, column {column}: {value} was in row {first[value]} already"
                    )
        return found

    def refuse(self, column: str, bad: NDArray[np.bool_], what: str) -> None:
        """Raise an `InputError` that names the first bad row, if there is one."""
        if bad.any():
            index = int(np.argmax(bad))
            raise InputError(
                f"{self.name}: row {index + 2}, column {column}: {self.text(column)[index].as_py()!r} {what}"
            )


def _as_floats(found: pa.Array) -> NDArray[np.float64]:
    """Numbers, NaN for what is none."""
    nothing = pc.if_else(pc.equal(found, ""), pa.scalar(None, pa.string()), found)
    try:
        return np.asarray(pc.fill_null(pc.cast(nothing, pa.float64()), np.nan).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        return np.array([_as_float(value) for value in found.to_pylist()])


def _as_float(value: str) -> float:
    try:
        return float(value) if "_" not in value else np.nan
    except ValueError:
        return np.nan
