"""Lists of positions: each position its own answer, whole or not at all; canaries go out with every chunk."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow as pa
import pytest
from asklists import positions_at
from astropy.coordinates import SkyCoord
from astropy.table import Table
from localservice import TABLE, gaia_at, impatient, stored_ids
from mocpy import MOC
from servers.http import Request
from servers.skytable import SkyTable
from servers.tap import TapServer
from servers.xmatch import XMatchServer
from sqlalchemy import text
from toysky import ToySky

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.answers import PositionAnswer, Positions
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.fetch.lists import fetch_positions
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.registry import CanaryPosition, CatalogDefinition, SkyPosition, SourceBinding
from vascodb.loaders.sources import ListSource
from vascodb.loaders.sources.registry import list_source
from vascodb.plates.footprint import cells, multirange

FIELDS = {"plain": (132.85, 11.8), "0h": (0.0, 41.81), "north pole": (10.0, 90.0), "south pole": (200.0, -90.0)}
CANARY = CanaryPosition(ra=30.0, dec=-20.0, radius_arcsec=3.0, empty=SkyPosition(ra=31.0, dec=-20.0))
MARGIN_ARCSEC = 60.0


def still_stars() -> Table:
    """Some hundred stars in each field, and the canary; none moves, so that all services see them in one place."""
    random = np.random.default_rng(11)
    ra, dec = [np.array([CANARY.ra])], [np.array([CANARY.dec + 1e-4])]
    for place in FIELDS.values():
        around = SkyCoord(*place, unit="deg").directional_offset_by(
            random.random(150) * 360 * u.deg, 0.1 * np.sqrt(random.random(150)) * u.deg
        )
        ra.append(around.ra.deg % 360.0)
        dec.append(around.dec.deg)
    n = sum(len(each) for each in ra)
    return Table({
        "Source": np.arange(1, n + 1, dtype=np.int64) + 2**60, "RA_ICRS": np.concatenate(ra) * u.deg,
        "DE_ICRS": np.concatenate(dec) * u.deg, "pmRA": np.zeros(n) * u.mas / u.yr, "pmDE": np.zeros(n) * u.mas / u.yr,
        "Gmag": random.uniform(12, 20, n).astype(np.float32) * u.mag,
    })  # fmt: skip


STARS = still_stars()
SKY = SkyTable(TABLE, STARS, "RA_ICRS", "DE_ICRS")


def some_positions(name: str = "plain", n: int = 40, seed: int = 5) -> Positions:
    """Positions in a field; every fourth is a star, so that some have an answer and some have none."""
    random = np.random.default_rng(seed)
    around = SkyCoord(*FIELDS[name], unit="deg").directional_offset_by(
        random.random(n) * 360 * u.deg, 0.11 * np.sqrt(random.random(n)) * u.deg
    )
    return positions_at(around.ra.deg % 360.0, around.dec.deg)


def stars_near(positions: Positions) -> set[int]:
    """Stars within the margin of any position, by astropy's own separation."""
    stars = SkyCoord(STARS["RA_ICRS"], STARS["DE_ICRS"])
    near: set[int] = set()
    for ra, dec in zip(positions.ra_deg, positions.dec_deg, strict=True):
        inside = stars.separation(SkyCoord(ra, dec, unit="deg")).arcsec <= MARGIN_ARCSEC
        near |= {int(identity) for identity in STARS["Source"][inside]}
    return near


