"""A server of one's own instead of the private database: VASCODB_URL."""

import socket
import subprocess
from collections.abc import Iterator

import pytest
from commandline import Vascodb, assert_one_line

from vascodb.cluster import Cluster
from vascodb.cluster.account import account_for_new

# Characters that a URL must escape.
PASSWORD = "p@ss/w:rd %41?#&+"
ESCAPED = "p%40ss%2Fw%3Ard%20%2541%3F%23%26%2B"
CONE = "132.850192,11.800202,0.138deg"


@pytest.fixture(scope="module")
def port(new_home) -> Iterator[int]:
    """A plain PostgreSQL that listens on TCP only and wants a password."""
    home = new_home()
    cluster = Cluster(home)
    account = account_for_new(home, cluster.install.bindir)
    data = home / "data"
    data.mkdir()
    account.own(data)
    secret = home / "secret"
    secret.write_text(PASSWORD)
    account.own(secret)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    log = home / "server.log"
    options = f"-p {number} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    commands = (
        ["initdb", "-D", data, "-U", "astronomer", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync",
         "-E", "UTF8", "--locale=C.UTF-8"],
        ["pg_ctl", "start", "-w", "-D", data, "-o", options],
        ["pg_ctl", "stop", "-D", data, "-m", "immediate"],
    )  # fmt: skip

    def run(command: list) -> None:
        with log.open("ab") as output:
            program = [str(cluster.install.bindir / command[0]), *map(str, command[1:])]
            done = account.run(program, cwd=data, output=output.fileno())
        assert done.returncode == 0, log.read_text()

    run(commands[0])
    run(commands[1])
    yield number
    run(commands[2])


@pytest.fixture(scope="module")
def served(command_server, new_home, port) -> Vascodb:
    """The command with that server, of which it knows no more than the URL."""
    vascodb = Vascodb(command_server, new_home(), f"postgresql://astronomer:{ESCAPED}@127.0.0.1:{port}/postgres")
    vascodb.sql("CREATE DATABASE plates")
    vascodb.url = f"postgresql://astronomer:{ESCAPED}@127.0.0.1:{port}/plates"
    return vascodb


def test_a_server_is_not_initialised_unasked(served):
    assert_one_line(served.run("status"), "no vascodb schema yet", "vascodb init", status=5)


def test_the_whole_job_runs_there(served, small_simulation):
    served.ok("init")
    served.ok("load-reference", "gaia_edr3", small_simulation.reference, "--cone", CONE)
    report = served.ok("ingest-tile", "--fits", small_simulation.image, "--format", "json").value
    assert report["candidates"] > 0
    assert served.sql("SELECT count(*) FROM vasco.detection") == [[str(report["detections"])]]
    assert {path.name for path in served.home.iterdir()} == {"work"}
    assert list((served.home / "work").iterdir()) == []


def test_it_has_the_same_rows_as_the_private_one(served, vascodb, small_simulation):
    vascodb.ok("load-reference", "gaia_edr3", small_simulation.reference, "--cone", CONE)
    vascodb.ok("ingest-tile", "--fits", small_simulation.image)
    assert served.fingerprint() == vascodb.fingerprint()


def test_url_prints_one_that_other_clients_can_use(served):
    url = served.ok("url").out.strip()
    psql = Cluster(served.home).install.bindir / "psql"
    done = subprocess.run([psql, "-XAt", url, "-c", "SELECT current_user"], capture_output=True, text=True, check=True)
    assert done.stdout == "astronomer\n"


def test_the_password_is_on_no_command_line(served):
    running = served.begin("psql", "-XAtc", "SELECT pg_sleep(1)")
    seen = set()
    while commands := running.descendants():
        seen.update(commands)
        if any("pg_sleep" in command for command in seen):
            break
    assert running.wait().status == 0
    assert any("pg_sleep" in command for command in seen)
    assert not any(PASSWORD in command or ESCAPED in command for command in seen)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg2"])
def test_the_url_may_be_written_for_libpq_or_sqlalchemy(scheme, served):
    plain = served.url
    served.url = plain.replace("postgresql", scheme, 1)
    assert served.run("status").status == 0
    assert served.ok("url").out.startswith("postgresql://")
    served.url = plain


def test_a_wrong_password_is_told_without_being_shown(served):
    plain = served.url
    served.url = plain.replace(ESCAPED, "wrong-secret")
    outcome = served.run("status")
    assert_one_line(outcome, "password authentication failed", status=4)
    assert "wrong-secret" not in outcome.err
    served.url = plain


def test_a_server_is_never_stopped(served):
    assert_one_line(served.run("down"), "VASCODB_URL names a server")
    served.ok("status")


def test_a_database_without_q3c_is_told(served):
    served.sql("CREATE ROLE poor LOGIN PASSWORD 'x'")
    served.sql("CREATE DATABASE bare OWNER poor")
    plain = served.url
    served.url = plain.replace(f"astronomer:{ESCAPED}", "poor:x").replace("/plates", "/bare")
    outcome = served.run("init")
    served.url = plain
    assert outcome.status == 1
    assert len(outcome.err.splitlines()) == 1
    assert "q3c" in outcome.err
