"""The units of work of a fetch, and the threads that do them."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Generic, TypeVar

from sqlalchemy import Connection

from vascodb.db import Database
from vascodb.loaders.fetch.threads import run_threads
from vascodb.loaders.fetch.totals import FetchTotals

__all__ = ["WorkQueue"]

T = TypeVar("T")
_GIVE_UP_AFTER = 3
"""So many units failing one after the other, whatever the attempts: the service is down for now."""
_WAIT_FOR_OTHERS_S = 0.5


class WorkQueue(Generic[T]):
    """Units of work, done by some threads until there are none left or there is no use in going on.

    Parameters
    ----------
    database : `Database`
        Each thread gets a connection of its own, outside a transaction, for claims.
    progress : callable, optional
        Called with the totals after each change.
    should_stop : callable, optional
        Asked before each unit whether to stop.
    """

    def __init__(
        self,
        database: Database,
        *,
        progress: Callable[[FetchTotals], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database, self._progress, self._should_stop = database, progress, should_stop
        self._units: deque[T] = deque()
        self._busy = 0
        self._failures_in_a_row = 0
        self._passed_over = 0
        self._state = threading.Condition()
        self._stopped = threading.Event()
        self.totals = FetchTotals()

    def run(self, units: Iterable[T], workers: int, do: Callable[[Connection, T], None]) -> FetchTotals:
        """Do the units; returns the totals.

        Parameters
        ----------
        units : iterable
            What there is to do.
        workers : int
            Number of threads.
        do : callable
            Does one unit, and says with `count`, `failed`, `add` or `later` how that went.
        """
        self._units.extend(units)
        self.totals = replace(self.totals, planned=self.totals.planned + len(self._units))

        def work() -> None:
            with self._database.autocommit() as claims:
                while (unit := self._next()) is not None:
                    try:
                        do(claims, unit)
                    finally:
                        with self._state:
                            self._busy -= 1
                            self._state.notify_all()

        run_threads(work, workers, self._stop)
        return self.totals

    def count(self, failure: str | None = None, **more: int) -> None:
        """Count what became of a unit; a complete one shows that the service is up."""
        with self._state:
            self._passed_over = 0
            if more.get("complete"):
                self._failures_in_a_row = 0
            self.totals = self.totals.plus(failure, **more)
            self._progress(self.totals)

    def failed(self, what: str) -> None:
        """Count a unit that failed for good; after some in a row the rest is given up."""
        self.count(what, failed=1)
        with self._state:
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= _GIVE_UP_AFTER and not self._stopped.is_set():
                self.totals = replace(self.totals, given_up=len(self._units))
                self._stop()

    def add(self, units: Iterable[T]) -> None:
        """Do further units next, such as the parts of one that was split."""
        further = list(units)
        with self._state:
            self._units.extendleft(reversed(further))
            self.totals = replace(self.totals, planned=self.totals.planned + len(further))
            self._state.notify_all()

    def later(self, unit: T) -> None:
        """Come back to a unit when another process, which is at it, is done or gone."""
        with self._state:
            self._units.append(unit)
            self._passed_over += 1
            others_have_all = self._passed_over >= len(self._units)
            self._state.notify_all()
        if others_have_all:
            self._stopped.wait(_WAIT_FOR_OTHERS_S)

    def _next(self) -> T | None:
        with self._state:
            while not self._stopped.is_set() and not self._should_stop():
                if self._units:
                    self._busy += 1
                    return self._units.popleft()
                if not self._busy:
                    return None
                self._state.wait(_WAIT_FOR_OTHERS_S)
        return None

    def _stop(self) -> None:
        with self._state:
            self._stopped.set()
            self._state.notify_all()
