"""Plans: the tiles that a survey wants, one line of a CSV file each."""

import csv
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vascodb.errors import InputError
from vascodb.plates.tiles import tile_centre

__all__ = ["PlanTile", "Survey", "half_diagonal_deg", "read_plan", "survey_named", "tile_centre"]

Survey = Literal["poss1_red", "poss1_blue"]

COLUMNS = ("plate_id", "plate_tile_idx", "tile_id", "ra_deg", "dec_deg", "size_arcmin", "survey")
# A whole POSS-I plate is 6.6 degrees wide.
LARGEST_SIZE_ARCMIN = 400.0

_SURVEYS: dict[str, Survey] = {
    "poss1_red": "poss1_red",
    "dss1-red": "poss1_red",
    "poss1-e": "poss1_red",
    "poss1_blue": "poss1_blue",
    "dss1-blue": "poss1_blue",
    "poss1-o": "poss1_blue",
}
# Names have three decimals, positions six.
_NAME_TOLERANCE_DEG = 0.0005 + 1e-9


@dataclass(frozen=True)
class PlanTile:
    """One tile of a plan.

    Parameters
    ----------
    plate_id : str
        Plate that the plan expects it on; the archive may serve it from another.
    plate_tile_idx : int
        Number of the tile on that plate, from 0.
    tile_id : str
        The tile's name.
    ra_deg, dec_deg : float
        Centre in degrees; right ascension in [0, 360).
    size_arcmin : float
        Side of the square.
    survey : {'poss1_red', 'poss1_blue'}
        Survey to take the image from.
    """

    plate_id: str
    plate_tile_idx: int
    tile_id: str
    ra_deg: float
    dec_deg: float
    size_arcmin: float
    survey: Survey


class _Fault(Exception):  # noqa: N818
    """A column of a row is wrong."""

    def __init__(self, column: str, reason: str) -> None:
        self.column = column
        super().__init__(f"column {column}: {reason}")


def read_plan(path: Path) -> list[PlanTile]:
    """Read a plan; either every row is right or none is used.

    Parameters
    ----------
    path : `~pathlib.Path`
        CSV with the columns ``plate_id, plate_tile_idx, tile_id, ra_deg, dec_deg, size_arcmin, survey``
        in any order, others beside them ignored; lines end with CR LF or LF.

    Returns
    -------
    list of `PlanTile`
        In the order of the file.

    Raises
    ------
    InputError
        If the file cannot be read or any row is wrong: one line with file, row (the header is row 1),
        column and reason.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(_tiles(path, csv.reader(stream, strict=True)))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a CSV text in UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path}: is not a CSV file: {error}") from error


def survey_named(name: str) -> Survey:
    """The survey of that name; the names that older plans use are known.

    Raises
    ------
    InputError
        If there is none.
    """
    if name.strip().lower() not in _SURVEYS:
        raise InputError(f"unknown survey {name!r}; there are: {', '.join(_SURVEYS)}")
    return _SURVEYS[name.strip().lower()]


def half_diagonal_deg(size_arcmin: float) -> float:
    """Radius of the cone that holds a square tile to its corners.

    The tile is a square on the tangent plane at its centre, whose sides are ``size_arcmin / 2`` away
    from the centre at their middles: on the sphere the corner is at ``atan(sqrt(2) tan(size / 2))``.

    Parameters
    ----------
    size_arcmin : float
        Side of the square.

    Returns
    -------
    float
        Distance of the corners from the centre, in degrees; the same anywhere on the sky.
    """
    return math.degrees(math.atan(math.sqrt(2.0) * math.tan(math.radians(size_arcmin / 120.0))))


def _tiles(path: Path, rows: Iterator[list[str]]) -> Iterator[PlanTile]:
    names = [name.strip() for name in next(rows, [])]
    for column in COLUMNS:
        if names.count(column) != 1:
            fault = "is missing" if column not in names else "occurs twice"
            raise InputError(f"{path}: row 1, column {column}: {fault}; a plan has {', '.join(COLUMNS)}")
    first_row_of: dict[object, int] = {}
    for number, fields in enumerate(rows, start=2):
        if not fields:
            continue
        if len(fields) != len(names):
            raise InputError(
                f"{path}: row {number}, column {names[min(len(fields), len(names)) - 1]}: "
                f"the row has {len(fields)} fields instead of {len(names)}; is the file cut?"
            )
        try:
            tile = _tile(dict(zip(names, map(str.strip, fields), strict=True)))
        except _Fault as fault:
            raise InputError(f"{path}: row {number}, {fault}") from fault
        for column, key in (("tile_id", tile.tile_id), ("plate_tile_idx", (tile.plate_id, tile.plate_tile_idx))):
            if key in first_row_of:
                raise InputError(f"{path}: row {number}, column {column}: the same as in row {first_row_of[key]}")
            first_row_of[key] = number
        yield tile
    if not first_row_of:
        raise InputError(f"{path}: has no rows")


def _tile(row: Mapping[str, str]) -> PlanTile:
    if not row["plate_id"]:
        raise _Fault("plate_id", "is empty")
    number = _number(row, "plate_tile_idx", 0, 1e6)
    if not number.is_integer():
        raise _Fault("plate_tile_idx", f"{row['plate_tile_idx']!r} is not a whole number")
    with _in_column("tile_id"):
        named_ra, named_dec = tile_centre(row["tile_id"])
    ra_deg = _number(row, "ra_deg", 0, 360)
    if ra_deg == 360:
        raise _Fault("ra_deg", "360 is written 0")
    if abs((ra_deg - named_ra + 180) % 360 - 180) > _NAME_TOLERANCE_DEG:
        raise _Fault("ra_deg", f"{row['ra_deg']} is not where {row['tile_id']} is")
    dec_deg = _number(row, "dec_deg", -90, 90)
    if abs(dec_deg - named_dec) > _NAME_TOLERANCE_DEG:
        raise _Fault("dec_deg", f"{row['dec_deg']} is not where {row['tile_id']} is")
    with _in_column("survey"):
        survey = survey_named(row["survey"])
    return PlanTile(
        plate_id=row["plate_id"],
        plate_tile_idx=int(number),
        tile_id=row["tile_id"],
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        size_arcmin=_number(row, "size_arcmin", 0.1, LARGEST_SIZE_ARCMIN),
        survey=survey,
    )


def _number(row: Mapping[str, str], column: str, low: float, high: float) -> float:
    value = row[column]
    try:
        number = float(value) if "_" not in value else math.nan
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise _Fault(column, f"{value!r} is not a number from {low:g} to {high:g}")
    return number


@contextmanager
def _in_column(column: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise _Fault(column, str(error)) from error
