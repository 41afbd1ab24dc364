"""Homes for clusters that are made, broken and thrown away."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vascodb.cluster import Cluster

PROJECT = Path(__file__).resolve().parents[2]

# initdb waits for the disk at every file; in memory it does not. A few clusters need 300 MB.
MEMORY_DISK = Path("/dev/shm")
HAS_MEMORY_DISK = MEMORY_DISK.is_dir() and shutil.disk_usage(MEMORY_DISK).free > 1e9
BASE = MEMORY_DISK if HAS_MEMORY_DISK else Path("/tmp")

START_PROGRAM = """
import sys
from pathlib import Path
from vascodb.cluster import Cluster
print("starting", flush=True)
Cluster(Path(sys.argv[1])).start()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder at a short path that every user can enter; clusters in it are stopped afterwards."""
    path = Path(tempfile.mkdtemp(prefix="vascodb-test-", dir=BASE))
    path.chmod(0o755)
    yield path
    for version in [*path.glob("**/database/PG_VERSION")]:
        Cluster(version.parents[1]).stop()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def private(folder: Path) -> Cluster:
    """A cluster that has not been made yet."""
    return Cluster(folder / "home")


@pytest.fixture(scope="session")
def spare(clean_environment: None) -> Iterator[Cluster]:
    """A cluster to stop, start and kill; making one for each test would take long."""
    home = Path(tempfile.mkdtemp(prefix="vascodb-test-", dir=BASE))
    home.chmod(0o755)
    cluster = Cluster(home)
    cluster.start()
    yield cluster
    cluster.stop()
    shutil.rmtree(home)


StartProcess = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def start_process() -> Iterator[StartProcess]:
    """Start clusters in processes of their own, each leader of its process group."""
    processes: list[subprocess.Popen[str]] = []

    def start(home: Path) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", START_PROGRAM, str(home)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT, start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def as_root() -> None:
    """Skip where the tests do not run as root."""
    if os.geteuid() != 0:
        pytest.skip("needs root: checks whom root lets the server run as")
