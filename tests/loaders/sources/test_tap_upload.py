"""Lists at TAP services: joined there, at once or as jobs that survive whoever waits for them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from asklists import answered_pairs, ask_list, pairs_by_force, positions_at
from askservice import CONTENT_CAUSES, TRANSPORT_CAUSES, cause_of, settings_for, sky_table
from astropy.coordinates import SkyCoord
from astropy.table import Table, vstack
from localservice import local_sky
from servers.skytable import SkyTable
from servers.tap import TapServer

from vascodb.errors import InputError
from vascodb.loaders.client.answers import Positions
from vascodb.loaders.client.failure import Cause
from vascodb.loaders.registry import SourceBinding, catalog
from vascodb.loaders.sources.tap_upload import JobsInMemory, TapUploadSource, _read_job

GAIA = catalog("gaia_dr3")
SYNC = GAIA.via["vizier_tap"]
ASYNC = SourceBinding.model_validate(SYNC.model_dump() | {"mode": "async"})
RADIUS_ARCSEC = 60.0
FIELDS = {"plain": (132.8, 11.8), "0h": (359.999, -41.81), "north pole": (10.0, 90.0), "south pole": (200.0, -89.99)}


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pauses_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        self.now_s += seconds

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(scope="module")
def stars() -> dict[str, Table]:
    fields = {
        name: local_sky(*place, 0.1, 150, seed=7 + i).table.table for i, (name, place) in enumerate(FIELDS.items())
    }
    for table in fields.values():
        # Services compare positions of 2000, answers have them at 2016; of still stars they are the same.
        table["pmRA"], table["pmDE"] = np.zeros(len(table)) * u.mas / u.yr, np.zeros(len(table)) * u.mas / u.yr
    return fields


@pytest.fixture(scope="module")
def sky(stars: dict[str, Table]) -> SkyTable:
    return sky_table("I/355/gaiadr3", vstack(list(stars.values())))


@pytest.fixture
def server(sky: SkyTable) -> Iterator[TapServer]:
    with TapServer([sky]) as running:
        yield running


def some_positions(name: str, n: int = 30) -> Positions:
    random = np.random.default_rng(5)
    around = SkyCoord(*FIELDS[name], unit="deg").directional_offset_by(
        random.random(n) * 360 * u.deg, 0.1 * np.sqrt(random.random(n)) * u.deg
    )
    return positions_at(around.ra.deg, around.dec.deg)


def jobs_submitted(server: TapServer) -> int:
    return sum(r.method == "POST" and r.path.endswith("/async") for r in server.requests)


@pytest.mark.parametrize("binding", [SYNC, ASYNC], ids=["sync", "async"])
@pytest.mark.parametrize("name", FIELDS)
def test_every_star_within_the_radius_of_every_position_comes_back(
    server: TapServer, stars: dict[str, Table], name: str, binding: SourceBinding
) -> None:
    positions, settings = some_positions(name), settings_for(server)
    expected = pairs_by_force(stars[name], positions, RADIUS_ARCSEC)
    assert len(expected) > 60
    source = TapUploadSource(GAIA, binding, settings, sleep=Clock().sleep)
    assert answered_pairs(ask_list(source, settings, positions, RADIUS_ARCSEC)) == expected


def test_no_match_is_an_empty_answer(server: TapServer) -> None:
    settings = settings_for(server)
    reply = ask_list(TapUploadSource(GAIA, SYNC, settings), settings, positions_at(250.0, 30.0), RADIUS_ARCSEC)
    assert reply.answer is not None
    assert (reply.answer.rows_in, reply.answer.table.num_rows) == (0, 0)


@pytest.mark.parametrize("binding", [SYNC, ASYNC], ids=["sync", "async"])
@pytest.mark.parametrize(("fault", "cause"), list(CONTENT_CAUSES.items()) + list(TRANSPORT_CAUSES.items()))
def test_what_is_wrong_has_its_name_and_the_next_try_is_whole(
    server: TapServer, stars: dict[str, Table], binding: SourceBinding, fault: str, cause: Cause
) -> None:
    positions, settings = some_positions("plain"), settings_for(server, row_cap=500)
    source = TapUploadSource(GAIA, binding, settings, sleep=Clock().sleep)
    # Of a job the result is spoilt, not the talk about it.
    server.fail(fault, when=None if fault in CONTENT_CAUSES or binding is SYNC else is_result)
    assert cause_of(ask_list(source, settings, positions, RADIUS_ARCSEC)) is cause
    again = ask_list(source, settings, positions, RADIUS_ARCSEC)
    assert answered_pairs(again) == pairs_by_force(stars["plain"], positions, RADIUS_ARCSEC)


def is_result(request: Any) -> bool:
    return bool(request.path.endswith("/results/result"))


@pytest.mark.parametrize("fault", ["http_503", "html_maintenance", "reset_mid_body", "truncated_body", "empty_body"])
def test_trouble_while_waiting_for_a_job_does_not_lose_it(server: TapServer, sky: SkyTable, fault: str) -> None:
    settings = settings_for(server, attempts=3, max_backoff_s=0.0)
    source = TapUploadSource(GAIA, ASYNC, settings, sleep=lambda _: None)
    server.fail(fault, when=lambda r: r.method == "GET" and r.path.count("/") == 3)
    reply = ask_list(source, settings, some_positions("plain"), RADIUS_ARCSEC)
    assert (reply.failure, reply.attempts) == (None, 2)
    assert jobs_submitted(server) == 1


def ptf() -> tuple[Any, SkyTable]:
    """PTF's binding, and a table in which every other object was never seen well."""
    random = np.random.default_rng(1)
    table = Table(
        {"oid": np.arange(1, 41), "ra": 109.8 + random.normal(0, 1e-3, 40), "dec": 49 + random.normal(0, 1e-3, 40)}
    )
    table["ngoodobs"] = np.arange(40) % 2
    table["ra"].unit = table["dec"].unit = u.deg
    return catalog("ptf_objects"), SkyTable("ptf_objects", table)


