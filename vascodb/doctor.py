"""What vascodb needs on this machine, whether it is there, and the command that mends what is not."""

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import URL, Connection, create_engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from vascodb.cluster import Cluster, PostgresInstall
from vascodb.cluster.install import MINIMUM_MAJOR, apt_command
from vascodb.cluster.tuning import memory_bytes
from vascodb.errors import InputError, ServiceError, ToolError
from vascodb.extract.tools import ToolName, find_tool
from vascodb.settings import Settings

__all__ = ["Check", "diagnose"]

GB = 1e9

# A new database takes 0.05 GB; a plate with its detections and working files takes several.
LEAST_DISK_BYTES = 0.5 * GB
AMPLE_DISK_BYTES = 10 * GB

# PSFEx on a plate of 14000 x 14000 pixels takes 0.5 GB, reading the plate in Python 2.4 GB.
AMPLE_MEMORY_BYTES = 4 * GB

# Faults of Q3C: the first version without the fault, or None while there is none; what it means.
Q3C_FAULTS: tuple[tuple[tuple[int, ...] | None, str], ...] = (
    ((2, 0, 5), "cones just below 35 degrees can miss objects"),
    (None, "q3c_in_poly can overflow on polygons of many corners"),
)

# Where a package is imported under another name than it is installed.
MODULE_NAMES = {"psycopg2-binary": "psycopg2", "pyerfa": "erfa"}


@dataclass(frozen=True)
class Check:
    """One finding.

    Parameters
    ----------
    name : str
        What was looked at.
    status : {"ok", "warn", "missing"}
        ``missing`` stops vascodb from working; ``warn`` does not.
    detail : str
        What was found, in one line; never a password.
    mend : str
        The command that mends it; empty where there is nothing to mend.
    """

    name: str
    status: Literal["ok", "warn", "missing"]
    detail: str
    mend: str = ""


def diagnose(settings: Settings) -> list[Check]:
    """Look at everything vascodb needs; works with all of it missing.

    Parameters
    ----------
    settings : `~vascodb.settings.Settings`
        ``home`` is looked at, and either the server of ``url`` or what the private database needs.

    Returns
    -------
    list of Check
        In the order in which to mend them.
    """
    if settings.url is None:
        database = list(_check_private_database(settings.home))
    else:
        database = list(_check_server(settings.url.get_secret_value()))
    return [
        _check_python(),
        *database,
        _check_tool("source-extractor"),
        _check_tool("psfex"),
        _check_stilts(),
        _check_home(settings.home),
        _check_disk(settings.home),
        _check_memory(),
    ]


def _check_python() -> Check:
    name = "Python"
    broken = []
    for requirement in importlib.metadata.requires("vascodb") or []:
        package = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        if "extra ==" in requirement:
            continue
        try:
            importlib.import_module(MODULE_NAMES.get(package, package.replace("-", "_")))
        except ImportError as error:
            broken.append(f"{package} ({error})")
    if broken:
        return Check(name, "missing", f"cannot import {', '.join(broken)}", "python3 -m pip install --upgrade vascodb")
    return Check(name, "ok", f"{platform.python_version()}, with every package vascodb needs")


def _check_private_database(home: Path) -> Iterator[Check]:
    cluster = Cluster(home)
    try:
        install = cluster.install
    except (InputError, ServiceError) as error:
        what, _, mend = str(error).rpartition(": ")
        yield Check("PostgreSQL", "missing", what, mend)
    else:
        yield Check("PostgreSQL", "ok", f"{install.version} in {install.bindir}")
        yield _check_q3c(install)
    yield _check_cluster(cluster)


def _check_q3c(install: PostgresInstall) -> Check:
    if install.q3c_version is None:
        mend = apt_command(install.major, server=False)
        return Check("Q3C", "missing", f"not installed for PostgreSQL {install.major}", mend)
    return Check("Q3C", "ok", _describe_q3c(install.q3c_version))


def _describe_q3c(version: str) -> str:
    numbers = tuple(int(number) for number in re.findall(r"\d+", version))
    faults = [fault for mended, fault in Q3C_FAULTS if mended is None or numbers < mended]
    return f"{version}; known faults of this version: {'; '.join(faults)}"


def _check_cluster(cluster: Cluster) -> Check:
    name = "private database"
    try:
        if not cluster.exists:
            return Check(name, "ok", f"not made yet; `vascodb up` makes it in {cluster.database_dir}")
        state = "running" if cluster.is_running() else "stopped; `vascodb up` starts it"
    except (InputError, ServiceError) as error:
        what, _, mend = str(error).rpartition(": ")
        return Check(name, "missing", what, mend)
    return Check(name, "ok", f"{state}, in {cluster.database_dir}")


