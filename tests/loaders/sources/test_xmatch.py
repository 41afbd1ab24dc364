"""X-Match: every match of every position comes back with its number, and whatever else it says has its name."""

from collections.abc import Iterator
from pathlib import Path

import askservice
import astropy.units as u
import numpy as np
import pytest
from asklists import answered_pairs, ask_list, pairs_by_force, positions_at
from askservice import TRANSPORT_CAUSES, cause_of, settings_for, sky_table
from astropy.coordinates import SkyCoord
from astropy.table import Table
from localservice import local_sky
from servers.xmatch import XMatchServer

from vascodb.errors import InputError
from vascodb.loaders.client.answers import Positions, position_answer, read_csv
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.services import default_services
from vascodb.loaders.registry import CatalogDefinition, ColumnNames, SourceBinding, catalog
from vascodb.loaders.sources.xmatch import XMatchSource

GAIA = catalog("gaia_dr3")
BINDING = GAIA.via["cds_xmatch"]
SHIPPED = default_services()["cds_xmatch"]
RADIUS_ARCSEC = 60.0
FIELDS = {"plain": (132.8, 11.8), "0h": (0.0, 41.81), "north pole": (10.0, 89.99), "south pole": (200.0, -90.0)}
# It has no mark for an overflow.
CONTENT_CAUSES = {fault: cause for fault, cause in askservice.CONTENT_CAUSES.items() if fault != "overflow"}


def field_of_stars(name: str) -> Table:
    table = local_sky(*FIELDS[name], 0.1, 150, seed=list(FIELDS).index(name) + 1).table.table
    # The service compares positions of 2000, the answer has them at 2016; of still stars they are the same.
    table["pmRA"], table["pmDE"] = np.zeros(len(table)) * u.mas / u.yr, np.zeros(len(table)) * u.mas / u.yr
    return table


@pytest.fixture(scope="module")
def stars() -> dict[str, Table]:
    return {name: field_of_stars(name) for name in FIELDS}


@pytest.fixture(scope="module")
def server(stars: dict[str, Table]) -> Iterator[XMatchServer]:
    everything = Table(np.concatenate([np.asarray(table) for table in stars.values()]))
    for name in everything.colnames:
        everything[name].unit = stars["plain"][name].unit
    with XMatchServer([sky_table("I/355/gaiadr3", everything)]) as running:
        yield running


def some_positions(name: str, n: int = 30) -> Positions:
    random = np.random.default_rng(5)
    around = SkyCoord(*FIELDS[name], unit="deg").directional_offset_by(
        random.random(n) * 360 * u.deg, 0.1 * np.sqrt(random.random(n)) * u.deg
    )
    return positions_at(around.ra.deg, around.dec.deg)


@pytest.mark.parametrize("name", FIELDS)
def test_every_star_within_the_radius_of_every_position_comes_back(
    server: XMatchServer, stars: dict[str, Table], name: str
) -> None:
    positions, settings = some_positions(name), settings_for(server)
    expected = pairs_by_force(stars[name], positions, RADIUS_ARCSEC)
    assert len(expected) > 60, "the field should be crowded enough to tell all matches from the best"
    assert (
        answered_pairs(ask_list(XMatchSource(GAIA, BINDING, settings), settings, positions, RADIUS_ARCSEC)) == expected
    )


