"""Fetching areas: whole answers are stored and cover their sky, cut ones are split, failed ones leave a gap."""

from collections.abc import Iterator

import numpy as np
import pytest
from localservice import LocalSky, gaia_at, impatient, local_sky, stored_ids
from mocpy import MOC
from servers.tap import TapServer
from sqlalchemy import text

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.fetch.area import AreaFetch
from vascodb.loaders.fetch.coverage import uncovered
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.fetch.units import declination_zone, sky_of_cone, units_for
from vascodb.loaders.regions import Cone
from vascodb.loaders.sources.registry import area_source

AREA = Cone(132.85, 11.8, 0.36)


@pytest.fixture(scope="module")
def sky() -> LocalSky:
    return local_sky(AREA.ra_deg, AREA.dec_deg, 1.5, 3000)


@pytest.fixture
def server(sky: LocalSky) -> Iterator[TapServer]:
    with TapServer([sky.table]) as running:
        yield running


def fetch(
    database: Database,
    sky: LocalSky,
    settings: ServiceSettings,
    area: Cone = AREA,
    *,
    workers: int = 2,
    survey: MOC | None = None,
) -> FetchTotals:
    definition = gaia_at("vizier_tap", sky.canary)
    source = area_source(definition, "vizier_tap", {"vizier_tap": settings})
    needed = sky_of_cone(area)
    units = units_for(area, needed, definition.coverage_margin_arcsec, settings.max_radius_deg)
    return AreaFetch(
        database,
        ServiceClient("vizier_tap", settings),
        definition,
        source,
        survey or declination_zone(-90, 90),
    ).run(units, workers)


def is_covered(database: Database, area: Cone) -> bool:
    with database.connect() as connection:
        return uncovered(connection, "gaia_dr3", sky_of_cone(area)).empty()


def lookups(database: Database) -> list[tuple[str, str, str | None, bool]]:
    with database.connect() as connection:
        rows = connection.execute(text("SELECT kind, status, cause, complete FROM ref.lookup ORDER BY asked_at"))
        return [tuple(row) for row in rows]


def n_gaps(database: Database) -> int:
    with database.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM ref.gap")) or 0)


def test_a_cone_comes_in_one_query_with_its_rim_and_evidence(
    database: Database, sky: LocalSky, server: TapServer
) -> None:
    totals = fetch(database, sky, impatient("tap", server.url))
    assert (totals.complete, totals.failed, totals.split) == (1, 0, 0)
    assert stored_ids(database, "gaia_dr3") >= sky.ids_in(AREA.ra_deg, AREA.dec_deg, AREA.radius_deg + 60 / 3600)
    assert is_covered(database, AREA)
    assert lookups(database) == [("canary", "ok", None, True), ("area", "ok", None, True)]


def test_a_wide_area_comes_in_parts(database: Database, sky: LocalSky, server: TapServer) -> None:
    totals = fetch(database, sky, impatient("tap", server.url, max_radius_deg=0.15))
    assert totals.complete > 10
    assert is_covered(database, AREA)
    assert stored_ids(database, "gaia_dr3") >= sky.ids_in(AREA.ra_deg, AREA.dec_deg, AREA.radius_deg + 60 / 3600)


@pytest.mark.parametrize("cap_of", ["ours", "the service's"])
def test_a_cut_answer_is_asked_for_in_parts_until_all_are_whole(database: Database, sky: LocalSky, cap_of: str) -> None:
    with TapServer([sky.table], sync_cap=None if cap_of == "ours" else 40) as server:
        totals = fetch(database, sky, impatient("tap", server.url, row_cap=40 if cap_of == "ours" else 100_000))
    assert totals.split >= 1
    assert totals.failed == 0
    assert is_covered(database, AREA)
    assert stored_ids(database, "gaia_dr3") >= sky.ids_in(AREA.ra_deg, AREA.dec_deg, AREA.radius_deg + 60 / 3600)
    with database.connect() as connection:
        assert connection.scalar(text("SELECT max(rows_in) FROM ref.lookup WHERE complete")) <= 40


