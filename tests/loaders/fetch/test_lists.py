"""Lists of positions: each position its own answer, whole or not at all; canaries go out with every list."""

from collections.abc import Iterator
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow as pa
import pytest
from asklists import positions_at
from astropy.coordinates import SkyCoord
from listsky import (
    CANARY,
    FIELDS,
    MARGIN_ARCSEC,
    SKY,
    STARS,
    Local,
    cells_of,
    covered_cells,
    gap_cells,
    look_ups,
    some_positions,
    stars_near,
    uploads,
)
from localservice import stored_ids
from mocpy import MOC
from servers.tap import TapServer
from servers.xmatch import XMatchServer
from sqlalchemy import text
from toysky import ToySky

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.answers import PositionAnswer, Positions
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.fetch.lists import fetch_positions
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.registry import CanaryPosition, SkyPosition
from vascodb.plates.footprint import cells, multirange


@pytest.fixture(params=["X-Match", "TAP"])
def service(request: pytest.FixtureRequest) -> Iterator[Any]:
    with XMatchServer([SKY]) if request.param == "X-Match" else TapServer([SKY]) as server:
        yield server


@pytest.fixture
def tap() -> Iterator[TapServer]:
    with TapServer([SKY]) as server:
        yield server


@pytest.fixture(scope="module")
def shared(temporary_database, template_database: str) -> Iterator[Database]:
    """One database for many tests, each with positions of its own."""
    with temporary_database(template_database) as database:
        yield database


def test_each_position_is_covered_and_all_stars_near_it_are_stored(database: Database, service: Any) -> None:
    fields = [some_positions(field, 20) for field in FIELDS]
    positions = positions_at(*(np.concatenate([getattr(f, name) for f in fields]) for name in ("ra_deg", "dec_deg")))
    totals = Local(service).fetch(database, positions)
    assert (totals.complete, totals.failed, totals.rows_new) == (1, 0, len(stars_near(positions)))
    assert stored_ids(database, "gaia_dr3") == stars_near(positions)
    assert covered_cells(database) == cells_of(positions)
    (canary,), (look_up,) = look_ups(database, "canary"), look_ups(database)
    assert (look_up.complete, look_up.canary_id) == (True, canary.lookup_id)
    assert (canary.complete, canary.rows_in, canary.response_sha256) == (True, 2, look_up.response_sha256)
    assert look_up.parameters["radius_arcsec"] == MARGIN_ARCSEC
    assert look_up.parameters["positions"] == 80 + 3


def test_detections_are_matched_or_clear_by_their_own_cells(database: Database, service: Any) -> None:
    random = np.random.default_rng(2)
    place = SkyCoord(*FIELDS["0h"], unit="deg")
    clear = place.directional_offset_by(random.random(60) * 360 * u.deg, (0.15 + 0.1 * random.random(60)) * u.deg)
    stars = STARS[151:301][:40]
    ra, dec = np.concatenate([clear.ra.deg, stars["RA_ICRS"]]), np.concatenate([clear.dec.deg, stars["DE_ICRS"]])
    asked = positions_at(ra[:-5], dec[:-5])
    Local(service).fetch(database, asked)
    with database.connect() as connection:
        sky = ToySky(connection)
        extraction = sky.extraction(*FIELDS["0h"], epoch_jyear=1954.0)
        sky.detections(extraction, ra, dec)
        states = sky.match(extraction, "gaia_dr3")
    # Five stars were not asked about; some of them came back as neighbours of others.
    n_neighbours = len(stars_near(asked) & set(stars["Source"][-5:].tolist()))
    assert n_neighbours < 5
    assert states["matched"] == 35 + n_neighbours
    assert (states["clear"], states["unknown"], states["not_covered"]) == (60, 0, 5 - n_neighbours)


def test_the_known_position_goes_out_before_and_behind_the_list_the_empty_one_too(
    shared: Database, tap: TapServer
) -> None:
    positions = some_positions(n=5, seed=300)
    Local(tap).fetch(shared, positions)
    (upload,) = [upload for request in tap.requests for upload in request.files.values()]
    rows = np.array([row.split(b"<TD>")[1:] for row in upload.content.split(b"<TR>")[1:]])
    numbers = [int(cell.split(b"<")[0]) for cell in rows[:, 0]]
    places = [(float(row[1].split(b"<")[0]), float(row[2].split(b"<")[0])) for row in rows]
    assert numbers == list(range(8))
    assert (places[0], places[6], places[7]) == ((30.0, -20.0), (31.0, -20.0), (30.0, -20.0))
    assert sorted(places[1:6]) == sorted(zip(positions.ra_deg, positions.dec_deg, strict=True))


WRONG_CANARIES = {
    "the service is blind": (CanaryPosition(ra=30.0, dec=-21.0, radius_arcsec=3.0), "where a source is known"),
    "the service sees ghosts": (
        CanaryPosition(ra=30.0, dec=-20.0, radius_arcsec=3.0, empty=SkyPosition(ra=30.0, dec=-20.001)),
        "where there is no source",
    ),
}


