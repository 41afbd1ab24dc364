"""From a service's table to sources that can be stored, with every check that all services share."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from astropy.coordinates import angular_separation
from numpy.typing import NDArray

from vascodb.errors import InputError
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.raw import RawTable, read_csv, read_json
from vascodb.loaders.client.votable import read_votable
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import CatalogDefinition, SourceBinding
from vascodb.loaders.tables import (
    CORE_SCHEMA,
    DuplicateSourceError,
    MissingColumnError,
    WrongUnitError,
    check_unit,
    core_table,
)

__all__ = [
    "PositionAnswer",
    "Positions",
    "RawTable",
    "SourceAnswer",
    "position_answer",
    "read_csv",
    "read_json",
    "read_votable",
    "source_answer",
]

# Services compute distances in their own way and from rounded positions.
_RIM_ARCSEC = 2.0
_SERVICES_EPOCH_JYEAR = 2000.0
"""Some services search where sources were in 2000; a fast one lies elsewhere at its own epoch."""


@dataclass(frozen=True)
class Positions:
    """Positions that are asked about.

    Parameters
    ----------
    row_id : int64[n]
        Their numbers, no one twice.
    ra_deg, dec_deg : float64[n]
        Where.
    """

    row_id: NDArray[np.int64]
    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.row_id)


@dataclass(frozen=True)
class SourceAnswer:
    """All sources of a region.

    Parameters
    ----------
    table : `pyarrow.Table`
        With `CORE_SCHEMA`, no source twice.
    rows_in : int
        Rows that came.
    row_cap : int
        Fewer than so many rows are all there are.
    """

    table: pa.Table
    rows_in: int
    row_cap: int


@dataclass(frozen=True)
class PositionAnswer:
    """All sources near the positions of a list.

    Parameters
    ----------
    table : `pyarrow.Table`
        With `CORE_SCHEMA`; a source may stand by several positions.
    row_ids : int64[n]
        The position that each row belongs to.
    rows_in : int
        Rows that came.
    row_cap : int
        Fewer than so many rows are all there are.
    """

    table: pa.Table
    row_ids: NDArray[np.int64]
    rows_in: int
    row_cap: int


def source_answer(
    raw: RawTable, definition: CatalogDefinition, binding: SourceBinding, cone: Cone, row_cap: int
) -> SourceAnswer:
    """Check a service's answer to a cone.

    Parameters
    ----------
    raw : `RawTable`
        What came.
    definition : `CatalogDefinition`
        The catalogue.
    binding : `SourceBinding`
        What was asked for.
    cone : `Cone`
        Where.
    row_cap : int
        As many rows as that count as cut.

    Raises
    ------
    LookupFailure
        With the cause of whatever is wrong: see `Cause`.
    """
    table = _checked(raw, definition, binding, row_cap, unique=True)
    distance = _separation_deg(cone.ra_deg, cone.dec_deg, table)
    _refuse_outside(table, distance - cone.radius_deg, f"the {cone.description}")
    return SourceAnswer(table, table.num_rows, row_cap)


def position_answer(
    raw: RawTable,
    definition: CatalogDefinition,
    binding: SourceBinding,
    positions: Positions,
    radius_arcsec: float,
    row_cap: int,
    row_id_column: str = "row_id",
) -> PositionAnswer:
    """Check a service's answer to a list of positions.

    Parameters
    ----------
    raw, definition, binding, row_cap
        As for `source_answer`.
    positions : `Positions`
        What was asked about.
    radius_arcsec : float
        How far around each.
    row_id_column : str
        The answer's column with the number of the position.

    Raises
    ------
    LookupFailure
        With the cause of whatever is wrong: see `Cause`.
    """
    table = _checked(raw, definition, binding, row_cap, unique=False)
    row_ids = _row_ids(raw, row_id_column)
    order = np.argsort(positions.row_id)
    place = np.searchsorted(positions.row_id, row_ids, sorter=order)
    known = place < len(positions)
    known[known] = positions.row_id[order[place[known]]] == row_ids[known]
    if not known.all():
        raise LookupFailure(
            Cause.WRONG_SKY, f"{np.count_nonzero(~known)} rows about positions that were not asked, such as "
            f"{row_ids[~known][0]}"
        )  # fmt: skip
    asked = order[place]
    distance = _separation_deg(positions.ra_deg[asked], positions.dec_deg[asked], table)
    _refuse_outside(table, distance - radius_arcsec / 3600.0, f"{radius_arcsec:g} arcsec about their positions")
    pairs = np.unique(np.column_stack([row_ids, table["source_id"].to_numpy()]), axis=0)
    if len(pairs) != table.num_rows:
        raise LookupFailure(
            Cause.DUPLICATE_ROWS, f"{table.num_rows - len(pairs)} sources occur more than once for one position"
        )
    return PositionAnswer(table, row_ids, table.num_rows, row_cap)


def _checked(
    raw: RawTable, definition: CatalogDefinition, binding: SourceBinding, row_cap: int, *, unique: bool
) -> pa.Table:
    if raw.said_empty:
        return CORE_SCHEMA.empty_table()
    if raw.rows.num_rows >= row_cap:
        raise LookupFailure(Cause.ROW_CAP, f"{raw.rows.num_rows} rows, as many as the service sends at most")
    try:
        _check_columns(raw, binding)
        return core_table(raw.rows, raw.units, definition, unique=unique)
    except MissingColumnError as error:
        raise LookupFailure(Cause.MISSING_COLUMN, str(error)) from error
    except WrongUnitError as error:
        raise LookupFailure(Cause.WRONG_UNIT, str(error)) from error
    except DuplicateSourceError as error:
        raise LookupFailure(Cause.DUPLICATE_ROWS, str(error)) from error
    except InputError as error:
        raise LookupFailure(Cause.BAD_ROWS, str(error)) from error


def _check_columns(raw: RawTable, binding: SourceBinding) -> None:
    missing = [name for name in binding.columns if name not in raw.rows.column_names]
    if missing:
        raise MissingColumnError(f"no column {', '.join(missing)}; there are: {', '.join(raw.rows.column_names)}")
    for name, unit in binding.columns.items():
        check_unit(name, raw.units.get(name), unit)


def _row_ids(raw: RawTable, name: str) -> NDArray[np.int64]:
    if raw.said_empty:
        return np.empty(0, dtype=np.int64)
    if name not in raw.rows.column_names:
        raise LookupFailure(Cause.MISSING_COLUMN, f"no column {name}; there are: {', '.join(raw.rows.column_names)}")
    try:
        return np.asarray(raw.rows[name].cast(pa.int64()).to_numpy(), dtype=np.int64)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise LookupFailure(Cause.BAD_ROWS, f"column {name} holds no numbers of positions: {error}") from error


def _separation_deg(
    ra_deg: float | NDArray[np.float64], dec_deg: float | NDArray[np.float64], table: pa.Table
) -> NDArray[np.float64]:
    there = np.radians(table["ra"].to_numpy()), np.radians(table["dec"].to_numpy())
    return np.asarray(np.degrees(angular_separation(np.radians(ra_deg), np.radians(dec_deg), *there)))


def _refuse_outside(table: pa.Table, beyond_deg: NDArray[np.float64], region: str) -> None:
    motion_masyr = np.hypot(*(np.nan_to_num(table[name].to_numpy()) for name in ("pmra_masyr", "pmdec_masyr")))
    years = np.abs(table["epoch_jyear"].to_numpy() - _SERVICES_EPOCH_JYEAR)
    outside = beyond_deg * 3600.0 > _RIM_ARCSEC + motion_masyr * years / 1000.0
    if outside.any():
        row = int(np.argmax(beyond_deg))
        raise LookupFailure(
            Cause.WRONG_SKY,
            f"{np.count_nonzero(outside)} of {len(outside)} rows lie outside {region}, such as "
            f"{table['ra'][row].as_py():.6f} {table['dec'][row].as_py():+.6f}",
        )
