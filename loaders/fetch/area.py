"""Fetch all of a catalogue's sources in areas of sky: ask, split what is cut, store what is whole, record all."""

from collections.abc import Callable, Iterable

from mocpy import MOC
from sqlalchemy import Connection, text

from vascodb.bulk import advisory_lock, loading
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.answers import SourceAnswer
from vascodb.loaders.client.ask import Reply, ServiceClient
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.fetch.canary import Canary
from vascodb.loaders.fetch.coverage import add_gap, uncovered
from vascodb.loaders.fetch.evidence import (
    Question,
    record_complete,
    record_endpoints,
    record_failure,
    record_split,
)
from vascodb.loaders.fetch.locks import claimed
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.fetch.units import SKY_SQDEG, Unit, parts
from vascodb.loaders.fetch.workqueue import WorkQueue
from vascodb.loaders.registry import CatalogDefinition
from vascodb.loaders.sources import AreaSource
from vascodb.loaders.store import add_coverage, finish_load, merge_sources

__all__ = ["AreaFetch"]

_TELLING_ROWS = 10
"""Where fewer sources are to be expected, none at all may be chance."""


class AreaFetch:
    """One fetch of one catalogue from one service.

    Parameters
    ----------
    database : `Database`
        Where everything goes.
    client : `ServiceClient`
        The service that is asked.
    definition : `CatalogDefinition`
        The catalogue.
    source : `AreaSource`
        How the service is asked for it.
    survey : `~mocpy.MOC`
        Sky in which the catalogue can say that nothing is there.
    again : bool, optional
        Ask even for what is covered.
    progress : callable, optional
        Called with the totals after each unit.
    """

    def __init__(
        self,
        database: Database,
        client: ServiceClient,
        definition: CatalogDefinition,
        source: AreaSource,
        survey: MOC,
        *,
        again: bool = False,
        progress: Callable[[FetchTotals], None] = lambda _: None,
    ) -> None:
        self._database, self._client, self._definition, self._source = database, client, definition, source
        self._survey, self._again = survey, again
        self._canary = Canary(database, client, definition, source)
        self._queue: WorkQueue[Unit] = WorkQueue(database, progress=progress)

    def run(self, units: Iterable[Unit], workers: int) -> FetchTotals:
        """Do the units; safe to kill at any instant and to run again, also side by side.

        Returns
        -------
        `FetchTotals`
            Failed look-ups are counted there, never raised.
        """
        totals = self._queue.run(units, workers, self._do)
        if totals.complete:
            finish_load(self._database, self._definition.name)
        return totals

    def _do(self, locks: Connection, unit: Unit) -> None:
        with claimed(locks, f"{self._definition.name} {unit.region}") as mine:
            if not mine:
                self._queue.later(unit)
                return
            if self._is_known(locks, unit.wanted.intersection(self._survey)):
                self._queue.count(skipped=1)
                return
            if self._was_split(locks, unit):
                self._split(unit)
                return
            self._ask(unit)

    def _is_known(self, connection: Connection, wanted: MOC) -> bool:
        return not self._again and uncovered(connection, self._definition.name, wanted).empty()

    def _was_split(self, connection: Connection, unit: Unit) -> bool:
        return bool(
            connection.scalar(
                text("""
                    SELECT 1 FROM ref.lookup
                    WHERE catalog = :catalog AND region = :region AND status = 'split' AND service = :service
                    AND row_cap >= :row_cap
                    LIMIT 1
                """),
                {
                    "catalog": self._definition.name,
                    "region": unit.region,
                    "service": self._client.name,
                    "row_cap": self._client.settings.row_cap,
                },
            )
        )

    def _ask(self, unit: Unit) -> None:
        question = Question(
            self._definition.name, "area", self._client.name, unit.region, self._source.parameters(unit.cone)
        )
        try:
            canary_id = self._canary.current()
        except LookupFailure as failure:
            self._fail(unit, question, _unasked(self._client, failure), failure)
            return

        def put(session: EvidenceSession, endpoint: str) -> SourceAnswer:
            answer = self._source.ask_cone(session, endpoint, unit.cone)
            if answer.rows_in == 0:
                self._canary.confirm(session, endpoint)
                # Asked once more, now that the service is known to see: this answer is the evidence.
                answer = self._source.ask_cone(session, endpoint, unit.cone)
            self._refuse_void(answer.rows_in, unit)
            return answer

        reply = self._client.ask(put)
        if reply.failure is None and reply.answer is not None:
            self._store(unit, question, reply, reply.answer, canary_id)
        elif reply.failure is not None and reply.failure.cause.asks_for_less and (smaller := self._parts(unit)):
            with self._database.connect() as connection:
                record_split(connection, question, reply, reply.failure, self._client.settings.row_cap)
                record_endpoints(connection, self._client)
            self._queue.count(split=1)
            self._queue.add(smaller)
        elif reply.failure is not None:
            self._fail(unit, question, reply, reply.failure)

    def _refuse_void(self, rows_in: int, unit: Unit) -> None:
        """A service that sees its canary may still have lost a part of its sky; there is none so empty."""
        surveyed_sqdeg = unit.vouches.intersection(self._survey).sky_fraction * SKY_SQDEG
        fewest = surveyed_sqdeg * (self._definition.fewest_per_sqdeg or 0.0)
        if rows_in < fewest and fewest >= _TELLING_ROWS:
            raise LookupFailure(
                Cause.EMPTY_UNCONFIRMED,
                f"{rows_in} rows for {surveyed_sqdeg:.2g} square degrees, where there are more than {fewest:.0f}",
            )

    def _store(
        self, unit: Unit, question: Question, reply: Reply[SourceAnswer], answer: SourceAnswer, canary_id: int
    ) -> None:
        """Sources, evidence and coverage in one transaction."""
        try:
            with loading(self._database) as connection:
                advisory_lock(connection, f"ref.{self._definition.name}")
                origin = f"{self._client.name}, {unit.region}"
                rows_new = (
                    merge_sources(self._database, connection, self._definition.name, answer.table, origin)
                    if answer.table.num_rows
                    else 0
                )
                lookup_id = record_complete(
                    connection,
                    question,
                    reply,
                    rows_in=answer.rows_in,
                    rows_rejected=answer.rows_in - answer.table.num_rows,
                    row_cap=answer.row_cap,
                    canary_id=canary_id,
                )
                add_coverage(connection, self._definition.name, lookup_id, unit.vouches.intersection(self._survey))
                record_endpoints(connection, self._client)
        except InputError as error:
            self._fail(unit, question, reply, LookupFailure(Cause.CONTRADICTION, str(error)))
            return
        self._queue.count(complete=1, rows=answer.rows_in, rows_new=rows_new)

    def _fail(self, unit: Unit, question: Question, reply: Reply[SourceAnswer], failure: LookupFailure) -> None:
        wanted = unit.wanted.intersection(self._survey)
        with self._database.connect() as connection:
            advisory_lock(connection, f"ref.{self._definition.name}")
            lookup_id = record_failure(connection, question, reply, failure)
            add_gap(connection, self._definition.name, lookup_id, uncovered(connection, self._definition.name, wanted))
            record_endpoints(connection, self._client)
        self._queue.failed(f"{unit.region}: {failure}")

    def _split(self, unit: Unit) -> None:
        self._queue.count(skipped=1)
        self._queue.add(self._parts(unit))

    def _parts(self, unit: Unit) -> list[Unit]:
        """The unit in smaller ones, without those whose sky nobody wants or that lie outside the survey."""
        smaller = parts(unit, self._definition.coverage_margin_arcsec)
        return [part for part in smaller if not part.wanted.intersection(self._survey).empty()]


def _unasked(client: ServiceClient, failure: LookupFailure) -> Reply[SourceAnswer]:
    """What is on record of a question that was not put, because the canary failed."""
    return Reply(None, failure, client.first_endpoint, 1, 0.0, failure.http_status, None, None, client.context)
