"""Who the server runs as: PostgreSQL refuses to run as root, so root lends it another identity."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from vascodb.errors import InputError

__all__ = ["ServerAccount", "account_for_new", "owner_account"]

# The users root may hand the server to, best first.
UNPRIVILEGED_USERS = ("postgres", "nobody")

# Debian's overflow user; it has a passwd entry (`nobody`), without which postgres refuses to run.
NAMESPACE_PREFIX = ("unshare", "--user", "--map-user=65534", "--map-group=65534")


@dataclass(frozen=True)
class ServerAccount:
    """The identity the server's programs get.

    Parameters
    ----------
    name : str
        User name, for messages.
    uid, gid : int
        Owner of the server's files, as seen by the caller.
    switch : bool
        Whether the caller, root, must change to that user.
    prefix : tuple of str
        Command to put in front of each program: the user namespace in which root's own files
        belong to an unprivileged user.
    """

    name: str
    uid: int
    gid: int
    switch: bool = False
    prefix: tuple[str, ...] = ()

    def run(
        self, command: Sequence[str | Path], *, cwd: Path, output: int, pass_fds: Sequence[int] = ()
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one of the server's programs to its end under this identity.

        Parameters
        ----------
        command : sequence of str or `~pathlib.Path`
            Program and arguments.
        cwd : `~pathlib.Path`
            Folder to run in; one this identity can read.
        output : int
            File descriptor for standard output and error. Never a pipe for a program that leaves
            the server running: the server would keep it open, and the reader would wait for ever.
        pass_fds : sequence of int
            File descriptors the program inherits besides.

        Returns
        -------
        `~subprocess.CompletedProcess`
            The exit status is not checked.
        """
        return subprocess.run(
            [*self.prefix, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=_server_environment(cwd),
            user=self.uid if self.switch else None,
            group=self.gid if self.switch else None,
            extra_groups=[] if self.switch else None,
            pass_fds=pass_fds,
            check=False,
        )

    def own(self, path: Path) -> None:
        """Give a file or folder that the caller has just made to this identity."""
        if self.switch:
            os.chown(path, self.uid, self.gid)


def owner_account(database_dir: Path) -> ServerAccount:
    """Return who runs the server of an existing data folder: its owner.

    Parameters
    ----------
    database_dir : `~pathlib.Path`
        Data folder.

    Returns
    -------
    ServerAccount
        The caller itself; for root the owner, or a user namespace where root is the owner.

    Raises
    ------
    InputError
        The folder belongs to someone else, or to a user whom root cannot lend the server to.
    """
    owner = database_dir.stat().st_uid
    me = os.geteuid()
    if me not in (owner, 0):
        raise InputError(
            f"{database_dir} belongs to user {_user_name(owner)}: "
            "run as that user, or set VASCODB_HOME to a folder of your own"
        )
    if me != 0:
        return ServerAccount(_user_name(me), me, os.getegid())
    if owner == 0:
        return _namespace_account(database_dir) or _refuse_root(database_dir)
    try:
        user = pwd.getpwuid(owner)
    except KeyError:
        raise InputError(
            f"{database_dir} belongs to user number {owner}, who does not exist here: "
            "give it to a user of this machine with chown -R, or set VASCODB_HOME to another folder"
        ) from None
    if not _can_enter(user.pw_uid, user.pw_gid, database_dir):
        _refuse_root(database_dir)
    return ServerAccount(user.pw_name, user.pw_uid, user.pw_gid, switch=True)


def account_for_new(home: Path, bindir: Path) -> ServerAccount:
    """Choose who will run the server of a database still to be made.

    Parameters
    ----------
    home : `~pathlib.Path`
        Home folder, which may not exist yet.
    bindir : `~pathlib.Path`
        Folder of the server's programs.

    Returns
    -------
    ServerAccount
        The caller itself; for root an unprivileged user, or a user namespace.

    Raises
    ------
    InputError
        Nobody whom root may lend the server to can enter the home folder.
    """
    me = os.geteuid()
    if me != 0:
        return ServerAccount(_user_name(me), me, os.getegid())
    # A home that is still to be made can be entered by whoever can enter the folder it will be in.
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    for name in UNPRIVILEGED_USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if _can_enter(user.pw_uid, user.pw_gid, existing, bindir):
            return ServerAccount(name, user.pw_uid, user.pw_gid, switch=True)
    return _namespace_account(existing) or _refuse_root(home)


def _refuse_root(folder: Path) -> NoReturn:
    raise InputError(
        f"the server may not run as root, and no other user can enter {folder}: "
        "set VASCODB_HOME to a folder they can enter, such as /var/lib/vascodb"
    )


def _namespace_account(folder: Path) -> ServerAccount | None:
    if shutil.which(NAMESPACE_PREFIX[0]) is None:
        return None
    probe = subprocess.run([*NAMESPACE_PREFIX, "test", "-x", folder], capture_output=True, check=False)
    return ServerAccount("root", 0, 0, prefix=NAMESPACE_PREFIX) if probe.returncode == 0 else None


def _can_enter(uid: int, gid: int, *folders: Path) -> bool:
    # Asking the kernel as that user also honours ACLs and mounts, which mode bits do not show.
    try:
        done = subprocess.run(
            ["sh", "-c", 'for folder; do test -x "$folder" || exit 1; done', "sh", *folders],
            capture_output=True, check=False, cwd="/", user=uid, group=gid, extra_groups=[],
        )  # fmt: skip
    except (PermissionError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _server_environment(home: Path) -> dict[str, str]:
    # PGDATA, PGPORT, PGOPTIONS and the like would redirect the server; the locale comes from initdb.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"HOME": str(home), "LC_ALL": "C.UTF-8"}


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
