"""Catalogue files of every format from one table of sources, and fingerprints of what became of them."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
from astropy.table import MaskedColumn, Table
from pyarrow import parquet
from sqlalchemy import text

from vascodb.db import Database

UNITS = {
    "ra": "deg",
    "dec": "deg",
    "pmra": "mas / yr",
    "pmdec": "mas / yr",
    "ref_epoch": "yr",
    "phot_g_mean_mag": "mag",
}
FORMATS = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "fits": "fits", "vot": "votable", "xml": "votable"}


def gaia_table(n: int = 50, centre: tuple[float, float] = (150.0, 20.0), seed: int = 1) -> Table:
    """Sources about a place; some without motion, magnitude, or either."""
    rng = np.random.default_rng(seed)
    table = Table()
    table["source_id"] = rng.permutation(np.arange(n, dtype=np.int64)) + 4_611_686_018_427_387_904
    table["ra"] = (centre[0] + rng.uniform(-0.3, 0.3, n)) % 360
    table["dec"] = np.clip(centre[1] + rng.uniform(-0.3, 0.3, n), -90, 90)
    for name in ("pmra", "pmdec"):
        table[name] = MaskedColumn(rng.normal(0, 50, n).round(3), mask=np.arange(n) % 7 == 0)
    table["ref_epoch"] = np.full(n, 2016.0)
    table["phot_g_mean_mag"] = MaskedColumn(rng.uniform(10, 20, n).astype(np.float32), mask=np.arange(n) % 11 == 0)
    for name, unit in UNITS.items():
        table[name].unit = unit
    return table


def write(table: Table, path: Path) -> Path:
    """Write a table in the format that the file's name tells."""
    suffix = path.name.removesuffix(".gz").rpartition(".")[2]
    if suffix == "parquet":
        _write_parquet(table, path)
    else:
        table.write(path, format=FORMATS[suffix], overwrite=True)
    if path.name.endswith(".csv.gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


def _write_parquet(table: Table, path: Path) -> None:
    arrays, fields = [], []
    for name in table.colnames:
        column = table[name]
        arrays.append(pa.array(np.asarray(column), mask=np.ma.getmaskarray(np.ma.asarray(column))))
        metadata = {"unit": str(column.unit)} if column.unit else None
        fields.append(pa.field(name, arrays[-1].type, metadata=metadata))
    parquet.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), path)


def fingerprints(database: Database) -> dict[str, str]:
    """Fingerprint of every table, and of all."""
    with database.connect() as connection:
        rows = connection.execute(text("SELECT table_name, fingerprint FROM api.fingerprint"))
        return {name: value for name, value in rows}