class Local:
    """A catalogue at one local service."""

    def __init__(
        self, server: Any, mode: str = "sync", definition: dict[str, Any] | None = None, **limits: Any
    ) -> None:
        self.name = "cds_xmatch" if isinstance(server, XMatchServer) else "gavo_tap"
        binding = gaia_at(self.name, CANARY).via[self.name].model_dump() | {"mode": mode}
        self.definition: CatalogDefinition = gaia_at(self.name, CANARY).model_copy(
            update={"via": {self.name: SourceBinding.model_validate(binding)}} | (definition or {})
        )
        # Some, so that a job is polled without a pause in tests.
        protocol = "xmatch" if self.name == "cds_xmatch" else "tap"
        self.settings: ServiceSettings = impatient(
            protocol, server.url, **({"first_byte_timeout_s": 5.0, "list_rows": 1000, "row_cap": 5000} | limits)
        )

    @property
    def source(self) -> ListSource:
        return list_source(self.definition, self.name, {self.name: self.settings})

    def fetch(self, database: Database, positions: Positions, **options: Any) -> FetchTotals:
        client = ServiceClient(self.name, self.settings)
        return fetch_positions(database, client, self.definition, self.source, positions, **options)


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


def covered_cells(database: Database) -> set[int]:
    """Cells of order 29 that are covered, one by one; ranges of lists are of one cell each or of neighbours."""
    with database.connect() as connection:
        return set(
            connection.scalars(
                text("""
                    SELECT generate_series(lower(hpx29), upper(hpx29) - 1) FROM ref.coverage WHERE catalog = 'gaia_dr3'
                """)
            )
        )


def gap_cells(database: Database) -> set[int]:
    with database.connect() as connection:
        return set(connection.scalars(text("SELECT generate_series(lower(hpx29), upper(hpx29) - 1) FROM ref.gap")))


def cells_of(positions: Positions) -> set[int]:
    return set(cells(positions.ra_deg, positions.dec_deg).tolist())


def look_ups(database: Database, kind: str = "list") -> list[Any]:
    with database.connect() as connection:
        query = text("SELECT * FROM ref.lookup WHERE kind = :kind ORDER BY asked_at, lookup_id")
        return list(connection.execute(query, {"kind": kind}).all())


def uploads(server: Any) -> list[int]:
    """Positions in each list that the server was sent."""
    lengths = []
    for request in server.requests:
        for upload in request.files.values():
            n_rows = upload.content.count(b"<TR>") if b"<TR>" in upload.content else upload.content.count(b"\n") - 1
            lengths.append(n_rows)
    return lengths


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


@pytest.mark.parametrize(("protocol", "cause"), [("tap", "overflow"), ("xmatch", "row_cap")])
def test_a_cut_answer_is_asked_for_in_halves_until_all_are_whole(database: Database, protocol: str, cause: str) -> None:
    positions = some_positions(n=120)
    with TapServer([SKY]) if protocol == "tap" else XMatchServer([SKY]) as server:
        totals = Local(server, row_cap=60).fetch(database, positions, workers=1)
    assert totals.split >= 2
    assert totals.failed == 0
    assert covered_cells(database) == cells_of(positions)
    assert stored_ids(database, "gaia_dr3") == stars_near(positions)
    assert {row.cause for row in look_ups(database) if row.status == "split"} == {cause}
    assert max(row.rows_in for row in look_ups(database) if row.complete) < 60


def test_a_cap_that_nobody_told_us_of_covers_nothing(shared: Database) -> None:
    positions = some_positions(n=120, seed=302)
    with XMatchServer([SKY], cap=60) as server:
        totals = Local(server, row_cap=5000).fetch(shared, positions, workers=1)
    assert (totals.complete, totals.failed) == (0, 1)
    assert look_ups(shared)[-1].cause == "canary"
    assert not covered_cells(shared) & cells_of(positions)


def test_a_single_position_that_is_too_much_fails_alone(database: Database, tap: TapServer) -> None:
    # One position has 30 stars about it, the others none; the cap leaves room for a few and the canaries.
    crowd = Table(STARS[:1], copy=True)
    for i in range(30):
        crowd.add_row((i + 1, 200.0 + i * 1e-4, 10.0, 0.0, 0.0, 15.0))
    positions = positions_at(np.append(np.linspace(210, 215, 9), 200.001), np.full(10, 10.0))
    with TapServer([SkyTable(TABLE, crowd, "RA_ICRS", "DE_ICRS")]) as server:
        totals = Local(server, row_cap=20).fetch(database, positions, workers=1)
    assert totals.failed == 1
    assert len(covered_cells(database)) == 9
    assert gap_cells(database) == {int(cells(np.array([200.001]), np.array([10.0]))[0])}


