"""Find the installed PostgreSQL servers and say which of them has Q3C."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vascodb.errors import InputError, ServiceError

__all__ = ["MINIMUM_MAJOR", "PostgresInstall", "apt_command", "find_postgres", "read_install"]

MINIMUM_MAJOR = 15

PROGRAMS = ("initdb", "pg_ctl", "postgres", "psql")

# The folders in which Debian/Ubuntu and the RPM distributions put each major's programs.
SYSTEM_BINDIRS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")

# The major each distribution packages Q3C for; only used to print a command that can be pasted.
DISTRIBUTION_MAJOR = {("debian", "12"): 15, ("debian", "13"): 17, ("ubuntu", "24.04"): 16}


@dataclass(frozen=True)
class PostgresInstall:
    """One installed PostgreSQL server.

    Parameters
    ----------
    bindir : `~pathlib.Path`
        Folder of initdb, pg_ctl, postgres and psql.
    version : str
        Version as the server prints it, such as ``15.18`` or ``19beta1``.
    q3c_version : str or None
        Version of the extension Q3C installed for this server; None if it is not.
    """

    bindir: Path
    version: str
    q3c_version: str | None

    @property
    def q3c(self) -> bool:
        """Whether Q3C is installed for this server."""
        return self.q3c_version is not None

    @property
    def major(self) -> int:
        """The major version; a data folder belongs to exactly one."""
        return int(self.version_key[0])

    @property
    def version_key(self) -> tuple[int, ...]:
        """The numbers of the version, for comparing."""
        return tuple(int(number) for number in re.findall(r"\d+", self.version))


def apt_command(major: int | None = None, *, server: bool = True) -> str:
    """Return the shell command that installs PostgreSQL and Q3C here.

    Parameters
    ----------
    major : int, optional
        Major version wanted; by default the one this distribution packages.
    server : bool
        Whether the server is missing too, or only Q3C.

    Returns
    -------
    str
        A command to paste; with ``N`` for the version on a distribution not known here.
    """
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    packaged = DISTRIBUTION_MAJOR.get((release.get("ID", ""), release.get("VERSION_ID", "")))
    number = major or packaged or "N"
    packages = ([f"postgresql-{number}"] if server else []) + [f"postgresql-{number}-q3c"]
    return f"sudo apt-get install {' '.join(packages)}"


def find_postgres(major: int | None = None) -> PostgresInstall:
    """Return the PostgreSQL server to use: with Q3C before without, then the newest.

    Looks into the folder named by the environment variable ``VASCODB_PGBIN`` and nowhere else if it
    is set; otherwise into the system's folders and the one of ``pg_config`` on the path.

    Parameters
    ----------
    major : int, optional
        Take only this major version, because a data folder was made by it.

    Returns
    -------
    PostgresInstall
        An installation of PostgreSQL 15 or newer; its ``q3c`` may be false.

    Raises
    ------
    InputError
        ``VASCODB_PGBIN`` names a folder without a usable server.
    ServiceError
        No PostgreSQL that will do is installed; the message has the command that installs it.
    """
    if chosen := os.environ.get("VASCODB_PGBIN"):
        install = read_install(Path(chosen))
        if install is None or install.major < MINIMUM_MAJOR:
            raise InputError(
                f"VASCODB_PGBIN={chosen} has no PostgreSQL {MINIMUM_MAJOR} or newer (it needs {', '.join(PROGRAMS)}): "
                "set it to the output of `pg_config --bindir`, or unset it"
            )
        found = [install]
    else:
        read = (read_install(bindir) for bindir in dict.fromkeys(_bindirs()))
        found = [install for install in read if install is not None and install.major >= MINIMUM_MAJOR]
    usable = [install for install in found if major in (None, install.major)]
    if not usable:
        have = f" (found {', '.join(install.version for install in found)})" if found else ""
        what = f"PostgreSQL {major}" if major else f"PostgreSQL {MINIMUM_MAJOR} or newer"
        raise ServiceError(f"{what} is not installed{have}: {apt_command(major)}")
    return max(usable, key=lambda install: (install.q3c, install.version_key))


def read_install(bindir: Path) -> PostgresInstall | None:
    """Return what is installed in ``bindir``, or None where the server's programs are not all there."""
    if not all(os.access(bindir / program, os.X_OK) for program in PROGRAMS):
        return None
    printed = _output(bindir / "postgres", "--version")
    if (match := re.search(r"\(PostgreSQL\) (\d\S*)", printed)) is None:
        return None
    major = int(re.findall(r"\d+", match[1])[0])
    return PostgresInstall(bindir, match[1], _q3c_version(_sharedir(bindir, major)))


def _bindirs() -> Iterator[Path]:
    for pattern in SYSTEM_BINDIRS:
        yield from Path("/").glob(pattern)
    if pg_config := shutil.which("pg_config"):
        yield Path(_output(Path(pg_config), "--bindir"))


def _sharedir(bindir: Path, major: int) -> Path:
    # Debian's server package comes without pg_config, and its files are at a fixed place.
    pg_config = bindir / "pg_config"
    if os.access(pg_config, os.X_OK) and (printed := _output(pg_config, "--sharedir")):
        return Path(printed)
    return Path(f"/usr/share/postgresql/{major}")


def _q3c_version(sharedir: Path) -> str | None:
    control = sharedir / "extension" / "q3c.control"
    if not control.is_file():
        return None
    version = re.search(r"^default_version\s*=\s*'([^']*)'", control.read_text(), re.MULTILINE)
    return version[1] if version else "of unknown version"


def _output(program: Path, option: str) -> str:
    done = subprocess.run([program, option], capture_output=True, text=True, check=False)
    return done.stdout.strip()
