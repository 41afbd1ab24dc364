"""VizieR's ASU interface: cones come whole from any mirror, never the 50 rows it sends by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from askservice import (
    CONES,
    CONTENT_CAUSES,
    TRANSPORT_CAUSES,
    ask,
    cause_of,
    ids_in,
    rows_in,
    rows_of,
    settings_for,
    sky_table,
    stars_around,
)
from astropy.table import Table
from astroquery import cache_conf
from astroquery.vizier import Vizier
from servers.vizier import VizierServer

from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.failure import Cause
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import SourceBinding, catalog
from vascodb.loaders.sources.asu import AsuSource

GAIA = catalog("gaia_dr3")
BINDING = GAIA.via["vizier_asu"]
PLAIN = CONES["plain"]


@pytest.fixture(scope="module")
def stars() -> Table:
    return stars_around(*CONES.values())


@pytest.fixture(scope="module")
def server(stars: Table) -> Iterator[VizierServer]:
    with VizierServer([sky_table("I/355/gaiadr3", stars)]) as running:
        yield running


@pytest.mark.parametrize("where", CONES)
def test_a_cone_holds_exactly_the_stars_within_its_radius(server: VizierServer, stars: Table, where: str) -> None:
    cone = CONES[where]
    settings = settings_for(server)
    reply = ask(AsuSource(GAIA, BINDING, settings), settings, cone)
    assert rows_of(reply) == rows_in(stars, cone)
    assert reply.answer is not None
    assert reply.answer.rows_in > 0


@pytest.mark.parametrize("fault", CONTENT_CAUSES | TRANSPORT_CAUSES)
def test_a_fault_has_its_name_and_the_next_try_completes(server: VizierServer, stars: Table, fault: str) -> None:
    settings = settings_for(server)
    source = AsuSource(GAIA, BINDING, settings)
    server.fail(fault)
    assert cause_of(ask(source, settings, PLAIN)) is (CONTENT_CAUSES | TRANSPORT_CAUSES)[fault]
    assert rows_of(ask(source, settings, PLAIN)) == rows_in(stars, PLAIN)


def test_the_services_own_limit_of_50_rows_never_applies(server: VizierServer, stars: Table) -> None:
    question = {"-source": "I/355/gaiadr3", "-c": "132.8 +11.8", "-c.rd": "0.5"}
    bare = requests.get(f"{server.url}/viz-bin/votable", question, timeout=5)
    assert bare.content.count(b"<TR>") == 50, "what the service does if left to itself"
    settings = settings_for(server)
    reply = ask(AsuSource(GAIA, BINDING, settings), settings, PLAIN)
    assert server.requests[-1].first("-out.max") == str(settings.row_cap)
    assert reply.answer is not None
    assert reply.answer.rows_in == len(ids_in(stars, PLAIN)) > 50


@pytest.mark.parametrize(("more_than_there_are", "cause"), [(-1, Cause.OVERFLOW), (0, Cause.ROW_CAP), (1, None)])
def test_as_many_rows_as_the_cap_are_a_cut_answer(
    server: VizierServer, stars: Table, more_than_there_are: int, cause: Cause | None
) -> None:
    settings = settings_for(server, row_cap=len(ids_in(stars, PLAIN)) + more_than_there_are)
    assert cause_of(ask(AsuSource(GAIA, BINDING, settings), settings, PLAIN)) is cause


@pytest.mark.parametrize("empty_has_table", [True, False])
@pytest.mark.parametrize("radius_deg", [0.5, 0.01 / 3600.0])
def test_a_proper_empty_answer_is_an_answer_without_rows(
    stars: Table, empty_has_table: bool, radius_deg: float
) -> None:
    with VizierServer([sky_table("I/355/gaiadr3", stars)], empty_has_table=empty_has_table) as server:
        settings = settings_for(server)
        reply = ask(AsuSource(GAIA, BINDING, settings), settings, Cone(70.0, -40.0, radius_deg))
    assert reply.answer is not None
    assert reply.answer.rows_in == 0
    assert "e" not in "".join(v for k, v in server.requests[-1].parameters if k.startswith("-c.r")), "no 3e-06"


def test_all_columns_and_conditions_are_said(server: VizierServer, stars: Table) -> None:
    binding = SourceBinding(**BINDING.model_dump() | {"where": ("Gmag < 15", "Gmag >= 9")})
    settings = settings_for(server)
    reply = ask(AsuSource(GAIA, binding, settings), settings, PLAIN)
    bright = stars["Gmag"].filled(99)
    assert rows_of(reply) == rows_in(stars[(bright < 15) & (bright >= 9)], PLAIN)
    assert server.requests[-1].first("-out") == "Source,RA_ICRS,DE_ICRS,pmRA,pmDE,Gmag"


def test_a_column_that_the_service_does_not_know_is_missing(server: VizierServer) -> None:
    binding = SourceBinding(**BINDING.model_dump() | {"columns": {**BINDING.columns, "Plx": "mas"}})
    settings = settings_for(server)
    assert cause_of(ask(AsuSource(GAIA, binding, settings), settings, PLAIN)) is Cause.MISSING_COLUMN


def test_a_mirror_answers_when_the_first_host_does_not(server: VizierServer, stars: Table) -> None:
    with VizierServer([sky_table("I/355/gaiadr3", stars)]) as broken:
        broken.fail("http_503", times=None)
        settings = settings_for(server, endpoints=(broken.url, server.url), attempts=3)
        source = AsuSource(GAIA, BINDING, settings)
        client = ServiceClient("vizier_asu", settings)
        reply = client.ask(lambda session, endpoint: source.ask_cone(session, endpoint, PLAIN))
    assert rows_of(reply) == rows_in(stars, PLAIN)
    assert (reply.endpoint, reply.attempts) == (server.url, 2)
    assert Vizier.VIZIER_SERVER not in reply.endpoint


def test_nothing_is_kept_in_the_librarys_own_cache(
    server: VizierServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = settings_for(server)
    source = AsuSource(GAIA, BINDING, settings)
    n_before = len(server.requests)
    with cache_conf.set_temp("cache_active", True):
        for _ in range(2):
            ask(source, settings, PLAIN)
    assert len(server.requests) == n_before + 2
    assert not list(tmp_path.rglob("*.pickle"))