def test_chunks_shrink_when_they_are_cut_and_grow_again_when_they_are_not(database: Database) -> None:
    # The beginning of the list is crowded, the rest of it empty sky.
    place = SkyCoord(*FIELDS["plain"], unit="deg")
    random = np.random.default_rng(4)
    crowded = place.directional_offset_by(random.random(64) * 360 * u.deg, 0.08 * np.sqrt(random.random(64)) * u.deg)
    empty = SkyCoord(250.0 + np.linspace(0, 3, 960), np.full(960, 5.0), unit="deg")
    ra, dec = np.concatenate([crowded.ra.deg, empty.ra.deg]), np.concatenate([crowded.dec.deg, empty.dec.deg])
    order = np.argsort(cells(ra, dec))
    assert order[0] < 64, "the crowded part should come first in the order of cells"
    with TapServer([SKY]) as server:
        local = Local(server, row_cap=60, list_rows=131)
        totals = local.fetch(database, positions_at(ra, dec), workers=1)
        lengths = [length - 3 for length in uploads(server)]
    assert totals.failed == 0
    assert covered_cells(database) == cells_of(positions_at(ra, dec))
    assert lengths[0] == 128
    assert min(lengths) <= 32
    assert lengths[-1] == 128
    assert max(lengths) == 128
    # The service is soon asked for more again, not for the smallest chunks until the end, of which there were 128.
    assert len(lengths) < 40


def test_a_cut_list_is_not_asked_for_whole_again(database: Database) -> None:
    positions = some_positions(n=60)
    with TapServer([SKY]) as server:
        local = Local(server, row_cap=60)
        assert local.fetch(database, positions, workers=1).split >= 2
        with database.connect() as connection:
            connection.execute(text("DELETE FROM ref.coverage"))
        n_before = len(uploads(server))
        totals = local.fetch(database, positions, workers=1)
        assert (totals.failed, covered_cells(database)) == (0, cells_of(positions))
        first, again = uploads(server)[:n_before], uploads(server)[n_before:]
    assert first[:2] == [63, 33]
    assert max(again) <= 33
    # What was not on record as too much, because shorter chunks were asked for at once, may be tried.
    assert again[0] < 33


@pytest.mark.parametrize("fault", ["first_byte_timeout", "slow_drip"])
def test_a_slow_service_is_asked_for_less(database: Database, fault: str) -> None:
    positions = some_positions(n=64)

    def is_long(request: Request) -> bool:
        return any(upload.content.count(b"<TR>") > 20 for upload in request.files.values())

    with TapServer([SKY]) as server:
        server.fail(fault, times=None, when=is_long)
        local = Local(server, first_byte_timeout_s=0.2, total_timeout_s=0.4)
        totals = local.fetch(database, positions, workers=1)
    assert (totals.split, totals.failed) == (3, 0)
    assert covered_cells(database) == cells_of(positions)
    # What was slow once may be fast another time: the whole list is asked for again.
    with database.connect() as connection:
        connection.execute(text("DELETE FROM ref.coverage"))
    with TapServer([SKY]) as server:
        assert Local(server).fetch(database, positions).complete == 1


def test_a_service_that_is_always_slow_is_down(database: Database) -> None:
    with TapServer([SKY]) as server:
        server.fail("first_byte_timeout", times=None)
        totals = Local(server, first_byte_timeout_s=0.1).fetch(database, some_positions(n=500), workers=1)
    assert totals.complete == 0
    assert totals.failed == 3
    assert totals.split <= 4
    assert totals.given_up > 0
    assert covered_cells(database) == set()


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