@pytest.mark.parametrize("what", WRONG_CANARIES)
def test_a_wrong_canary_fails_the_whole_chunk(shared: Database, service: Any, what: str) -> None:
    canary, words = WRONG_CANARIES[what]
    positions = some_positions(seed=100 + list(WRONG_CANARIES).index(what))
    before = stored_ids(shared, "gaia_dr3")
    totals = Local(service, definition={"canary": canary}).fetch(shared, positions)
    assert (totals.complete, totals.failed) == (0, 1)
    assert stored_ids(shared, "gaia_dr3") == before
    assert not covered_cells(shared) & cells_of(positions)
    assert gap_cells(shared) >= cells_of(positions)
    look_up = look_ups(shared)[-1]
    assert (look_up.cause, look_up.complete) == ("canary", False)
    assert words in look_up.error


def test_rows_that_are_cut_off_without_a_word_take_the_canary_with_them(shared: Database) -> None:
    positions = some_positions(seed=301)
    with XMatchServer([SKY]) as server:
        server.fail("overflow")
        totals = Local(server).fetch(shared, positions)
        assert (totals.complete, totals.failed, look_ups(shared)[-1].cause) == (0, 1, "canary")
        assert not covered_cells(shared) & cells_of(positions)
        assert Local(server).fetch(shared, positions).complete == 1
    assert stored_ids(shared, "gaia_dr3") >= stars_near(positions)


FAULTS = {
    "service_error": "service_error", "header_only": "truncated", "missing_column": "missing_column",
    "wrong_unit": "wrong_unit", "duplicate_rows": "duplicate_rows", "wrong_sky": "wrong_sky",
    "nan_position": "bad_rows", "empty": "canary", "reset_mid_body": "reset", "http_429": "rate_limited",
    "http_503": "unavailable", "html_maintenance": "not_the_format", "truncated_body": "truncated",
    "empty_body": "truncated", "truncated_gzip": "truncated",
}  # fmt: skip


@pytest.mark.parametrize(("fault", "cause"), FAULTS.items())
def test_a_failed_list_leaves_evidence_and_gaps_and_the_next_try_completes(
    shared: Database, tap: TapServer, fault: str, cause: str
) -> None:
    positions = some_positions(n=12, seed=200 + list(FAULTS).index(fault))
    stored = stored_ids(shared, "gaia_dr3")
    tap.fail(fault, times=None)
    totals = Local(tap).fetch(shared, positions)
    assert (totals.complete, totals.failed) == (0, 1)
    look_up = look_ups(shared)[-1]
    assert (look_up.status, look_up.cause, look_up.complete) == ("failed", cause, False)
    assert stored_ids(shared, "gaia_dr3") == stored
    assert not covered_cells(shared) & cells_of(positions)
    assert gap_cells(shared) >= cells_of(positions)
    tap.heal()
    assert Local(tap).fetch(shared, positions).complete == 1
    assert covered_cells(shared) >= cells_of(positions)
    assert not gap_cells(shared) & cells_of(positions)
    assert stored_ids(shared, "gaia_dr3") == stored | stars_near(positions)


def test_what_is_covered_is_not_sent_again(database: Database, tap: TapServer) -> None:
    all_of_them = some_positions(n=50)
    Local(tap).fetch(database, positions_at(all_of_them.ra_deg[:30], all_of_them.dec_deg[:30]))
    totals = Local(tap).fetch(database, all_of_them)
    assert totals.complete == 1
    assert uploads(tap) == [33, 23]
    assert covered_cells(database) == cells_of(all_of_them)
    totals = Local(tap).fetch(database, all_of_them)
    assert (totals.skipped, totals.complete, len(uploads(tap))) == (1, 0, 2)
    assert Local(tap).fetch(database, all_of_them, again=True).complete == 1
    assert uploads(tap)[-1] == 53


def test_positions_outside_the_survey_are_not_sent_but_counted(shared: Database, tap: TapServer) -> None:
    positions = positions_at([10.0, 20.0, 30.0, 40.0], [-40.0, -29.0, 20.0, 85.0])
    local = Local(tap, definition={"dec_min": -30.0})
    totals = local.fetch(shared, positions)
    assert (totals.complete, totals.outside) == (1, 1)
    assert cells_of(positions) - covered_cells(shared) == cells_of(positions_at([10.0], [-40.0]))
    assert not gap_cells(shared) & cells_of(positions)
    only_outside = local.fetch(shared, positions_at([10.0], [-40.0]))
    assert (only_outside.planned, only_outside.outside) == (0, 1)
    assert uploads(tap) == [6]


