"""Bring catalogue files and services' answers into the core columns of a reference catalogue, every row checked."""

import warnings
from collections.abc import Collection, Mapping, Sequence
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
from vascodb.ids import content_id
from vascodb.loaders.cds_file import read_cds_file
from vascodb.loaders.registry import CatalogDefinition, MotionRule

__all__ = [
    "CORE_SCHEMA",
    "BadRowError",
    "DuplicateSourceError",
    "MissingColumnError",
    "WrongUnitError",
    "check_unit",
    "core_table",
    "needed_columns",
    "read_sources",
]

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
_UNITS = {"ra": u.deg, "dec": u.deg, "pmra": u.mas / u.yr, "pmdec": u.mas / u.yr, "epoch": u.yr, "mag": u.mag}
# The table's CHECK excludes 20,000 itself.
_FASTEST_MASYR = 19_999.99
# Catalogues write -99.9, -999, -1e9 or 99.99 where there is no magnitude; no star is as bright or faint as these.
_BRIGHTEST_MAG, _FAINTEST_MAG = -50.0, 90.0


class MissingColumnError(InputError):
    """A table lacks a column that it must have."""


class WrongUnitError(InputError):
    """A column is in another unit than the catalogue's."""


class BadRowError(InputError):
    """A row is impossible: no position, half a proper motion, a value of another kind."""


class DuplicateSourceError(InputError):
    """A source occurs more than once."""


def read_sources(path: Path, definition: CatalogDefinition, overrides: Mapping[str, str] | None = None) -> pa.Table:
    """Read a catalogue file and check every row.

    Parameters
    ----------
    path : `~pathlib.Path`
        CSV, ECSV, FITS, VOTable, Parquet, or ``.dat`` with the ReadMe of the CDS, told by the file's name.
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
        raw, units = _read(path, needed_columns(definition, overrides or {}))
        table = core_table(raw, units, definition, overrides)
        if table.num_rows == 0:
            raise InputError("has no rows; an empty file is no evidence of an empty sky")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return table


def core_table(
    raw: pa.Table,
    units: Mapping[str, Any],
    definition: CatalogDefinition,
    overrides: Mapping[str, str] | None = None,
    *,
    unique: bool = True,
) -> pa.Table:
    """The core columns of a table as a catalogue's file or service has it, every row checked.

    Parameters
    ----------
    raw : `pyarrow.Table`
        Columns under the names of the file or service.
    units : mapping of str to str or `~astropy.units.Unit`
        Units of the columns that have one.
    definition : `CatalogDefinition`
        The catalogue, with the names of its columns.
    overrides : mapping of str to str, optional
        Core column to the name of the column that it is, where the registry's names do not fit.
    unique : bool
        Whether each source may occur once only.

    Returns
    -------
    `pyarrow.Table`
        With `CORE_SCHEMA`, rows in the same order; magnitudes that stand for none are null, and so
        are proper motions that the catalogue's own rule does not confirm.

    Raises
    ------
    MissingColumnError, WrongUnitError, BadRowError, DuplicateSourceError
        If that is what is wrong.
    """
    columns = _core_columns(raw, units, definition, overrides or {})
    table = pa.table([columns[field.name] for field in CORE_SCHEMA], schema=CORE_SCHEMA)
    _check_rows(table)
    if unique:
        _refuse_repeated(table)
    return table


def needed_columns(definition: CatalogDefinition, overrides: Mapping[str, str]) -> set[str]:
    """Every name under which a column may be found that a catalogue's rows are made of."""
    names = {name for known in definition.columns.model_dump().values() for name in known} | set(overrides.values())
    rule = definition.confirmed_motion
    return names if rule is None else names | {*rule.any_of, *rule.at_least}


