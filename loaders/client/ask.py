"""Ask a service until it answers: mirrors in turn, pauses between attempts, and a record of how it went."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import stamina

from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.limits import Limiter
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.client.session import EvidenceSession

__all__ = ["Reply", "ServiceClient"]

T = TypeVar("T")
log = logging.getLogger(__name__)
# Attempts are on record in the database; on the terminal only those see them who ask with -v.
stamina.instrumentation.set_on_retry_hooks([])
_LONGEST_WISH_S = 600.0
"""Services that want to be left alone for longer are given up for this time."""


@dataclass(frozen=True)
class Reply(Generic[T]):
    """What came of a question.

    Parameters
    ----------
    answer : object or None
        What the question returned; none if it failed.
    failure : `LookupFailure` or None
        Why it failed for good.
    endpoint : str
        Address of the last attempt.
    attempts : int
        How often it was tried.
    seconds : float
        How long that took, pauses included.
    http_status, response_sha256, response_bytes : int, str, int or None
        Of the last exchange.
    context : mapping
        Settings in effect that are not as shipped.
    """

    answer: T | None
    failure: LookupFailure | None
    endpoint: str
    attempts: int
    seconds: float
    http_status: int | None
    response_sha256: str | None
    response_bytes: int | None
    context: Mapping[str, Any] = field(default_factory=dict)


class ServiceClient:
    """Asks one service. Any number of threads may share one client.

    Parameters
    ----------
    name : str
        The service's name in the settings.
    settings : `ServiceSettings`
        Addresses, limits and manners.
    preferred : iterable of str, optional
        Addresses in the order in which they answered well lately; they are asked first.
    context : mapping, optional
        Settings in effect that are not as shipped, for the record of every look-up.
    """

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        preferred: Iterable[str] = (),
        context: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.context = context or {}
        known = [endpoint for endpoint in preferred if endpoint in settings.endpoints]
        self._endpoints = [*known, *(e for e in settings.endpoints if e not in known)]
        self._limiters = {e: Limiter(settings.per_second, settings.connections) for e in settings.endpoints}
        self._lock = threading.Lock()
        self._outcomes: list[tuple[str, Cause | None]] = []

    def ask(self, question: Callable[[EvidenceSession, str], T], attempts: int | None = None) -> Reply[T]:
        """Put a question until it is answered, or until it is clear that it will not be.

        Parameters
        ----------
        question : callable
            Takes a session and an address; asks, checks and parses. It raises `LookupFailure`
            for anything but a whole, sound answer.
        attempts : int, optional
            Instead of the settings' number.

        Returns
        -------
        `Reply`
            Never raises for a failed look-up.
        """
        started = time.monotonic()
        tried: list[str] = []
        last: EvidenceSession | None = None
        failure: LookupFailure | None = None
        answer: T | None = None
        try:
            for attempt in stamina.retry_context(
                on=lambda error: self._pause_s(error, tried),
                attempts=attempts or max(self.settings.attempts, len(self._endpoints)),
                timeout=None,
                wait_initial=self.settings.backoff_s,
                wait_max=self.settings.max_backoff_s,
                wait_jitter=self.settings.backoff_s if self.settings.jitter_s is None else self.settings.jitter_s,
            ):
                with attempt:
                    endpoint = self.first_endpoint
                    tried.append(endpoint)
                    with EvidenceSession(self.settings, self._limiters[endpoint]) as last:
                        answer = self._put(question, last, endpoint)
        except LookupFailure as final:
            failure = final
        exchange = last.last if last is not None and last.exchanges else None
        return Reply(
            answer=answer,
            failure=failure,
            endpoint=tried[-1],
            attempts=len(tried),
            seconds=time.monotonic() - started,
            http_status=exchange.http_status if exchange else None,
            response_sha256=exchange.body_sha256 if exchange else None,
            response_bytes=exchange.n_bytes if exchange else None,
            context=self.context,
        )

    def take_outcomes(self) -> list[tuple[str, Cause | None]]:
        """Each attempt's address and how it ended (none: well) since the last call, oldest first."""
        with self._lock:
            taken, self._outcomes = self._outcomes, []
        return taken

    def _put(self, question: Callable[[EvidenceSession, str], T], session: EvidenceSession, endpoint: str) -> T:
        try:
            answer = question(session, endpoint)
        except LookupFailure as failure:
            log.info("%s: %s", endpoint, failure)
            if failure.retry_after_s:
                self._limiters[endpoint].pause(min(failure.retry_after_s, _LONGEST_WISH_S))
            with self._lock:
                # Who says that there is too much is in order.
                self._outcomes.append((endpoint, None if failure.cause.asks_for_less else failure.cause))
                if failure.cause.is_worth_retrying and len(self._endpoints) > 1 and self._endpoints[0] == endpoint:
                    self._endpoints.append(self._endpoints.pop(0))
            raise
        with self._lock:
            self._outcomes.append((endpoint, None))
            self._endpoints.remove(endpoint)
            self._endpoints.insert(0, endpoint)
        return answer

    @property
    def first_endpoint(self) -> str:
        """The mirror that answered last; a failure moves it to the end of the list."""
        with self._lock:
            return self._endpoints[0]

    def _pause_s(self, error: Exception, tried: list[str]) -> bool | float:
        """Whether to try again, and when if the service said so."""
        if not isinstance(error, LookupFailure) or not error.cause.is_worth_retrying:
            return False
        if error.cause is Cause.HTTP_ERROR:
            # Who refuses a query does so again; another may take it.
            return len(set(tried)) < len(self._endpoints)
        if error.retry_after_s is not None and len(self._endpoints) == 1:
            return min(error.retry_after_s, _LONGEST_WISH_S)
        return True
