"""Threads that an interruption does not wait for."""

import threading
from collections.abc import Callable

__all__ = ["run_threads"]

_LOOK_UP_S = 0.2


def run_threads(work: Callable[[], None], n_threads: int, stop: Callable[[], None]) -> None:
    """Run the same work in some threads until all have ended.

    The threads are daemons: when the caller is interrupted it goes on at once, and what they had
    under way ends with the process; their transactions are rolled back.

    Parameters
    ----------
    work : callable
        What each thread runs.
    n_threads : int
        How many.
    stop : callable
        Called once if a thread fails or the caller is interrupted; must make the others return.

    Raises
    ------
    BaseException
        The first one that a thread raised.
    """
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
            stop()

    threads = [threading.Thread(target=guarded, daemon=True, name=f"fetch-{i}") for i in range(n_threads)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_LOOK_UP_S)
    except BaseException:
        stop()
        raise
    if errors:
        raise errors[0]
