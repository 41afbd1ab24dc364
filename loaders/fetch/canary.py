"""Canaries: positions whose answer is known, asked beside the real questions.

A service that is up but sees nothing answers every question properly, with no rows. Only a source
that must be there tells it from an empty sky.
"""

import threading
import time

from sqlalchemy import text

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.fetch.evidence import Question, record_complete, record_failure
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import CatalogDefinition
from vascodb.loaders.sources import AreaSource

__all__ = ["Canary"]

_GOOD_FOR_S = 600.0
_CONTROL_OFFSET_DEG = 10.0 / 3600.0
_CONTROL_RADIUS_DEG = 0.01 / 3600.0


class Canary:
    """Vouches for one catalogue at one service; shared by all threads of a fetch.

    Two questions make one canary: the cone about a source that must come back, and a cone of
    0.01 arcsec, 10 arcsec beside it, that must come back properly empty.

    Parameters
    ----------
    database : `Database`
        Where its evidence goes.
    client : `ServiceClient`
        The service.
    definition : `CatalogDefinition`
        The catalogue; its ``canary`` names the source.
    source : `AreaSource`
        How to ask.
    """

    def __init__(
        self, database: Database, client: ServiceClient, definition: CatalogDefinition, source: AreaSource
    ) -> None:
        if definition.canary is None:
            raise InputError(
                f"{definition.name} has no canary, a position where it surely has a source; without one no answer "
                f"can be believed; give it in the settings file: [catalogs.{definition.name}] "
                "canary = {ra = …, dec = …, radius_arcsec = …}"
            )
        at = definition.canary
        self._known = Cone(at.ra, at.dec, at.radius_arcsec / 3600.0)
        beside = at.dec + (_CONTROL_OFFSET_DEG if at.dec < 0 else -_CONTROL_OFFSET_DEG)
        self._empty = Cone(at.ra, beside, _CONTROL_RADIUS_DEG)
        self._database, self._client, self._definition, self._source = database, client, definition, source
        self._lock = threading.Lock()
        self._asked_at = 0.0
        self._lookup_id: int | None = None

    def current(self) -> int:
        """The id of a canary that came back right within the last ten minutes.

        Raises
        ------
        LookupFailure
            If it has to be asked, and does not.
        """
        with self._lock:
            if self._lookup_id is None or time.monotonic() - self._asked_at > _GOOD_FOR_S:
                self._lookup_id = None
                self._asked_at = time.monotonic()
                self._lookup_id = self._ask()
            return self._lookup_id

    def confirm(self, session: EvidenceSession, endpoint: str) -> None:
        """Make sure that an address which sees nothing somewhere sees what is known.

        Raises
        ------
        LookupFailure
            If it does not; then its empty answer says nothing.
        """
        try:
            self._both(session, endpoint)
        except LookupFailure as failure:
            raise LookupFailure(
                Cause.EMPTY_UNCONFIRMED, f"no rows, and the canary failed: {failure}", failure.http_status
            ) from failure

    def _ask(self) -> int:
        question = Question(
            self._definition.name,
            "canary",
            self._client.name,
            self._known.description,
            {"known": self._source.parameters(self._known), "empty": self._source.parameters(self._empty)},
        )
        reply = self._client.ask(self._both)
        with self._database.connect() as connection:
            if reply.failure is not None:
                record_failure(connection, question, reply, reply.failure)
            else:
                lookup_id = record_complete(
                    connection, question, reply, rows_in=reply.answer or 0, row_cap=None, canary_id=None
                )
                connection.execute(
                    text("UPDATE ref.lookup SET asked_at = clock_timestamp() WHERE lookup_id = :id"), {"id": lookup_id}
                )
        if reply.failure is not None:
            raise LookupFailure(reply.failure.cause, f"canary: {reply.failure.detail}", reply.http_status)
        return lookup_id

    def _both(self, session: EvidenceSession, endpoint: str) -> int:
        empty = self._source.ask_cone(session, endpoint, self._empty)
        if empty.rows_in:
            raise LookupFailure(Cause.CANARY, f"{empty.rows_in} rows in a circle of 0.01 arcsec that is empty")
        # Asked last, so that the evidence kept is of the answer that shows something.
        known = self._source.ask_cone(session, endpoint, self._known)
        if not known.rows_in:
            raise LookupFailure(Cause.CANARY, f"no row where a source is known: {self._known.description}")
        return known.rows_in
