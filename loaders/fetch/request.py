"""From what a user asks for to a fetch: which catalogue, which service, which sky or positions or images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from mocpy import MOC
from sqlalchemy import Connection

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.services import ServiceSettings, service
from vascodb.loaders.fetch.lists import fetch_positions
from vascodb.loaders.fetch.moving import fetch_moving
from vascodb.loaders.fetch.questions import detections_in_question, images_of, unmatched_detections
from vascodb.loaders.fetch.reach import stage_rim_arcsec
from vascodb.loaders.fetch.reference import FetchPlan, client_for, fetch_areas, plan_areas, service_for, survey_of
from vascodb.loaders.fetch.targets import Target, plan_targets, plate_target, tile_target
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.partitioned.load import load_partitions
from vascodb.loaders.partitioned.partition_load import PartitionLoad
from vascodb.loaders.regions import Cone, MocRegion
from vascodb.loaders.registry import CatalogDefinition
from vascodb.loaders.sources.registry import list_source
from vascodb.plates.footprint import ORDER

__all__ = ["Job", "Wish", "prepare"]

Report = Callable[[FetchTotals], None]
_ENDED = {"loaded": "complete", "already": "skipped", "busy": "skipped", "failed": "failed"}
"""What became of a partition, as totals count it."""


@dataclass(frozen=True)
class Wish:
    """For what a catalogue is wanted; exactly one of the first five, but ``plate`` may narrow ``plan``.

    Parameters
    ----------
    tile, plate, candidates : str or None
        Tile, plate, or run whose open detections are meant.
    plan : `~pathlib.Path` or None
        Plan file.
    cone : str or None
        ``RA,DEC,RADIUS``.
    size_arcmin : float
        Size of a tile that is not stored.
    via : str or None
        Service; by default the catalogue's first one.
    again : bool
        Ask even for what is known.
    local_copy : `~pathlib.Path` or None
        Folder of a local copy of the catalogue, which is read instead of asking a service for sky.
    reading : str
        Of plates' times, for moving objects: corrected or literal.
    """

    tile: str | None = None
    plate: str | None = None
    plan: Path | None = None
    cone: str | None = None
    candidates: str | None = None
    size_arcmin: float = 60.0
    via: str | None = None
    again: bool = False
    local_copy: Path | None = None
    reading: str = "corrected"


@dataclass(frozen=True)
class Job:
    """A fetch that is ready to begin.

    Parameters
    ----------
    what : str
        One line for people: service, and how much.
    size : int
        Questions, as far as they are known.
    notes : tuple of str
        What lies outside the survey, said once.
    run : callable
        Does it: takes the number of workers (none for the service's own) and a function for progress.
    """

    what: str
    size: int
    notes: tuple[str, ...]
    run: Callable[[int | None, Report], FetchTotals]


def prepare(
    database: Database, services: Mapping[str, ServiceSettings], definition: CatalogDefinition, wish: Wish
) -> Job:
    """Work out what has to be asked for a wish.

    Raises
    ------
    InputError
        If the wish names something that is not there, or that this catalogue cannot be asked for.
    ServiceError
        If the survey's outline is needed and cannot be had.
    """
    if definition.moving:
        return _moving_job(database, services, definition, wish)
    if wish.local_copy is not None and wish.via is None and wish.candidates is None:
        return _local_job(database, definition, wish, wish.local_copy)
    name = service_for(definition, wish.via)
    by_position = services[name].protocol == "xmatch" or definition.via[name].access == "list"
    if by_position or (wish.candidates is not None and services[name].protocol == "tap"):
        return _list_job(database, services, definition, wish, name)
    if wish.candidates is not None:
        with database.connect() as connection:
            names, positions = detections_in_question(connection, wish.candidates)
            rim_arcsec = stage_rim_arcsec(connection, definition.name)
        targets = [
            Target(name_of_it, Cone(float(ra), float(dec), 1.0 / 3600.0)).widened(rim_arcsec)
            for name_of_it, ra, dec in zip(names, positions.ra_deg, positions.dec_deg, strict=True)
        ]
    else:
        targets = _targets(database, definition, wish)
    plan = plan_areas(database, services, definition, targets, service_name=name, again=wish.again)
    return _area_job(database, services, definition, wish, plan)


def _area_job(
    database: Database,
    services: Mapping[str, ServiceSettings],
    definition: CatalogDefinition,
    wish: Wish,
    plan: FetchPlan,
) -> Job:
    rows = "" if plan.expected_rows is None else f", about {plan.expected_rows:,} rows"
    notes: tuple[str, ...] = ()
    if plan.outside:
        notes = (
            f"{len(plan.outside)} of the targets lie outside {definition.title} "
            f"({', '.join(plan.outside[:3])}{', …' if len(plan.outside) > 3 else ''}): not covered by it",
        )

    def run(workers: int | None, progress: Report) -> FetchTotals:
        return fetch_areas(database, services, definition, plan, workers=workers, again=wish.again, progress=progress)

    return Job(f"{plan.service}: {len(plan.units)} queries{rows}", len(plan.units), notes, run)


def _list_job(
    database: Database,
    services: Mapping[str, ServiceSettings],
    definition: CatalogDefinition,
    wish: Wish,
    name: str,
) -> Job:
    survey_of(database, services, definition)
    with database.connect() as connection:
        if wish.candidates is not None:
            _, positions = detections_in_question(connection, wish.candidates)
        else:
            positions = unmatched_detections(connection, _images(connection, wish))
    n_positions = len(positions.row_id)
    settings = service(name, dict(services))
    queries = -(-n_positions // settings.list_rows)

    def run(workers: int | None, progress: Report) -> FetchTotals:
        client = client_for(database, name, services)
        source = list_source(definition, name, dict(services))
        return fetch_positions(
            database, client, definition, source, positions, progress, workers=workers, again=wish.again
        )

    return Job(f"{name}: {n_positions} positions in {queries} queries", queries, (), run)


def _local_job(database: Database, definition: CatalogDefinition, wish: Wish, folder: Path) -> Job:
    sky = MOC.new_empty(ORDER).union(*[target.sky for target in _targets(database, definition, wish)])
    region = MocRegion(sky, "what is wanted", sha256(sky.to_string().encode()).hexdigest())

    def run(workers: int | None, progress: Report) -> FetchTotals:
        totals = FetchTotals()

        def report(wanted: int, load: PartitionLoad) -> None:
            nonlocal totals
            totals = replace(totals, planned=wanted).plus(
                load.reason or None,
                rows=load.rows_in,
                rows_new=load.rows_new,
                **{_ENDED[load.state]: 1},
            )
            progress(totals)

        load_partitions(database, definition, folder, region, workers=workers or 2, progress=report)
        return totals

    return Job(f"the local copy in {folder}", 1, (), run)


def _moving_job(
    database: Database, services: Mapping[str, ServiceSettings], definition: CatalogDefinition, wish: Wish
) -> Job:
    name = service_for(definition, wish.via)
    with database.connect() as connection:
        images = _images(connection, wish)

    def run(workers: int | None, progress: Report) -> FetchTotals:
        client = client_for(database, name, services)
        at_once = workers or client.settings.connections
        return fetch_moving(
            database, client, definition, images, progress=progress, workers=at_once, again=wish.again,
            reading=wish.reading,
        )  # fmt: skip

    when = "mid-exposure" if wish.reading == "corrected" else "the start that their headers write"
    return Job(f"{name}: {len(images)} images at {when}", len(images), (), run)


def _targets(database: Database, definition: CatalogDefinition, wish: Wish) -> list[Target]:
    """What is wanted, and as far about images as stages search; a cone is what the user says, and no more."""
    if wish.cone is not None:
        return [Target(wish.cone, Cone.parse(wish.cone))]
    with database.connect() as connection:
        rim_arcsec = stage_rim_arcsec(connection, definition.name)
        if wish.plan is not None:
            targets = plan_targets(wish.plan, wish.plate)
        elif wish.tile is not None:
            targets = [tile_target(connection, wish.tile, wish.size_arcmin)]
        else:
            targets = [plate_target(connection, wish.plate or "")]
    return [target.widened(rim_arcsec) for target in targets]


def _images(connection: Connection, wish: Wish) -> list[int]:
    if wish.cone is not None:
        raise InputError(
            "this catalogue is asked about detections and images, not about sky; "
            "give --tile, --plate, --plan or --candidates"
        )
    if wish.plan is not None:
        return images_of(connection, tiles=[target.name for target in plan_targets(wish.plan, wish.plate)])
    return images_of(
        connection, tiles=[wish.tile] if wish.tile else [], plate=wish.plate or "", run=wish.candidates or ""
    )