def test_the_question_is_for_all_matches_up_to_the_cap_and_its_evidence_tells_the_list_apart(
    server: XMatchServer,
) -> None:
    settings = settings_for(server, row_cap=4_321)
    source, positions = XMatchSource(GAIA, BINDING, settings), some_positions("plain")
    ask_list(source, settings, positions, RADIUS_ARCSEC)
    request = server.requests[-1]
    asked = {name: request.first(name) for name in ("selection", "MAXREC", "cat2", "distMaxArcsec", "cols1")}
    assert asked == {
        "selection": "all",
        "MAXREC": "4321",
        "cat2": "vizier:I/355/gaiadr3",
        "distMaxArcsec": "60.0",
        "cols1": "row_id",
    }
    lines = request.files["cat1"].content.decode().split()
    assert lines[0] == "row_id,asked_ra,asked_dec"
    assert [float(value) for value in lines[3].split(",")] == [15.0, positions.ra_deg[2], positions.dec_deg[2]]
    evidence = source.parameters(positions, RADIUS_ARCSEC)
    moved = Positions(positions.row_id, positions.ra_deg + 1e-13, positions.dec_deg)
    assert evidence["positions"] == 30
    assert evidence["positions_sha256"] != source.parameters(moved, RADIUS_ARCSEC)["positions_sha256"]


