"""A simulated plate on disk: a FITS image, the reference catalogue and the truth table."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table

from vascodb.ids import canonical_json
from vascodb.simulate.plate import SimulatedPlate

__all__ = ["SimulatedFiles", "write_simulation"]

_PARQUET_FROM_ROWS = 100_000


@dataclass(frozen=True)
class SimulatedFiles:
    """The three files of a simulated plate.

    Parameters
    ----------
    image : Path
        FITS.
    reference : Path
        ECSV, or Parquet from 100,000 rows on.
    truth : Path
        ECSV.
    """

    image: Path
    reference: Path
    truth: Path


def write_simulation(plate: SimulatedPlate, folder: Path) -> SimulatedFiles:
    """Write a simulated plate; the same plate gives the same bytes.

    Parameters
    ----------
    plate : SimulatedPlate
        From `vascodb.simulate.simulate_plate`.
    folder : Path
        Made if need be; files of the same names are replaced.

    Returns
    -------
    SimulatedFiles
        Where they are: ``<region>_<seed>.fits``, ``…_reference.ecsv`` or ``.parquet``, ``…_truth.ecsv``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{plate.spec.region}_{plate.spec.seed}"
    image, truth = folder / f"{stem}.fits", folder / f"{stem}_truth.ecsv"
    fits.PrimaryHDU(plate.image, plate.header).writeto(image, overwrite=True)
    plate.truth.write(truth, format="ascii.ecsv", overwrite=True)
    big = len(plate.reference) >= _PARQUET_FROM_ROWS
    reference = folder / f"{stem}_reference.{'parquet' if big else 'ecsv'}"
    if big:
        _write_parquet(plate.reference, reference)
    else:
        plate.reference.write(reference, format="ascii.ecsv", overwrite=True)
    return SimulatedFiles(image, reference, truth)


def _write_parquet(table: Table, path: Path) -> None:
    columns, schema = [], []
    for name in table.colnames:
        column = table[name]
        array = pa.array(column.data.data if hasattr(column, "mask") else column.data, mask=_mask(column))
        columns.append(array)
        unit = {"unit": str(column.unit)} if column.unit else None
        schema.append(pa.field(name, array.type, metadata=unit))
    metadata = {"vascodb": canonical_json(dict(table.meta))}
    pq.write_table(pa.table(columns, schema=pa.schema(schema, metadata=metadata)), path)


def _mask(column: object) -> object:
    return getattr(column, "mask", None)
