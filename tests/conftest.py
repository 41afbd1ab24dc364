"""Fixtures for all tests: a clean environment, one private database per session, the shared data."""

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from commandline import CommandServer, Vascodb
from pydantic import SecretStr
from sqlalchemy import Connection, make_url

from vascodb.cluster import Cluster
from vascodb.db import Database
from vascodb.settings import Settings
from vascodb.simulate import SimulatedFiles, SimulationSpec, simulate_plate, write_simulation

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


@pytest.fixture(scope="session", autouse=True)
def heeding_ctrl_c() -> Iterator[None]:
    """Let commands heed Ctrl-C also where a shell has started the tests in the background, and so without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def administer(cluster: Cluster, *statements: str) -> None:
    """Execute statements as the cluster's superuser, each in a transaction of its own."""
    with closing(psycopg2.connect(make_url(cluster.url).set(database="postgres").render_as_string(False))) as server:
        server.autocommit = True
        for statement in statements:
            server.cursor().execute(statement)


@pytest.fixture(scope="session")
def cluster(cluster_home: Path, clean_environment: None) -> Iterator[Cluster]:
    """The session's private database, running and empty."""
    private = Cluster(cluster_home)
    private.start()
    # Tests kill servers, never the machine: nothing need reach the disk, and all of it goes with the session. When
    # autovacuum comes round is chance, and plans would differ with it.
    off = ("fsync", "full_page_writes", "autovacuum")
    administer(private, *(f"ALTER SYSTEM SET {setting} = off" for setting in off), "SELECT pg_reload_conf()")
    yield private
    private.stop()


MakeDatabase = Callable[[str], Database]


@pytest.fixture(scope="session")
def temporary_database(cluster: Cluster) -> Iterator[Callable[..., "contextmanager[Database]"]]:
    """Make databases in the session's cluster, each a copy of a template, dropped at the end of its context."""

    @contextmanager
    def make(template: str = "template0") -> Iterator[Database]:
        name = f"test_{secrets.token_hex(6)}"
        # Without fsync the files of a template are copied in half the time that its blocks take through the log.
        administer(cluster, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        url = make_url(cluster.url).set(database=name).render_as_string(hide_password=False)
        database = Database(Settings(home=cluster.home, url=SecretStr(url)))
        try:
            yield database
        finally:
            database.close()
            administer(cluster, f"DROP DATABASE {name} WITH (FORCE)")

    yield make


@pytest.fixture(scope="session")
def template_database(temporary_database) -> Iterator[str]:
    """Name of an initialised database without rows, of which others are copies."""
    with temporary_database() as database:
        database.initialise()
        database.close()
        yield str(database.url.database)


@pytest.fixture
def blank_database(temporary_database) -> Iterator[Database]:
    """A database without any schema of ours."""
    with temporary_database() as database:
        yield database


@pytest.fixture
def database(temporary_database, template_database: str) -> Iterator[Database]:
    """An initialised database without rows, for one test."""
    with temporary_database(template_database) as database:
        yield database


@pytest.fixture(scope="module")
def module_database(temporary_database, template_database: str) -> Iterator[Database]:
    """An initialised database without rows, shared by a module whose tests leave it as it was."""
    with temporary_database(template_database) as database:
        yield database


@pytest.fixture
def connection(module_database: Database) -> Iterator[Connection]:
    """One transaction on the module's database, rolled back when the test ends."""
    with module_database.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real plate images and published tables, which is not part of the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/data: real plate images and published tables beside the project")
    return SHARED_DATA


@pytest.fixture(scope="session")
def command_server(tmp_path_factory: pytest.TempPathFactory, clean_environment: None) -> Iterator[CommandServer]:
    """Starts `vascodb` commands quickly."""
    server = CommandServer(tmp_path_factory.mktemp("commands"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def new_home() -> Iterator[Callable[[], Path]]:
    """Make home folders; private databases in them are stopped and all is removed when the session ends."""
    homes: list[Path] = []

    def make() -> Path:
        home = Path(tempfile.mkdtemp(prefix="vascodb-test-", dir="/tmp"))
        home.chmod(0o755)
        homes.append(home)
        return home

    yield make
    for home in homes:
        for version in home.glob("**/database/PG_VERSION"):
            Cluster(version.parents[1]).stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def vascodb(command_server: CommandServer, new_home, temporary_database, template_database: str) -> Iterator[Vascodb]:
    """The command on an initialised database without rows, for one test."""
    with temporary_database(template_database) as database:
        yield Vascodb(command_server, new_home(), database.libpq_url)


@pytest.fixture(scope="module")
def module_vascodb(
    command_server: CommandServer, new_home, temporary_database, template_database: str
) -> Iterator[Vascodb]:
    """The command on a database of this module."""
    with temporary_database(template_database) as database:
        yield Vascodb(command_server, new_home(), database.libpq_url)


@pytest.fixture(scope="session")
def small_simulation(tmp_path_factory: pytest.TempPathFactory) -> SimulatedFiles:
    """A simulated image of 6 arcmin with five vanished sources; PSFEx fits its wide stars in no time."""
    spec = SimulationSpec(
        seed=11, size_arcmin=6.0, n_stars=160, n_high_pm=2, n_blends=1, n_vanished=5, n_vanished_blended=0, n_defects=3,
        reference_pad_arcmin=4.0, psf_fwhm_arcsec=4.5,
    )  # fmt: skip
    return write_simulation(simulate_plate(spec), tmp_path_factory.mktemp("simulation"))