def test_what_is_covered_is_not_asked_for_again(database: Database, sky: LocalSky, server: TapServer) -> None:
    fetch(database, sky, impatient("tap", server.url))
    asked = len(server.requests)
    totals = fetch(database, sky, impatient("tap", server.url))
    assert (totals.skipped, totals.complete) == (1, 0)
    assert len(server.requests) == asked


def test_a_split_is_remembered(database: Database, sky: LocalSky, server: TapServer) -> None:
    settings = impatient("tap", server.url, row_cap=100)
    fetch(database, sky, settings)
    with database.connect() as connection:
        connection.execute(
            text("DELETE FROM ref.coverage WHERE lower(hpx29) = (SELECT max(lower(hpx29)) FROM ref.coverage)")
        )
    asked = len(server.requests)
    totals = fetch(database, sky, settings)
    assert totals.split == 0
    assert is_covered(database, AREA)
    # The canary's two questions, and the one part whose coverage was taken away.
    assert len(server.requests) - asked == 3


def test_a_failed_lookup_leaves_a_gap_and_the_next_try_closes_it(
    database: Database, sky: LocalSky, server: TapServer
) -> None:
    # The canary's two questions are answered, all others are not.
    server.fail("http_503", times=None, when=lambda _: len(server.requests) > 2)
    totals = fetch(database, sky, impatient("tap", server.url))
    assert (totals.failed, totals.complete) == (1, 0)
    assert n_gaps(database) > 0
    assert stored_ids(database, "gaia_dr3") == set()
    server.heal()
    totals = fetch(database, sky, impatient("tap", server.url))
    assert (totals.failed, totals.complete) == (0, 1)
    assert n_gaps(database) == 0
    assert is_covered(database, AREA)


def test_parts_are_asked_for_only_where_sky_is_wanted_and_only_there_is_a_gap(
    database: Database, sky: LocalSky, server: TapServer
) -> None:
    server.fail("overflow", times=None, when=lambda _: len(server.requests) > 2)
    totals = fetch(database, sky, impatient("tap", server.url), workers=1)
    assert totals.failed == 3
    wanted = sky_of_cone(AREA)
    with database.connect() as connection:
        gaps = connection.execute(text("SELECT lower(hpx29), upper(hpx29) FROM ref.gap")).all()
    failed = MOC.from_depth29_ranges(29, np.array([tuple(gap) for gap in gaps], dtype=np.uint64))
    assert failed.difference(wanted).empty()
    server.heal()
    totals = fetch(database, sky, impatient("tap", server.url))
    assert (totals.failed, n_gaps(database)) == (0, 0)
    assert is_covered(database, AREA)


def test_a_service_that_sees_nothing_is_not_an_empty_sky(database: Database, sky: LocalSky) -> None:
    nothing = sky.table.table[:0]
    with TapServer([type(sky.table)(sky.table.name, nothing, "RA_ICRS", "DE_ICRS")]) as server:
        totals = fetch(database, sky, impatient("tap", server.url))
    assert totals.failed == 1
    assert not is_covered(database, AREA)
    assert {cause for _, _, cause, _ in lookups(database)} == {"canary"}


def test_an_empty_answer_counts_once_the_canary_came_back_from_the_same_address(
    database: Database, sky: LocalSky, server: TapServer
) -> None:
    empty = Cone(200.0, -45.0, 0.2)
    totals = fetch(database, sky, impatient("tap", server.url), empty)
    assert (totals.complete, totals.rows) == (1, 0)
    assert is_covered(database, empty)


def test_an_empty_answer_of_a_service_gone_blind_is_unconfirmed(
    database: Database, sky: LocalSky, server: TapServer
) -> None:
    # The first canary is answered; from then on the service sees nothing.
    server.fail("empty", times=None, when=lambda _: len(server.requests) > 2)
    totals = fetch(database, sky, impatient("tap", server.url))
    assert totals.failed == 1
    assert ("area", "failed", "empty_unconfirmed", False) in lookups(database)
    assert not is_covered(database, AREA)


def test_sky_that_is_never_so_empty_is_not_believed_to_be_whatever_the_canary_says(
    database: Database, sky: LocalSky, server: TapServer
) -> None:
    server.fail("empty", times=None, when=lambda request: str(sky.canary.ra) not in request.first("QUERY"))
    totals = fetch(database, sky, impatient("tap", server.url))
    assert totals.failed == 1
    assert "0 rows for 0.4" in totals.failures[0]
    assert ("area", "failed", "empty_unconfirmed", False) in lookups(database)
    assert not is_covered(database, AREA)


