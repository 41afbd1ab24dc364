"""Outlines of surveys: nothing outside them is ever covered, and without one nothing is."""

from pathlib import Path

import astropy.units as u
import pytest
from astropy.coordinates import Latitude, Longitude, SkyCoord
from localservice import LocalSky, gaia_at, impatient, local_sky
from mocpy import MOC
from servers.files import FileServer
from servers.tap import TapServer
from sqlalchemy import text

from vascodb.db import Database
from vascodb.errors import ServiceError
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.fetch.coverage import surveyed, uncovered
from vascodb.loaders.fetch.footprint import fetch_footprint
from vascodb.loaders.fetch.reference import fetch_areas, plan_areas
from vascodb.loaders.fetch.targets import Target
from vascodb.loaders.fetch.units import sky_of_cone
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import CanaryPosition, CatalogDefinition

PATH = "II_319_las9/MOC"


@pytest.fixture(scope="module")
def sky() -> LocalSky:
    return local_sky(200.0, 5.0, 1.5, 2000)


@pytest.fixture(scope="module")
def outline(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A survey of the western half of the local sky."""
    moc = MOC.from_zone(SkyCoord([[198.0, 3.0], [200.0, 7.0]], unit="deg"), max_depth=12)
    path: Path = tmp_path_factory.mktemp("moc") / "moc.fits"
    moc.save(path, format="fits")
    return path.read_bytes()


@pytest.fixture
def definition(sky: LocalSky) -> CatalogDefinition:
    inside = sky.canary.model_copy(update={"ra": 199.0, "dec": 5.0})
    return gaia_at("vizier_tap", inside, footprint="moc", footprint_table="II/319/las9")


def test_only_the_survey_is_covered_and_said_to_be(
    database: Database, sky: LocalSky, outline: bytes, definition: CatalogDefinition
) -> None:
    definition = definition.model_copy(update={"canary": canary_in_the_west(sky)})
    with FileServer({PATH: outline}) as mocs, TapServer([sky.table]) as tap:
        services = {"vizier_tap": impatient("tap", tap.url), "cds_moc": impatient("files", mocs.root)}
        targets = [
            Target("west", Cone(199.4, 5.0, 0.2)),
            Target("east", Cone(200.8, 5.0, 0.2)),
            Target("edge", Cone(200.0, 5.0, 0.1)),
        ]
        plan = plan_areas(database, services, definition, targets, service_name="vizier_tap")
        assert plan.outside == ["east"]
        totals = fetch_areas(database, services, definition, plan)
        assert totals.failed == 0
        assert len(mocs.requests) == 1
        plan_areas(database, services, definition, targets, service_name="vizier_tap")
        assert len(mocs.requests) == 1
    with database.connect() as connection:
        assert uncovered(connection, "gaia_dr3", sky_of_cone(Cone(199.4, 5.0, 0.2))).empty()
        open_sky = uncovered(connection, "gaia_dr3", sky_of_cone(Cone(200.0, 5.0, 0.1)))
        assert open_sky.contains_lonlat(Longitude([200.02], u.deg), Latitude([5.0], u.deg)).all()
        kinds = set(connection.scalars(text("SELECT kind FROM ref.lookup WHERE complete")))
    assert kinds == {"footprint", "canary", "area"}


def canary_in_the_west(sky: LocalSky) -> CanaryPosition:
    star = next(row for row in sky.table.table if 199.0 < row["RA_ICRS"] < 199.8 and 4.0 < row["DE_ICRS"] < 6.0)
    return sky.canary.model_copy(update={"ra": float(star["RA_ICRS"]), "dec": float(star["DE_ICRS"])})


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("http_503", "unavailable"),
        ("html_maintenance", "not_the_format"),
        ("short_body", "reset"),
        ("empty_body", "not_the_format"),
    ],
)
def test_an_outline_that_cannot_be_had_ends_the_fetch_and_is_on_record(
    database: Database, outline: bytes, definition: CatalogDefinition, fault: str, cause: str
) -> None:
    with FileServer({PATH: outline}) as server:
        server.fail(fault, times=None, when=lambda _: True)
        client = ServiceClient("cds_moc", impatient("files", server.root))
        with pytest.raises(ServiceError, match="outline could not be fetched"):
            fetch_footprint(database, client, definition)
        server.heal()
        with database.connect() as connection:
            assert surveyed(connection, definition) is None
            assert connection.scalar(text("SELECT cause FROM ref.lookup WHERE kind = 'footprint'")) == cause
        fetch_footprint(database, client, definition)
    with database.connect() as connection:
        assert surveyed(connection, definition) is not None


def test_an_outline_without_the_known_source_is_of_another_survey(
    database: Database, outline: bytes, definition: CatalogDefinition
) -> None:
    assert definition.canary is not None
    elsewhere = definition.model_copy(update={"canary": definition.canary.model_copy(update={"ra": 20.0})})
    with FileServer({PATH: outline}) as server, pytest.raises(ServiceError, match="where a source is known"):
        fetch_footprint(database, ServiceClient("cds_moc", impatient("files", server.root)), elsewhere)
