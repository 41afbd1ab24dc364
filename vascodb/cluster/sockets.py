"""Where the server's unix socket is, and whether a server listens on it."""

import hashlib
import os
import re
import socket
import stat
from contextlib import suppress
from pathlib import Path

from vascodb.cluster.account import ServerAccount
from vascodb.errors import InputError

__all__ = ["PORT", "home_digest", "is_listening", "prepare_socket_dir", "socket_dir_for"]

# Only the number in the socket's name: nothing listens on TCP.
PORT = 5432

# The kernel allows 107 bytes for a socket's path; PostgreSQL adds ".lock" to it for its own file.
LONGEST_SOCKET_BYTES = 95

# libpq takes a comma for a list of hosts, SQLAlchemy a colon for a port, the configuration a quote.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+-]+")


def home_digest(home: Path) -> str:
    """Return eight hexadecimal digits that tell this home folder from others."""
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:8]


def socket_dir_for(home: Path, uid: int) -> Path:
    """Return the folder of the server's socket.

    Parameters
    ----------
    home : `~pathlib.Path`
        Home folder, resolved.
    uid : int
        User the server runs as.

    Returns
    -------
    `~pathlib.Path`
        ``run`` below ``home``, or a short folder below /tmp where that path cannot name a socket.
    """
    run_dir = home / "run"
    path = str(_socket_path(run_dir))
    if PLAIN_PATH.fullmatch(path) and len(path) <= LONGEST_SOCKET_BYTES:
        return run_dir
    return Path(f"/tmp/vascodb-{uid}-{home_digest(home)}")


def prepare_socket_dir(socket_dir: Path, account: ServerAccount) -> None:
    """Make the socket's folder, or check that the one that is there lets nobody else in.

    Whoever reaches the socket is the database's superuser, so a folder made by another user, or
    open to others, is refused.

    Raises
    ------
    InputError
        The folder is not a folder, belongs to another user, or is open to others.
    """
    with suppress(FileExistsError):
        socket_dir.mkdir(mode=0o700)
    status = socket_dir.lstat()
    # The caller's own is accepted too: root may have been killed before giving it away.
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid in (account.uid, os.geteuid())
    if not ours or stat.S_IMODE(status.st_mode) & 0o077:
        raise InputError(
            f"the socket folder {socket_dir} is not a folder that only user {account.name} can enter: "
            "remove it, or set VASCODB_HOME to another, short path"
        )
    account.own(socket_dir)


def is_listening(socket_dir: Path) -> bool:
    """Return whether a server listens on the socket in ``socket_dir``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        try:
            client.connect(str(_socket_path(socket_dir)))
        except BlockingIOError:
            return True  # so many clients are waiting to be let in that the queue is full
        except OSError:
            return False
        return True


def _socket_path(socket_dir: Path) -> Path:
    return socket_dir / f".s.PGSQL.{PORT}"
