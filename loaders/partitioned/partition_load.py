"""One partition of a catalogue: its sources, the evidence and the coverage in one transaction."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Event
from time import monotonic
from typing import Literal

import pyarrow as pa
from mocpy import MOC
from sqlalchemy import Connection, text

from vascodb.bulk import advisory_lock, loading, try_advisory_lock
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.ids import content_id, file_sha256
from vascodb.loaders.client.failure import Cause
from vascodb.loaders.partitioned.blocks import Block, RowReader, find_blocks, merged
from vascodb.loaders.partitioned.coverage import add_bulk_coverage, as_moc
from vascodb.loaders.partitioned.partitions import Partition, PartitionedCatalog
from vascodb.loaders.registry import CatalogDefinition
from vascodb.loaders.store import LookupRecord, copy_sources, merge_sources, record_lookup

__all__ = ["Job", "PartitionLoad", "load_partition"]

# A narrower rim would follow the partitions' borders in finer cells, many times as many.
_LEAST_RIM_ARCSEC = 60.0


@dataclass(frozen=True)
class PartitionLoad:
    """What became of one partition.

    Parameters
    ----------
    state : {'loaded', 'already', 'busy', 'failed'}
        ``already``: nothing was left to load; ``busy``: another process is at it.
    rows_in, rows_new : int
        Rows read, and sources that the catalogue did not have yet.
    reason : str
        Why it failed, in one line.
    """

    state: Literal["loaded", "already", "busy", "failed"]
    rows_in: int = 0
    rows_new: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Job:
    """What is the same for all partitions of a load.

    Parameters
    ----------
    definition : `CatalogDefinition`
        Which catalogue it is.
    catalog : `PartitionedCatalog`
        Where it is.
    overrides : mapping of str to str
        Core column to the name of the column that it is.
    survey : `~mocpy.MOC`
        Sky that the catalogue surveyed.
    needed : `~mocpy.MOC` or None
        Sky of which rows are needed; all, if it is none.
    stop : `~threading.Event`
        Set when the load is to end before its time.
    """

    definition: CatalogDefinition
    catalog: PartitionedCatalog
    overrides: Mapping[str, str]
    survey: MOC
    needed: MOC | None = None
    stop: Event = field(default_factory=Event)

    @property
    def margin_arcsec(self) -> float:
        """The rim that is not covered: a source may be filed some way outside its partition."""
        return max(self.definition.coverage_margin_arcsec, _LEAST_RIM_ARCSEC) + self.catalog.filed_arcsec


def load_partition(database: Database, job: Job, partition: Partition, *, wait_for_others: bool) -> PartitionLoad:
    """Load what is needed of a partition and not stored yet, in one transaction.

    Parameters
    ----------
    database : `Database`
        Where to; its connections are made inside `plain_waiting`.
    job : `Job`
        What the partition belongs to.
    partition : `Partition`
        Which one.
    wait_for_others : bool
        Whether to wait if another process is loading it.

    Returns
    -------
    `PartitionLoad`
        Also where the partition is bad; that is put on record.

    Raises
    ------
    ServiceError
        If the database goes away.
    KeyboardInterrupt
        If the load is to end before its time.
    """
    endpoint = job.catalog.endpoint(partition)
    try:
        with loading(database) as connection:
            subject = f"ref.{job.definition.name} {endpoint}"
            if wait_for_others:
                advisory_lock(connection, subject)
            elif not try_advisory_lock(connection, subject):
                return PartitionLoad("busy")
            # Files and services' answers are merged by one at a time, partitions by several.
            advisory_lock(connection, f"ref.{job.definition.name}", shared=True)
            return _load_missing(database, connection, job, partition, endpoint)
    except InputError as error:
        reason = f"{partition.path}: {partition}: {error}"
        _record_failure(database, job, partition, endpoint, str(error))
        return PartitionLoad("failed", reason=reason)


def _load_missing(
    database: Database, connection: Connection, job: Job, partition: Partition, endpoint: str
) -> PartitionLoad:
    """Load the blocks of a partition that are needed and not stored yet."""
    started = monotonic()
    blocks = find_blocks(job.catalog, partition)
    before = _states(partition)
    hashed = _files_sha256(partition)
    loaded = _loaded_ranges(connection, job, endpoint, hashed)
    blocks = [block for block in blocks if not _is_within(block, loaded) and _is_needed(block, job.needed)]
    if not blocks:
        return PartitionLoad("already")
    if partition.n_rows is None and not any(block.n_rows for block in blocks):
        raise InputError("it has no rows; an empty file is no evidence of an empty sky")
    reader = RowReader(job.catalog, partition, blocks, job.definition, job.overrides)
    rows_new = copy_sources(connection, job.definition.name, _until_stopped(reader.tables(), job.stop))
    if rows_new is None:
        tables = _until_stopped(reader.tables(), job.stop)
        rows_new = merge_sources(database, connection, job.definition.name, tables, partition.path.name)
    if _states(partition) != before:
        raise InputError("it was changed while it was read; run again")
    ranges = merged([block.cells for block in blocks])
    record = LookupRecord(
        lookup_id=content_id("lookup", job.definition.name, "bulk", hashed, ranges, _identity(job)),
        catalog=job.definition.name,
        kind="bulk",
        endpoint=endpoint,
        region=str(partition),
        parameters={"cells": ranges} | _identity(job),
        complete=True,
        rows_in=reader.rows_in,
        rows_rejected=reader.rows_in - reader.rows_kept,
        response_sha256=hashed,
        response_bytes=sum(path.stat().st_size for path in partition.files()),
        seconds=monotonic() - started,
    )
    # What is on record is covered: nobody else may add to either in between.
    advisory_lock(connection, f"ref.{job.definition.name} coverage")
    record_lookup(connection, record)
    add_bulk_coverage(connection, job.definition.name, record.lookup_id, as_moc(ranges), job.survey, job.margin_arcsec)
    return PartitionLoad("loaded", reader.rows_in, rows_new)


def _identity(job: Job) -> dict[str, object]:
    """What makes other rows of the same file."""
    conditions = [f"{each.column} {each.operator} {each.value}" for each in job.definition.bulk_filter]
    return {"columns": dict(job.overrides), "filter": conditions}


def _is_within(block: Block, loaded: list[tuple[int, int]]) -> bool:
    return any(low <= block.cells[0] and block.cells[1] <= high for low, high in loaded)


def _is_needed(block: Block, needed: MOC | None) -> bool:
    return needed is None or not as_moc([block.cells]).intersection(needed).empty()


def _until_stopped(tables: Iterator[pa.Table], stop: Event) -> Iterator[pa.Table]:
    for table in tables:
        if stop.is_set():
            raise KeyboardInterrupt
        yield table


def _states(partition: Partition) -> list[tuple[str, int, int]]:
    """Names, sizes and times of the files, to notice a change."""
    return [(path.name, (state := path.stat()).st_size, state.st_mtime_ns) for path in partition.files()]


def _files_sha256(partition: Partition) -> str:
    """SHA-256 of the file; of the list of names and hashes where there are several."""
    hashes = {path.name: file_sha256(path) for path in partition.files()}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return sha256("".join(f"{name} {value}\n" for name, value in sorted(hashes.items())).encode()).hexdigest()


def _loaded_ranges(connection: Connection, job: Job, endpoint: str, hashed: str) -> list[tuple[int, int]]:
    """Cells of a partition that are loaded; refuses one that was other when some of it was loaded."""
    rows = connection.execute(
        text("""
            SELECT response_sha256, rows_in, parameters -> 'cells' AS cells
            FROM ref.lookup
            WHERE catalog = :catalog AND endpoint = :endpoint AND kind = 'bulk' AND complete
        """),
        {"catalog": job.definition.name, "endpoint": endpoint},
    ).all()
    for row in rows:
        if row.response_sha256 != hashed:
            raise InputError(
                f"a partition of this name with other content is loaded already ({row.rows_in} rows, sha256 "
                f"{row.response_sha256[:12]}; this one has {hashed[:12]}); give the catalogue's folder another name"
            )
    return merged([(low, high) for row in rows for low, high in row.cells])


def _record_failure(database: Database, job: Job, partition: Partition, endpoint: str, reason: str) -> None:
    record = LookupRecord(
        lookup_id=content_id("lookup", job.definition.name, "bulk", endpoint, "failed", reason),
        catalog=job.definition.name,
        kind="bulk",
        endpoint=endpoint,
        region=str(partition),
        parameters=_identity(job),
        status="failed",
        cause=Cause.BAD_FILE.value,
        error=reason,
    )
    with database.connect() as connection:
        record_lookup(connection, record)
