"""Load local catalogues in HEALPix partitions into ``ref.<catalog>``, partition by partition."""

from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from vascodb.copying import plain_waiting
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.fetch.coverage import surveyed
from vascodb.loaders.partitioned.layouts import open_catalog
from vascodb.loaders.partitioned.partition_load import Job, PartitionLoad, load_partition
from vascodb.loaders.partitioned.partitions import Partition, check_total, overlapping
from vascodb.loaders.regions import Region, with_rim
from vascodb.loaders.registry import CatalogDefinition
from vascodb.loaders.store import finish_load

__all__ = ["BulkLoad", "load_partitions"]


@dataclass(frozen=True)
class BulkLoad:
    """What `load_partitions` did.

    Parameters
    ----------
    catalog : str
        The catalogue.
    n_listed, n_wanted, n_loaded : int
        Partitions that there are, that the region needs, and that were loaded now.
    rows_in, rows_new : int
        Rows read, and sources that the catalogue did not have yet.
    failures : tuple of str
        One line per partition that failed.
    """

    catalog: str
    n_listed: int
    n_wanted: int
    n_loaded: int
    rows_in: int
    rows_new: int
    failures: tuple[str, ...]


def load_partitions(
    database: Database,
    definition: CatalogDefinition,
    folder: Path,
    region: Region | None = None,
    overrides: Mapping[str, str] | None = None,
    workers: int = 2,
    progress: Callable[[int, PartitionLoad], None] | None = None,
) -> BulkLoad:
    """Load the partitions of a HATS catalogue or a local cache that are not loaded yet.

    Each partition is one transaction: its sources, the look-up as evidence and the coverage are there
    together or not at all. A partition that fails is put on record, covers nothing, and does not keep
    others from being loaded. Any number of processes may load the same catalogue at once.

    Parameters
    ----------
    database : `Database`
        Where to.
    definition : `CatalogDefinition`
        Which catalogue it is.
    folder : `~pathlib.Path`
        Where it is; see `open_catalog`.
    region : `Region`, optional
        Load only what is needed to cover this region; everything, if it is not given.
    overrides : mapping of str to str, optional
        Core column to the name of the column that it is, where the registry's names do not fit.
    workers : int, optional
        Partitions that are loaded at once.
    progress : callable, optional
        Is told, after each partition, how many are wanted and what became of this one.

    Raises
    ------
    InputError
        If the folder holds no catalogue that can be loaded, or nothing of it is in the region.
    ServiceError
        If the database goes away; running again goes on with what is missing.
    """
    catalog = open_catalog(folder, definition.bulk_rows)
    if region is None or catalog.filed_arcsec > 0:
        check_total(catalog)
    with database.connect() as connection:
        survey = surveyed(connection, definition)
    if survey is None:
        raise InputError(
            f"the outline of {definition.name} is not known yet, so nothing can be covered; "
            f"fetch a part of it first: vascodb fetch-reference {definition.name} --cone RA,DEC,RADIUS"
        )
    job = Job(definition, catalog, dict(catalog.position_columns) | dict(overrides or {}), survey)
    wanted = list(catalog.partitions)
    if region is not None:
        job = replace(job, needed=with_rim(region.touched(), job.margin_arcsec))
        wanted = overlapping(wanted, job.needed)
    if not wanted:
        where = "it has no partitions" if region is None else f"none of its partitions is in the {region.description}"
        raise InputError(f"{catalog.folder}: {where}")
    outcomes: list[PartitionLoad] = []
    # Connections that were made outside could not copy, so they are made anew.
    with plain_waiting(), closing(Database(database.settings)) as own:
        with closing(_outcomes(own, job, wanted, workers)) as arriving:
            for outcome in arriving:
                outcomes.append(outcome)
                if progress is not None:
                    progress(len(wanted), outcome)
        finish_load(own, definition.name)
    loaded = [outcome for outcome in outcomes if outcome.state == "loaded"]
    return BulkLoad(
        catalog=definition.name,
        n_listed=len(catalog.partitions),
        n_wanted=len(wanted),
        n_loaded=len(loaded),
        rows_in=sum(outcome.rows_in for outcome in loaded),
        rows_new=sum(outcome.rows_new for outcome in loaded),
        failures=tuple(outcome.reason for outcome in outcomes if outcome.state == "failed"),
    )


def _outcomes(
    database: Database, job: Job, wanted: list[Partition], workers: int
) -> Generator[PartitionLoad, None, None]:
    """Load partitions side by side; those that another process is at come last, and are waited for."""
    busy: list[Partition] = []
    with ThreadPoolExecutor(workers, thread_name_prefix="load") as pool:
        try:
            for partition, outcome in _side_by_side(pool, database, job, wanted, workers, wait_for_others=False):
                if outcome.state == "busy":
                    busy.append(partition)
                else:
                    yield outcome
            for _, outcome in _side_by_side(pool, database, job, busy, workers, wait_for_others=True):
                yield outcome
        except BaseException:
            job.stop.set()
            raise


def _side_by_side(
    pool: ThreadPoolExecutor,
    database: Database,
    job: Job,
    partitions: list[Partition],
    workers: int,
    *,
    wait_for_others: bool,
) -> Iterator[tuple[Partition, PartitionLoad]]:
    waiting = iter(partitions)
    running: dict[Future[PartitionLoad], Partition] = {}
    while True:
        while len(running) < workers and (partition := next(waiting, None)) is not None:
            future = pool.submit(load_partition, database, job, partition, wait_for_others=wait_for_others)
            running[future] = partition
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()
