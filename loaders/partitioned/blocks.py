"""The rows of one partition: read in parts, filtered, every row checked, in the order of the HEALPix curve."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cdshealpix.nested import neighbours
from numpy.typing import NDArray
from pyarrow import parquet

from vascodb.errors import InputError
from vascodb.loaders.partitioned.partitions import Partition, PartitionedCatalog, overlaps
from vascodb.loaders.registry import CatalogDefinition, Condition
from vascodb.loaders.tables import CORE_SCHEMA, core_table, needed_columns
from vascodb.plates.footprint import ORDER, cells

__all__ = ["Block", "RowReader", "find_blocks", "merged"]

_ROWS_READ_AT_ONCE = 65_536
# Sorted together; memory grows with this and not with the files.
_ROWS_SORTED_AT_ONCE = 131_072
_COMPARE = {">=": pc.greater_equal, "<=": pc.less_equal, ">": pc.greater, "<": pc.less, "=": pc.equal}

Range = tuple[int, int]


@dataclass(frozen=True)
class Block:
    """Row groups that hold every row of a partition in a range of cells.

    Parameters
    ----------
    cells : (int, int)
        First cell of order 29, and the first one after the last.
    groups : tuple of (`~pathlib.Path`, int)
        Files, and numbers of row groups in them.
    n_rows : int
        Rows in these groups.
    """

    cells: Range
    groups: tuple[tuple[Path, int], ...]
    n_rows: int


def find_blocks(catalog: PartitionedCatalog, partition: Partition) -> list[Block]:
    """Divide a partition into the smallest blocks that can be read by themselves.

    Where the files say of every row group which cells it begins and ends with, and the groups follow
    each other along the curve, each is a block: it owns the cells up to where the next one begins.
    Otherwise the whole partition is one block.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the partition has another number of rows than listed.
    """
    files = partition.files()
    if not files:
        raise InputError("its file is missing")
    groups: list[tuple[Path, int]] = []
    counts: list[int] = []
    spans: list[Range | None] = []
    for path in files:
        try:
            metadata = parquet.read_metadata(path)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path.name} is damaged: {' '.join(str(error).split())[:200]}") from error
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            groups.append((path, index))
            counts.append(group.num_rows)
            spans.append(_cells_of_group(group, catalog.cell_column))
    if partition.n_rows is not None and sum(counts) != partition.n_rows:
        raise InputError(f"it has {sum(counts)} rows, but {partition.n_rows} are listed")
    order = sorted(range(len(groups)), key=lambda i: spans[i] or (0, 0))
    known = [span for span in (spans[i] for i in order) if span is not None]
    low, high = partition.cells
    apart = all(one[1] < other[0] for one, other in pairwise(known))
    if len(known) < len(groups) or not known or not apart or known[0][0] < low or known[-1][1] >= high:
        return [Block(partition.cells, tuple(groups), sum(counts))]
    begins = [low, *(span[0] for span in known[1:]), high]
    return [
        Block((begin, end), (groups[i],), counts[i]) for i, (begin, end) in zip(order, pairwise(begins), strict=True)
    ]


def _cells_of_group(group: parquet.RowGroupMetaData, column_name: str) -> Range | None:
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema == column_name:
            statistics = column.statistics
            if statistics is not None and statistics.has_min_max and statistics.null_count in (0, None):
                return int(statistics.min), int(statistics.max)
    return None


class RowReader:
    """Reads blocks of a partition; may be read again from the beginning.

    Parameters
    ----------
    catalog : `PartitionedCatalog`
        Where the partition belongs.
    partition : `Partition`
        The partition, for messages.
    blocks : sequence of `Block`
        What is read of it.
    definition : `CatalogDefinition`
        Columns, and the filter that rows must fulfil.
    overrides : mapping of str to str
        Core column to the name of the column that it is.

    Attributes
    ----------
    rows_in, rows_kept : int
        After reading: rows in the blocks, and those that fulfil the filter.
    """

    def __init__(
        self,
        catalog: PartitionedCatalog,
        partition: Partition,
        blocks: Sequence[Block],
        definition: CatalogDefinition,
        overrides: Mapping[str, str],
    ) -> None:
        self.rows_in = 0
        self.rows_kept = 0
        self._catalog = catalog
        self._partition = partition
        self._blocks = blocks
        self._ranges = np.array(merged([block.cells for block in blocks]), dtype=np.int64)
        self._definition = definition
        self._overrides = overrides

    def tables(self) -> Iterator[pa.Table]:
        """All rows, with `CORE_SCHEMA`; sorted by their cells within each table.

        Raises
        ------
        InputError
            If a file is damaged, lacks a column, or has a row that is bad or not in the blocks' cells.
        """
        self.rows_in = self.rows_kept = 0
        waiting: list[pa.Table] = []
        for raw in self._raw():
            waiting.append(self._checked(raw))
            self.rows_in += raw.num_rows
            self.rows_kept += waiting[-1].num_rows
            if sum(table.num_rows for table in waiting) >= _ROWS_SORTED_AT_ONCE:
                yield _sorted(waiting)
                waiting = []
        if any(table.num_rows for table in waiting):
            yield _sorted(waiting)
        if self.rows_in != sum(block.n_rows for block in self._blocks):
            raise InputError(f"only {self.rows_in} of its {sum(block.n_rows for block in self._blocks)} rows came")

    def _raw(self) -> Iterator[pa.Table]:
        groups = sorted(group for block in self._blocks for group in block.groups)
        for path, of_path in groupby(groups, key=lambda group: group[0]):
            try:
                with parquet.ParquetFile(path, buffer_size=1 << 20) as file:
                    columns = self._columns(file.schema_arrow)
                    for batch in file.iter_batches(
                        _ROWS_READ_AT_ONCE, [index for _, index in of_path], columns, use_threads=False
                    ):
                        yield pa.table(batch)
            except (OSError, pa.ArrowException) as error:
                raise InputError(f"{path.name} is damaged: {' '.join(str(error).split())[:200]}") from error

    def _columns(self, schema: pa.Schema) -> list[str]:
        """The columns that may be needed, of those that there are."""
        wanted = needed_columns(self._definition, self._overrides)
        wanted |= {condition.column for condition in self._definition.bulk_filter}
        return [name for name in schema.names if name in wanted]

    def _checked(self, raw: pa.Table) -> pa.Table:
        """Rows that fulfil the filter, with their cells as a last column."""
        units = {
            field.name: field.metadata[b"unit"].decode()
            for field in raw.schema
            if field.metadata and b"unit" in field.metadata
        }
        placed = self._placed(raw)
        for condition in self._definition.bulk_filter:
            placed = placed.filter(_fulfils(placed, condition))
        try:
            table = core_table(placed, units, self._definition, self._overrides, unique=False)
        except InputError as error:
            raise InputError(f"of its rows from {self.rows_in + 1} on that are kept, {error}") from error
        return table.append_column("cell", placed["cell"])

    def _placed(self, raw: pa.Table) -> pa.Table:
        """The rows with their cells; every row that has a position is in its place, kept or not."""
        names = self._definition.columns
        places = []
        for core, known in (("ra", names.ra), ("dec", names.dec)):
            name = next((n for n in (self._overrides.get(core), *known) if n in raw.column_names), None)
            if name is None:
                raise InputError(f"has no column {' or '.join(known)} ({core})")
            places.append(pc.fill_null(pc.cast(raw[name], pa.float64(), safe=False), np.nan).to_numpy())
        ra_deg, dec_deg = places
        placed = (ra_deg >= 0) & (ra_deg < 360) & (np.abs(dec_deg) <= 90)
        found = np.full(raw.num_rows, -1, dtype=np.int64)
        found[placed] = cells(ra_deg[placed], dec_deg[placed])
        strays = np.flatnonzero(placed)[self._strays(found[placed])]
        if len(strays):
            raise InputError(
                f"{len(strays)} of its rows {self.rows_in + 1} to {self.rows_in + raw.num_rows} lie in other cells, "
                f"such as the one at {ra_deg[strays[0]]:.6f} {dec_deg[strays[0]]:+.6f}; "
                "were its cells numbered in the RING scheme?"
            )
        return raw.append_column("cell", pa.array(found))

    def _strays(self, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of the rows lie farther outside than the catalogue's way of filing explains."""
        strays = np.flatnonzero(~overlaps(found, found + 1, self._ranges))
        if len(strays) == 0:
            return strays
        shift = 2 * (ORDER - self._catalog.filed_order)
        about, which = np.unique(found[strays] >> shift, return_inverse=True)
        # Each cell and its neighbours; beside some corners of the sphere there is none.
        near = np.asarray(neighbours(about.astype(np.uint64), self._catalog.filed_order), dtype=np.int64)
        touching = (near >= 0) & overlaps(near << shift, (near + 1) << shift, self._ranges)
        return strays[~np.asarray(touching.any(axis=1))[which]]


def merged(ranges: Sequence[Range]) -> list[Range]:
    """The union of ranges, in order, without any that touch."""
    union: list[Range] = []
    for low, high in sorted(ranges):
        if union and low <= union[-1][1]:
            union[-1] = union[-1][0], max(high, union[-1][1])
        else:
            union.append((low, high))
    return union


def _fulfils(table: pa.Table, condition: Condition) -> pa.Array:
    if condition.column not in table.column_names:
        raise InputError(f"has no column {condition.column}, by which the rows of this catalogue are chosen")
    return pc.fill_null(_COMPARE[condition.operator](table[condition.column], pa.scalar(condition.value)), False)


def _sorted(tables: Sequence[pa.Table]) -> pa.Table:
    table = pa.concat_tables(tables)
    order = np.argsort(table["cell"].to_numpy(), kind="stable")
    return table.take(pa.array(order)).select(CORE_SCHEMA.names)
