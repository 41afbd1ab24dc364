"""One private PostgreSQL cluster per home folder: made on first use, unix socket only."""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import psycopg2

from vascodb.cluster.account import ServerAccount, account_for_new, owner_account
from vascodb.cluster.complaints import cannot_use_home, server_failed
from vascodb.cluster.install import PostgresInstall, apt_command, find_postgres
from vascodb.cluster.pidfile import discard_stale, postmaster_pid
from vascodb.cluster.sockets import PORT, home_digest, is_listening, prepare_socket_dir, socket_dir_for
from vascodb.cluster.tuning import server_configuration
from vascodb.errors import InputError, ServiceError

__all__ = ["DATABASE", "SUPERUSER", "Cluster"]

DATABASE = "vascodb"
SUPERUSER = "vasco"

CONFIGURATION_FILE = "vascodb.conf"
UNFINISHED_PREFIX = "database.new-"

# Replaying the log after a crash in the middle of a bulk load takes minutes, not seconds.
START_TIMEOUT_S = 600
STOP_TIMEOUT_S = 120

# Time for the processes of a killed server to finish the statement they are in.
LEFTOVERS_TIMEOUT_S = 60
LEFTOVERS_MESSAGE = "pre-existing shared memory block"


class Cluster:
    """The private database below a home folder.

    Parameters
    ----------
    home : `~pathlib.Path`
        `vascodb.settings.Settings.home`. Made by `start` if absent.

    Raises
    ------
    InputError
        From any method: the home folder cannot be used, by this user or at all.
    ServiceError
        From any method: PostgreSQL or Q3C is missing, or the server does not start.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.expanduser().resolve()
        self.database_dir = self.home / "database"
        self.log_path = self.home / "logs" / "postgresql.log"

    @cached_property
    def install(self) -> PostgresInstall:
        """The server's programs: of the data folder's major version if there is one."""
        return find_postgres(self._data_major())

    @cached_property
    def account(self) -> ServerAccount:
        """Who the server runs as."""
        return owner_account(self.database_dir) if self.exists else account_for_new(self.home, self.install.bindir)

    @property
    def socket_dir(self) -> Path:
        """Folder of the server's socket; only the server's user and root can enter it."""
        return socket_dir_for(self.home, self.account.uid)

    @property
    def url(self) -> str:
        """URL for libpq: psycopg2, psql, ADBC."""
        return self._url_of(DATABASE)

    @property
    def sqlalchemy_url(self) -> str:
        """The same URL for SQLAlchemy, with the driver named."""
        return self.url.replace("postgresql://", "postgresql+psycopg2://", 1)

    @property
    def exists(self) -> bool:
        """Whether the cluster has been made."""
        try:
            return self.database_dir.exists()
        except PermissionError as error:
            raise cannot_use_home(self.home, error) from None

    def is_running(self) -> bool:
        """Return whether the server runs, be it still starting."""
        return self.exists and (postmaster_pid(self.database_dir) is not None or is_listening(self.socket_dir))

    def start(self) -> None:
        """Make the cluster, the server and the database be there; whatever is there already stays.

        Any number of processes may call this at once, and any of them may be killed at any time.

        Raises
        ------
        InputError
            The home folder cannot be used.
        ServiceError
            PostgreSQL or Q3C is missing, or the server does not start; the message says why.
        """
        if self.exists and self._connection_failure(DATABASE) is None:
            return
        self._make_home()
        with self._lock() as lock:
            if not self.exists:
                self._create(lock)
            self._serve()
            self._create_database()

    def stop(self) -> None:
        """Stop the server, ending its connections; nothing is lost.

        Raises
        ------
        ServiceError
            The server does not stop.
        """
        if not self.is_running():
            return
        with self._lock(), self._log() as log:
            if postmaster_pid(self.database_dir) is None:
                return
            done = self._run("pg_ctl", "stop", "-D", self.database_dir, "-m", "fast", "-t", STOP_TIMEOUT_S, output=log)
            if done != 0 and postmaster_pid(self.database_dir) is not None:
                raise ServiceError(f"the database in {self.database_dir} does not stop: see {self.log_path}")
            if self.socket_dir.parent != self.home:
                self.socket_dir.rmdir()

    def psql(self, arguments: Sequence[str] = ()) -> int:
        """Run psql on the database, on the caller's terminal.

        Parameters
        ----------
        arguments : sequence of str
            Further arguments of psql.

        Returns
        -------
        int
            The exit status of psql.
        """
        client = subprocess.Popen([str(self.install.bindir / "psql"), "-d", self.url, *arguments])
        # Ctrl-C cancels the statement in psql; it must not end this process under it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return client.wait()
        finally:
            signal.signal(signal.SIGINT, before)

    def _data_major(self) -> int | None:
        if not self.exists:
            return None
        owner_account(self.database_dir)  # says whose folder it is where it cannot be read
        try:
            return int((self.database_dir / "PG_VERSION").read_text())
        except FileNotFoundError:
            raise InputError(
                f"{self.database_dir} is not a PostgreSQL data folder: "
                "move it away, or set VASCODB_HOME to another folder"
            ) from None

    def _url_of(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self.socket_dir), safe='')}&port={PORT}"

    def _connection_failure(self, database: str) -> str | None:
        """Return why a connection fails, in one line, or None if it does not."""
        try:
            psycopg2.connect(self._url_of(database), connect_timeout=10).close()
        except psycopg2.OperationalError as error:
            return " ".join(str(error).split())
        return None

    def _make_home(self) -> None:
        try:
            if not self.home.exists():
                # Set apart from the caller's umask: root's server user must be able to enter it.
                self.home.mkdir(parents=True)
                self.home.chmod(0o755)
            self.log_path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_use_home(self.home, error) from None

    @contextmanager
    def _lock(self) -> Iterator[int]:
        path = self.home / "database.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise cannot_use_home(self.home, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _log(self) -> Iterator[int]:
        try:
            descriptor = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        except OSError as error:
            raise cannot_use_home(self.home, error) from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _run(self, program: str, *arguments: object, output: int, pass_fds: Sequence[int] = ()) -> int:
        command = [str(self.install.bindir / program), *map(str, arguments)]
        cwd = self.database_dir if self.database_dir.exists() else Path("/")
        return self.account.run(command, cwd=cwd, output=output, pass_fds=pass_fds).returncode

    def _create(self, lock: int) -> None:
        """Make the cluster beside its final place, and put it there when it is complete."""
        if not self.install.q3c:
            raise self._without_q3c()
        for leftover in self.home.glob(f"{UNFINISHED_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED_PREFIX, dir=self.home))
            self.account.own(unfinished)
        except OSError as error:
            raise cannot_use_home(self.home, error) from None
        with tempfile.TemporaryFile() as output:
            # initdb holds the lock as well: if this process is killed, nobody clears away the folder
            # from under it.
            status = self._run(
                "initdb", "-D", unfinished, "-U", SUPERUSER, "--auth-local=trust", "--auth-host=reject",
                "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums",
                output=output.fileno(), pass_fds=[lock],
            )  # fmt: skip
            output.seek(0)
            printed = output.read().decode(errors="replace")
        if status != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise server_failed(f"could not make a database in {self.home}", self.home, printed, self.log_path)
        with (unfinished / "postgresql.conf").open("a") as configuration:
            configuration.write(f"\ninclude '{CONFIGURATION_FILE}'\n")
        unfinished.rename(self.database_dir)

    def _without_q3c(self) -> ServiceError:
        major = self.install.major
        return ServiceError(f"Q3C is not installed for PostgreSQL {major}: {apt_command(major, server=False)}")

    def _serve(self) -> None:
        """Return when the server takes connections, starting it if need be."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while (failure := self._connection_failure("postgres")) is not None:
            if time.monotonic() > deadline:
                raise ServiceError(f"the database in {self.database_dir} does not answer ({failure}): try again later")
            if postmaster_pid(self.database_dir) is None and not is_listening(self.socket_dir):
                self._launch()
            else:
                time.sleep(0.1)

    def _launch(self) -> None:
        self._write_configuration()
        prepare_socket_dir(self.socket_dir, self.account)
        discard_stale(self.database_dir / "postmaster.pid", self.database_dir)
        discard_stale(self.socket_dir / f".s.PGSQL.{PORT}.lock", self.database_dir)
        deadline = time.monotonic() + LEFTOVERS_TIMEOUT_S
        with self._log() as log:
            while True:
                log_start = os.fstat(log).st_size
                arguments = ("start", "-D", self.database_dir, "-t", START_TIMEOUT_S)
                # A server that runs by now was started by a process that has been killed since.
                if self._run("pg_ctl", *arguments, output=log) == 0 or postmaster_pid(self.database_dir) is not None:
                    return
                printed = self.log_path.read_bytes()[log_start:].decode(errors="replace")
                if LEFTOVERS_MESSAGE not in printed or time.monotonic() > deadline:
                    raise server_failed(
                        f"PostgreSQL does not start on {self.database_dir}", self.home, printed, self.log_path
                    )
                time.sleep(0.5)

    def _write_configuration(self) -> None:
        path = self.database_dir / CONFIGURATION_FILE
        name = f"{DATABASE}-{home_digest(self.home)}"
        unfinished = path.with_suffix(".new")
        try:
            unfinished.write_text(server_configuration(self.home, self.socket_dir, PORT, name))
            self.account.own(unfinished)
            unfinished.rename(path)
        except OSError as error:
            raise cannot_use_home(self.home, error) from None

    def _create_database(self) -> None:
        try:
            with closing(psycopg2.connect(self._url_of("postgres"))) as connection:
                connection.autocommit = True
                cursor = connection.cursor()
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg2.Error as error:
            what = f"could not make the database {DATABASE} in {self.database_dir}"
            raise server_failed(what, self.home, str(error), self.log_path) from None
