"""Folders for working files that go away with the work, also with work that was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vascodb.errors import InputError

__all__ = ["working_folder"]

_PREFIX = "ingest-"


@contextmanager
def working_folder(work_dir: Path) -> Iterator[Path]:
    """Make a folder for working files, and remove it at the end.

    Whoever works in a folder holds a lock on it, which the kernel lets go when the process ends in
    any way. Folders that nobody holds were left by killed processes and are removed here.

    Parameters
    ----------
    work_dir : `~pathlib.Path`
        Where to make it; made if needed.

    Yields
    ------
    `~pathlib.Path`

    Raises
    ------
    InputError
        If it cannot be made.
    """
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        with _locked(work_dir, wait=True):
            _remove_abandoned(work_dir)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=work_dir))
            lock = _lock(folder, wait=False)
    except OSError as error:
        raise InputError(
            f"{work_dir}: no working files can be made there: {error.strerror}; "
            "mend that, or set VASCODB_HOME to another folder"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(work_dir: Path) -> None:
    for folder in work_dir.glob(f"{_PREFIX}*"):
        try:
            with _locked(folder, wait=False):
                shutil.rmtree(folder, ignore_errors=True)
        except (BlockingIOError, FileNotFoundError, NotADirectoryError, PermissionError):
            # In use, gone since, or another user's.
            continue


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[None]:
    lock = _lock(folder, wait=wait)
    try:
        yield
    finally:
        os.close(lock)


def _lock(folder: Path, *, wait: bool) -> int:
    """Lock a folder until the returned descriptor is closed; raises `BlockingIOError` where another has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