def test_a_circle_in_which_there_may_well_be_nothing_may_be_empty(
    database: Database, sky: LocalSky, server: TapServer
) -> None:
    empty = Cone(200.0, -45.0, 0.05)
    assert fetch(database, sky, impatient("tap", server.url), empty).complete == 1
    assert is_covered(database, empty)


def test_mirrors_are_tried_and_the_good_one_is_remembered(database: Database, sky: LocalSky, server: TapServer) -> None:
    with TapServer([sky.table]) as broken:
        broken.fail("http_500", times=None)
        totals = fetch(database, sky, impatient("tap", broken.url, server.url))
    assert totals.complete == 1
    with database.connect() as connection:
        last = {
            e.endpoint: e.last_cause for e in connection.execute(text("SELECT endpoint, last_cause FROM ref.endpoint"))
        }
        good = set(connection.scalars(text("SELECT endpoint FROM ref.endpoint WHERE last_good_at IS NOT NULL")))
    assert good == {server.url}
    assert last[broken.url] == "unavailable"


def test_a_service_that_is_down_is_left_alone_after_three_failures(database: Database, sky: LocalSky) -> None:
    settings = impatient("tap", "http://127.0.0.1:1/tap", max_radius_deg=0.1)
    totals = fetch(database, sky, settings, workers=1)
    assert totals.failed == 3
    assert totals.given_up == totals.planned - 3


def test_sources_that_contradict_what_is_stored_are_a_failure(database: Database, sky: LocalSky) -> None:
    with TapServer([sky.table]) as server:
        fetch(database, sky, impatient("tap", server.url))
    other = sky.table.table.copy()
    other["Gmag"] += 1
    with database.connect() as connection:
        connection.execute(text("DELETE FROM ref.coverage"))
    with TapServer([type(sky.table)(sky.table.name, other, "RA_ICRS", "DE_ICRS")]) as server:
        totals = fetch(database, sky, impatient("tap", server.url))
    assert totals.failed == 1
    assert "contradiction" in {cause for _, _, cause, _ in lookups(database)}


def test_south_of_a_survey_nothing_is_vouched_for(database: Database) -> None:
    south = local_sky(10.0, -30.0, 1.0, 500)
    with TapServer([south.table]) as server:
        fetch(database, south, impatient("tap", server.url), Cone(10.0, -30.0, 0.5), survey=declination_zone(-30, 90))
    with database.connect() as connection:
        assert not uncovered(connection, "gaia_dr3", sky_of_cone(Cone(10.0, -30.2, 0.05))).empty()
        assert uncovered(connection, "gaia_dr3", sky_of_cone(Cone(10.0, -29.75, 0.05))).empty()


def test_a_catalogue_without_a_canary_is_refused(database: Database, server: TapServer, sky: LocalSky) -> None:
    definition = gaia_at("vizier_tap", sky.canary).model_copy(update={"canary": None})
    settings = impatient("tap", server.url)
    with pytest.raises(InputError, match="has no canary"):
        AreaFetch(
            database,
            ServiceClient("vizier_tap", settings),
            definition,
            area_source(definition, "vizier_tap", {"vizier_tap": settings}),
            declination_zone(-90, 90),
        )


@pytest.mark.parametrize("centre", [(0.0, 89.8), (0.0, -89.9), (359.95, 41.81), (0.0, -41.81), (180.0, 0.0)])
def test_poles_the_meridian_and_the_healpix_seam(database: Database, centre: tuple[float, float]) -> None:
    there = local_sky(*centre, 0.6, 600, seed=3)
    area = Cone(*centre, 0.3)
    with TapServer([there.table]) as server:
        totals = fetch(database, there, impatient("tap", server.url, max_radius_deg=0.25, row_cap=90), area)
    assert totals.failed == 0
    assert is_covered(database, area)
    assert stored_ids(database, "gaia_dr3") >= there.ids_in(*centre, 0.3 + 60 / 3600)
