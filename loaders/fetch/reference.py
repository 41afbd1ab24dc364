"""Fetch a reference catalogue for what a user names: plan the questions, put them, and sum up."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from mocpy import MOC
from sqlalchemy import Connection, text

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.configured import effective_settings
from vascodb.loaders.client.services import ServiceSettings, service
from vascodb.loaders.fetch.area import AreaFetch
from vascodb.loaders.fetch.coverage import surveyed
from vascodb.loaders.fetch.footprint import fetch_footprint
from vascodb.loaders.fetch.targets import Target, units_of
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.fetch.units import SKY_SQDEG, Unit
from vascodb.loaders.registry import CatalogDefinition
from vascodb.loaders.sources.registry import area_source

__all__ = ["FetchPlan", "client_for", "fetch_areas", "plan_areas", "service_for", "survey_of"]


@dataclass(frozen=True)
class FetchPlan:
    """What a fetch would ask.

    Parameters
    ----------
    service : str
        Service that is asked.
    units : list of `Unit`
        Questions, as far as they are known before the answers; those that are cut become more.
    outside : list of str
        Targets that lie wholly outside the survey: not covered, and no error.
    expected_rows : int or None
        Rows to expect, from the density of what is stored or of the whole catalogue; none if neither is known.
    survey : `~mocpy.MOC`
        Sky in which the catalogue can say that nothing is there.
    """

    service: str
    units: list[Unit]
    outside: list[str]
    expected_rows: int | None
    survey: MOC = field(repr=False)


def service_for(definition: CatalogDefinition, via: str | None) -> str:
    """The service to ask for a catalogue: the one the user wants, or its first one.

    Raises
    ------
    InputError
        If the catalogue is not served there; the message lists where it is.
    """
    names = list(definition.via)
    if via is not None and via not in names:
        raise InputError(f"{definition.name} is not served by {via!r}; it is by: {', '.join(names) or 'none'}")
    if via is None and not names:
        raise InputError(f"{definition.name} is served by no service; load it from a file: vascodb load-reference")
    return via or names[0]


def client_for(database: Database, name: str, services: Mapping[str, ServiceSettings]) -> ServiceClient:
    """A client of a service that asks the mirror first which answered last, and records the settings in effect."""
    with database.connect() as connection:
        preferred = connection.scalars(
            text("""
                SELECT endpoint FROM ref.endpoint
                WHERE service = :service AND last_good_at IS NOT NULL
                ORDER BY last_good_at < last_bad_at NULLS FIRST, last_good_at DESC
            """),
            {"service": name},
        ).all()
    found = effective_settings(database.settings)
    context = found if found["changed"] or found["variables"] else {}
    return ServiceClient(name, service(name, dict(services)), preferred, context)


def survey_of(database: Database, services: Mapping[str, ServiceSettings], definition: CatalogDefinition) -> MOC:
    """Sky in which a catalogue can say that nothing is there; its outline is fetched if it is needed and missing."""
    with database.connect() as connection:
        survey = surveyed(connection, definition)
    if survey is not None:
        return survey
    fetch_footprint(database, client_for(database, "cds_moc", services), definition)
    with database.connect() as connection:
        survey = surveyed(connection, definition)
    assert survey is not None
    return survey


def plan_areas(
    database: Database,
    services: Mapping[str, ServiceSettings],
    definition: CatalogDefinition,
    targets: Iterable[Target],
    *,
    service_name: str,
    again: bool = False,
) -> FetchPlan:
    """Work out what has to be asked for some targets; fetches the survey's outline if it is needed and missing."""
    settings = service(service_name, dict(services))
    survey = survey_of(database, services, definition)
    with database.connect() as connection:
        units, outside = units_of(
            connection,
            targets,
            definition.name,
            definition.coverage_margin_arcsec,
            settings.max_radius_deg,
            survey,
            again=again,
        )
        expected = _expected_rows(connection, definition, units)
    return FetchPlan(service_name, units, outside, expected, survey)


def fetch_areas(
    database: Database,
    services: Mapping[str, ServiceSettings],
    definition: CatalogDefinition,
    plan: FetchPlan,
    *,
    workers: int | None = None,
    again: bool = False,
    progress: Callable[[FetchTotals], None] = lambda _: None,
) -> FetchTotals:
    """Put the questions of a plan, no more at once than the service bears; see `AreaFetch`."""
    if not plan.units:
        return FetchTotals()
    client = client_for(database, plan.service, services)
    fetch = AreaFetch(
        database,
        client,
        definition,
        area_source(definition, plan.service, dict(services)),
        plan.survey,
        again=again,
        progress=progress,
    )
    return fetch.run(plan.units, min(workers or client.settings.connections, client.settings.connections))


def _expected_rows(connection: Connection, definition: CatalogDefinition, units: list[Unit]) -> int | None:
    stored = connection.execute(
        text("SELECT sources, coverage_sqdeg FROM api.catalogs WHERE catalog = :catalog"),
        {"catalog": definition.name},
    ).first()
    if stored is not None and stored.coverage_sqdeg > 0.1:
        density = float(stored.sources) / float(stored.coverage_sqdeg)
    elif definition.bulk_rows:
        density = definition.bulk_rows / SKY_SQDEG
    else:
        return None
    # A circle of radius r: 2 pi (1 - cos r), flat enough for an estimate.
    return round(sum(3.1416 * unit.cone.radius_deg**2 for unit in units) * density)
