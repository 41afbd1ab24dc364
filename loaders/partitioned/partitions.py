"""Catalogues in HEALPix partitions on disk: where the files are, and which partitions a region needs.

Numbers of cells are of the nested scheme; `vascodb.loaders.partitioned.layouts` finds out which partitions there are.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from mocpy import MOC
from numpy.typing import NDArray
from pyarrow import parquet

from vascodb.errors import InputError
from vascodb.plates.footprint import ORDER

__all__ = ["Partition", "PartitionedCatalog", "check_total", "overlapping", "overlaps"]


@dataclass(frozen=True)
class Partition:
    """One partition.

    Parameters
    ----------
    order, pixel : int
        Its HEALPix cell, nested.
    path : `~pathlib.Path`
        Its file, or the folder with its files.
    n_rows : int or None
        Number of its rows as the catalogue lists it, if it does.
    """

    order: int
    pixel: int
    path: Path
    n_rows: int | None = None

    @property
    def cells(self) -> tuple[int, int]:
        """First cell of order 29 in it, and the first one after it."""
        shift = 2 * (ORDER - self.order)
        return self.pixel << shift, (self.pixel + 1) << shift

    def __str__(self) -> str:
        """The partition as it is called in messages and in evidence."""
        return f"healpix order {self.order} pixel {self.pixel}"

    def files(self) -> list[Path]:
        """Its Parquet files, in order of their names; empty if there are none."""
        if self.path.is_file():
            return [self.path]
        folder = self.path.with_suffix("") if self.path.suffix == ".parquet" else self.path
        return sorted(path for path in folder.rglob("*.parquet") if path.is_file() and path.name[0] not in "._")


@dataclass(frozen=True)
class PartitionedCatalog:
    """A catalogue in partitions that do not overlap.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Where it is.
    partitions : tuple of `Partition`
        Along the HEALPix curve.
    n_rows : int or None
        Number of rows of all partitions as the catalogue says it, if it does.
    position_columns : dict of str to str
        Names of the columns ``ra`` and ``dec`` by which rows were filed, if it says so.
    cell_column : str
        Name of the column with the cell of order 29 of each row, if there is one.
    filed_order : int
        A row may lie in another cell than its partition's, if one cell of this order touches both.
    filed_arcsec : float
        How far outside its partition such a row may lie at most.
    """

    folder: Path
    partitions: tuple[Partition, ...]
    n_rows: int | None = None
    position_columns: Mapping[str, str] = field(default_factory=dict)
    cell_column: str = "_healpix_29"
    filed_order: int = ORDER
    filed_arcsec: float = 0.0

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.folder.name

    def endpoint(self, partition: Partition) -> str:
        """What a partition is called in evidence: the same wherever the catalogue lies."""
        return f"{self.name}/{partition.path.relative_to(self.folder).as_posix()}"


def overlapping(partitions: Sequence[Partition], moc: MOC) -> list[Partition]:
    """The partitions whose cells have any part in common with a MOC; their centres do not matter."""
    cells = np.array([partition.cells for partition in partitions], dtype=np.int64).reshape(-1, 2)
    ranges = np.asarray(moc.to_depth29_ranges, dtype=np.int64).reshape(-1, 2)
    hits = overlaps(cells[:, 0], cells[:, 1], ranges)
    return [partition for partition, hit in zip(partitions, hits, strict=True) if hit]


def overlaps(low: NDArray[np.int64], high: NDArray[np.int64], ranges: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each range has any part in common with some of sorted, disjoint ranges.

    Parameters
    ----------
    low, high : ndarray of int64, any shape
        First cell of each range, and the first one after it.
    ranges : ndarray of int64, shape (n, 2)
        The ranges to compare with, of the same kind.

    Returns
    -------
    ndarray of bool
        In the shape of ``low``.
    """
    # The first range that ends after it begins overlaps it if that begins before it ends.
    place = np.searchsorted(ranges[:, 1], low, side="right")
    return np.asarray(np.append(ranges[:, 0], np.iinfo(np.int64).max)[place] < high)


def check_total(catalog: PartitionedCatalog) -> None:
    """Refuse a catalogue whose files do not have as many rows as it says, where partitions are not counted one by one.

    Files that are missing or damaged are left to whoever reads them; with them there is no total.
    """
    if catalog.n_rows is None or all(partition.n_rows is not None for partition in catalog.partitions):
        return
    with ThreadPoolExecutor(8) as readers:
        counts = list(readers.map(_rows_in_files, catalog.partitions))
    if None not in counts and sum(filter(None, counts)) != catalog.n_rows:
        raise InputError(
            f"{catalog.folder}: its files hold {sum(filter(None, counts))} rows, not the {catalog.n_rows} that the "
            "catalogue should have; it is not complete, or not of this release"
        )


def _rows_in_files(partition: Partition) -> int | None:
    files = partition.files()
    try:
        return sum(parquet.read_metadata(path).num_rows for path in files) if files else None
    except (OSError, pa.ArrowException):
        return None