def test_two_fetches_side_by_side_never_ask_about_a_position_twice(database: Database) -> None:
    # Overlapping lists, as of two runs: not even their chunks are the same.
    one, other = some_positions("plain", 80, seed=1), some_positions("plain", 100, seed=2)
    both = Positions(np.arange(180), np.append(one.ra_deg, other.ra_deg), np.append(one.dec_deg, other.dec_deg))
    totals: list[FetchTotals] = []
    with TapServer([SKY]) as server:
        server.latency_s = 0.02

        def run(positions: Positions) -> None:
            totals.append(Local(server, list_rows=23).fetch(database, positions, workers=2))

        threads = [threading.Thread(target=run, args=(positions,)) for positions in (one, both)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sent = sum(uploads(server)) - 3 * len(uploads(server))
    assert sent == len(cells_of(both))
    assert covered_cells(database) == cells_of(both)
    assert all(t.failed == 0 for t in totals)


def test_it_stops_when_told_to_and_goes_on_later(shared: Database, tap: TapServer) -> None:
    done: list[FetchTotals] = []
    positions, local = some_positions(n=200, seed=304), Local(tap, list_rows=23)
    before = len(covered_cells(shared))
    first = local.fetch(shared, positions, workers=1, progress=done.append, should_stop=lambda: len(done) >= 3)
    assert first.complete == 3
    assert len(covered_cells(shared)) == before + 60
    second = local.fetch(shared, positions)
    assert (second.skipped, second.complete) == (3, 7)


def test_workers_share_one_fetch(shared: Database, tap: TapServer) -> None:
    tap.latency_s = 0.1
    totals = Local(tap, list_rows=23, connections=4).fetch(shared, some_positions(n=200, seed=305))
    assert (totals.complete, totals.failed) == (10, 0)
    assert 2 <= tap.max_concurrent <= 4


_CHILD = """
import json, sys
from pathlib import Path
import numpy as np
from pydantic import SecretStr
from vascodb.db import Database
from vascodb.loaders.client.answers import PositionAnswer, Positions
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.fetch.lists import fetch_positions
from vascodb.loaders.registry import CatalogDefinition
from vascodb.loaders.sources.registry import list_source
from vascodb.settings import Settings

home, url, definition, settings, ra, dec = map(json.loads, sys.argv[1:])
definition, settings = CatalogDefinition(**definition), ServiceSettings(**settings)
database = Database(Settings(home=home, url=SecretStr(url)))
positions = Positions(np.arange(len(ra)), np.array(ra), np.array(dec))
source = list_source(definition, "gavo_tap", {"gavo_tap": settings})
print(fetch_positions(database, ServiceClient("gavo_tap", settings), definition, source, positions).complete)
"""


def test_a_killed_fetch_takes_up_its_job_again(database: Database, cluster_home: Path) -> None:
    positions = some_positions(n=30)
    with TapServer([SKY], executing_s=2.0) as server:
        local = Local(server, mode="async")
        models = (local.definition.model_dump(mode="json"), local.settings.model_dump(mode="json"))
        place = str(cluster_home), database.libpq_url
        arguments = [*place, *models, positions.ra_deg.tolist(), positions.dec_deg.tolist()]
        command = [sys.executable, "-c", _CHILD, *map(json.dumps, arguments)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        while not any(job.phase == "EXECUTING" for job in server.jobs.values()):
            assert child.poll() is None
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        with database.connect() as connection:
            (url,) = connection.scalars(text("SELECT job_url FROM ref.async_job")).all()
        assert url == f"{server.url}/async/{next(iter(server.jobs))}"
        assert local.fetch(database, positions).complete == 1
        assert len(server.jobs) == 1
    assert covered_cells(database) == cells_of(positions)
    assert stored_ids(database, "gaia_dr3") == stars_near(positions)
    assert n_jobs(database) == 0


def n_jobs(database: Database) -> int:
    with database.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM ref.async_job")) or 0)


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
