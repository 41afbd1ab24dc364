"""Many starts at once, and processes killed at any instant: the next start always works."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest

from vascodb.cluster import Cluster
from vascodb.cluster.pidfile import postmaster_pid

StartProcess = Callable[[Path], "subprocess.Popen[str]"]


def answers(cluster: Cluster) -> bool:
    with closing(psycopg2.connect(cluster.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class")
        return cursor.fetchone() is not None


def kill_after(process: "subprocess.Popen[str]", delay_s: float, *, group: bool) -> None:
    """Kill a starting process ``delay_s`` after its call of `start`, with its children or without."""
    assert process.stdout is not None
    assert process.stdout.readline() == "starting\n"
    time.sleep(delay_s)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL) if group else process.kill()
    process.wait()


def test_eight_processes_start_the_same_new_cluster(private: Cluster, start_process: StartProcess) -> None:
    processes = [start_process(private.home) for _ in range(8)]
    errors = [process.communicate()[1] for process in processes]
    assert errors == [""] * 8
    assert [process.returncode for process in processes] == [0] * 8
    assert answers(private)
    assert sorted(path.name for path in private.home.iterdir()) == ["database", "database.lock", "logs", "run"]


@pytest.mark.slow
@pytest.mark.parametrize("group", [False, True], ids=["alone", "with its children"])
@pytest.mark.parametrize("delay_s", [0.05, 0.25, 0.5])
def test_killed_while_the_cluster_is_made(
    private: Cluster, start_process: StartProcess, delay_s: float, group: bool
) -> None:
    kill_after(start_process(private.home), delay_s, group=group)
    private.start()
    assert answers(private)
    private.stop()
    assert list(private.home.glob("database.new-*")) == []


def test_killed_while_the_server_starts(spare: Cluster, start_process: StartProcess) -> None:
    spare.start()
    for step in range(10):
        spare.stop()
        kill_after(start_process(spare.home), 0.025 * step, group=step % 2 == 0)
        spare.start()
        assert answers(spare)


def test_a_killed_server_is_started_again_with_what_was_committed(spare: Cluster) -> None:
    spare.start()
    with closing(psycopg2.connect(spare.url)) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
        connection.commit()
        cursor.execute("DELETE FROM kept")
        server = postmaster_pid(spare.database_dir)
        assert server is not None
        os.kill(server, signal.SIGKILL)
        spare.start()
    with closing(psycopg2.connect(spare.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kept")
        assert cursor.fetchone() == (1000,)


def test_start_waits_for_a_killed_servers_last_statement(spare: Cluster) -> None:
    spare.start()
    connection = psycopg2.connect(spare.url, async_=True)
    while connection.poll() != psycopg2.extensions.POLL_OK:
        time.sleep(0.01)
    # Three seconds of computing, in which the process does not look whether its server still lives.
    connection.cursor().execute(
        "DO $$ DECLARE stop timestamptz := clock_timestamp() + interval '3 s'; "
        "BEGIN WHILE clock_timestamp() < stop LOOP END LOOP; END $$"
    )
    time.sleep(0.3)
    server = postmaster_pid(spare.database_dir)
    assert server is not None
    os.kill(server, signal.SIGKILL)
    time.sleep(0.3)
    spare.start()
    assert answers(spare)


@pytest.mark.parametrize(
    "text", ["{other}\n{data}\n1700000000\n5432\n{run}\n\n  5432001   0\nready\n", "", "rubbish\n"]
)
@pytest.mark.parametrize("socket_lock_too", [False, True])
def test_a_stale_pid_file_with_a_number_that_is_in_use_again(spare: Cluster, text: str, socket_lock_too: bool) -> None:
    spare.start()
    account = spare.account
    spare.stop()
    # A living process of the server's own user: PostgreSQL alone would take it for the server.
    bystander = subprocess.Popen(
        ["sleep", "60"],
        user=account.uid if account.switch else None,
    )
    try:
        stale = text.format(other=bystander.pid, data=spare.database_dir, run=spare.socket_dir)
        names = [spare.database_dir / "postmaster.pid"]
        if socket_lock_too:
            names.append(spare.socket_dir / ".s.PGSQL.5432.lock")
        for name in names:
            name.write_text(stale)
            shutil.chown(name, account.uid, account.gid)
        assert not spare.is_running()
        spare.stop()
        spare.start()
        assert answers(spare)
        spare.stop()
        assert bystander.poll() is None  # stopping has not hit it either
    finally:
        bystander.kill()
        bystander.wait()


def test_the_server_outlives_the_terminal_that_started_it(spare: Cluster, start_process: StartProcess) -> None:
    process = start_process(spare.home)
    # Returns only if the server does not hold the pipes open.
    process.communicate(timeout=120)
    server = postmaster_pid(spare.database_dir)
    assert server is not None
    assert os.getsid(server) != process.pid
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    assert answers(spare)
