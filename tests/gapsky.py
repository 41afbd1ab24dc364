"""Small pieces of the tests of known gaps: catalogues as services publish them, fetches, and what vanishes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, Table
from servers.skytable import SkyTable
from sqlalchemy import Connection, text
from toysky import ToySky

from vascodb.db import Database
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.fetch.reference import fetch_areas, plan_areas
from vascodb.loaders.fetch.targets import Target
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import CanaryPosition, CatalogDefinition, catalog
from vascodb.profiles import Profile, StageDefinition

__all__ = ["at_service", "fetch", "image_of", "judge", "match", "published", "vetoes"]


def published(
    name: str, service: str, ra_deg: Any, dec_deg: Any, pmra: Any = 0.0, pmdec: Any = 0.0, **others: Any
) -> SkyTable:
    """Sources as a service publishes a registered catalogue, numbered from 1.

    ``others`` are values of columns that are nothing special to vascodb; None is a missing value.
    """
    definition = catalog(name)
    binding = definition.via[service]
    n = len(ra_deg)
    core: dict[str, Any] = {
        "source_id": np.arange(1, n + 1),
        "designation": [f"star {i}" for i in range(1, n + 1)],
        "ra": ra_deg,
        "dec": dec_deg,
        "pmra": pmra,
        "pmdec": pmdec,
        "epoch": definition.epoch_jyear,
        "mag": 15.0,
    }
    table = Table()
    for kind, values in core.items():
        for column in set(getattr(definition.columns, kind)) & set(binding.columns):
            table[column] = _column(values, n, binding.columns[column])
    conditions = {each.column: each.value for each in binding.where}
    for column in [*binding.columns, *conditions]:
        if column in others or column not in table.colnames:
            table[column] = _column(others.get(column, conditions.get(column, 9)), n, binding.columns.get(column, ""))
    return SkyTable(binding.table, table, binding.ra, binding.dec)


def _column(values: Any, n: int, unit: str) -> MaskedColumn:
    each = [values] * n if np.ndim(values) == 0 else list(values)
    missing = [value is None for value in each]
    return MaskedColumn([0 if value is None else value for value in each], mask=missing, unit=unit or None)


def at_service(name: str, ra_deg: float, dec_deg: float, **changes: object) -> CatalogDefinition:
    """A registered catalogue with its known source at a place of the test's own, in a sky of any few stars."""
    canary = CanaryPosition(ra=ra_deg, dec=dec_deg, radius_arcsec=3.0)
    return catalog(name).model_copy(update={"canary": canary, "fewest_per_sqdeg": None, **changes})


def fetch(
    database: Database, definition: CatalogDefinition, service: str, settings: ServiceSettings, *areas: Cone
) -> FetchTotals:
    """Plan and fetch cones, as the command does."""
    services = {service: settings}
    targets = [Target(f"target {number}", area) for number, area in enumerate(areas)]
    plan = plan_areas(database, services, definition, targets, service_name=service)
    return fetch_areas(database, services, definition, plan)


def image_of(database: Database, ra_deg: Sequence[float], dec_deg: Sequence[float], epoch_jyear: float = 1952.0) -> int:
    """An image with detections there, numbered from 1; the only one of its database."""
    with database.connect() as connection:
        toy = ToySky(connection)
        extraction_id = toy.extraction(float(ra_deg[0]), float(dec_deg[0]), epoch_jyear=epoch_jyear)
        toy.detections(extraction_id, ra_deg, dec_deg)
        return extraction_id


def match(database: Database, extraction_id: int, name: str) -> list[str]:
    """Match the detections against a catalogue; their states in order of their numbers."""
    with database.connect() as connection:
        ToySky(connection).match(extraction_id, name)
        states = connection.scalars(
            text("SELECT state FROM vasco.match WHERE extraction_id = :e AND catalog = :c ORDER BY number"),
            {"e": extraction_id, "c": name},
        )
        return list(states)


def vetoes(*families: str) -> Profile:
    """A profile that asks only whether some families of catalogues leave a detection clear."""
    stages = [StageDefinition(stage=f, function="veto", step=1, parameters={"family": f}) for f in families]
    return Profile(name="+".join(families), description="", extraction="seed", reference_stars=0, stages=tuple(stages))


def judge(connection: Connection, profile: Profile, extraction_id: int) -> list[int]:
    """Judge an image; numbers of its detections that are candidates."""
    toy = ToySky(connection)
    run_id = toy.judge(profile, extraction_id)
    rows = toy.execute(
        "SELECT number FROM api.candidates WHERE run_id = :r AND extraction_id = :e ORDER BY number",
        r=run_id, e=extraction_id,
    )  # fmt: skip
    return list(rows.scalars())
