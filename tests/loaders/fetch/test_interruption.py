"""Killed, interrupted, or side by side: no look-up that is complete is ever asked for again."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commandline import Outcome, RunningCommand, Vascodb
from localservice import LocalSky, local_sky
from localsettings import write_settings
from servers.tap import TapServer

KILLS = 10
LATENCY_S = 0.1
# One of the tiles has more stars and comes in parts.
CAP = 95
COLUMNS = "plate_id,plate_tile_idx,tile_id,ra_deg,dec_deg,size_arcmin,survey"

STORED = """
    SELECT md5(string_agg(format('%s %s %s %s %s', source_id, ra, dec, pmra_masyr, mag), ',' ORDER BY source_id))
    FROM ref.gaia_dr3
"""
COVERED = "SELECT range_agg(hpx29) FROM ref.coverage WHERE catalog = 'gaia_dr3'"
COMPLETE = "SELECT parameters ->> 'query' FROM ref.lookup WHERE kind = 'area' AND complete"
FORGET = "TRUNCATE ref.gaia_dr3, ref.coverage, ref.gap, ref.endpoint, ref.lookup CASCADE"


@pytest.fixture(scope="module")
def sky() -> LocalSky:
    return local_sky(359.9, 41.81, 1.3, 1500, seed=4)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve tiles across 0h, whose rims overlap, where HEALPix changes its kind of cells."""
    rows = [COLUMNS]
    for number in range(12):
        ra, dec = (358.9 + 0.6 * (number % 4)) % 360.0, 41.36 + 0.45 * (number // 4)
        tile = f"tile_RA{ra:.3f}_DECp{dec:.3f}"
        rows.append(f"XE001,{number},{tile},{ra:.6f},{dec:.6f},16,dss1-red")
    path = tmp_path_factory.mktemp("plan") / "plan.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def server(sky: LocalSky) -> Iterator[TapServer]:
    with TapServer([sky.table]) as running:
        running.latency_s = LATENCY_S
        yield running


@pytest.fixture
def fetching(vascodb: Vascodb, server: TapServer, sky: LocalSky, plan: Path, tmp_path: Path) -> Vascodb:
    """The command, with a settings file that points at the server."""
    settings = write_settings(
        tmp_path / "settings.toml",
        {"vizier_tap": server.url},
        {"gaia_dr3": sky.canary},
        row_cap=CAP,
        connections=2,
        first_byte_timeout_s=60.0,
    )
    vascodb.environment["VASCODB_SETTINGS"] = str(settings)
    return vascodb


def begin(vascodb: Vascodb, plan: Path) -> RunningCommand:
    return vascodb.begin("fetch-reference", "gaia_dr3", "--plan", plan)


@pytest.fixture(scope="module")
def undisturbed(
    command_server, new_home, temporary_database, template_database, sky: LocalSky, plan: Path, tmp_path_factory
) -> tuple[str, str]:
    """What a fetch that nobody disturbs stores and covers."""
    with temporary_database(template_database) as database, TapServer([sky.table]) as server:
        settings = write_settings(
            tmp_path_factory.mktemp("settings") / "settings.toml",
            {"vizier_tap": server.url},
            {"gaia_dr3": sky.canary},
            row_cap=CAP,
        )
        vascodb = Vascodb(command_server, new_home(), database.libpq_url, {"VASCODB_SETTINGS": str(settings)})
        vascodb.ok("fetch-reference", "gaia_dr3", "--plan", plan)
        [[n_split, n_whole]] = vascodb.sql(
            "SELECT count(*) FILTER (WHERE status = 'split'), count(*) FILTER (WHERE complete) FROM ref.lookup"
        )
        assert int(n_split) == 1
        assert int(n_whole) >= 20
        return state_of(vascodb)


def state_of(vascodb: Vascodb) -> tuple[str, str]:
    return vascodb.sql(STORED)[0][0], vascodb.sql(COVERED)[0][0]


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def queries(server: TapServer, first: int = 0) -> list[str]:
    """What was asked for, but for the canaries' circles of some arcsec."""
    asked = [request.first("QUERY") for request in server.requests[first:]]
    return [query for query in asked if radius_deg(query) > 0.01]


def radius_deg(query: str) -> float:
    return float(query.partition("CIRCLE(")[2].partition(")")[0].split(",")[3])


def assert_nothing_left_behind(vascodb: Vascodb) -> None:
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    wait_until(lambda: vascodb.sql(others) == [["0"]])
    assert vascodb.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [["0"]]


@pytest.mark.slow
def test_killed_at_ten_random_instants_it_goes_on_where_it_was(
    fetching: Vascodb, server: TapServer, plan: Path, undisturbed: tuple[str, str]
) -> None:
    instants = random.Random(1951)
    n_killed = n_with_something_complete = 0
    complete: set[str] = set()
    while n_killed < KILLS:
        before = len(server.requests)
        running = begin(fetching, plan)
        enough = before + instants.randint(0, 7)
        wait_until(lambda: len(server.requests) >= enough or not running.descendants())  # noqa: B023
        time.sleep(instants.uniform(0, 3 * LATENCY_S))
        running.kill(signal.SIGKILL)
        outcome = running.wait()
        assert complete.isdisjoint(queries(server, before)), "asked for again although it was complete"
        complete = {row[0] for row in fetching.sql(COMPLETE)}
        if outcome.status == -signal.SIGKILL:
            n_killed += 1
            n_with_something_complete += bool(complete)
        else:
            assert state_of(fetching) == undisturbed
            fetching.sql(FORGET)
            complete = set()
    assert n_with_something_complete >= 5
    before = len(server.requests)
    assert begin(fetching, plan).wait().status == 0
    assert complete.isdisjoint(queries(server, before))
    assert state_of(fetching) == undisturbed
    assert fetching.sql("SELECT count(*) FROM ref.gap") == [["0"]]
    asked = len(server.requests)
    assert "nothing to ask" in begin(fetching, plan).wait().out
    assert len(server.requests) == asked
    assert_nothing_left_behind(fetching)
    assert fetching.sql("SELECT relname FROM pg_class WHERE relnamespace = 'staging'::regnamespace") == []


def test_two_side_by_side_share_the_work(
    fetching: Vascodb, server: TapServer, plan: Path, undisturbed: tuple[str, str]
) -> None:
    outcomes: list[Outcome] = [running.wait() for running in [begin(fetching, plan), begin(fetching, plan)]]
    assert [outcome.status for outcome in outcomes] == [0, 0], outcomes
    asked = Counter(queries(server))
    assert len(asked) > 20
    assert set(asked.values()) == {1}, [query for query, n in asked.items() if n > 1]
    assert state_of(fetching) == undisturbed
    # Both had a share in it: nobody waits until the other is done.
    complete = [int(outcome.out.splitlines()[-1].split(": ")[1].split()[0]) for outcome in outcomes]
    assert min(complete) >= 3, outcomes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_it_ends_at_once_and_whatever_is_complete_stays(
    number: signal.Signals, fetching: Vascodb, server: TapServer, plan: Path
) -> None:
    # Until some are complete it is quick; then it waits for answers that do not come.
    running = begin(fetching, plan)
    wait_until(lambda: len(server.requests) >= 9)
    server.latency_s = 30.0
    wait_until(lambda: [request.status for request in server.requests].count(0) == 2)
    n_complete = int(fetching.sql(f"SELECT count(*) FROM ({COMPLETE}) AS c")[0][0])
    assert n_complete >= 1
    started = time.monotonic()
    running.kill(number)
    outcome = running.wait()
    assert time.monotonic() - started < 2.0
    assert outcome.status == 130, outcome
    assert outcome.err.strip() == "vascodb: interrupted; nothing half-done was kept, run the same command again"
    assert_nothing_left_behind(fetching)
    assert int(fetching.sql(f"SELECT count(*) FROM ({COMPLETE}) AS c")[0][0]) == n_complete
    # What was under way is neither known nor failed.
    assert fetching.sql("SELECT count(*) FROM ref.lookup WHERE status = 'failed'") == [["0"]]
