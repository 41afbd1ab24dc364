"""Killed, interrupted, or left by its database: nothing half-done stays, and running again completes."""

import os
import random
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from commandline import PROGRAM, Outcome, RunningCommand, Vascodb, assert_one_line
from sqlalchemy import make_url

CONE = "132.850192,11.800202,0.138deg"
KILLS = 10


@pytest.fixture(scope="module")
def undisturbed(command_server, new_home, temporary_database, template_database, small_simulation):
    """What an ingest that nobody disturbs leaves, and how long it takes."""
    with temporary_database(template_database) as database:
        vascodb = Vascodb(command_server, new_home(), database.libpq_url)
        load(vascodb, small_simulation)
        started = time.monotonic()
        vascodb.ok("ingest-tile", "--fits", small_simulation.image)
        yield vascodb.fingerprint(), time.monotonic() - started


def load(vascodb: Vascodb, simulation) -> None:
    vascodb.ok("load-reference", "gaia_edr3", simulation.reference, "--cone", CONE)


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_no_leftovers(vascodb: Vascodb, running: RunningCommand) -> None:
    wait_until(lambda: running.descendants() == [])
    assert list((vascodb.home / "work").glob("*")) == []
    assert vascodb.sql("SELECT relname FROM pg_class WHERE relnamespace = 'staging'::regnamespace") == []
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    wait_until(lambda: vascodb.sql(others) == [["0"]])


def test_killed_at_ten_random_instants_and_run_again_it_has_the_same_rows(vascodb, small_simulation, undisturbed):
    fingerprint, seconds = undisturbed
    load(vascodb, small_simulation)
    instants = random.Random(1951)
    n_killed = 0
    while n_killed < KILLS:
        running = vascodb.begin("ingest-tile", "--fits", small_simulation.image)
        time.sleep(instants.uniform(0, seconds))
        running.kill(signal.SIGKILL)
        if running.wait().status == -signal.SIGKILL:
            n_killed += 1
        else:
            forget_images(vascodb)
        wait_until(lambda: running.descendants() == [])  # noqa: B023
    running = vascodb.begin("ingest-tile", "--fits", small_simulation.image)
    assert running.wait().status in (0, 3)
    assert vascodb.fingerprint() == fingerprint
    assert_no_leftovers(vascodb, running)


@pytest.mark.parametrize("stop", ["SIGTERM", "SIGINT", "Ctrl-C"])
@pytest.mark.parametrize("part", [0.3, 0.7])
def test_a_stopped_ingest_leaves_nothing_at_once(stop, part, vascodb, small_simulation, undisturbed):
    fingerprint, seconds = undisturbed
    load(vascodb, small_simulation)
    before = vascodb.fingerprint()
    running = vascodb.begin("ingest-tile", "--fits", small_simulation.image)
    time.sleep(part * seconds)
    if stop == "Ctrl-C":
        running.interrupt()
    else:
        running.kill(signal.Signals[stop])
    outcome = running.wait()
    assert_no_leftovers(vascodb, running)
    if outcome.status in (0, 3):
        assert vascodb.fingerprint() == fingerprint
        return
    assert outcome.status == 130, outcome
    # An empty line comes first, to get away from the ^C on a terminal.
    assert outcome.err.strip() == "vascodb: interrupted; nothing half-done was kept, run the same command again"
    # Nothing, or all where it was about to end anyway.
    assert vascodb.fingerprint() in (before, fingerprint)


def test_interrupted_while_it_starts_it_shows_no_traceback(vascodb):
    for seconds in (0.3, 0.6, 1.0):
        program = subprocess.Popen([PROGRAM, "status"], env=vascodb.variables(), stderr=subprocess.PIPE, text=True)
        time.sleep(seconds)
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=60)
        assert program.returncode in (0, 130)
        assert "Traceback" not in err


@pytest.mark.parametrize("table", ["plate.image", "vasco.verdict"])
def test_an_interruption_does_not_wait_for_the_statement_at_work(table, vascodb, small_simulation):
    load(vascodb, small_simulation)
    hold = f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(30); COMMIT"
    holding = vascodb.begin("psql", "-Xqc", hold)
    held = f"SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND mode = 'AccessExclusiveLock'"
    wait_until(lambda: vascodb.sql(held) == [["1"]])
    running = vascodb.begin("ingest-tile", "--fits", small_simulation.image)
    waits = f"SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted"
    wait_until(lambda: vascodb.sql(waits) == [["1"]])
    running.kill(signal.SIGINT)
    started = time.monotonic()
    assert running.wait().status == 130
    assert time.monotonic() - started < 5
    vascodb.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'")
    holding.wait()
    assert_no_leftovers(vascodb, running)


def test_a_loading_of_references_that_is_killed_leaves_no_row_or_all(vascodb, small_simulation):
    before = vascodb.fingerprint()
    for part in range(6):
        running = vascodb.begin("load-reference", "gaia_edr3", small_simulation.reference, "--cone", CONE)
        time.sleep(0.03 * part)
        running.kill(signal.SIGKILL)
        running.wait()
        left = vascodb.fingerprint()
        if left != before:
            break
    load(vascodb, small_simulation)
    # What was killed at its very end, or not in time, has nothing that is still to be done.
    assert left in (before, vascodb.fingerprint())
    assert vascodb.sql("SELECT relname FROM pg_class WHERE relnamespace = 'staging'::regnamespace") == []


