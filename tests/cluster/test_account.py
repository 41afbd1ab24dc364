"""Whom the server runs as: the user, or for root an unprivileged one."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from vascodb.cluster import Cluster
from vascodb.cluster.pidfile import postmaster_pid
from vascodb.errors import InputError

PROJECT = Path(__file__).resolve().parents[2]

ORDINARY_USER = "nobody"

START_AND_STOP = """
import os, sys
from pathlib import Path
import psycopg2
from vascodb.cluster import Cluster
from vascodb.errors import VascodbError
private = Cluster(Path(sys.argv[1]))
try:
    private.start()
    psycopg2.connect(private.url).close()
    print("owner", private.database_dir.stat().st_uid == os.getuid())
    private.stop()
    print("running", private.is_running())
except VascodbError as error:
    print(error)
"""


def server_uid(cluster: Cluster) -> int:
    server = postmaster_pid(cluster.database_dir)
    assert server is not None
    return Path(f"/proc/{server}").stat().st_uid


@pytest.fixture
def closed_folder(as_root: None) -> Iterator[Path]:
    """A folder that only root can enter."""
    path = Path(tempfile.mkdtemp(prefix="vascodb-test-", dir="/tmp"))
    yield path
    assert stat.S_IMODE(path.stat().st_mode) == 0o700  # nothing opened it
    shutil.rmtree(path)


@pytest.mark.usefixtures("as_root")
def test_root_lends_the_server_an_unprivileged_user(cluster: Cluster) -> None:
    names = {pwd.getpwuid(uid).pw_name for uid in (server_uid(cluster), cluster.database_dir.stat().st_uid)}
    assert len(names) == 1
    assert names <= {"postgres", "nobody"}


def test_root_in_a_home_nobody_else_can_enter(closed_folder: Path) -> None:
    namespaces = subprocess.run(["unshare", "--user", "true"], capture_output=True, check=False)
    if namespaces.returncode != 0:
        pytest.skip("needs user namespaces: runs the server in one")
    private = Cluster(closed_folder / "home")
    private.start()
    try:
        psycopg2.connect(private.url).close()
        assert private.account.prefix[0] == "unshare"
        assert private.database_dir.stat().st_uid == 0
    finally:
        private.stop()
    assert not private.is_running()


def test_root_without_namespaces_is_told_where_to_put_the_home(
    closed_folder: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbidden = folder / "unshare"
    forbidden.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    forbidden.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    private = Cluster(closed_folder / "home")
    with pytest.raises(InputError, match=r"such as /var/lib/vascodb$") as caught:
        private.start()
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("as_root")
def test_root_keeps_to_the_owner_of_an_existing_database(folder: Path) -> None:
    nobody = pwd.getpwnam(ORDINARY_USER)
    database = folder / "home" / "database"
    database.mkdir(parents=True)
    os.chown(database, nobody.pw_uid, nobody.pw_gid)
    assert Cluster(folder / "home").account.uid == nobody.pw_uid
    os.chown(database, 54321, 54321)
    with pytest.raises(InputError, match=r"belongs to user number 54321, who does not exist"):
        _ = Cluster(folder / "home").account


def run_as_ordinary_user(home: Path) -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    nobody = pwd.getpwnam(ORDINARY_USER)
    for python in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        try:
            done = subprocess.run(
                [python, "-c", START_AND_STOP, home], capture_output=True, text=True, check=False, cwd="/",
                user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[],
                env={"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": f"{PROJECT}:{packages}"},
            )  # fmt: skip
        except (PermissionError, FileNotFoundError):
            continue
        return done.stdout + done.stderr
    pytest.skip(f"needs a Python {version} that user {ORDINARY_USER} may run")


@pytest.mark.usefixtures("as_root")
def test_an_ordinary_user_runs_the_server_as_himself_and_root_on_his_behalf(folder: Path) -> None:
    nobody = pwd.getpwnam(ORDINARY_USER)
    own = folder / "own"
    own.mkdir(mode=0o700)
    os.chown(own, nobody.pw_uid, nobody.pw_gid)
    assert run_as_ordinary_user(own / "home") == "owner True\nrunning False\n"
    by_root = Cluster(own / "home")
    by_root.start()
    assert server_uid(by_root) == nobody.pw_uid
    by_root.stop()
    assert run_as_ordinary_user(own / "home") == "owner True\nrunning False\n"


@pytest.mark.usefixtures("as_root")
def test_an_ordinary_user_is_refused_the_database_of_another(cluster: Cluster, folder: Path) -> None:
    said = run_as_ordinary_user(cluster.home)
    assert said.startswith(f"{cluster.database_dir} belongs to user ")
    assert said.count("\n") == 1
    said = run_as_ordinary_user(folder / "home")
    assert said == f"cannot write to {folder}/home (Permission denied): set VASCODB_HOME to a folder you can write to\n"
