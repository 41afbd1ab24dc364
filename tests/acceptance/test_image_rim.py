"""What is fetched for an image reaches as far about it as the stages search about its outermost detections."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, get_sun
from astropy.time import Time
from gapsky import at_service, published
from localservice import impatient
from servers.http import ServiceServer
from servers.mast import MastServer
from servers.skybot import MovingObject, SkybotServer
from servers.tap import TapServer
from squareimages import MID_EXPOSURE, MID_JD, PLACES, image_in, set_literal_time
from toysky import ToySky

from vascodb.db import Database
from vascodb.loaders.client.configured import load_services
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.fetch.reference import fetch_areas, plan_areas
from vascodb.loaders.fetch.request import Wish, prepare
from vascodb.loaders.fetch.targets import tile_target
from vascodb.loaders.registry import CatalogDefinition, catalog
from vascodb.profiles import Profile, load_profile

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")
SIDE_DEG = 0.5
SERVICES = {"gaia_dr3": "vizier_tap", "ps1_bright": "mast_catalogs", "usnob1_bright": "vizier_tap", "skybot": "skybot"}
# Stages that ask about a circle of their own, of the catalogues that are fetched here.
WIDE = {"spike", "halo", "high_pm", "skybot", "skybot_wide"}


def on_the_rim(where: str) -> SkyCoord:
    """Positions at the corners of an image and all along its edges."""
    frame = SkyCoord(*PLACES[where], unit="deg").skyoffset_frame()
    along = np.linspace(-0.5, 0.5, 9) * SIDE_DEG * 0.9999
    ends = np.full(9, SIDE_DEG / 2 * 0.9999)
    x = np.concatenate([along, along, ends, -ends])
    y = np.concatenate([ends, -ends, along, along])
    return SkyCoord(x * u.deg, y * u.deg, frame=frame).icrs


class Services:
    """Every catalogue at a service of its own, with one star in the middle of the image."""

    def __init__(self, where: str, stack: ExitStack) -> None:
        ra, dec = PLACES[where]
        sun = get_sun(Time(MID_JD, format="jd", scale="utc"))
        asteroid = MovingObject("2 Pallas", float(sun.ra.deg + 180) % 360, -float(sun.dec.deg), MID_JD, number="2")
        tables = {name: published(name, SERVICES[name], [ra], [dec]) for name in SERVICES if name != "skybot"}
        self.servers: dict[str, ServiceServer] = {
            "gaia_dr3": stack.enter_context(TapServer([tables["gaia_dr3"]])),
            "ps1_bright": stack.enter_context(MastServer({"dr2/mean": tables["ps1_bright"]})),
            "usnob1_bright": stack.enter_context(TapServer([tables["usnob1_bright"]])),
            "skybot": stack.enter_context(SkybotServer([asteroid])),
        }
        self._at = ra, dec

    def of(self, name: str, database: Database) -> tuple[CatalogDefinition, dict[str, ServiceSettings]]:
        """A catalogue, and its service as shipped but for manners."""
        service = SERVICES[name]
        shipped = load_services(database.settings, name)[service]
        here = impatient(shipped.protocol, self.servers[name].url, max_radius_deg=shipped.max_radius_deg)
        definition = catalog(name) if name == "skybot" else at_service(name, *self._at)
        return definition, {service: here}

    def fetch(self, database: Database, name: str, tile: str, reading: str = "corrected") -> int:
        """Fetch a catalogue for a tile, as the command does; how many questions that came to."""
        definition, services = self.of(name, database)
        wish = Wish(tile=tile, reading=reading)
        totals = prepare(database, services, definition, wish).run(None, lambda _: None)
        assert totals.failed == totals.given_up == 0
        return totals.complete


@pytest.fixture
def services_at() -> Iterator[Callable[[str], Services]]:
    with ExitStack() as stack:
        yield lambda where: Services(where, stack)


def wide_stages(profile: Profile) -> Profile:
    """The stages of a profile that search farther than a match radius, each judging everything."""
    stages = tuple(s.model_copy(update={"step": 1}) for s in profile.stages if s.stage in WIDE)
    assert {s.stage for s in stages} >= {"spike", "high_pm", "skybot", "skybot_wide"}
    return profile.model_copy(update={"stages": stages})


def image_with_detections_on_its_rim(database: Database, where: str) -> tuple[int, str]:
    with database.connect() as connection:
        image_id = image_in(connection, where, SIDE_DEG)
        places = on_the_rim(where)
        ToySky(connection).detections(image_id, places.ra.deg, places.dec.deg)
        # A day early, as on most plates.
        set_literal_time(connection, image_id, MID_EXPOSURE - timedelta(days=1, minutes=25))
    return image_id, f"tile_{image_id}"


@pytest.mark.parametrize("where", ["plain", "across 0h", "pole"])
def test_once_all_is_fetched_no_stage_lacks_sky_about_a_detection(
    database: Database, services_at: Callable[[str], Services], where: str
) -> None:
    services = services_at(where)
    image_id, tile = image_with_detections_on_its_rim(database, where)
    for name in SERVICES:
        assert services.fetch(database, name, tile) > 0
    # The seeds' profile goes by looks of its own.
    assert services.fetch(database, "skybot", tile, "literal") > 0
    with database.connect() as connection:
        toy = ToySky(connection)
        for profile in (load_profile("default"), load_profile("vasco60")):
            run_id = toy.judge(wide_stages(profile), image_id)
            for stage in wide_stages(profile).stages:
                assert set(toy.outcomes(run_id, stage.stage).values()) == {"pass"}, (profile.name, stage.stage)


def test_the_replication_pipelines_spikes_reach_farthest_of_all(
    database: Database, services_at: Callable[[str], Services]
) -> None:
    services = services_at("plain")
    image_id, tile = image_with_detections_on_its_rim(database, "plain")
    services.fetch(database, "usnob1_bright", tile)
    profile = load_profile("replication")
    spike = profile.model_copy(update={"stages": tuple(s for s in profile.stages if s.stage == "spike")})
    with database.connect() as connection:
        toy = ToySky(connection)
        assert set(toy.outcomes(toy.judge(spike, image_id), "spike").values()) == {"pass"}


def test_what_was_fetched_without_the_rim_is_asked_for_once_more_and_then_never(
    database: Database, services_at: Callable[[str], Services]
) -> None:
    services = services_at("plain")
    _, tile = image_with_detections_on_its_rim(database, "plain")
    for name in ("gaia_dr3", "ps1_bright"):
        definition, settings = services.of(name, database)
        with database.connect() as connection:
            narrow = tile_target(connection, tile, 30.0)
        plan = plan_areas(database, settings, definition, [narrow], service_name=SERVICES[name])
        assert fetch_areas(database, settings, definition, plan).complete > 0
        assert services.fetch(database, name, tile) > 0
    for name in SERVICES:
        services.fetch(database, name, tile)
        asked = len(services.servers[name].requests)
        assert services.fetch(database, name, tile) == 0
        assert len(services.servers[name].requests) == asked


def test_a_run_with_a_wider_circle_widens_what_is_fetched_next(
    database: Database, services_at: Callable[[str], Services]
) -> None:
    services = services_at("plain")
    image_id, tile = image_with_detections_on_its_rim(database, "plain")
    wider = load_profile("default").setting(["halo.radius_max_arcsec=600"])
    halo = wider.model_copy(update={"stages": tuple(s for s in wider.stages if s.stage == "halo")})
    services.fetch(database, "gaia_dr3", tile)
    with database.connect() as connection:
        toy = ToySky(connection)
        assert "not_covered" in toy.outcomes(toy.judge(halo, image_id), "halo").values()
    assert services.fetch(database, "gaia_dr3", tile) == 1
    with database.connect() as connection:
        toy = ToySky(connection)
        assert set(toy.outcomes(toy.judge(halo, image_id), "halo").values()) == {"pass"}
