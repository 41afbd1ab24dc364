"""Connections to the database: the private one or a server, of exactly this code's schema."""

import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import adbc_driver_postgresql.dbapi as adbc
from adbc_driver_manager import InternalError as AdbcInternalError
from adbc_driver_manager import OperationalError as AdbcOperationalError
from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from vascodb.cluster import Cluster
from vascodb.errors import InputError, SchemaVersionError, ServiceError
from vascodb.migrate import initialise, schema_state
from vascodb.settings import Settings

__all__ = ["Database", "service_errors"]

# Q3C's cost estimates would switch just-in-time compilation on for every join and double its time.
# A client that is killed in the middle of a statement must not hold its locks until the end of that.
_SESSION_OPTIONS = "-c jit=off -c timezone=UTC -c extra_float_digits=1 -c client_connection_check_interval=1s"


class Database:
    """One database, reached through `connect`.

    Parameters
    ----------
    settings : `Settings`
        ``url`` names a server; without it the private database is started when it is not running,
        and initialised when it is new.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.is_private = settings.url is None
        if settings.url is None:
            cluster = Cluster(settings.home)
            cluster.start()
            self.url: URL = make_url(cluster.url)
        else:
            self.url = _server_url(settings.url.get_secret_value())
        self._engine = _engine(self.url)
        self._checked = False
        self._idle: list[adbc.Connection] = []
        weakref.finalize(self, _close_all, self._idle)

    @property
    def libpq_url(self) -> str:
        """The URL in the form that libpq, psql and ADBC read; with the password, if it has one."""
        rendered = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        # libpq decodes neither a bare space, which SQLAlchemy leaves in names and passwords, nor the plus
        # that it writes for one in the query.
        authority, mark, query = rendered.partition("?")
        return authority.replace(" ", "%20") + mark + query.replace("+", "%20")

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back on any exception.

        Raises
        ------
        ServiceError
            If the database cannot be reached or goes away; running again is safe.
        SchemaVersionError
            If its schema is not this code's.
        """
        self._require_schema()
        with service_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """A connection outside any transaction, for ``VACUUM`` and its like."""
        self._require_schema()
        with service_errors(), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def bulk_cursor(self) -> Iterator[adbc.Cursor]:
        """A cursor of ADBC, each of whose statements is a transaction of its own.

        Its connection is kept for the next who asks, without any lock of its session, unless the context ends
        in an exception: to open one takes ADBC some 60 ms, in which it reads the server's types.
        """
        with service_errors(), ExitStack() as unless_kept:
            connection = self._idle_connection() or adbc.connect(self.libpq_url, autocommit=True)
            unless_kept.callback(connection.close)
            with connection.cursor() as cursor:
                # libpq writes what the server remarks, such as on its shutdown, to standard error.
                cursor.execute("SET client_min_messages = error")
                yield cursor
                cursor.execute("SELECT pg_advisory_unlock_all()")
            unless_kept.pop_all()
            self._idle.append(connection)

    def _idle_connection(self) -> adbc.Connection | None:
        """A connection that was kept and still works, if there is one."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
            except (AdbcOperationalError, AdbcInternalError):
                connection.close()
                continue
            return connection

    def initialise(self) -> bool:
        """Bring the database to this code's schema; returns whether anything was changed.

        Raises
        ------
        SchemaVersionError
            If it was made by a newer version of vascodb.
        """
        with service_errors(), self._engine.begin() as connection:
            state = schema_state(connection)
            if state.kind == "newer":
                raise SchemaVersionError(
                    f"the database has schema {state.found}, newer than this vascodb knows ({state.expected}); "
                    "install the newer vascodb"
                )
            return initialise(connection)

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()
        _close_all(self._idle)

    def _require_schema(self) -> None:
        if self._checked:
            return
        with service_errors(), self._engine.connect() as connection:
            state = schema_state(connection)
        if state.kind == "empty" and self.is_private:
            self.initialise()
        elif state.kind != "current":
            raise SchemaVersionError(_MENDS[state.kind].format(found=state.found, expected=state.expected))
        self._checked = True


def _close_all(connections: list[adbc.Connection]) -> None:
    while connections:
        connections.pop().close()


_MENDS = {
    "empty": "the database has no vascodb schema yet; run: vascodb init",
    "older": "the database has schema {found} or functions older than this vascodb's ({expected}); run: vascodb init",
    "newer": "the database has schema {found}, newer than this vascodb knows ({expected}); install the newer vascodb",
}


@contextmanager
def service_errors() -> Iterator[None]:
    """Turn a lost or unreachable database into a `ServiceError` of one line.

    Other database errors (a constraint, a mistake in SQL) are no service errors and pass through.
    """
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated or type(error).__name__ in ("OperationalError", "InterfaceError"):
            raise ServiceError(
                f"the database is not available: {_first_line(error.orig)}; safe to run again"
            ) from error
        raise
    except (AdbcOperationalError, AdbcInternalError) as error:
        raise ServiceError(f"the database is not available: {_first_line(error)}; safe to run again") from error


def _first_line(error: BaseException | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _server_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InputError("VASCODB_URL is not a database URL such as postgresql://user@host:5432/database") from error
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise InputError(f"VASCODB_URL names a {parsed.get_backend_name()} database; vascodb needs PostgreSQL with Q3C")
    return parsed


def _engine(url: URL) -> Engine:
    return create_engine(
        url.set(drivername="postgresql+psycopg2"),
        pool_pre_ping=True,
        # Threads of a fetch hold one each and open others; waiting for one another's they would never end.
        max_overflow=-1,
        # Many rows of one statement travel together, not one round trip each.
        executemany_mode="values_plus_batch",
        connect_args={"options": _SESSION_OPTIONS, "application_name": "vascodb", "connect_timeout": 10},
    )