def _read(path: Path, needed: Collection[str]) -> tuple[pa.Table, dict[str, Any]]:
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if not path.is_file():
        raise InputError("no such file")
    try:
        if suffix == "csv":
            return csv.read_csv(path, convert_options=csv.ConvertOptions(null_values=["", "null", "NULL"])), {}
        if suffix in ("parquet", "parq"):
            return _from_parquet(path)
        if suffix == "dat":
            return read_cds_file(path, needed)
        if suffix in ("ecsv", "fits", "fit", "vot", "votable", "xml"):
            return _from_astropy(path, {"ecsv": "ascii.ecsv", "fits": "fits", "fit": "fits"}.get(suffix, "votable"))
    except (
        OSError, ValueError, TypeError, KeyError, IndexError, EOFError, pa.ArrowException, VerifyError, VOTableSpecError
    ) as error:  # fmt: skip
        raise InputError(f"cannot be read as {suffix}: {' '.join(str(error).split())[:300]}") from error
    raise InputError("unknown kind of file; use .csv, .ecsv, .fits, .vot, .xml, .parquet or .dat (also .gz)")


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
) -> dict[str, pa.ChunkedArray | pa.Array]:
    found = _find_columns(raw, units, definition, overrides)
    n_rows = raw.num_rows
    names = _names(found, definition)
    columns = {
        "source_id": _ids_of_names(names, definition.name)
        if found["source_id"] is None
        else _integers(found["source_id"]),
        "ra": _floats("ra", found["ra"], pa.float64(), n_rows),
        "dec": _floats("dec", found["dec"], pa.float64(), n_rows),
        "epoch_jyear": _epochs(_floats("epoch", found["epoch"], pa.float32(), n_rows), definition.epoch_jyear),
        "pmra_masyr": _floats("pmra", found["pmra"], pa.float32(), n_rows),
        "pmdec_masyr": _floats("pmdec", found["pmdec"], pa.float32(), n_rows),
        "mag": _magnitudes(_floats("mag", found["mag"], pa.float32(), n_rows)),
        "designation": names,
    }
    if definition.confirmed_motion is not None:
        confirmed = _confirmed(raw, definition.confirmed_motion, columns["pmra_masyr"], columns["pmdec_masyr"])
        for name in ("pmra_masyr", "pmdec_masyr"):
            columns[name] = pc.if_else(confirmed, columns[name], pa.scalar(None, pa.float32()))
    return columns


def _find_columns(
    raw: pa.Table, units: Mapping[str, Any], definition: CatalogDefinition, overrides: Mapping[str, str]
) -> dict[str, pa.ChunkedArray | None]:
    wanted: dict[str, list[str]] = definition.columns.model_dump()
    if unknown := set(overrides) - set(wanted):
        raise InputError(f"no core column {sorted(unknown)[0]!r}; those are: {', '.join(wanted)}")
    # A catalogue without numbers for its sources has names or just positions, and the numbers are made of those.
    required = {"ra", "dec"} | {next((core for core in ("source_id", "designation") if wanted[core]), "ra")}
    found: dict[str, pa.ChunkedArray | None] = {}
    for core, names in wanted.items():
        candidates: Sequence[str] = [overrides[core]] if core in overrides else names
        name = next((n for n in candidates if n in raw.column_names), None)
        if name is None and (core in required or core in overrides):
            raise MissingColumnError(
                f"has no column {' or '.join(candidates)} ({core}); it has: {', '.join(raw.column_names)}"
            )
        if name is not None and core in _UNITS:
            check_unit(name, units.get(name), _UNITS[core])
        found[core] = None if name is None else raw.column(name)
    if definition.mag_of == "brightest" and "mag" not in overrides:
        found["mag"] = _brightest(raw, units, wanted["mag"])
    return found


def _brightest(raw: pa.Table, units: Mapping[str, Any], names: Sequence[str]) -> pa.ChunkedArray | None:
    """The least of some magnitudes, row by row; USNO-B has 0 where it has none."""
    there = [name for name in names if name in raw.column_names]
    for name in there:
        check_unit(name, units.get(name), _UNITS["mag"])
    if not there:
        return None
    values = np.array([_magnitude_numbers(raw, name) for name in there])
    return pa.chunked_array([pa.array(np.fmin.reduce(values), from_pandas=True)])


def check_unit(name: str, unit: Any, expected: u.UnitBase | str) -> None:
    """Refuse a column whose unit is another than expected; one without a unit is believed.

    Parameters
    ----------
    name : str
        The column, for the message.
    unit : str or `~astropy.units.Unit` or None
        What it says.
    expected : `~astropy.units.Unit` or str
        What it should say; empty if that does not matter.

    Raises
    ------
    WrongUnitError
        If it is another.
    """
    if unit is None or not expected or str(unit).strip() in ("", "-", "---"):
        return
    if isinstance(expected, str):
        expected = u.Unit(expected)
    parsed = _parsed_unit(unit)
    if parsed is None:
        # Names such as "Vega mag" and "'mag'" are magnitudes to everyone but a parser of units.
        same = expected is u.mag and "mag" in str(unit)
    else:
        same = parsed.is_equivalent(expected) and bool(np.isclose(parsed.to(expected), 1.0, rtol=1e-12))
    if not same:
        raise WrongUnitError(f"column {name} is in {unit}, not in {expected}; convert it first")


def _parsed_unit(unit: Any) -> Any:
    """A unit, whichever way it is written ("mas/yr", "mas.yr-1", "mas.yr**-1"); none if it is none."""
    for style in (None, "cds", "vounit"):
        try:
            parsed = u.Unit(unit, format=style) if isinstance(unit, str) else u.Unit(unit)
        except (ValueError, TypeError):
            continue
        # "mag(AB)" is a magnitude with a zero point.
        parsed = getattr(parsed, "function_unit", parsed)
        if not isinstance(parsed, u.UnrecognizedUnit):
            return parsed
    return None


