"""A TAP service's cones come whole, and whatever else it says has its name."""

from collections.abc import Iterator

import pytest
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
from servers.skytable import SkyTable
from servers.tap import TapServer

from vascodb.loaders.client.failure import Cause
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import SourceBinding, catalog
from vascodb.loaders.sources.adql import cone_query
from vascodb.loaders.sources.tap import TapSource

GAIA = catalog("gaia_dr3")
BINDING = GAIA.via["vizier_tap"]
PLAIN = CONES["plain"]


@pytest.fixture(scope="module")
def stars() -> Table:
    return stars_around(*CONES.values())


@pytest.fixture(scope="module")
def server(stars: Table) -> Iterator[TapServer]:
    with TapServer([sky_table("I/355/gaiadr3", stars)]) as running:
        yield running


@pytest.mark.parametrize("where", CONES)
def test_a_cone_holds_exactly_the_stars_within_its_radius(server: TapServer, stars: Table, where: str) -> None:
    cone = CONES[where]
    settings = settings_for(server)
    reply = ask(TapSource(GAIA, BINDING, settings), settings, cone)
    assert rows_of(reply) == rows_in(stars, cone), "and every value to the last bit"
    assert reply.answer is not None
    assert reply.answer.rows_in == len(ids_in(stars, cone)) > 0
    assert reply.answer.row_cap == settings.row_cap


@pytest.mark.parametrize("fault", CONTENT_CAUSES | TRANSPORT_CAUSES)
def test_a_fault_has_its_name_and_the_next_try_completes(server: TapServer, stars: Table, fault: str) -> None:
    settings = settings_for(server)
    source = TapSource(GAIA, BINDING, settings)
    server.fail(fault)
    assert cause_of(ask(source, settings, PLAIN)) is (CONTENT_CAUSES | TRANSPORT_CAUSES)[fault]
    again = ask(source, settings, PLAIN)
    assert again.answer is not None
    assert again.answer.rows_in == len(ids_in(stars, PLAIN))


def test_a_proper_empty_answer_is_an_answer_without_rows(server: TapServer) -> None:
    settings = settings_for(server)
    source = TapSource(GAIA, BINDING, settings)
    reply = ask(source, settings, Cone(70.0, -40.0, 0.5))
    assert reply.answer is not None
    assert reply.answer.rows_in == 0
    server.fail("empty")
    lying = ask(source, settings, PLAIN)
    assert lying.answer is not None, "that the service is blind only the canary can tell"
    assert lying.answer.rows_in == 0


@pytest.mark.parametrize(("more_than_there_are", "cause"), [(-1, Cause.OVERFLOW), (0, Cause.ROW_CAP), (1, None)])
def test_as_many_rows_as_the_cap_are_a_cut_answer(
    server: TapServer, stars: Table, more_than_there_are: int, cause: Cause | None
) -> None:
    settings = settings_for(server, row_cap=len(ids_in(stars, PLAIN)) + more_than_there_are)
    assert cause_of(ask(TapSource(GAIA, BINDING, settings), settings, PLAIN)) is cause
    assert server.requests[-1].first("MAXREC") == str(settings.row_cap)


def test_a_cap_of_the_service_below_ours_is_an_overflow(stars: Table) -> None:
    with TapServer([sky_table("I/355/gaiadr3", stars)], sync_cap=50) as server:
        settings = settings_for(server)
        assert cause_of(ask(TapSource(GAIA, BINDING, settings), settings, PLAIN)) is Cause.OVERFLOW


def test_what_is_asked_is_what_the_evidence_says(server: TapServer) -> None:
    settings = settings_for(server)
    source = TapSource(GAIA, BINDING, settings)
    ask(source, settings, PLAIN)
    assert server.requests[-1].first("QUERY") == source.parameters(PLAIN)["query"]
    assert server.requests[-1].first("LANG") == "ADQL"


def test_names_are_quoted_where_the_service_needs_it_and_nowhere_else() -> None:
    assert cone_query(catalog("vsx").via["vizier_tap"], Cone(1.5, -2.0, 0.25)) == (
        'SELECT "OID", "Name", "RAJ2000", "DEJ2000", "max" FROM "B/vsx/vsx" '
        "WHERE 1 = CONTAINS(POINT('ICRS', \"RAJ2000\", \"DEJ2000\"), CIRCLE('ICRS', 1.5, -2.0, 0.25))"
    )
    assert cone_query(catalog("neowise_psd").via["irsa_tap"], Cone(1.5, -2.0, 0.25)) == (
        "SELECT cntr, ra, dec, w1mpro FROM neowiser_p1bs_psd "
        "WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 1.5, -2.0, 0.25)) AND qual_frame > 0 "
        "AND qi_fact > 0 AND saa_sep > 0 AND moon_masked = '00' AND w1snr >= 5 AND mjd <= 59198"
    )


def test_conditions_are_put_to_the_service(stars: Table) -> None:
    binding = SourceBinding(**BINDING.model_dump() | {"where": ("Gmag >= 12.5", "Gmag < 15")})
    with TapServer([SkyTable("I/355/gaiadr3", stars, "RA_ICRS", "DE_ICRS")]) as server:
        settings = settings_for(server)
        reply = ask(TapSource(GAIA, binding, settings), settings, PLAIN)
    assert reply.answer is not None
    bright = stars[(stars["Gmag"].filled(99) >= 12.5) & (stars["Gmag"].filled(99) < 15)]
    assert set(reply.answer.table["source_id"].to_pylist()) == ids_in(bright, PLAIN)


def test_a_table_or_column_that_is_not_there_is_an_error_of_the_query(server: TapServer) -> None:
    settings = settings_for(server)
    for change in ({"table": "I/999/none"}, {"columns": {**BINDING.columns, "Plx": "mas"}}):
        binding = SourceBinding(**BINDING.model_dump() | change)
        reply = ask(TapSource(GAIA, binding, settings), settings, PLAIN)
        assert cause_of(reply) is Cause.HTTP_ERROR
