"""The lock files a server leaves behind: whose they are, and when they are in the way."""

import time
from contextlib import suppress
from pathlib import Path

__all__ = ["discard_stale", "postmaster_pid"]


def postmaster_pid(database_dir: Path) -> int | None:
    """Return the process number of the server running on ``database_dir``, or None.

    A number in ``postmaster.pid`` is not believed by itself: after a crash it may by now be the
    number of any other process, which must neither be waited for nor be signalled.
    """
    pid = _recorded_pid(database_dir / "postmaster.pid")
    return pid if pid is not None and _serves(pid, database_dir) else None


def discard_stale(lock_file: Path, database_dir: Path) -> None:
    """Remove a lock file that names a living process other than our server, or none at all.

    PostgreSQL itself clears away a file whose process is dead, but refuses to start while any process
    of the same user has the recorded number, and while the file is empty. Its check for processes
    that still share the old server's memory does not depend on this file.

    Parameters
    ----------
    lock_file : `~pathlib.Path`
        ``postmaster.pid``, or the lock file beside the socket.
    database_dir : `~pathlib.Path`
        Data folder of the server.
    """
    if not lock_file.exists():
        return
    pid = _recorded_pid(lock_file)
    if pid is None:
        time.sleep(0.2)  # a server that is just starting has made the file and not written it yet
        pid = _recorded_pid(lock_file)
    if pid is None or not _serves(pid, database_dir):
        lock_file.unlink(missing_ok=True)


def _recorded_pid(lock_file: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        return abs(int(lock_file.read_text(errors="replace").splitlines()[0]))
    return None


def _serves(pid: int, database_dir: Path) -> bool:
    # The command line is readable for everybody, unlike /proc/<pid>/cwd in a container.
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(database_dir).encode() in arguments
