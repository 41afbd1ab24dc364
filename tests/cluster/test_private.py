"""A private cluster: what `start` makes, what `stop` leaves, and what is said when it cannot be."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import adbc_driver_postgresql.dbapi
import psycopg2
import pytest
import sqlalchemy

from vascodb.cluster import DATABASE, SUPERUSER, Cluster
from vascodb.cluster.pidfile import postmaster_pid
from vascodb.errors import InputError, ServiceError


def ask(cluster: Cluster, query: str) -> object:
    with closing(psycopg2.connect(cluster.url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def execute(cluster: Cluster, statement: str) -> None:
    with closing(psycopg2.connect(cluster.url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


def test_start_stop_and_start_again_keep_the_data(private: Cluster) -> None:
    assert not private.exists
    assert not private.is_running()
    private.start()
    assert private.exists
    assert private.is_running()
    execute(private, "CREATE TABLE plate AS SELECT 486 AS number")
    private.stop()
    assert not private.is_running()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(private.url)
    private.stop()  # stopping what is stopped does nothing
    private.start()
    assert ask(private, "SELECT number FROM plate") == 486


def test_starting_what_runs_leaves_the_server_alone(cluster: Cluster) -> None:
    before = postmaster_pid(cluster.database_dir)
    assert before is not None
    cluster.start()
    Cluster(cluster.home).start()
    assert postmaster_pid(cluster.database_dir) == before


def test_a_dropped_database_is_made_again(spare: Cluster) -> None:
    spare.start()
    with closing(psycopg2.connect(spare.url.replace(f"/{DATABASE}?", "/postgres?"))) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"DROP DATABASE {DATABASE}")
    spare.start()
    assert ask(spare, "SELECT current_database()") == DATABASE


def test_nobody_else_can_reach_the_server(cluster: Cluster) -> None:
    assert ask(cluster, "SHOW listen_addresses") == ""
    assert cluster.socket_dir.stat().st_mode & 0o777 == 0o700
    assert cluster.database_dir.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("autovacuum", "on"),
        ("data_checksums", "on"),
        ("jit", "off"),
        ("random_page_cost", "1.1"),
        ("server_encoding", "UTF8"),
        ("lc_collate", "C.UTF-8"),
        ("TimeZone", "UTC"),
    ],
)
def test_server_settings(spare: Cluster, setting: str, value: str) -> None:
    spare.start()
    with closing(psycopg2.connect(spare.url.replace(f"/{DATABASE}?", "/postgres?"))) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT setting FROM pg_settings WHERE name = %s", [setting])
        found = cursor.fetchone()
        if found is None:  # lc_collate is a property of the database from PostgreSQL 16 on
            cursor.execute("SELECT datcollate FROM pg_database WHERE datname = current_database()")
            found = cursor.fetchone()
    assert found == (value,)


def test_alter_system_wins_over_the_configuration_of_vascodb(spare: Cluster) -> None:
    spare.start()
    execute(spare, "ALTER SYSTEM SET work_mem = '7MB'")
    spare.stop()
    spare.start()
    assert ask(spare, "SHOW work_mem") == "7MB"
    execute(spare, "ALTER SYSTEM RESET work_mem")


def test_q3c_can_be_loaded(spare: Cluster) -> None:
    spare.start()
    execute(spare, "CREATE EXTENSION q3c")
    # One degree of declination is one degree of arc at any right ascension.
    assert ask(spare, "SELECT q3c_dist(359.9, 10, 359.9, 11)") == pytest.approx(1.0, abs=1e-12)


def test_the_url_serves_sqlalchemy_and_adbc(cluster: Cluster) -> None:
    engine = sqlalchemy.create_engine(cluster.sqlalchemy_url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT current_user").scalar() == SUPERUSER
    engine.dispose()
    with adbc_driver_postgresql.dbapi.connect(cluster.url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (SUPERUSER,)


def test_psql_returns_its_exit_status(cluster: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    assert cluster.psql(["-XAtc", "SELECT 6 * 7"]) == 0
    assert capfd.readouterr().out == "42\n"
    assert cluster.psql(["-Xc", "SELECT 1/0", "-v", "ON_ERROR_STOP=1"]) == 1


def test_a_home_that_moves_takes_its_database_along(folder: Path) -> None:
    first = Cluster(folder / "home")
    first.start()
    execute(first, "CREATE TABLE moved ()")
    first.stop()
    (folder / "home").rename(folder / "elsewhere")
    second = Cluster(folder / "elsewhere")
    second.start()
    assert ask(second, "SELECT count(*) FROM pg_class WHERE relname = 'moved'") == 1


def test_a_path_no_socket_can_have_gets_a_short_one(folder: Path) -> None:
    private = Cluster(folder / "a, b: 'ü' %" / ("long" * 40))
    private.start()
    assert private.socket_dir.parent == Path("/tmp")
    assert ask(private, "SELECT 1") == 1
    private.stop()
    assert not private.socket_dir.exists()


def test_a_relative_home_and_a_link_mean_the_same_cluster(
    cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "link").symlink_to(cluster.home)
    monkeypatch.chdir(cluster.home.parent)
    assert Cluster(folder / "link").url == cluster.url
    assert Cluster(Path(cluster.home.name)).url == cluster.url


def test_a_user_mask_that_shuts_others_out_does_no_harm(private: Cluster) -> None:
    before = os.umask(0o077)
    try:
        private.start()
    finally:
        os.umask(before)
    assert ask(private, "SELECT 1") == 1


def test_data_of_another_major_version(private: Cluster) -> None:
    private.database_dir.mkdir(parents=True)
    shutil.chown(private.database_dir, "nobody" if os.geteuid() == 0 else os.geteuid())
    (private.database_dir / "PG_VERSION").write_text("14\n")
    with pytest.raises(
        ServiceError, match=r"^PostgreSQL 14 is not installed .*apt-get install postgresql-14"
    ) as caught:
        private.start()
    assert "\n" not in str(caught.value)


def test_a_home_that_is_a_file(folder: Path) -> None:
    (folder / "home").write_text("")
    with pytest.raises(InputError, match=r"^cannot write to .*home .*: set VASCODB_HOME"):
        Cluster(folder / "home").start()


def test_a_server_that_cannot_start_says_why_in_one_line(spare: Cluster) -> None:
    spare.stop()
    settings = spare.database_dir / "postgresql.auto.conf"
    before = settings.read_text()
    settings.write_text(before + "shared_buffers = 'none'\n")
    with pytest.raises(ServiceError, match=r'invalid value for parameter "shared_buffers": "none"') as caught:
        spare.start()
    assert "\n" not in str(caught.value)
    assert str(spare.log_path) in str(caught.value)
    settings.write_text(before)
    spare.start()


def test_a_folder_that_is_no_database(private: Cluster) -> None:
    private.database_dir.mkdir(parents=True)
    with pytest.raises(InputError, match=r"database is not a PostgreSQL data folder: move it away"):
        private.start()


@pytest.fixture(params=[4, 24])
def small_disk(request: pytest.FixtureRequest, folder: Path, as_root: None) -> Iterator[Path]:
    """A disk of so many MiB: initdb needs about 40."""
    mount = folder / "disk"
    mount.mkdir()
    options = f"size={request.param}m,mode=755"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", mount], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("needs the right to mount: fills a small disk")
    yield mount
    subprocess.run(["umount", mount], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    private = Cluster(small_disk / "home")
    with pytest.raises(ServiceError, match=r"^the disk of .* is full: free some space") as caught:
        private.start()
    assert "\n" not in str(caught.value)
    assert not private.exists
    assert [path.name for path in private.home.glob("database.new-*")] == []


def test_a_disk_that_fills_up_before_the_server_starts(folder: Path, as_root: None) -> None:
    mount = folder / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=120m,mode=755", "tmpfs", mount], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("needs the right to mount: fills a small disk")
    try:
        private = Cluster(mount / "home")
        private.start()
        private.stop()
        with pytest.raises(OSError, match="No space") as caught, (mount / "filler").open("wb") as filler:
            while True:
                filler.write(bytes(4096))
                filler.flush()
        assert caught.value.errno == errno.ENOSPC
        with pytest.raises(ServiceError, match=r"^the disk of .* is full"):
            private.start()
        (mount / "filler").unlink()
        private.start()
        private.stop()
    finally:
        subprocess.run(["umount", mount], check=True)
