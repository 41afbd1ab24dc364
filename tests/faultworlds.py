"""Services with a sky in patches, one for each fault, and detections there whose true states are known.

What is in the sky is made here, and what every detection's state must be is worked out by brute force,
without the database and without the loaders.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord, get_sun
from astropy.table import MaskedColumn, Table, vstack
from astropy.time import Time
from localservice import impatient
from numpy.typing import NDArray
from servers.faults import FAULTS, Kind, dead_endpoint
from servers.http import Request, ServiceServer
from servers.mast import MastServer
from servers.skybot import MovingObject, SkybotServer
from servers.skytable import SkyTable
from servers.tap import TapServer
from servers.vizier import VizierServer
from servers.xmatch import XMatchServer
from sqlalchemy import text
from toysky import ToySky

from vascodb.db import Database
from vascodb.loaders.client.answers import Positions
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.fetch.area import AreaFetch
from vascodb.loaders.fetch.lists import fetch_positions
from vascodb.loaders.fetch.moving import fetch_moving
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.fetch.units import declination_zone, sky_of_cone, units_for
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import CanaryPosition, CatalogDefinition, Condition, SkyPosition, SourceBinding, catalog
from vascodb.loaders.sources.registry import area_source, list_source
from vascodb.loaders.sources.tap_upload import TapUploadSource
from vascodb.plates.footprint import multirange

__all__ = ["IMPATIENT", "PLATE_JYEAR", "SERVICES", "Patch", "Vectors", "World", "vectors", "world_of"]

Vectors = NDArray[np.float64]

PLATE_JYEAR = 1952.0
ROW_CAP = 300
EXPOSURE_MINUTES = 50.0
IMPATIENT = {
    "connect_timeout": "connect_timeout_s",
    "first_byte_timeout": "first_byte_timeout_s",
    "slow_drip": "total_timeout_s",
}
_ASKED_DEG = 0.10
_STARS_DEG = 0.15
_N_STARS = 70
_CANARY = CanaryPosition(ra=5.6, dec=10.0, radius_arcsec=3.0, empty=SkyPosition(ra=5.6, dec=10.4))
_CATALOGS = {
    "vizier_tap": "gaia_dr3",
    "vizier_asu": "gaia_dr3",
    "mast_catalogs": "ps1_dr2",
    "cds_xmatch": "gaia_dr3",
    "gavo_tap": "supercosmos",
    "irsa_tap": "neowise_psd",
    "skybot": "skybot",
}
SERVICES = {
    "vizier_tap": "tap",
    "vizier_asu": "vizier",
    "mast_catalogs": "mast",
    "cds_xmatch": "xmatch",
    "gavo_tap": "tap",
    "irsa_tap": "tap",
    "skybot": "skybot",
}
"""Services that give rows, and the protocol of each."""


@dataclass(frozen=True)
class Patch:
    """A place in the sky that only one test asks about.

    Parameters
    ----------
    area : `Cone`
        What is asked for.
    extraction_id : int
        Its image and the extraction of that.
    ra_deg, dec_deg : ndarray
        Detections, numbered from 1.
    states : dict of int to str
        What each detection's state is, once everything is known.
    """

    area: Cone
    extraction_id: int
    ra_deg: Any
    dec_deg: Any
    states: dict[int, str]


@dataclass
class World:
    """One service, the catalogue that it has, and a database.

    Parameters
    ----------
    service, kind
        The service, and how it is asked: area, list or moving.
    definition
        The catalogue.
    server
        The service.
    database
        Where look-ups go.
    truth : float64[n, 3]
        Everything that there is, at the catalogue's epoch, as unit vectors.
    patches
        Patches by the name of what is tried there.
    """

    service: str
    kind: str
    definition: CatalogDefinition
    server: ServiceServer
    database: Database
    truth: Vectors
    patches: dict[str, Patch] = field(default_factory=dict)

    def settings(self, fault: str | None, root: str) -> ServiceSettings:
        """Settings for one try: patient, but for faults that are a matter of time."""
        patience = dict.fromkeys(("connect_timeout_s", "first_byte_timeout_s", "total_timeout_s"), 10.0)
        if fault in IMPATIENT:
            patience[IMPATIENT[fault]] = 0.3
        protocol = {"vizier": "asu"}.get(self.server.protocol, self.server.protocol)
        return impatient(protocol, root + self.server.base_path, row_cap=ROW_CAP, connections=1, **patience)

    @contextmanager
    def faulty(self, fault: str, times: int | None, when: Callable[[Request], bool] | None) -> Iterator[ServiceClient]:
        """A client of the service, which fails in one way for as long as the context lasts."""
        if FAULTS[fault].kind is Kind.ENDPOINT:
            with dead_endpoint(fault) as root:
                yield ServiceClient(self.service, self.settings(fault, root))
            return
        self.server.fail(fault, times, when=when)
        try:
            yield ServiceClient(self.service, self.settings(fault, self.server.root))
        finally:
            self.server.heal()

    def healthy(self) -> ServiceClient:
        """A client of the service as it should be."""
        return ServiceClient(self.service, self.settings(None, self.server.root))

    def fetch(self, patch: Patch, client: ServiceClient) -> FetchTotals:
        """Ask about a patch through the engine that asks in this way."""
        services = {self.service: client.settings}
        if self.kind == "moving":
            return fetch_moving(self.database, client, self.definition, [patch.extraction_id])
        if self.kind == "list":
            source = list_source(self.definition, self.service, services)
            if isinstance(source, TapUploadSource):
                source = replace(source, sleep=lambda _: None)
            positions = Positions(np.arange(1, len(patch.ra_deg) + 1), patch.ra_deg, patch.dec_deg)
            return fetch_positions(self.database, client, self.definition, source, positions)
        margin_arcsec = self.definition.coverage_margin_arcsec
        units = units_for(patch.area, sky_of_cone(patch.area), margin_arcsec, client.settings.max_radius_deg)
        survey = declination_zone(self.definition.dec_min, self.definition.dec_max)
        source = area_source(self.definition, self.service, services)
        return AreaFetch(self.database, client, self.definition, source, survey).run(units, 1)

    def match(self, patch: Patch) -> dict[int, str]:
        """Match the detections of a patch; returns their states."""
        with self.database.connect() as connection:
            key = {"id": patch.extraction_id, "catalog": self.definition.name}
            connection.execute(text("SELECT * FROM stage.match(:id, :catalog)"), key)
            rows = connection.execute(
                text("SELECT number, state FROM vasco.match WHERE extraction_id = :id AND catalog = :catalog"), key
            )
            return {number: state for number, state in rows}

    def is_about_canary(self, request: Request) -> bool:
        """Whether a request asks about the canary, in whatever way."""
        return self.kind == "area" and any(f"{_CANARY.ra}" in value for _, value in request.parameters)


@contextmanager
def world_of(service: str, database: Database, names: Sequence[str]) -> Iterator[World]:
    """A service with a patch for each name, and a database in which each patch has detections."""
    definition = catalog(_CATALOGS[service])
    if definition.moving:
        world, server = _moving_world(service, definition, database, names)
    else:
        world, server = _fixed_world(service, definition, database, names)
    with server:
        yield world


def _fixed_world(
    service: str, definition: CatalogDefinition, database: Database, names: Sequence[str]
) -> tuple[World, ServiceServer]:
    random = np.random.default_rng(sum(service.encode()))
    definition = definition.model_copy(update={"canary": _CANARY})
    centres = _centres(len(names), definition.dec_min)
    fields = [_stars(random, *centre, 1000 * i, definition) for i, centre in enumerate(centres)]
    canary = Table({"id": [10**6], "ra": [_CANARY.ra], "dec": [_CANARY.dec], "pmra": [0.0], "pmdec": [0.0]})
    everything = vstack([*fields, canary])
    table = _as_published(everything, definition, definition.via[service])
    server = _server(service, definition, table)
    truth = vectors(everything["ra"], everything["dec"])
    kind = "area" if service in ("vizier_tap", "vizier_asu", "mast_catalogs") else "list"
    world = World(service, kind, definition, server, database, truth)
    with database.connect() as connection:
        toy = ToySky(connection)
        for name, (ra_deg, dec_deg), stars in zip(names, centres, fields, strict=True):
            then = _at_plate(stars, definition)
            detections = _detections(random, SkyCoord(ra_deg, dec_deg, unit="deg"), then)
            nearest = detections.match_to_catalog_sky(then)[1].arcsec
            is_surveyed = nearest <= (definition.witness_radius_arcsec or np.inf)
            is_matched = nearest <= definition.match_radius_arcsec
            area = Cone(ra_deg, dec_deg, _ASKED_DEG)
            world.patches[name] = _patch(toy, area, detections, is_matched, is_surveyed)
    return world, server


def _moving_world(
    service: str, definition: CatalogDefinition, database: Database, names: Sequence[str]
) -> tuple[World, ServiceServer]:
    """Objects that move over each patch, and one opposite the Sun, where the canary looks."""
    random = np.random.default_rng(8)
    epoch = Time(PLATE_JYEAR, format="jyear", scale="utc")
    sun = get_sun(epoch)
    objects = [MovingObject("canary", float(sun.ra.deg + 180) % 360, -float(sun.dec.deg), epoch.jd)]
    world = World(service, "moving", definition, SkybotServer(objects), database, vectors([], []))
    with database.connect() as connection:
        toy = ToySky(connection)
        toy.execute(
            "INSERT INTO plate.exposure_time (plate_id, source, reading, start_utc, mid_utc, uncertainty_minutes, "
            "time_quality, evidence) VALUES ('XE001', 'solution', 'corrected', :mid, :mid, 0.5, 'agreed', 'toy')",
            mid=epoch.to_datetime(timezone=UTC),
        )
        for name, (ra_deg, dec_deg) in zip(names, _centres(len(names), -90.0), strict=True):
            centre = SkyCoord(ra_deg, dec_deg, unit="deg")
            middles = _around(random, centre, 0.95 * _ASKED_DEG, 6)
            rates = random.normal(0, 30, (6, 2))
            for i, (middle, rate) in enumerate(zip(middles, rates, strict=True)):
                objects.append(
                    MovingObject(f"{name} {i}", middle.ra.deg % 360, middle.dec.deg, epoch.jd, rate[0], rate[1])
                )
            # Where each object was in the course of the exposure, in steps of a fraction of an arcsec.
            hours = np.linspace(-0.5, 0.5, 401) * EXPOSURE_MINUTES / 60.0
            trails = SkyCoord(
                [middle.spherical_offsets_by(r[0] * hours * u.arcsec, r[1] * hours * u.arcsec)
                 for middle, r in zip(middles, rates, strict=True)]
            ).ravel()  # fmt: skip
            detections = _detections(random, centre, trails)
            nearest = detections.match_to_catalog_sky(trails)[1].arcsec
            patch = _patch(toy, Cone(ra_deg, dec_deg, _ASKED_DEG), detections, nearest <= 5.0)
            toy.execute(
                "UPDATE plate.image SET footprint = CAST(:r AS int8multirange), exposure_minutes = :m "
                "WHERE image_id = :id",
                r=multirange(sky_of_cone(patch.area)), m=EXPOSURE_MINUTES, id=patch.extraction_id,
            )  # fmt: skip
            world.patches[name] = patch
    world.server.objects = objects
    world.truth = vectors([each.ra_deg for each in objects], [each.dec_deg for each in objects])
    return world, world.server


def vectors(ra_deg: Any, dec_deg: Any) -> Vectors:
    """Positions as unit vectors; chords are angles at the distances that matter here."""
    ra, dec = np.radians(np.asarray(ra_deg, dtype=float)), np.radians(np.asarray(dec_deg, dtype=float))
    return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def _centres(n: int, dec_min: float) -> list[tuple[float, float]]:
    """Places a good way apart; the first lies across RA 0."""
    decs = itertools.cycle((20.0, 41.81, 2.0, 84.0) if dec_min > -90 else (20.0, -41.81, 0.0, -84.0))
    return [(360.0 * i / n, dec) for i, dec in zip(range(n), decs, strict=False)]


def _around(random: np.random.Generator, centre: SkyCoord, radius_deg: float, n: int) -> SkyCoord:
    """Places in a circle, the first of them well inside."""
    distance = radius_deg * np.sqrt(random.random(n))
    distance[0] /= 4
    return centre.directional_offset_by(random.random(n) * 360 * u.deg, distance * u.deg)


def _stars(
    random: np.random.Generator, ra_deg: float, dec_deg: float, first: int, definition: CatalogDefinition
) -> Table:
    """Stars in and around a patch; where the catalogue knows motions, the first moves nearly a search margin."""
    places = _around(random, SkyCoord(ra_deg, dec_deg, unit="deg"), _STARS_DEG, _N_STARS)
    motion = random.normal(0, 60, (_N_STARS, 2)) if definition.has_pm else np.zeros((_N_STARS, 2))
    if definition.has_pm:
        motion[0] = 600.0, -550.0
    return Table({
        "id": first + np.arange(_N_STARS, dtype=np.int64), "ra": places.ra.deg % 360, "dec": places.dec.deg,
        "pmra": motion[:, 0], "pmdec": motion[:, 1],
    })  # fmt: skip


def _at_plate(stars: Table, definition: CatalogDefinition) -> SkyCoord:
    """Where stars were on the night of the exposure, by astropy."""
    there = SkyCoord(
        np.asarray(stars["ra"]) * u.deg, np.asarray(stars["dec"]) * u.deg, distance=1 * u.kpc,
        pm_ra_cosdec=np.asarray(stars["pmra"]) * u.mas / u.yr, pm_dec=np.asarray(stars["pmdec"]) * u.mas / u.yr,
        obstime=Time(definition.epoch_jyear, format="jyear"),
    )  # fmt: skip
    moved = there.apply_space_motion(new_obstime=Time(PLATE_JYEAR, format="jyear"))
    return SkyCoord(moved.ra, moved.dec)


def _detections(random: np.random.Generator, centre: SkyCoord, objects: SkyCoord) -> SkyCoord:
    """Detections on some objects, just within and just beyond a match of others, and anywhere."""
    inside = objects[centre.separation(objects).deg < 0.9 * _ASKED_DEG]
    off_arcsec = np.array([0.0, 0.3, 1.0, 2.0, 4.8, 5.3])
    known = inside[random.choice(len(inside), len(off_arcsec), replace=False)]
    off = known.directional_offset_by(random.random(len(off_arcsec)) * 360 * u.deg, off_arcsec * u.arcsec)
    anywhere = _around(random, centre, 0.9 * _ASKED_DEG, 8)
    return _joined(objects[:1], off, anywhere)


def _joined(*places: SkyCoord) -> SkyCoord:
    return SkyCoord(
        np.concatenate([p.ra.deg for p in places]) % 360, np.concatenate([p.dec.deg for p in places]), unit="deg"
    )


def _patch(toy: ToySky, area: Cone, detections: SkyCoord, is_matched: Any, is_surveyed: Any = True) -> Patch:
    """Put detections on an image of their own; where the survey did not look, none is clear."""
    extraction_id = toy.extraction(area.ra_deg, area.dec_deg, area.radius_deg, PLATE_JYEAR)
    ra, dec = detections.ra.deg, detections.dec.deg
    toy.detections(extraction_id, ra, dec)
    states = np.where(is_matched, "matched", np.where(is_surveyed, "clear", "not_covered")).tolist()
    assert {"matched", "clear"} <= set(states)
    return Patch(area, extraction_id, ra, dec, dict(enumerate(states, start=1)))


def _as_published(stars: Table, definition: CatalogDefinition, binding: SourceBinding) -> Table:
    """Stars under the names that a service has for their columns, with values that meet its conditions."""
    names = definition.columns
    values = {
        "source_id": stars["id"], "ra": stars["ra"], "dec": stars["dec"], "pmra": stars["pmra"],
        "pmdec": stars["pmdec"], "mag": 15.0 + np.arange(len(stars)) % 5,
    }  # fmt: skip
    table = Table()
    for core, value in values.items():
        for name in set(getattr(names, core)) & set(binding.columns):
            table[name] = MaskedColumn(value, unit=binding.columns[name] or None)
    for condition in binding.where:
        if condition.column not in table.colnames:
            table[condition.column] = [_meeting(condition)] * len(table)
    return table


def _meeting(condition: Condition) -> Any:
    if isinstance(condition.value, str):
        return condition.value
    return condition.value + {">": 1, "<": -1}.get(condition.operator, 0)


def _server(service: str, definition: CatalogDefinition, table: Table) -> ServiceServer:
    binding = definition.via[service]
    sky = SkyTable(binding.table, table, binding.ra, binding.dec)
    if service == "mast_catalogs":
        return MastServer({binding.table: sky})
    server: Callable[..., ServiceServer] = {"vizier": VizierServer, "xmatch": XMatchServer}.get(
        SERVICES[service], TapServer
    )
    return server([sky])