def test_ptf_objects_count_only_if_seen_well() -> None:
    definition, sky = ptf()
    with TapServer([sky]) as server:
        settings = settings_for(server)
        source = TapUploadSource(definition, definition.via["irsa_tap"], settings)
        pairs = answered_pairs(ask_list(source, settings, positions_at(109.8, 49.0), 60.0))
    assert pairs == {(1, oid) for oid in range(2, 41, 2)}


def neowise(n: int = 60) -> SkyTable:
    """A star seen many times, some of them badly, and the same for another one 4 arcsec north of it."""
    random = np.random.default_rng(2)
    table = Table({"cntr": random.permutation(n) + 1})
    table["ra"] = (359.9999 + random.normal(0, 3e-5, n)) % 360.0
    table["dec"] = 41.81 + 4.0 / 3600 * (np.arange(n) % 2) + random.normal(0, 3e-5, n)
    table["w1mpro"] = random.normal(14, 0.1, n)
    good = {"qual_frame": 10, "qi_fact": 1.0, "saa_sep": 30.0, "moon_masked": "00", "w1snr": 9.0, "mjd": 57_000.0}
    bad = {"qual_frame": 0, "qi_fact": 0.0, "saa_sep": -1.0, "moon_masked": "01", "w1snr": 4.9, "mjd": 59_199.0}
    for i, name in enumerate(good):
        table[name] = [bad[name] if row % 12 == i else good[name] for row in range(n)]
    table["ra"].unit = table["dec"].unit = u.deg
    table["w1mpro"].unit = u.mag
    return SkyTable("neowiser_p1bs_psd", table)


def test_of_many_single_exposures_the_nearest_good_one_stands_for_the_source() -> None:
    definition, sky = catalog("neowise_psd"), neowise()
    table = sky.table
    good = table[[row % 12 >= 6 for row in range(len(table))]]
    positions = positions_at([359.9999, 359.9999], [41.81, 41.81 + 4.0 / 3600])
    with TapServer([sky]) as server:
        settings = settings_for(server)
        source = TapUploadSource(definition, definition.via["irsa_tap"], settings, sleep=Clock().sleep)
        reply = ask_list(source, settings, positions, definition.coverage_margin_arcsec)
    expected = set()
    for number, ra, dec in zip(positions.row_id, positions.ra_deg, positions.dec_deg, strict=True):
        distance = SkyCoord(good["ra"], good["dec"], unit="deg").separation(SkyCoord(ra, dec, unit="deg"))
        expected.add((int(number), int(good["cntr"][np.argmin(distance)])))
    assert answered_pairs(reply) == expected
    assert reply.answer is not None
    assert reply.answer.rows_in == 2 * len(good)


