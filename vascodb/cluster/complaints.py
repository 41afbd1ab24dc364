"""What users are told when the private database cannot be made or started, in one line each."""

import errno
import re
from pathlib import Path

from vascodb.errors import InputError, ServiceError, VascodbError

__all__ = ["cannot_use_home", "server_failed"]

# Lines of initdb and the server that carry a cause; the first one printed is the root of the others.
COMPLAINT = re.compile(r"(?:FATAL: *|PANIC: *|error: *|LOG: +(?=invalid |unrecognized |syntax |parameter ))(.+)")

DISK_FULL = "No space left on device"


def cannot_use_home(home: Path, error: OSError) -> VascodbError:
    """Return the error for a home folder in which a file cannot be made or read."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _disk_full(home)
    return InputError(f"cannot write to {home} ({error.strerror}): set VASCODB_HOME to a folder you can write to")


def server_failed(what: str, home: Path, printed: str, log_path: Path) -> VascodbError:
    """Return the error for a program of PostgreSQL that failed.

    Parameters
    ----------
    what : str
        What could not be done.
    home : `~pathlib.Path`
        Home folder.
    printed : str
        All the program printed.
    log_path : `~pathlib.Path`
        Where to read more.

    Returns
    -------
    VascodbError
        With the program's own first complaint.
    """
    if DISK_FULL in printed:
        return _disk_full(home)
    complaint = COMPLAINT.search(printed)
    reason = complaint[1] if complaint else (printed.strip().splitlines() or ["it printed nothing"])[-1]
    return ServiceError(f"{what}: {reason.strip()} (log: {log_path})")


def _disk_full(home: Path) -> ServiceError:
    return ServiceError(f"the disk of {home} is full: free some space and run the same command again")