def test_two_ingests_of_one_tile_at_once_store_it_once(vascodb, small_simulation, undisturbed):
    fingerprint, _ = undisturbed
    load(vascodb, small_simulation)
    both = [vascodb.begin("ingest-tile", "--fits", small_simulation.image, "--format", "json") for _ in range(3)]
    outcomes = [running.wait() for running in both]
    assert [outcome.status for outcome in outcomes] == [0, 0, 0], outcomes
    reports = [outcome.value for outcome in outcomes]
    assert len({report["candidates"] for report in reports}) == 1
    assert vascodb.fingerprint() == fingerprint
    assert list((vascodb.home / "work").glob("*")) == []


def test_ingests_of_different_tiles_at_once_store_all(vascodb, small_simulation, tmp_path):
    images = []
    for n in range(4):
        # Another file of the same sky: FITS ignores blocks of zeros after the image.
        images.append(tmp_path / f"{n}.fits")
        images[-1].write_bytes(small_simulation.image.read_bytes() + bytes(2880 * n))
    load(vascodb, small_simulation)
    everyone = [vascodb.begin("ingest-tile", "--fits", image) for image in images]
    outcomes = [running.wait() for running in everyone]
    assert [outcome.status for outcome in outcomes] == [0] * 4, outcomes
    assert vascodb.sql("SELECT count(*), count(DISTINCT n_detections) FROM vasco.extraction") == [["4", "1"]]
    # All four found each source; whichever came last saw the others, and only one stands for it.
    [[passed]] = vascodb.sql("SELECT count(*) FROM vasco.verdict WHERE stage = 'duplicates'")
    [[candidates]] = vascodb.sql("SELECT count(*) FROM api.candidates")
    assert int(candidates) == len(vascodb.sql("SELECT DISTINCT ra, dec FROM api.candidates")) > 0
    assert int(passed) == 4 * int(candidates)


@pytest.fixture(scope="module")
def private(command_server, new_home, small_simulation) -> Vascodb:
    """A command with a private database of its own, that can be killed."""
    vascodb = Vascodb(command_server, new_home())
    load(vascodb, small_simulation)
    return vascodb


class TestDatabaseGone:
    @pytest.mark.parametrize(("how", "part"), [("immediate", 0.3), ("fast", 0.4), ("kill", 0.6), ("immediate", 0.7)])
    def test_half_way_is_exit_status_4_and_running_again_completes(
        self, how, part, private, small_simulation, undisturbed
    ):
        fingerprint, seconds = undisturbed
        forget_images(private)
        running = private.begin("ingest-tile", "--fits", small_simulation.image)
        time.sleep(part * seconds)
        end_database(private.home, how)
        outcome = without_last_words(running.wait())
        if outcome.status != 0:
            assert_one_line(outcome, "the database is not available", "safe to run again", status=4)
        private.ok("ingest-tile", "--fits", small_simulation.image)
        assert private.fingerprint() == fingerprint
        assert list((private.home / "work").glob("*")) == []
        assert private.sql("SELECT relname FROM pg_class WHERE relnamespace = 'staging'::regnamespace") == []

    def test_before_it_begins_the_private_one_is_started(self, private):
        private.ok("down")
        assert not (private.home / "database" / "postmaster.pid").exists()
        private.ok("status")


def without_last_words(outcome: Outcome) -> Outcome:
    """Leave out what libpq itself prints of a dying server's last words to a connection that is copying rows."""
    lines = [line for line in outcome.err.splitlines(keepends=True) if "WARNING:  terminating connection" not in line]
    return replace(outcome, err="".join(lines))


def forget_images(vascodb: Vascodb) -> None:
    vascodb.sql("""
        TRUNCATE ref.moving_object, ref.moving_look, vasco.clip_window, vasco.run_ledger, vasco.verdict,
            vasco.run_stage, vasco.run_image, vasco.run, vasco.match, vasco.detection, vasco.extraction, plate.image,
            plate.exposure_time, plate.tile, plate.solution, plate.plate CASCADE
    """)


def end_database(home: Path, how: str) -> None:
    postmaster = int((home / "database" / "postmaster.pid").read_text().splitlines()[0])
    if how == "kill":
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in [postmaster, *map(int, children)]:
            os.kill(pid, signal.SIGKILL)
    else:
        os.kill(postmaster, {"immediate": signal.SIGQUIT, "fast": signal.SIGINT}[how])
    wait_until(lambda: not Path(f"/proc/{postmaster}").exists() or is_zombie(postmaster))


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


class TestUnreachableServer:
    @pytest.mark.parametrize(
        ("url", "status", "words"),
        [
            ("postgresql://vasco:s3cret@127.0.0.1:1/vascodb", 4, ["the database is not available", "refused"]),
            ("postgresql://vasco:s3cret@no.such.host.invalid/vascodb", 4, ["the database is not available"]),
            ("postgresql://vasco:s3cret@/vascodb?host=/nowhere", 4, ["the database is not available"]),
            ("mysql://vasco:s3cret@localhost/vascodb", 1, ["mysql", "PostgreSQL with Q3C"]),
            ("s3cret", 1, ["VASCODB_URL is not a database URL"]),
            ("postgresql://vasco:s3cret@localhost:port/vascodb", 1, ["VASCODB_URL"]),
        ],
    )
    def test_is_told_without_its_password(self, url, status, words, command_server, new_home):
        vascodb = Vascodb(command_server, new_home(), url)
        outcome = vascodb.run("status")
        assert_one_line(outcome, *words, status=status)
        assert "s3cret" not in outcome.err
        loud = vascodb.run("-vv", "status")
        assert "Traceback" in loud.err
        assert "s3cret" not in loud.err

    def test_of_which_the_database_does_not_exist(self, vascodb):
        vascodb.url = make_url(vascodb.url).set(database="nowhere").render_as_string(hide_password=False)
        assert_one_line(vascodb.run("status"), "nowhere", "does not exist", status=4)