def test_two_positions_with_one_number_are_not_sent(server: TapServer) -> None:
    settings = settings_for(server)
    twice = Positions(np.array([3, 3]), np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    with pytest.raises(InputError, match="position 3 is in the list more than once"):
        ask_list(TapUploadSource(GAIA, SYNC, settings), settings, twice, RADIUS_ARCSEC)
    assert not server.requests


# Jobs


def test_a_job_is_remembered_before_it_runs_and_forgotten_when_it_is_answered(server: TapServer) -> None:
    phases: list[tuple[str, list[str]]] = []

    class Watched(JobsInMemory):
        def remember(self, key: int, endpoint: str, job_url: str) -> None:
            super().remember(key, endpoint, job_url)
            phases.append((job_url, [job.phase for job in server.jobs.values()]))

    settings, jobs = settings_for(server), Watched()
    source = TapUploadSource(GAIA, ASYNC, settings, jobs, sleep=Clock().sleep)
    assert ask_list(source, settings, some_positions("plain"), RADIUS_ARCSEC).failure is None
    assert phases == [(f"{server.url}/async/{next(iter(server.jobs))}", ["PENDING"])]
    assert not jobs.urls


def test_waiting_ends_after_the_time_of_the_settings_and_goes_on_with_the_same_job(sky: SkyTable) -> None:
    with TapServer([sky], executing_s=0.3) as server:
        settings, jobs, clock = settings_for(server, total_timeout_s=100.0), JobsInMemory(), Clock()
        source = TapUploadSource(GAIA, ASYNC, settings, jobs, sleep=clock.sleep, clock=clock)
        assert cause_of(ask_list(source, settings, some_positions("plain"), RADIUS_ARCSEC)) is Cause.TOO_SLOW
        assert clock.now_s <= 100.0
        assert clock.pauses_s == sorted(clock.pauses_s)
        assert clock.pauses_s[0] == 1.0
        assert clock.pauses_s[-1] > 10.0
        assert len(jobs.urls) == 1
        time.sleep(0.3)
        assert ask_list(source, settings, some_positions("plain"), RADIUS_ARCSEC).failure is None
        assert jobs_submitted(server) == 1


def end_as_error(server: TapServer) -> None:
    server.fail("service_error")


def end_as_aborted(server: TapServer) -> None:
    next(iter(server.jobs.values())).aborted = True


@pytest.mark.parametrize("end", [end_as_error, end_as_aborted])
def test_a_job_that_fails_is_forgotten_and_the_next_try_submits_anew(
    sky: SkyTable, end: Callable[[TapServer], None]
) -> None:
    with TapServer([sky], executing_s=0.05) as server:
        settings, jobs = settings_for(server), JobsInMemory()
        end_early = end is end_as_aborted

        def sleep(seconds: float) -> None:
            if end_early and len(server.jobs) == 1:
                end(server)
            time.sleep(0.02)

        if not end_early:
            end(server)
        source = TapUploadSource(GAIA, ASYNC, settings, jobs, sleep=sleep)
        reply = ask_list(source, settings, some_positions("plain"), RADIUS_ARCSEC)
        assert cause_of(reply) is Cause.SERVICE_ERROR
        assert reply.failure is not None
        assert ("ERROR" in reply.failure.detail) or ("ABORTED" in reply.failure.detail)
        assert not jobs.urls
        assert ask_list(source, settings, some_positions("plain"), RADIUS_ARCSEC).failure is None
        assert jobs_submitted(server) == 2


def test_a_job_that_the_service_threw_away_is_submitted_anew(server: TapServer) -> None:
    class KeptOnce(JobsInMemory):
        forgotten = 0

        def forget(self, key: int) -> None:
            if self.forgotten:
                super().forget(key)
            self.forgotten += 1

    settings, jobs = settings_for(server, attempts=2, max_backoff_s=0.0), KeptOnce()
    source = TapUploadSource(GAIA, ASYNC, settings, jobs, sleep=lambda _: None)
    ask_list(source, settings, some_positions("plain"), RADIUS_ARCSEC)
    assert len(jobs.urls) == 1
    server.jobs.clear()
    reply = ask_list(source, settings, some_positions("plain"), RADIUS_ARCSEC)
    assert (reply.failure, reply.attempts) == (None, 2)
    assert jobs_submitted(server) == 2


def test_jobs_of_different_lists_radii_and_addresses_are_told_apart(server: TapServer) -> None:
    class Kept(JobsInMemory):
        def forget(self, key: int) -> None:
            pass

    settings, jobs = settings_for(server), Kept()
    source = TapUploadSource(GAIA, ASYNC, settings, jobs, sleep=lambda _: None)
    elsewhere = settings.model_copy(update={"endpoints": (server.url.replace("127.0.0.1", "localhost"),)})
    for n, radius, where in ((30, 60.0, settings), (29, 60.0, settings), (30, 61.0, settings), (30, 60.0, elsewhere)):
        ask_list(source, where, some_positions("plain", n), radius)
    assert len(jobs.urls) == 4


@pytest.mark.parametrize("name", ["io_uws__job.xml", "io_uws__job-error.xml"])
def test_recorded_descriptions_of_jobs_are_read(shared_data: Path, name: str) -> None:
    job = _read_job((shared_data / "http" / "pyvo" / name).read_bytes(), "http://example.com/tap/async/1337")
    if "error" in name:
        assert (job.phase, job.result_url, job.message) == ("ERROR", None, "We have problem")
    else:
        assert (job.phase, job.result_url) == ("COMPLETED", "http://example.com/tap/async/1337/results/result")


_CHILD = """
import json, sys
from pathlib import Path
import numpy as np
from vascodb.loaders.client.answers import Positions
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.registry import SourceBinding, catalog
from vascodb.loaders.sources.tap_upload import TapUploadSource

memory, settings, binding, ra, dec = Path(sys.argv[1]), *map(json.loads, sys.argv[2:])

class Jobs:
    def recall(self, key):
        return json.loads(memory.read_text()).get(str(key)) if memory.exists() else None
    def remember(self, key, endpoint, job_url):
        memory.write_text(json.dumps({str(key): job_url}))
    def forget(self, key):
        memory.write_text("{}")

settings = ServiceSettings(**settings)
source = TapUploadSource(catalog("gaia_dr3"), SourceBinding.model_validate(binding), settings, Jobs())
positions = Positions(np.arange(len(ra)), np.array(ra), np.array(dec))
reply = ServiceClient("local", settings).ask(lambda s, e: source.ask_positions(s, e, positions, 60.0))
print(reply.failure or reply.answer.rows_in)
"""


def test_a_killed_process_finds_its_job_again(sky: SkyTable, stars: dict[str, Table], tmp_path: Path) -> None:
    with TapServer([sky], executing_s=2.0) as server:
        positions = some_positions("plain", 5)
        memory = tmp_path / "jobs.json"
        settings = settings_for(server, per_second=100.0).model_dump(mode="json")
        arguments = [settings, ASYNC.model_dump(mode="json"), positions.ra_deg.tolist(), positions.dec_deg.tolist()]
        command = [sys.executable, "-c", _CHILD, str(memory), *map(json.dumps, arguments)]
        first = subprocess.Popen(command, stdout=subprocess.PIPE)
        while not any(job.phase == "EXECUTING" for job in server.jobs.values()):
            assert first.poll() is None
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        numbered = Positions(np.arange(5), positions.ra_deg, positions.dec_deg)
        assert int(second.stdout) == len(pairs_by_force(stars["plain"], numbered, 60.0))
        assert len(server.jobs) == jobs_submitted(server) == 1
        assert json.loads(memory.read_text()) == {}
