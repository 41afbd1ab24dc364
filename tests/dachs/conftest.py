"""A real GAVO DaCHS in the session's private cluster, with Gaia of M67 under its VizieR name."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from vascodb.cluster import Cluster

DATABASE = "gavo"  # DaCHS knows no other name
TABLE = "I/350/gaiaedr3"
_INSTALL = "make install EXTRA_PACKAGES='python3-gavo postgresql-N-pgsphere'"

# Column of the recorded file, of the VizieR table, its types in SQL and TAP, unit, UCD.
_COLUMNS = (
    ("source_id", "Source", "bigint", "long", "", "meta.id;meta.main"),
    ("ra", "RA_ICRS", "double precision", "double", "deg", "pos.eq.ra;meta.main"),
    ("dec", "DE_ICRS", "double precision", "double", "deg", "pos.eq.dec;meta.main"),
    ("parallax", "Plx", "double precision", "double", "mas", "pos.parallax"),
    ("pmra", "pmRA", "double precision", "double", "mas/yr", "pos.pm;pos.eq.ra"),
    ("pmdec", "pmDE", "double precision", "double", "mas/yr", "pos.pm;pos.eq.dec"),
    ("phot_g_mean_mag", "Gmag", "double precision", "double", "mag", "phot.mag;em.opt"),
    ("bp_rp", "BP-RP", "double precision", "double", "mag", "phot.color"),
)


@pytest.fixture(scope="session")
def dachs_tap_url(cluster: Cluster, shared_data: Path) -> Iterator[str]:
    """Address of the TAP service, up as long as the session lasts."""
    if shutil.which("dachs") is None:
        pytest.skip(f"needs GAVO DaCHS: {_INSTALL}")
    if os.getuid() != 0 or not cluster.account.switch:
        pytest.skip("needs root, to run DaCHS as the user of the private database")
    _make_database(cluster)
    _make_pgsphere(cluster)
    home = Path(tempfile.mkdtemp(prefix="dachs-", dir="/tmp"))
    try:
        with _served(_Dachs(cluster, home), shared_data / "gaia" / "gaia_edr3_M67_6179rows.csv") as url:
            yield url
    finally:
        _administer(cluster, f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        _administer(cluster, "DROP ROLE IF EXISTS gavo, gavoadmin, untrusted")
        shutil.rmtree(home, ignore_errors=True)


class _Dachs:
    """The program, its configuration and its folder."""

    def __init__(self, cluster: Cluster, home: Path) -> None:
        self.cluster = cluster
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        group = cluster.account.name
        (home / "inputs" / "viz").mkdir(parents=True)
        (home / "gavorc").write_text(
            f"[general]\nrootDir={home}\ngavoGroup: {group}\ngroup: {group}\nmaintainerAddress: nobody@localhost\n"
            f"[web]\nuser:\nbindAddress: 127.0.0.1\nserverPort: {self.port}\nserverURL: {self.url}\n"
            "maxSyncUploadSize: 20000000\n[ivoa]\nauthority: m67.test\n"
        )
        (home / "inputs" / "viz" / "q.rd").write_text(_resource_descriptor())
        for path in [home, *home.rglob("*")]:
            os.chown(path, cluster.account.uid, cluster.account.gid)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that runs it as the database's user, in a clean environment."""
        account = self.cluster.account
        return ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups",
                "env", "-i", f"HOME={self.home}", "PATH=/usr/bin:/bin", "LANG=C.UTF-8", f"MPLCONFIGDIR={self.home}/mpl",
                f"GAVOSETTINGS={self.home}/gavorc", "/usr/bin/dachs", *arguments]  # fmt: skip

    def run(self, *arguments: str) -> None:
        """Run a command to its end."""
        done = subprocess.run(self.command(*arguments), cwd=self.home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"dachs {arguments[0]}: {done.stdout}{done.stderr}"


@contextlib.contextmanager
def _served(dachs: _Dachs, catalogue: Path) -> Iterator[str]:
    url = make_url(dachs.cluster.url)
    dachs.run(
        "init", "-d", f"host={dachs.cluster.socket_dir} port={url.query['port']} user={url.username} dbname={DATABASE}"
    )
    _publish(dachs.cluster, catalogue)
    with (dachs.home / "serve.log").open("wb") as log:
        server = subprocess.Popen(dachs.command("serve", "debug"), cwd=dachs.home, stdout=log, stderr=log)
        try:
            _wait(f"{dachs.url}/tap/availability", server, dachs.home / "serve.log")
            yield f"{dachs.url}/tap"
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=10) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    pytest.fail(f"DaCHS does not come up: {log.read_text()[-2000:]}")


