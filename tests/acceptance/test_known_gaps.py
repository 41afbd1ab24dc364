"""The ways in which earlier pipelines lost what services said, each as a test that fails where it is lost.

The numbers in the comments are those of a list of such ways in the pipelines that came before; 19 to 22 are in
test_known_gaps_in_judging. Not here, because nothing does it yet: the veto by diffraction spikes (12; its stars are
evidence like all others), and the comparison with the PSF of neighbouring stars (23), which kept whatever had too
few neighbours to be compared with.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faultworlds import Patch, World, world_of
from gapsky import at_service, fetch, image_of, judge, match, published, vetoes
from localservice import gaia_at, impatient, local_sky, stored_ids
from servers.http import Request
from servers.mast import MastServer
from servers.tap import TapServer
from servers.vizier import VizierServer
from sqlalchemy import Connection, text
from toysky import ToySky

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.answers import Positions
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.configured import load_services
from vascodb.loaders.fetch.coverage import uncovered
from vascodb.loaders.fetch.lists import fetch_positions
from vascodb.loaders.fetch.reference import plan_areas
from vascodb.loaders.fetch.request import Wish, prepare
from vascodb.loaders.fetch.targets import Target, tile_target
from vascodb.loaders.fetch.units import sky_of_cone
from vascodb.loaders.reference import load_reference
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import catalog
from vascodb.loaders.sources.registry import list_source
from vascodb.plates.plan import read_plan
from vascodb.settings import Settings

ARCSEC = 1 / 3600
AT = (132.85, 11.8)
AREA = Cone(*AT, 0.1)

Worlds = Callable[..., World]


@pytest.fixture(scope="module")
def worlds(temporary_database: Any, template_database: str) -> Iterator[Worlds]:
    """Make services with patches of sky, each service with a database of its own."""
    patches = {
        "vizier_tap": ["fails", "refused", "header_only", "empty_body", "cut", "bad_columns"],
        "vizier_asu": ["service_error", "missing_column"],
        "mast_catalogs": ["cut"],
        "cds_xmatch": ["fails"],
        "irsa_tap": ["http_500", "html_maintenance", "half"],
        "skybot": ["fails", "parts"],
    }
    contexts: list[Any] = []
    made: dict[str, World] = {}

    def get(service: str) -> World:
        if service not in made:
            contexts.append(temporary_database(template_database))
            contexts.append(world_of(service, contexts[-1].__enter__(), patches[service]))
            made[service] = contexts[-1].__enter__()
        return made[service]

    yield get
    for context in reversed(contexts):
        context.__exit__(None, None, None)


def vanished(world: World, patch: Patch) -> list[int]:
    """Detections of a patch that its catalogue leaves as candidates."""
    with world.database.connect() as connection:
        return judge(connection, vetoes(world.definition.family), patch.extraction_id)


def assert_fault_then_truth(world: World, name: str, fault: str, times: int | None = None) -> None:
    """With the fault everything is unknown and nothing a candidate; without it all is as it should be."""
    patch = world.patches[name]
    with world.faulty(fault, times, lambda request: not world.is_about_canary(request)) as client:
        totals = world.fetch(patch, client)
    assert (totals.complete, totals.failed) == (0, 1)
    assert set(world.match(patch).values()) == {"unknown"}
    assert vanished(world, patch) == []
    asked = len(world.server.requests)
    assert world.fetch(patch, world.healthy()).complete == 1
    assert len(world.server.requests) > asked
    assert world.match(patch) == patch.states
    assert vanished(world, patch) == [number for number, state in patch.states.items() if state == "clear"]


# 1
@pytest.mark.parametrize(("name", "fault"), [("fails", "http_503"), ("refused", "refused")])
def test_a_query_that_fails_makes_nothing_vanish(worlds: Worlds, name: str, fault: str) -> None:
    assert_fault_then_truth(worlds("vizier_tap"), name, fault)


# 2
@pytest.mark.parametrize("fault", ["header_only", "empty_body"])
def test_a_header_only_cache_is_no_empty_sky(worlds: Worlds, fault: str) -> None:
    assert_fault_then_truth(worlds("vizier_tap"), fault, fault)


@pytest.mark.parametrize("content", [b"", b"source_id,ra,dec,pmra,pmdec,phot_g_mean_mag\n", b"\n"])
def test_a_file_without_rows_covers_nothing(database: Database, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gaia.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"gaia\.csv"):
        load_reference(database, catalog("gaia_dr3"), path, AREA)
    assert match(database, image_of(database, [AT[0]], [AT[1]]), "gaia_dr3") == ["not_covered"]


# 3
@pytest.mark.parametrize("service", ["vizier_tap", "mast_catalogs"])
def test_a_cut_answer_leaves_no_ring_without_stars(worlds: Worlds, service: str) -> None:
    world, cap = worlds(service), 30
    patch = world.patches["cut"]
    settings = world.settings(None, world.server.root)
    if isinstance(world.server, MastServer):
        # Cuts without a word; how many rows it sends at most is known.
        world.server.max_pagesize = cap
        settings = settings.model_copy(update={"row_cap": cap})
    elif isinstance(world.server, TapServer):
        world.server.sync_cap = cap
    try:
        totals = world.fetch(patch, ServiceClient(service, settings))
    finally:
        if isinstance(world.server, MastServer):
            world.server.max_pagesize = 100_000
        elif isinstance(world.server, TapServer):
            world.server.sync_cap = None
    assert (totals.split > 0, totals.failed) == (True, 0)
    assert world.match(patch) == patch.states


# 4
@pytest.mark.parametrize("hard_cap", [None, 50])
def test_nobody_relies_on_the_50_rows_that_are_sent_by_default(database: Database, hard_cap: int | None) -> None:
    random = np.random.default_rng(5)
    ra, dec = AT[0] + random.uniform(-0.1, 0.1, 130), AT[1] + random.uniform(-0.08, 0.08, 130)
    stars = published("usnob1", "vizier_asu", ra, dec)
    definition = at_service("usnob1", float(ra[0]), float(dec[0]))
    with VizierServer([stars], hard_cap=hard_cap) as server:
        totals = fetch(database, definition, "vizier_asu", impatient("asu", server.url), AREA)
        assert all(request.first("-out.max") for request in server.requests)
    assert (totals.failed, totals.split > 0) == (0, hard_cap is not None)
    with database.connect() as connection:
        stored = connection.execute(text("SELECT ra, dec FROM ref.usnob1")).all()
    assert {(row.ra, row.dec) for row in stored} == set(zip(ra.tolist(), dec.tolist(), strict=True))


# 5
@pytest.mark.parametrize("limit_of_the_user", [None, "0.3"])
def test_a_cone_wider_than_a_service_allows_comes_in_parts_and_whole(
    database: Database, monkeypatch: pytest.MonkeyPatch, limit_of_the_user: str | None
) -> None:
    if limit_of_the_user is not None:
        monkeypatch.setenv("VASCO_PS1_MAX_RADIUS_DEG", limit_of_the_user)
    wide = Cone(*AT, 35 / 60)
    sky = local_sky(*AT, 0.65, 800)
    ra, dec = np.asarray(sky.table.ra_deg), np.asarray(sky.table.dec_deg)
    stars = published("ps1_dr2", "mast_catalogs", ra, dec)
    shipped = load_services(Settings(), "ps1_dr2")["mast_catalogs"]
    assert shipped.max_radius_deg == (0.5 if limit_of_the_user is None else 0.3)
    with MastServer({stars.name: stars}) as server:
        settings = shipped.model_copy(update={"endpoints": (server.url,), "per_second": 1000.0})
        definition = at_service("ps1_dr2", float(ra[0]), float(dec[0]))
        totals = fetch(database, definition, "mast_catalogs", settings, wide)
        assert max(float(request.first("radius")) for request in server.requests) <= shipped.max_radius_deg
    assert totals.failed == 0
    assert stored_ids(database, "ps1_dr2") >= set((np.flatnonzero(wide.contains(ra, dec)) + 1).tolist())
    with database.connect() as connection:
        assert uncovered(connection, "ps1_dr2", sky_of_cone(wide)).empty()


# 6
@pytest.mark.parametrize("dec_deg", [0.0, -60.0, 88.0])
def test_a_tile_has_its_corners_and_what_lies_a_match_radius_beyond(database: Database, dec_deg: float) -> None:
    tile = f"tile_RA10.000_DEC{'m' if dec_deg < 0 else 'p'}{abs(dec_deg):.3f}"
    # From the middle of a square of 60 arcmin on the tangent plane to its corner.
    corner = 42.4255 / 60
    # On the meridian, where a step in declination is a distance; the star lies 4.9 arcsec outside.
    star_dec = dec_deg - corner - 4.9 * ARCSEC
    sky = published("gaia_dr3", "vizier_tap", [10.0, 10.0], [dec_deg, star_dec])
    with TapServer([sky]) as server, database.connect() as connection:
        target = tile_target(connection, tile, 60.0)
        assert isinstance(target.area, Cone)
        fetch(database, at_service("gaia_dr3", 10.0, dec_deg), "vizier_tap", impatient("tap", server.url), target.area)
    extraction_id = image_of(database, [10.0, 10.0], [dec_deg - corner, dec_deg + corner])
    assert match(database, extraction_id, "gaia_dr3") == ["matched", "clear"]


# 7
def test_south_of_a_survey_is_not_covered_which_is_not_empty(database: Database) -> None:
    stars = published("ps1_dr2", "mast_catalogs", [10.0], [-29.9])
    definition = at_service("ps1_dr2", 10.0, -29.9)
    with MastServer({stars.name: stars}) as server:
        services = {"mast_catalogs": impatient("mast", server.url)}
        southern = Target("southern tile", Cone(10.0, -31.0, 0.4))
        plan = plan_areas(database, services, definition, [southern], service_name="mast_catalogs")
        assert (plan.units, plan.outside) == ([], ["southern tile"])
        assert server.requests == []
        # One on the border is covered as far as the survey reaches.
        fetch(database, definition, "mast_catalogs", services["mast_catalogs"], Cone(10.0, -30.0, 0.4))
    extraction_id = image_of(database, [10.0, 10.2, 10.2, 10.0], [-29.9, -29.8, -30.1, -31.0])
    assert match(database, extraction_id, "ps1_dr2") == ["matched", "clear", "not_covered", "not_covered"]
    with database.connect() as connection:
        assert judge(connection, vetoes("ps1"), extraction_id) == [2]
        reasons = connection.scalars(text("SELECT DISTINCT reason FROM vasco.verdict WHERE number IN (3, 4)")).all()
        assert reasons == ["ps1_dr2: outside the survey"]


# 8
def test_two_detections_beside_one_star_both_have_it(connection: Connection) -> None:
    toy = ToySky(connection)
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0, 10.0], [1 * ARCSEC, -2 * ARCSEC])
    toy.sources("gaia_dr3", [10.0], [0.0])
    toy.lookup("gaia_dr3")
    assert toy.match(extraction_id, "gaia_dr3")["matched"] == 2


# 9
@pytest.mark.parametrize(
    ("name", "service", "masyr"),
    [("gaia_dr3", "vizier_tap", 400.0), ("gsc242", "vizier_tap", 400.0), ("usnob1", "vizier_asu", 140.0)],
)
def test_a_star_that_has_moved_away_since_is_a_counterpart_where_it_was(
    database: Database, name: str, service: str, masyr: float
) -> None:
    moved_deg = masyr / 1000 * (catalog(name).epoch_jyear - 1952.0) * ARCSEC
    assert moved_deg > 5.5 * ARCSEC
    stars = published(name, service, [AT[0], AT[0] + 0.05], [AT[1]] * 2, pmdec=[masyr, 0.0])
    server: TapServer | VizierServer = (TapServer if service == "vizier_tap" else VizierServer)([stars])
    with server:
        settings = impatient("tap" if service == "vizier_tap" else "asu", server.url)
        assert fetch(database, at_service(name, AT[0] + 0.05, AT[1]), service, settings, AREA).rows == 2
    then_and_now = image_of(database, [AT[0]] * 2, [AT[1] - moved_deg, AT[1]])
    assert match(database, then_and_now, name) == ["matched", "clear"]


# 10
@pytest.mark.parametrize("fault", ["service_error", "missing_column"])
def test_garbled_columns_are_neither_read_nor_kept(worlds: Worlds, fault: str) -> None:
    assert_fault_then_truth(worlds("vizier_asu"), fault, fault)


# 11
@pytest.mark.parametrize("tile", ["XE309_tile_12", "tile_RAnan_DECp11.800", "", "tile_RA360.000_DECp0.000"])
def test_a_tile_without_a_centre_is_asked_for_nowhere(database: Database, tile: str, tmp_path: Path) -> None:
    sky = local_sky(0.0, 0.0, 0.5, 50)
    plan = tmp_path / "plan.csv"
    plan.write_text(
        "plate_id,plate_tile_idx,tile_id,ra_deg,dec_deg,size_arcmin,survey\n"
        f"XE309,12,{tile},,,60,poss1_red\nXE309,13,tile_RA0.000_DECp0.000,,0.0,60,poss1_red\n"
    )
    with TapServer([sky.table]) as server:
        services = {"vizier_tap": impatient("tap", server.url)}
        for wish in (Wish(tile=tile), Wish(plan=plan)):
            with pytest.raises(InputError):
                prepare(database, services, gaia_at("vizier_tap", sky.canary), wish)
        assert server.requests == []
    plan.write_text(plan.read_text().replace(f"XE309,12,{tile},,,60,poss1_red\n", ""))
    with pytest.raises(InputError, match="ra_deg"):
        read_plan(plan)


# 12
def test_bright_stars_that_could_not_be_had_are_unknown_and_a_full_page_is_a_cut_one(database: Database) -> None:
    n = 60
    ra, dec = AT[0] + np.linspace(-0.09, 0.09, n), np.full(n, AT[1])
    magnitudes = [-999.0, 17.0, *np.linspace(0, 16, n - 2)]
    stars = published("ps1_bright", "mast_catalogs", ra, dec, rMeanPSFMag=magnitudes)
    definition = at_service("ps1_bright", float(ra[30]), float(dec[30]))
    extraction_id = image_of(database, [ra[20], ra[20]], [AT[1], AT[1] + 0.05])
    with MastServer({stars.name: stars}, max_pagesize=40) as server:
        settings = impatient("mast", server.url, row_cap=40)
        server.fail("http_500", times=None, when=lambda request: float(request.first("radius")) > 0.01)
        assert fetch(database, definition, "mast_catalogs", settings, AREA).failed == 1
        assert match(database, extraction_id, "ps1_bright") == ["unknown", "unknown"]
        server.heal()
        totals = fetch(database, definition, "mast_catalogs", settings, AREA)
    assert (totals.failed, totals.split) == (0, 1)
    # What has no magnitude passes for no bright star.
    assert stored_ids(database, "ps1_bright") == set(range(3, n + 1))
    assert match(database, extraction_id, "ps1_bright") == ["matched", "clear"]


# 13
def test_an_asteroid_that_nobody_could_look_for_is_unknown(worlds: Worlds) -> None:
    world = worlds("skybot")
    patch = world.patches["fails"]
    server = world.server
    server.fail("service_error", times=None)
    assert world.fetch(patch, world.healthy()).failed == 1
    server.heal()
    assert set(world.match(patch).values()) == {"unknown"}
    assert vanished(world, patch) == []
    assert world.fetch(patch, world.healthy()).failed == 0
    assert world.match(patch) == patch.states


def test_of_a_look_for_asteroids_in_parts_the_part_that_failed_is_asked_again_alone(worlds: Worlds) -> None:
    world = worlds("skybot")
    patch = world.patches["parts"]
    settings = world.healthy().settings.model_copy(update={"max_radius_deg": 0.11})
    client = ServiceClient("skybot", settings)

    one = next(number for number, state in patch.states.items() if state == "clear")
    about_it = Cone(patch.ra_deg[one - 1], patch.dec_deg[one - 1], 0.07)

    def is_about_it(request: Request) -> bool:
        return bool(about_it.contains(*(np.array([float(request.first(name))]) for name in ("-ra", "-dec")))[0])

    world.server.fail("http_503", times=None, when=is_about_it)
    first = world.fetch(patch, client)
    world.server.heal()
    assert first.failed >= 1
    assert first.complete >= 3
    states = world.match(patch)
    assert states[one] == "unknown"
    known = {number: state for number, state in states.items() if state != "unknown"}
    assert len(known) >= 3
    assert known.items() <= patch.states.items()
    assert set(vanished(world, patch)) == {number for number, state in known.items() if state == "clear"}
    second = world.fetch(patch, client)
    assert (second.complete, second.skipped) == (first.planned - first.complete, first.complete)
    assert world.match(patch) == patch.states


# 14
@pytest.mark.parametrize("fault", ["http_500", "html_maintenance"])
def test_an_error_of_the_service_for_lists_is_no_empty_answer(worlds: Worlds, fault: str) -> None:
    assert_fault_then_truth(worlds("irsa_tap"), fault, fault)


# 15
def test_outside_of_a_catalogue_nothing_is_dropped(connection: Connection) -> None:
    toy = ToySky(connection)
    extraction_id = toy.extraction(150.0, -60.0)
    toy.detections(extraction_id, [150.0, 150.1], [-60.0, -60.0])
    toy.match(extraction_id, "supercosmos")
    run_id = toy.judge(vetoes("supercosmos"), extraction_id)
    assert toy.outcomes(run_id, "supercosmos") == {1: "not_covered", 2: "not_covered"}
    in_question = toy.execute("SELECT number FROM api.in_question WHERE run_id = :r", r=run_id).scalars()
    assert sorted(in_question) == [1, 2]


# 16
def test_positions_on_both_sides_of_0h_are_each_asked_about_and_a_failure_is_not_kept(database: Database) -> None:
    sky = local_sky(0.0, 41.81, 0.3, 200)
    ra, dec = np.asarray(sky.table.ra_deg), np.asarray(sky.table.dec_deg)
    epoch = catalog("gaia_dr3").epoch_jyear
    assert (ra > 180).sum() > 50 < (ra < 180).sum()
    definition = gaia_at("gavo_tap", sky.canary)
    positions = Positions(np.arange(len(ra)), ra, dec)
    with TapServer([sky.table]) as server:
        settings = impatient("tap", server.url, list_rows=80)
        source = list_source(definition, "gavo_tap", {"gavo_tap": settings})
        client = ServiceClient("gavo_tap", settings)
        server.fail("http_503", times=None)
        assert fetch_positions(database, client, definition, source, positions, workers=1).failed == 3
        server.heal()
        asked = len(server.requests)
        assert fetch_positions(database, client, definition, source, positions).failed == 0
        assert len(server.requests) == asked + 3
    assert stored_ids(database, "gaia_dr3") == {int(i) for i in sky.ids}
    extraction_id = image_of(database, ra.tolist(), dec.tolist(), epoch)
    assert set(match(database, extraction_id, "gaia_dr3")) == {"matched"}


# 17
def test_a_crossmatch_that_failed_is_no_list_of_unmatched(worlds: Worlds) -> None:
    assert_fault_then_truth(worlds("cds_xmatch"), "fails", "http_503")


# 18
def test_a_chunk_that_cannot_be_read_leaves_its_own_positions_unknown(database: Database) -> None:
    sky = local_sky(*AT, 0.1, 90)
    ra, dec = np.asarray(sky.table.ra_deg), np.asarray(sky.table.dec_deg)
    definition = gaia_at("gavo_tap", sky.canary)
    extraction_id = image_of(database, ra.tolist(), dec.tolist(), definition.epoch_jyear)
    with TapServer([sky.table]) as server:
        settings = impatient("tap", server.url, list_rows=22)
        source = list_source(definition, "gavo_tap", {"gavo_tap": settings})
        client = ServiceClient("gavo_tap", settings)
        positions = Positions(np.arange(len(ra)), ra, dec)
        server.fail("truncated_body", when=lambda request: request.number == 2)
        first = fetch_positions(database, client, definition, source, positions, workers=1)
        assert (first.complete, first.failed) == (4, 1)
        states = match(database, extraction_id, "gaia_dr3")
        # A star may lie near positions of other chunks too, and is matched then.
        assert set(states) == {"matched", "unknown"}
        assert 10 < states.count("unknown") <= 20
        second = fetch_positions(database, client, definition, source, positions, workers=1)
        assert (second.complete, second.skipped) == (1, 4)
        assert len(server.requests) == 6
    assert set(match(database, extraction_id, "gaia_dr3")) == {"matched"}
