"""Fixtures for all tests: a clean environment, one private database per session, the shared data."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vascodb.cluster import Cluster

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def cluster_home() -> Iterator[Path]:
    """A home folder for the session, at a short path that the server's user can enter."""
    home = Path(tempfile.mkdtemp(prefix="vascodb-test-", dir="/tmp"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def clean_environment(cluster_home: Path) -> Iterator[None]:
    """Keep the user's database and home out of the tests, and the tests out of theirs."""
    with pytest.MonkeyPatch.context() as environment:
        for name in list(os.environ):
            if name.startswith(("VASCODB_", "PG")):
                environment.delenv(name)
        environment.setenv("VASCODB_HOME", str(cluster_home))
        yield


@pytest.fixture(scope="session")
def cluster(cluster_home: Path, clean_environment: None) -> Iterator[Cluster]:
    """The session's private database, running and empty."""
    private = Cluster(cluster_home)
    private.start()
    yield private
    private.stop()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real plate images and published tables, which is not part of the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/data: real plate images and published tables beside the project")
    return SHARED_DATA