def _connect(cluster: Cluster, database: str) -> "closing[psycopg2.extensions.connection]":
    connection = psycopg2.connect(make_url(cluster.url).set(database=database).render_as_string(False))
    connection.autocommit = True
    return closing(connection)


def _administer(cluster: Cluster, statement: str) -> None:
    with _connect(cluster, "postgres") as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def _make_database(cluster: Cluster) -> None:
    with _connect(cluster, "postgres") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_sphere'")
        if cursor.fetchone() != (1,):
            pytest.skip(f"needs pgSphere: {_INSTALL}")
        cursor.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {DATABASE}")


def _make_pgsphere(cluster: Cluster) -> None:
    """Make pgSphere before DaCHS does.

    PostgreSQL 15.20 refuses an operator whose commutator or negator already has another
    one, of which the script of pgSphere 1.1.1 has two. There its objects are made without these claims, and
    entered as if the extension had been made: in a database that lasts for one session, and enough for DaCHS.
    """
    with _connect(cluster, DATABASE) as connection, connection.cursor() as cursor:
        try:
            cursor.execute("CREATE EXTENSION pg_sphere")
        except psycopg2.errors.InvalidFunctionDefinition:
            pass
        else:
            return
        cursor.execute("SELECT setting FROM pg_config WHERE name = 'SHAREDIR'")
        (folder,) = cursor.fetchone() or ("",)
        cursor.execute("SELECT default_version FROM pg_available_extensions WHERE name = 'pg_sphere'")
        (version,) = cursor.fetchone() or ("",)
        script = (Path(folder) / "extension" / f"pg_sphere--{version}.sql").read_text()
        script = re.sub(r"^\\.*$", "", script, flags=re.MULTILINE).replace("MODULE_PATHNAME", "$libdir/pg_sphere")
        claims = r"(CREATE OPERATOR @ \([^)]*_subset_smoc,)\s*COMMUTATOR = '@>',\s*NEGATOR    = '!<@',"
        cursor.execute(re.sub(claims, r"\1", script))
        cursor.execute("SET allow_system_table_mods = on")
        cursor.execute(
            "INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) "
            "VALUES (60000, 'pg_sphere', 10, 'public'::regnamespace, true, %s)",
            (version,),
        )


def _publish(cluster: Cluster, catalogue: Path) -> None:
    """Load the stars and tell DaCHS of them: its own importer takes no name with slashes."""
    recorded = ", ".join(f"{name} {kind}" for name, _, kind, *_ in _COLUMNS)
    renamed = ", ".join(f'{name} AS "{new}"' for name, new, *_ in _COLUMNS)
    header = catalogue.open().readline().strip().split(",")
    rest = ", ".join(f"{name} text" for name in header if name not in {c[0] for c in _COLUMNS})
    roles = "gavo, untrusted, gavoadmin"
    with _connect(cluster, DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA m67; CREATE TABLE m67.stars ({recorded}{', ' + rest if rest else ''})")
        with catalogue.open() as lines:
            cursor.copy_expert(f"COPY m67.stars ({','.join(header)}) FROM STDIN (FORMAT csv, HEADER)", lines)
        cursor.execute("CREATE INDEX ON m67.stars (q3c_ang2ipix(ra, dec)); ANALYZE m67.stars")
        cursor.execute(f'CREATE VIEW public."{TABLE}" AS SELECT {renamed} FROM m67.stars')
        cursor.execute(f'GRANT USAGE ON SCHEMA m67, public TO {roles}; GRANT SELECT ON public."{TABLE}" TO {roles}')
        cursor.execute("INSERT INTO dc.tablemeta VALUES (%s, 'viz/q', 'Gaia EDR3 of M67', NULL, true, NULL)",
                       (f"public.{TABLE}",))  # fmt: skip
        cursor.execute("INSERT INTO tap_schema.schemas (schema_name) VALUES ('public') ON CONFLICT DO NOTHING")
        cursor.execute(
            "INSERT INTO tap_schema.tables (schema_name, table_name, table_type, sourcerd) "
            "VALUES ('public', %s, 'view', 'viz/q')",
            (f'"{TABLE}"',),
        )


def _resource_descriptor() -> str:
    columns = "\n".join(
        f'<column name="quoted/{name}" type="{kind}" unit="{unit}" ucd="{ucd}" description="{name}"'
        + (' required="True"/>' if kind == "bigint" else "/>")
        for _, name, kind, _, unit, ucd in _COLUMNS
    )
    return (
        '<resource schema="public" resdir="viz"><meta name="title">Gaia EDR3 of M67</meta>\n'
        '<meta name="description">Stars of M67</meta><meta name="creationDate">2020-12-03T00:00:00Z</meta>\n'
        '<meta name="subject">stars</meta>\n'
        f'<table id="{TABLE}" onDisk="True" adql="True">\n{columns}\n</table></resource>\n'
    )
