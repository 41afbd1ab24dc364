"""Manners: no service gets more questions at once, or per second, than it bears."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Limiter"]


class Limiter:
    """Spaces out questions to one service; all threads share one.

    Parameters
    ----------
    per_second : float
        Most questions begun per second.
    connections : int
        Most questions under way at once.
    clock, sleep : callable, optional
        Of seconds; tests put in their own.
    """

    def __init__(
        self,
        per_second: float,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval_s = 1.0 / per_second
        self._connections = threading.BoundedSemaphore(connections)
        self._turn = threading.Lock()
        self._next = self._not_before = clock()
        self._clock, self._sleep = clock, sleep

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn, and hold a connection until the context ends."""
        with self._connections:
            while not self._wait():
                pass
            yield

    def pause(self, seconds: float) -> None:
        """Let nobody begin before so many seconds have passed, because the service asked for it."""
        with self._turn:
            self._not_before = max(self._not_before, self._clock() + seconds)
            self._next = max(self._next, self._not_before)

    def _wait(self) -> bool:
        """Take a place in the queue and wait for it; not so if a pause was asked for meanwhile."""
        with self._turn:
            start = max(self._next, self._clock())
            self._next = start + self._interval_s
        self._sleep(max(0.0, start - self._clock()))
        with self._turn:
            return start >= self._not_before