def _integers(column: pa.ChunkedArray | None) -> pa.ChunkedArray:
    assert column is not None
    if pa.types.is_floating(column.type):
        raise BadRowError(
            "the source ids are floating-point numbers, which cannot hold them exactly; write them as integers"
        )
    try:
        return pc.cast(column, pa.int64())
    except pa.ArrowException as error:
        raise BadRowError(f"the source ids are not 64-bit integers: {error}") from error


def _names(found: Mapping[str, pa.ChunkedArray | None], definition: CatalogDefinition) -> pa.ChunkedArray | pa.Array:
    ra, dec = found["ra"], found["dec"]
    assert ra is not None
    assert dec is not None
    if found["designation"] is not None:
        return pc.cast(found["designation"], pa.string())
    if found["source_id"] is not None:
        return pa.nulls(len(ra), pa.string())
    positions = zip(
        _floats("ra", ra, pa.float64(), len(ra)).to_pylist(),
        _floats("dec", dec, pa.float64(), len(dec)).to_pylist(),
        strict=True,
    )
    return pa.array(
        [None if None in position else "{:.7f}{:+.7f}".format(*position) for position in positions], pa.string()
    )


def _ids_of_names(names: pa.ChunkedArray | pa.Array, catalog_name: str) -> pa.Array:
    """Numbers made of names, the same on any machine and by any service."""
    ids = [None if name is None else content_id("source", catalog_name, name.strip()) for name in names.to_pylist()]
    return pa.array(ids, pa.int64())


def _floats(core: str, column: pa.ChunkedArray | None, kind: pa.DataType, n_rows: int) -> pa.ChunkedArray | pa.Array:
    if column is None:
        return pa.nulls(n_rows, kind)
    try:
        values = pc.cast(column, kind, safe=False)
    except pa.ArrowException as error:
        raise BadRowError(f"the column for {core} is not numeric: {error}") from error
    return pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)


def _epochs(values: pa.ChunkedArray | pa.Array, default: float) -> pa.ChunkedArray | pa.Array:
    """Some catalogues write 0 where they do not know the epoch."""
    known = pc.if_else(pc.equal(values, 0), pa.scalar(None, pa.float32()), values)
    return pc.fill_null(known, pa.scalar(default, pa.float32()))


def _magnitudes(values: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    return pc.if_else(_outside(values, _BRIGHTEST_MAG, _FAINTEST_MAG), pa.scalar(None, pa.float32()), values)


def _confirmed(
    raw: pa.Table, rule: MotionRule, pmra: pa.ChunkedArray | pa.Array, pmdec: pa.ChunkedArray | pa.Array
) -> pa.Array:
    """Which rows' proper motions the rule believes; none where a column that it needs is not there."""
    believed = np.ones(raw.num_rows, dtype=bool)
    for name, least in rule.at_least.items():
        believed &= _numbers(raw, name) >= least
    if rule.any_of:
        believed &= np.any([np.isfinite(_magnitude_numbers(raw, name)) for name in rule.any_of], axis=0)
    motion = np.hypot(*(pc.fill_null(values, np.inf).to_numpy(zero_copy_only=False)
                        if isinstance(values, pa.Array) else pc.fill_null(values, np.inf).to_numpy()
                        for values in (pmra, pmdec)))  # fmt: skip
    return pa.array(believed & (motion < rule.below_masyr))


def _numbers(raw: pa.Table, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    if name not in raw.column_names:
        return np.full(raw.num_rows, np.nan)
    values = _floats(name, raw.column(name), pa.float64(), raw.num_rows)
    return np.asarray(pc.fill_null(values, np.nan).to_numpy(), dtype=np.float64)


def _magnitude_numbers(raw: pa.Table, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = _numbers(raw, name)
    return np.where((values > _BRIGHTEST_MAG) & (values < _FAINTEST_MAG) & (values != 0.0), values, np.nan)


def _check_rows(table: pa.Table) -> None:
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
            raise BadRowError(
                f"row {rows[0] + 1} {what}" + (f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else "")
            )


def _refuse_repeated(table: pa.Table) -> None:
    ids = np.sort(table["source_id"].to_numpy())
    repeated = ids[1:][ids[1:] == ids[:-1]]
    if len(repeated):
        raise DuplicateSourceError(f"source id {repeated[0]} occurs more than once ({len(np.unique(repeated))} ids do)")


def _outside(values: pa.ChunkedArray, low: float, high: float) -> pa.ChunkedArray:
    outside = pc.or_(pc.less(values, low), pc.greater(values, high))
    return pc.fill_null(outside, False)