def test_the_library_asks_nothing_else_and_keeps_nothing(
    server: XMatchServer, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, before = settings_for(server), len(server.requests)
    for _ in range(2):
        ask_list(XMatchSource(GAIA, BINDING, settings), settings, some_positions("plain"), RADIUS_ARCSEC)
    assert [r.method for r in server.requests[before:]] == ["POST", "POST"]
    assert capsys.readouterr().out == ""


def test_no_match_is_an_empty_answer(server: XMatchServer) -> None:
    settings = settings_for(server)
    reply = ask_list(XMatchSource(GAIA, BINDING, settings), settings, positions_at(250.0, 30.0), RADIUS_ARCSEC)
    assert reply.answer is not None
    assert (reply.answer.rows_in, reply.answer.table.num_rows) == (0, 0)


@pytest.mark.parametrize(("fault", "cause"), list(CONTENT_CAUSES.items()) + list(TRANSPORT_CAUSES.items()))
def test_what_is_wrong_has_its_name_and_the_next_try_is_whole(
    server: XMatchServer, stars: dict[str, Table], fault: str, cause: Cause
) -> None:
    positions = some_positions("plain")
    settings = settings_for(server, row_cap=500)
    source = XMatchSource(GAIA, BINDING, settings)
    server.fail(fault)
    assert cause_of(ask_list(source, settings, positions, RADIUS_ARCSEC)) is cause
    again = ask_list(source, settings, positions, RADIUS_ARCSEC)
    assert answered_pairs(again) == pairs_by_force(stars["plain"], positions, RADIUS_ARCSEC)


def test_a_silent_cut_takes_the_last_positions_of_the_list(server: XMatchServer, stars: dict[str, Table]) -> None:
    # The answer itself shows nothing; so the last position is one whose answer is known.
    positions, settings = some_positions("plain"), settings_for(server)
    server.fail("overflow")
    reply = ask_list(XMatchSource(GAIA, BINDING, settings), settings, positions, RADIUS_ARCSEC)
    expected = pairs_by_force(stars["plain"], positions, RADIUS_ARCSEC)
    assert answered_pairs(reply) < expected
    assert max(expected)[0] not in {number for number, _ in answered_pairs(reply)}


def test_a_position_number_that_was_not_sent_is_refused() -> None:
    body = b"angDist,row_id,Source,RA_ICRS,DE_ICRS,pmRA,pmDE,Gmag\n0.1,2,1,10.0,10.0,,,15.0\n"
    with pytest.raises(LookupFailure) as failure:
        position_answer(read_csv(body), GAIA, BINDING, positions_at(10.0, 10.0), 5.0, 100)
    assert failure.value.cause is Cause.WRONG_SKY


def test_two_positions_with_one_number_are_not_sent(server: XMatchServer) -> None:
    settings, before = settings_for(server), len(server.requests)
    twice = Positions(np.array([3, 3]), np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    with pytest.raises(InputError, match="position 3 is in the list more than once"):
        ask_list(XMatchSource(GAIA, BINDING, settings), settings, twice, RADIUS_ARCSEC)
    assert len(server.requests) == before


def test_a_binding_with_conditions_is_refused(server: XMatchServer) -> None:
    binding = SourceBinding.model_validate(BINDING.model_dump() | {"where": ("Gmag < 20",)})
    with pytest.raises(InputError, match="takes no conditions"):
        XMatchSource(GAIA, binding, settings_for(server))


class Recorded:
    """A recorded answer in place of a service."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def request(self, *_: object, **__: object) -> "Recorded":
        return self

    @property
    def content(self) -> bytes:
        return self.body

    status_code = 200

    def raise_for_status(self) -> None:
        pass


def two_mass() -> tuple[CatalogDefinition, SourceBinding]:
    """2MASS as the recorded answer has it."""
    binding = SourceBinding(
        table="II/246/out",
        ra="RAJ2000",
        dec="DEJ2000",
        columns={"2MASS": "", "RAJ2000": "deg", "DEJ2000": "deg", "Kmag": "mag"},
    )
    names = ColumnNames(ra=["RAJ2000"], dec=["DEJ2000"], designation=["2MASS"], mag=["Kmag"])
    definition = catalog("twomass").model_copy(update={"columns": names, "via": {"cds_xmatch": binding}})
    return definition, binding


def recorded(shared_data: Path) -> tuple[bytes, Positions]:
    listed = Table.read(shared_data / "http" / "astroquery" / "xmatch__posList.csv", format="csv")
    positions = Positions(
        np.asarray(listed["my_id"], dtype=np.int64), np.asarray(listed["ra"]), np.asarray(listed["dec"])
    )
    body = (shared_data / "http" / "astroquery" / "xmatch__query_res.csv").read_bytes()
    return body.replace(b",my_id,", b",row_id,"), positions


def test_the_real_answer_is_read_and_each_row_lies_about_its_own_position(shared_data: Path) -> None:
    body, positions = recorded(shared_data)
    definition, binding = two_mass()
    source = XMatchSource(definition, binding, SHIPPED)
    answer = source.ask_positions(Recorded(body), "http://local", positions, 5.0)  # type: ignore[arg-type]
    assert np.bincount(answer.row_ids).tolist() == [0, 5, 1, 1, 1, 1, 2]
    assert answer.table["designation"][0].as_py() == "17485281-2021323"


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda body: body[:-7], Cause.TRUNCATED),
        (lambda body: body.replace(b",1,1748", b",9,1748"), Cause.WRONG_SKY),
        (lambda body: body.replace(b",1,1748", b",2,1748"), Cause.WRONG_SKY),
        (lambda body: body.replace(b"angDist,", b"distance,"), Cause.MISSING_COLUMN),
        (lambda body: body + body.splitlines(keepends=True)[1], Cause.DUPLICATE_ROWS),
    ],
)
def test_a_spoilt_real_answer_is_refused(shared_data: Path, spoil, cause: Cause) -> None:
    body, positions = recorded(shared_data)
    definition, binding = two_mass()
    source = XMatchSource(definition, binding, SHIPPED)
    with pytest.raises(LookupFailure) as failure:
        source.ask_positions(Recorded(spoil(body)), "http://local", positions, 5.0)  # type: ignore[arg-type]
    assert failure.value.cause is cause


def test_distances_in_degrees_are_refused(shared_data: Path) -> None:
    body, positions = recorded(shared_data)
    lines = body.decode().splitlines()
    in_degrees = [f"{float(line.split(',', 1)[0]) / 3600:.7f},{line.split(',', 1)[1]}" for line in lines[1:]]
    definition, binding = two_mass()
    source = XMatchSource(definition, binding, SHIPPED)
    with pytest.raises(LookupFailure) as failure:
        source.ask_positions(
            Recorded("\n".join([lines[0], *in_degrees, ""]).encode()),
            "http://local",
            positions,
            5.0,  # type: ignore[arg-type]
        )
    assert failure.value.cause is Cause.WRONG_UNIT
