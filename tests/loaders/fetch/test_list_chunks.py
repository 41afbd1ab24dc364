"""Long lists go out in chunks: halved where they are too much, each asked once, jobs taken up again."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from asklists import positions_at
from astropy.coordinates import SkyCoord
from astropy.table import Table
from listsky import (
    FIELDS,
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
from localservice import TABLE, stored_ids
from servers.http import Request
from servers.skytable import SkyTable
from servers.tap import TapServer
from servers.xmatch import XMatchServer
from sqlalchemy import text

from vascodb.db import Database
from vascodb.loaders.client.answers import Positions
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.plates.footprint import cells


@pytest.fixture(scope="module")
def shared(temporary_database, template_database: str) -> Iterator[Database]:
    """One database for many tests, each with positions of its own."""
    with temporary_database(template_database) as database:
        yield database


@pytest.fixture
def tap() -> Iterator[TapServer]:
    with TapServer([SKY]) as server:
        yield server


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
