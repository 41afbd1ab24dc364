"""Read catalogue files of any common format into the core columns of a reference catalogue."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.io.fits.verify import VerifyError
from astropy.io.votable.exceptions import VOTableSpecError
from astropy.table import Table
from pyarrow import csv, parquet

from vascodb.errors import InputError
from vascodb.loaders.registry import CatalogDefinition

__all__ = ["CORE_SCHEMA", "read_sources"]

CORE_SCHEMA = pa.schema([
    ("source_id", pa.int64()),
    ("ra", pa.float64()),
    ("dec", pa.float64()),
    ("epoch_jyear", pa.float32()),
    ("pmra_masyr", pa.float32()),
    ("pmdec_masyr", pa.float32()),
    ("mag", pa.float32()),
    ("designation", pa.string()),
])  # fmt: skip
_REQUIRED = ("source_id", "ra", "dec")
_UNITS = {"ra": u.deg, "dec": u.deg, "pmra": u.mas / u.yr, "pmdec": u.mas / u.yr, "epoch": u.yr, "mag": u.mag}
# The table's CHECK excludes 20,000 itself.
_FASTEST_MASYR = 19_999.99


def read_sources(path: Path, definition: CatalogDefinition, overrides: Mapping[str, str] | None = None) -> pa.Table:
    """Read a catalogue file and check every row.

    Parameters
    ----------
    path : `~pathlib.Path`
        CSV, ECSV, FITS, VOTable or Parquet, told by the file's name.
    definition : `CatalogDefinition`
        The catalogue, with the names of its columns.
    overrides : mapping of str to str, optional
        Core column to the file's own name for it, where the registry's names do not fit.

    Returns
    -------
    `pyarrow.Table`
        With `CORE_SCHEMA`, rows in the file's order.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column, has one in another unit, or has a row with a
        missing or impossible position, half a proper motion, or an id that occurs twice.
    """
    try:
        raw, units = _read(path)
        columns = _core_columns(raw, units, definition, overrides or {})
        table = pa.table([columns[field.name] for field in CORE_SCHEMA], schema=CORE_SCHEMA)
        _check_rows(table)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return table


def _read(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if not path.is_file():
        raise InputError("no such file")
    try:
        if suffix == "csv":
            return csv.read_csv(path, convert_options=csv.ConvertOptions(null_values=["", "null", "NULL"])), {}
        if suffix in ("parquet", "parq"):
            return _from_parquet(path)
        if suffix in ("ecsv", "fits", "fit", "vot", "votable", "xml"):
            return _from_astropy(path, {"ecsv": "ascii.ecsv", "fits": "fits", "fit": "fits"}.get(suffix, "votable"))
    except (
        OSError, ValueError, TypeError, KeyError, IndexError, EOFError, pa.ArrowException, VerifyError, VOTableSpecError
    ) as error:  # fmt: skip
        raise InputError(f"cannot be read as {suffix}: {' '.join(str(error).split())[:300]}") from error
    raise InputError("unknown kind of file; use .csv, .ecsv, .fits, .vot, .xml or .parquet (also .gz)")


def _from_parquet(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    table = parquet.read_table(path)
    units = {
        field.name: field.metadata[b"unit"].decode()
        for field in table.schema
        if field.metadata and b"unit" in field.metadata
    }
    return table, units


def _from_astropy(path: Path, kind: str) -> tuple[pa.Table, dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = Table.read(path, format=kind)
    arrays, units = {}, {}
    for name in table.colnames:
        column = table[name]
        if column.ndim != 1:
            continue
        values = np.asarray(column)
        if values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8")
        values = values.astype(values.dtype.newbyteorder("="))
        mask = np.asarray(column.mask) if hasattr(column, "mask") else None
        arrays[name] = pa.array(values.tolist() if values.dtype.kind in "UO" else values, mask=mask)
        if column.unit is not None:
            units[name] = column.unit
    return pa.table(arrays), units


def _core_columns(
    raw: pa.Table, units: Mapping[str, Any], definition: CatalogDefinition, overrides: Mapping[str, str]
) -> dict[str, pa.Array]:
    wanted: dict[str, list[str]] = definition.columns.model_dump()
    if unknown := set(overrides) - set(wanted):
        raise InputError(f"no core column {sorted(unknown)[0]!r}; those are: {', '.join(wanted)}")
    found: dict[str, pa.ChunkedArray | None] = {}
    for core, names in wanted.items():
        candidates = [overrides[core]] if core in overrides else names
        name = next((n for n in candidates if n in raw.column_names), None)
        if name is None and (core in _REQUIRED or core in overrides):
            raise InputError(f"has no column {' or '.join(candidates)} ({core}); it has: {', '.join(raw.column_names)}")
        if name is not None and core in _UNITS:
            _check_unit(name, units.get(name), _UNITS[core])
        found[core] = None if name is None else raw.column(name)
    n_rows = raw.num_rows
    return {
        "source_id": _integers(found["source_id"]),
        "ra": _floats("ra", found["ra"], pa.float64(), n_rows),
        "dec": _floats("dec", found["dec"], pa.float64(), n_rows),
        "epoch_jyear": _filled(_floats("epoch", found["epoch"], pa.float32(), n_rows), definition.epoch_jyear),
        "pmra_masyr": _floats("pmra", found["pmra"], pa.float32(), n_rows),
        "pmdec_masyr": _floats("pmdec", found["pmdec"], pa.float32(), n_rows),
        "mag": _floats("mag", found["mag"], pa.float32(), n_rows),
        "designation": pa.nulls(n_rows, pa.string())
        if found["designation"] is None
        else pc.cast(found["designation"], pa.string()),
    }


def _check_unit(name: str, unit: Any, expected: u.UnitBase) -> None:
    if unit is None or str(unit).strip() in ("", "-"):
        return
    try:
        parsed = u.Unit(unit)
        # "mag(AB)" is a magnitude with a zero point.
        parsed = getattr(parsed, "function_unit", parsed)
        same = parsed.is_equivalent(expected) and np.isclose(parsed.to(expected), 1.0, rtol=1e-12)
    except (ValueError, TypeError, u.UnitsError):
        # Names such as "Vega mag" and "'mag'" are magnitudes to everyone but a parser of units.
        same = expected is u.mag and "mag" in str(unit)
    if not same:
        raise InputError(f"column {name} is in {unit}, not in {expected}; convert it first")


def _integers(column: pa.ChunkedArray | None) -> pa.ChunkedArray:
    assert column is not None
    if pa.types.is_floating(column.type):
        raise InputError(
            "the source ids are floating-point numbers, which cannot hold them exactly; write them as integers"
        )
    try:
        return pc.cast(column, pa.int64())
    except pa.ArrowException as error:
        raise InputError(f"the source ids are not 64-bit integers: {error}") from error


def _floats(core: str, column: pa.ChunkedArray | None, kind: pa.DataType, n_rows: int) -> pa.ChunkedArray | pa.Array:
    if column is None:
        return pa.nulls(n_rows, kind)
    try:
        values = pc.cast(column, kind, safe=False)
    except pa.ArrowException as error:
        raise InputError(f"the column for {core} is not numeric: {error}") from error
    return pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)


def _filled(values: pa.ChunkedArray | pa.Array, default: float) -> pa.ChunkedArray | pa.Array:
    return pc.fill_null(values, pa.scalar(default, pa.float32()))


def _check_rows(table: pa.Table) -> None:
    if table.num_rows == 0:
        raise InputError("has no rows; an empty file is no evidence of an empty sky")
    checks: list[tuple[str, Any]] = [
        ("has no source id", pc.is_null(table["source_id"])),
        ("has no right ascension", pc.is_null(table["ra"])),
        ("has no declination", pc.is_null(table["dec"])),
        ("has a right ascension outside [0, 360)", _outside(table["ra"], 0.0, np.nextafter(360.0, 0.0))),
        ("has a declination outside [-90, 90]", _outside(table["dec"], -90.0, 90.0)),
        ("has only half a proper motion", pc.xor(pc.is_null(table["pmra_masyr"]), pc.is_null(table["pmdec_masyr"]))),
        ("has an impossible proper motion", _outside(table["pmra_masyr"], -_FASTEST_MASYR, _FASTEST_MASYR)),
        ("has an impossible proper motion", _outside(table["pmdec_masyr"], -_FASTEST_MASYR, _FASTEST_MASYR)),
        ("has an epoch that is no year", _outside(table["epoch_jyear"], 1850.0, 2100.0)),
    ]
    for what, bad in checks:
        rows = np.flatnonzero(bad.to_numpy(zero_copy_only=False) if isinstance(bad, pa.Array) else bad.to_numpy())
        if len(rows):
            raise InputError(
                f"row {rows[0] + 1} {what}" + (f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else "")
            )
    ids = np.sort(table["source_id"].to_numpy())
    repeated = ids[1:][ids[1:] == ids[:-1]]
    if len(repeated):
        raise InputError(f"source id {repeated[0]} occurs more than once ({len(np.unique(repeated))} ids do)")


def _outside(values: pa.ChunkedArray, low: float, high: float) -> pa.ChunkedArray:
    outside = pc.or_(pc.less(values, low), pc.greater(values, high))
    return pc.fill_null(outside, False)