def test_a_survey_of_its_own_outline_is_asked_within_that(database: Database, tap: TapServer) -> None:
    local = Local(tap, definition={"footprint": "moc", "footprint_table": "II/319/las9"})
    with pytest.raises(InputError, match="outline of Gaia Data Release 3 is not stored"):
        local.fetch(database, some_positions())
    outline = MOC.from_cone(132.85 * u.deg, 11.8 * u.deg, radius=0.06 * u.deg, max_depth=14)
    with database.connect() as connection:
        sky = ToySky(connection)
        identity = sky.service_lookup("gaia_dr3", "footprint")
        sky.execute(
            "INSERT INTO ref.footprint VALUES ('gaia_dr3', CAST(:r AS int8multirange), :id)",
            r=multirange(outline), id=identity,
        )  # fmt: skip
    positions = some_positions()
    totals = local.fetch(database, positions)
    inside = outline.contains_lonlat(positions.ra_deg * u.deg, positions.dec_deg * u.deg)
    assert 5 < inside.sum() < 35
    assert totals.outside == (~inside).sum()
    assert covered_cells(database) == set(cells(positions.ra_deg[inside], positions.dec_deg[inside]).tolist())


def test_a_position_that_is_given_twice_is_sent_once(shared: Database, tap: TapServer) -> None:
    once = some_positions(n=10, seed=303)
    twice = Positions(np.arange(20), np.tile(once.ra_deg, 2), np.tile(once.dec_deg, 2))
    assert Local(tap).fetch(shared, twice).complete == 1
    assert uploads(tap) == [13]


def test_a_contradiction_fails_the_chunk_and_stores_nothing(database: Database, tap: TapServer) -> None:
    positions = some_positions()
    known = next(iter(stars_near(positions)))
    with database.connect() as connection:
        ToySky(connection).sources("gaia_dr3", [10.0], [10.0], source_id=[known])
    totals = Local(tap).fetch(database, positions)
    assert (totals.complete, totals.failed) == (0, 1)
    assert look_ups(database)[-1].cause == "contradiction"
    assert (stored_ids(database, "gaia_dr3"), covered_cells(database)) == ({known}, set())
    with database.connect() as connection:
        assert (
            connection.scalar(text("SELECT count(*) FROM pg_class WHERE relnamespace = 'staging'::regnamespace")) == 0
        )


def test_no_positions_are_nothing_to_do(shared: Database, tap: TapServer) -> None:
    nothing = Positions(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))
    assert Local(tap).fetch(shared, nothing) == FetchTotals()
    assert not tap.requests


@pytest.mark.parametrize(("ra", "dec"), [(np.nan, 1.0), (1.0, np.nan), (360.0, 1.0), (-1e-9, 1.0), (1.0, 90.1)])
def test_what_is_no_position_is_refused(module_database: Database, ra: float, dec: float) -> None:
    with TapServer([SKY]) as server, pytest.raises(InputError, match="position 8 is none"):
        Local(server).fetch(module_database, positions_at([1.0, ra], [1.0, dec]))


def test_without_a_canary_nothing_is_asked(module_database: Database, tap: TapServer) -> None:
    with pytest.raises(InputError, match="has no canary"):
        Local(tap, definition={"canary": None}).fetch(module_database, some_positions())
    assert not tap.requests


def test_a_position_of_the_list_may_be_the_known_one(database: Database, tap: TapServer) -> None:
    positions = positions_at([CANARY.ra, 250.0], [CANARY.dec, 5.0])
    assert Local(tap).fetch(database, positions).complete == 1
    assert covered_cells(database) == cells_of(positions)
    assert stored_ids(database, "gaia_dr3") == {int(STARS["Source"][0])}


def test_the_known_position_must_have_the_same_sources_before_and_behind_the_list(
    shared: Database, tap: TapServer
) -> None:
    local, positions = Local(tap), some_positions(n=10, seed=306)
    whole = local.source

    class Forgetful:
        """Leaves out one of several sources at the end of the list."""

        def parameters(self, positions: Positions, radius_arcsec: float) -> dict[str, Any]:
            return whole.parameters(positions, radius_arcsec)

        def ask_positions(
            self, session: EvidenceSession, endpoint: str, positions: Positions, radius_arcsec: float
        ) -> PositionAnswer:
            answer = whole.ask_positions(session, endpoint, positions, radius_arcsec)
            first = answer.table.slice(int(np.flatnonzero(answer.row_ids == 0)[0]), 1)
            other = first.set_column(0, "source_id", pa.array([77]))
            table = pa.concat_tables([answer.table, other])
            return PositionAnswer(table, np.append(answer.row_ids, 0), table.num_rows, answer.row_cap)

    client = ServiceClient(local.name, local.settings)
    totals = fetch_positions(shared, client, local.definition, Forgetful(), positions)
    assert (totals.complete, totals.failed) == (0, 1)
    assert "2 and 1 sources for the same position" in look_ups(shared)[-1].error
