"""Content faults of tables: what a service may say although it speaks its protocol properly."""

import numpy as np
import numpy.typing as npt
from astropy import units as u
from astropy.table import Table, vstack

Floats = npt.NDArray[np.float64]

SERVICE_ERROR = "Internal service error: cannot connect to the database"


def spoil_rows(table: Table, fault: str | None, ra_column: str, dec_column: str) -> Table:
    """Return the rows that a content fault puts in place of the right ones.

    Faults that concern the number of rows against a cap or the document around them are left to the protocol
    (`half`, `exactly`).

    Parameters
    ----------
    table
        The right rows.
    fault
        Name of a content fault, or None.
    ra_column, dec_column
        Names of the columns with positions; a fault in positions needs them to be there.
    """
    has_position = ra_column in table.colnames and dec_column in table.colnames
    if fault in {"empty", "header_only"}:
        return table[:0]
    if fault == "duplicate_rows" and len(table):
        return vstack([table, table[::2]], metadata_conflicts="silent")
    if fault == "missing_column":
        kept = [name for name in table.colnames if name != dec_column]
        return table[kept if len(kept) < len(table.colnames) else kept[:-1]]
    if not has_position or fault not in {"wrong_unit", "wrong_sky", "nan_position"}:
        return table
    spoilt = table.copy()
    for name in (ra_column, dec_column):
        values: Floats = np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan)
        if fault == "wrong_unit":
            values = np.radians(values)
        elif fault == "wrong_sky":  # the antipode: another part of the sky wherever one looks
            values = (values + 180.0) % 360.0 if name == ra_column else -values
        else:
            values = values.copy()
            values[:1] = np.nan
        _put(spoilt, name, values, u.rad if fault == "wrong_unit" else table[name].unit)
    return spoilt


def _put(table: Table, name: str, values: Floats, unit: object) -> None:
    old = table[name]
    table.replace_column(name, type(old)(values, name=name, unit=unit, description=old.description, meta=old.meta))


def half(table: Table) -> Table:
    """Return the first half of the rows, at least one where there is one."""
    return table[: (len(table) + 1) // 2]


def exactly(table: Table, cap: int | None) -> Table:
    """Return exactly `cap` rows, from which some of the right ones are missing, with nothing to show for it.

    Where there are fewer rows than the cap, half of them are left out and near copies under other identifiers fill
    up. Without a cap half of the rows is all that can be given.
    """
    if cap is None or len(table) == 0:
        return half(table)
    if len(table) > cap:
        return table[:cap]
    kept = half(table)
    copies = kept[np.arange(cap - len(kept)) % len(kept)]
    for name in copies.colnames:
        values = np.asarray(copies[name])
        if len(np.unique(np.asarray(table[name]))) != len(table) or values.dtype.kind not in "iuU":
            continue
        if values.dtype.kind == "U":
            copies.replace_column(name, type(copies[name])([f"{v}-{k}" for k, v in enumerate(values)], name=name))
        else:
            copies[name] = np.asarray(table[name]).max() + 1 + np.arange(len(copies))
    return vstack([kept, copies], metadata_conflicts="silent")