def _check_server(url: str) -> Iterator[Check]:
    name = "server of VASCODB_URL"
    mend = "start that server, set VASCODB_URL to another, or unset it to use a private database"
    try:
        parsed = make_url(url)
    except ArgumentError:
        yield Check(name, "missing", "VASCODB_URL is no URL such as postgresql://user@host:5432/database", mend)
        return
    engine = create_engine(parsed.set(drivername="postgresql+psycopg2"), connect_args={"connect_timeout": 10})
    try:
        with engine.connect() as connection:
            yield from _check_server_versions(connection, _where(parsed))
    except SQLAlchemyError as error:
        reason = " ".join(str(error.orig if hasattr(error, "orig") else error).split())
        yield Check(name, "missing", f"{_where(parsed)} cannot be used: {reason}", mend)
    finally:
        engine.dispose()


def _check_server_versions(connection: Connection, where: str) -> Iterator[Check]:
    major = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10000
    version = connection.exec_driver_sql("SHOW server_version").scalar_one()
    if major < MINIMUM_MAJOR:
        detail = f"{where} is PostgreSQL {version}; vascodb needs {MINIMUM_MAJOR} or newer"
        yield Check("server of VASCODB_URL", "missing", detail, apt_command())
    else:
        yield Check("server of VASCODB_URL", "ok", f"{where} is PostgreSQL {version}")
    q3c = connection.exec_driver_sql(
        "SELECT coalesce(installed_version, default_version) FROM pg_available_extensions WHERE name = 'q3c'"
    ).scalar_one_or_none()
    if q3c is None:
        mend = f"{apt_command(major, server=False)}   # on the server"
        yield Check("Q3C", "missing", f"not installed on the server {where}", mend)
    else:
        yield Check("Q3C", "ok", _describe_q3c(q3c))


def _where(url: URL) -> str:
    # Built from the parts that are no secret: a password may also stand among the URL's options.
    host = url.host or url.query.get("host") or "the local socket"
    port = f":{url.port}" if url.port else ""
    return f"{url.username or 'the default user'}@{host}{port}/{url.database or ''}"


def _check_tool(name: ToolName) -> Check:
    try:
        tool = find_tool(name)
    except ToolError as error:
        return Check(name, "missing", str(error), f"sudo apt-get install {name}")
    return Check(name, "ok", f"{tool.version} in {tool.path}")


def _check_stilts() -> Check:
    path = shutil.which("stilts")
    if path is None:
        detail = "not installed; vascodb works without it, and its files can be checked with it"
        return Check("STILTS (optional)", "ok", detail)
    done = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r"STILTS version (\S+)", done.stdout)
    return Check("STILTS (optional)", "ok", f"{version[1] if version else 'of unknown version'} in {path}")


def _check_home(home: Path) -> Check:
    home = home.expanduser()
    existing = _nearest_existing(home)
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Check("home", "ok", f"{home}{'' if existing == home else ' (not made yet)'}")
    return Check("home", "missing", f"{existing} cannot be written to", "export VASCODB_HOME=$HOME/vascodb")


def _check_disk(home: Path) -> Check:
    existing = _nearest_existing(home.expanduser())
    free_bytes = shutil.disk_usage(existing).free
    detail = f"{free_bytes / GB:.1f} GB free on the disk of {existing}"
    if free_bytes >= AMPLE_DISK_BYTES:
        return Check("disk space", "ok", detail)
    status: Literal["warn", "missing"] = "warn" if free_bytes >= LEAST_DISK_BYTES else "missing"
    mend = "free some space, or set VASCODB_HOME to a folder on another disk"
    return Check("disk space", status, f"{detail}; {AMPLE_DISK_BYTES / GB:.0f} GB are ample for a first run", mend)


def _check_memory() -> Check:
    detail = f"{memory_bytes() / GB:.1f} GB"
    if memory_bytes() >= AMPLE_MEMORY_BYTES:
        return Check("memory", "ok", detail)
    mend = "work on tiles rather than whole plates, one at a time"
    return Check("memory", "warn", f"{detail}; whole plates take {AMPLE_MEMORY_BYTES / GB:.0f} GB", mend)


def _nearest_existing(path: Path) -> Path:
    for folder in (path, *path.absolute().parents):
        try:
            if folder.exists():
                return folder
        except PermissionError:
            continue
    return Path("/")
