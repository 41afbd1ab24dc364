"""Fetch a catalogue's sources near given positions: the list goes out in chunks, every position gets its own answer."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
from mocpy import MOC
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from vascodb.bulk import advisory_lock, loading
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.answers import PositionAnswer, Positions
from vascodb.loaders.client.ask import Reply, ServiceClient
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.fetch.coverage import add_gap, drop_gaps, surveyed, uncovered
from vascodb.loaders.fetch.evidence import (
    Question,
    record_complete,
    record_endpoints,
    record_failure,
    record_split,
)
from vascodb.loaders.fetch.jobs import DatabaseJobs
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.fetch.workqueue import WorkQueue
from vascodb.loaders.registry import CanaryPosition, CatalogDefinition
from vascodb.loaders.sources import ListSource
from vascodb.loaders.sources.lists import WorksByJobs
from vascodb.loaders.store import add_coverage, finish_load, merge_sources
from vascodb.plates.footprint import ORDER, cells

__all__ = ["fetch_positions"]

_SLOW = (Cause.TOO_SLOW, Cause.FIRST_BYTE_TIMEOUT)
"""A service that computes the whole answer before its first byte is silent when it is slow."""
_SLOW_AT_MOST = 4
"""A service that is slow for ever shorter lists is not slow but down."""
_GROW_AFTER = 2
"""Whole answers in a row after which chunks are made twice as long again."""
_CLAIM_ORDER = 3
"""768 cells of 7 degrees: claims are few enough for the database, whatever the list."""


@dataclass(frozen=True)
class _Chunk:
    """A run of the list's positions, which lie near each other: from ``first`` to before ``last``."""

    first: int
    last: int

    @property
    def halves(self) -> tuple["_Chunk", "_Chunk"]:
        middle = (self.first + self.last + 1) // 2
        return _Chunk(self.first, middle), _Chunk(middle, self.last)


def fetch_positions(
    database: Database,
    client: ServiceClient,
    definition: CatalogDefinition,
    source: ListSource,
    positions: Positions,
    progress: Callable[[FetchTotals], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    workers: int | None = None,
    again: bool = False,
) -> FetchTotals:
    """Ask about positions; what is known already is not asked again.

    Each answer covers the cells of order 29 of its positions, and nothing else. Safe to kill at any
    instant and to run again, also side by side: processes that ask about the same sky take turns.

    Parameters
    ----------
    database : `Database`
        Where everything goes.
    client : `ServiceClient`
        The service that is asked.
    definition : `CatalogDefinition`
        The catalogue; its coverage margin is the radius about each position.
    source : `ListSource`
        How the service is asked for it.
    positions : `Positions`
        What is asked about.
    progress : callable, optional
        Called with the totals after each chunk.
    should_stop : callable, optional
        Asked before each chunk whether to stop.
    workers : int, optional
        Chunks under way at once; by default, and at most, as many as the service bears.
    again : bool, optional
        Ask even for what is known.

    Returns
    -------
    `FetchTotals`
        Failed look-ups are counted there, never raised. Positions outside the survey are not asked
        about, only counted: the catalogue does not cover them.

    Raises
    ------
    InputError
        If a position is none, the catalogue has no canary, or its survey's outline is not stored.
    """
    listed = _sorted(positions)
    with database.connect() as connection:
        survey = surveyed(connection, definition)
    if survey is None:
        raise InputError(
            f"the outline of {definition.title} is not stored, so nothing can be missing from it; "
            f"fetch some of its sky first: vascodb fetch-reference {definition.name} --cone RA,DEC,RADIUS"
        )
    within = _in(survey, listed.cell)
    asked = listed.take(within)
    limit = client.settings.connections
    with database.autocommit() as claims:
        fetch = _ListFetch(database, client, definition, source, asked, _Claims(claims, definition.name), again)
        queue: WorkQueue[_Chunk] = WorkQueue(database, progress=progress, should_stop=should_stop)
        queue.totals = FetchTotals(outside=int(np.count_nonzero(~within)))
        totals = queue.run(fetch.chunks(), min(workers or limit, limit), lambda _, chunk: fetch.do(queue, chunk))
    if totals.complete:
        finish_load(database, definition.name)
    return totals


@dataclass(frozen=True)
class _Listed:
    """Positions in the order of their cells, no cell twice."""

    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    cell: NDArray[np.int64]

    def take(self, which: Any) -> "_Listed":
        return _Listed(self.ra_deg[which], self.dec_deg[which], self.cell[which])

    @property
    def sky(self) -> MOC:
        depths = np.full(len(self.cell), ORDER, dtype=np.uint8)
        return MOC.from_healpix_cells(self.cell.astype(np.uint64), depths, max_depth=ORDER)

    @property
    def region(self) -> str:
        """The list in words: the same positions have the same words."""
        digest = sha256(np.ascontiguousarray(self.cell, dtype="<i8").tobytes()).hexdigest()
        return f"{len(self.cell)} positions, sha256 of their cells {digest[:32]}"


def _sorted(positions: Positions) -> _Listed:
    ra, dec = positions.ra_deg, positions.dec_deg
    good = (ra >= 0) & (ra < 360) & (np.abs(dec) <= 90)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise InputError(f"position {positions.row_id[row]} is none: {ra[row]}, {dec[row]} degrees")
    cell, first = np.unique(cells(ra, dec), return_index=True)
    return _Listed(ra[first], dec[first], cell)


def _in(moc: MOC, cell: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which cells of order 29 a MOC holds."""
    ranges = np.asarray(moc.to_depth29_ranges, dtype=np.int64).reshape(-1, 2)
    at = np.searchsorted(ranges[:, 0], cell, side="right") - 1
    inside = at >= 0
    inside[inside] = cell[inside] < ranges[at[inside], 1]
    return inside


class _Claims:
    """Which sky this process asks about, so that others keep off; its own threads share it.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        Outside a transaction; whoever is killed loses its claims with it.
    catalog : str
        Catalogue.
    """

    def __init__(self, connection: Connection, catalog: str) -> None:
        self._connection, self._subject = connection, f"look-up {catalog} list "
        self._lock = threading.Lock()

    @contextmanager
    def over(self, cell: NDArray[np.int64]) -> Iterator[bool]:
        """Try to claim the sky around some cells for as long as the context lasts; yields whether it was free."""
        around = np.unique(cell >> 2 * (ORDER - _CLAIM_ORDER)).tolist()
        with self._lock:
            rows = self._connection.execute(
                text("""
                    SELECT cell, pg_try_advisory_lock(hashtextextended(:subject || cell, 0)) AS got
                    FROM unnest(CAST(:cells AS integer[])) AS cell
                """),
                {"subject": self._subject, "cells": around},
            ).all()
        got = [row.cell for row in rows if row.got]
        try:
            if len(got) < len(around):
                self._release(got)
                got = []
                yield False
            else:
                yield True
        finally:
            self._release(got)

    def _release(self, around: list[int]) -> None:
        with self._lock:
            self._connection.execute(
                text("""
                    SELECT pg_advisory_unlock(hashtextextended(:subject || cell, 0))
                    FROM unnest(CAST(:cells AS integer[])) AS cell
                """),
                {"subject": self._subject, "cells": around},
            )


class _ListFetch:
    """Puts questions, and stores what comes of them."""

    def __init__(
        self,
        database: Database,
        client: ServiceClient,
        definition: CatalogDefinition,
        source: ListSource,
        listed: _Listed,
        claims: _Claims,
        again: bool,
    ) -> None:
        if definition.canary is None:
            raise InputError(
                f"{definition.name} has no canary, a position where it surely has a source; "
                "without one no answer can be believed"
            )
        self._canary: CanaryPosition = definition.canary
        self._database, self._client, self._definition = database, client, definition
        self._source = (
            source.with_jobs(DatabaseJobs(database, client.name)) if isinstance(source, WorksByJobs) else source
        )
        self._listed, self._claims, self._again = listed, claims, again
        self._lock = threading.Lock()
        self._longest = max(1, client.settings.list_rows - (3 if self._canary.empty else 2))
        self._length = self._longest
        self._whole_in_a_row = 0
        self._slow_in_a_row = 0

    def chunks(self) -> list[_Chunk]:
        """The whole list, in chunks as long as the service takes them."""
        n = len(self._listed.cell)
        return [_Chunk(first, min(first + self._longest, n)) for first in range(0, n, self._longest)]

    def do(self, queue: WorkQueue[_Chunk], chunk: _Chunk) -> None:
        if chunk.last - chunk.first > self._length:
            queue.add(chunk.halves)
            queue.count(skipped=1)
            return
        listed = self._listed.take(slice(chunk.first, chunk.last))
        with self._claims.over(listed.cell) as mine:
            if not mine:
                queue.later(chunk)
                return
            with self._database.connect() as connection:
                if not self._again:
                    listed = listed.take(_in(uncovered(connection, self._definition.name, listed.sky), listed.cell))
                was_split = len(listed.cell) > 1 and self._was_split(connection, listed.region)
            if len(listed.cell) == 0:
                queue.count(skipped=1)
            elif was_split:
                queue.add(chunk.halves)
                queue.count(skipped=1)
            else:
                self._ask(queue, chunk, listed)

    def _was_split(self, connection: Connection, region: str) -> bool:
        """Whether an earlier fetch has seen that this very list is too much for one answer."""
        return bool(
            connection.scalar(
                text("""
                    SELECT EXISTS (
                        SELECT 1 FROM ref.lookup
                        WHERE catalog = :catalog AND region = :region AND status = 'split' AND service = :service
                        AND cause = ANY (:causes) AND row_cap >= :row_cap
                    )
                """),
                {
                    "catalog": self._definition.name,
                    "region": region,
                    "service": self._client.name,
                    "causes": [cause.value for cause in Cause if cause.asks_for_less],
                    "row_cap": self._client.settings.row_cap,
                },
            )
        )

    def _ask(self, queue: WorkQueue[_Chunk], chunk: _Chunk, listed: _Listed) -> None:
        radius_arcsec = self._definition.list_radius_arcsec
        positions = self._with_canaries(listed)
        question = Question(
            self._definition.name,
            "list",
            self._client.name,
            listed.region,
            self._source.parameters(positions, radius_arcsec),
        )

        def put(session: EvidenceSession, endpoint: str) -> PositionAnswer:
            answer = self._source.ask_positions(session, endpoint, positions, radius_arcsec)
            self._refuse_wrong_canaries(answer, len(listed.cell))
            return answer

        reply = self._client.ask(put)
        if reply.answer is not None:
            self._store(queue, listed, question, reply, reply.answer)
        elif reply.failure is not None and self._asks_for_less(reply.failure, len(listed.cell)):
            self._split(queue, chunk, question, reply, reply.failure)
        elif reply.failure is not None:
            self._fail(queue, listed, question, reply, reply.failure)

    def _with_canaries(self, listed: _Listed) -> Positions:
        """The positions, numbered from 1, with the known one before and behind: what is cut off, it shows.

        The known-empty one is last but one, if there is any. Its number, and those of the others, follow on.
        """
        known, empty = self._canary, self._canary.empty
        behind = ([(empty.ra, empty.dec)] if empty else []) + [(known.ra, known.dec)]
        ra_deg = np.concatenate([[known.ra], listed.ra_deg, [ra for ra, _ in behind]])
        dec_deg = np.concatenate([[known.dec], listed.dec_deg, [dec for _, dec in behind]])
        return Positions(np.arange(len(ra_deg), dtype=np.int64), ra_deg, dec_deg)

    def _refuse_wrong_canaries(self, answer: PositionAnswer, n_positions: int) -> None:
        """The known position must have sources, the same before and behind the list; the empty one none."""
        last = n_positions + (2 if self._canary.empty else 1)
        ids = answer.table["source_id"].to_numpy()
        before, behind = (set(ids[answer.row_ids == number].tolist()) for number in (0, last))
        at = f"{self._canary.ra} {self._canary.dec:+}"
        if not before or not behind:
            raise LookupFailure(Cause.CANARY, f"no row at {at}, where a source is known")
        if before != behind:
            raise LookupFailure(Cause.CANARY, f"{len(before)} and {len(behind)} sources for the same position {at}")
        if self._canary.empty and (n_rows := int(np.count_nonzero(answer.row_ids == n_positions + 1))):
            empty = self._canary.empty
            raise LookupFailure(Cause.CANARY, f"{n_rows} rows at {empty.ra} {empty.dec:+}, where there is no source")

    def _asks_for_less(self, failure: LookupFailure, n_positions: int) -> bool:
        if n_positions < 2:
            return False
        if failure.cause in _SLOW:
            with self._lock:
                self._slow_in_a_row += 1
                return self._slow_in_a_row <= _SLOW_AT_MOST
        return failure.cause.asks_for_less

    def _split(
        self,
        queue: WorkQueue[_Chunk],
        chunk: _Chunk,
        question: Question,
        reply: Reply[PositionAnswer],
        failure: LookupFailure,
    ) -> None:
        with self._database.connect() as connection:
            record_split(connection, question, reply, failure, self._client.settings.row_cap)
            record_endpoints(connection, self._client)
        with self._lock:
            self._length = max(1, (chunk.last - chunk.first + 1) // 2)
            self._whole_in_a_row = 0
        queue.add(chunk.halves)
        queue.count(split=1)

    def _store(
        self,
        queue: WorkQueue[_Chunk],
        listed: _Listed,
        question: Question,
        reply: Reply[PositionAnswer],
        answer: PositionAnswer,
    ) -> None:
        """Sources, evidence and coverage in one transaction."""
        catalog = self._definition.name
        n_positions = len(listed.cell)
        about_list = (answer.row_ids >= 1) & (answer.row_ids <= n_positions)
        # A source near two positions came twice.
        first = np.unique(answer.table["source_id"].to_numpy()[about_list], return_index=True)[1]
        table = answer.table.take(pa.array(np.flatnonzero(about_list)[np.sort(first)]))
        try:
            with loading(self._database) as connection:
                advisory_lock(connection, f"ref.{catalog}")
                origin = f"{self._client.name}, {listed.region}"
                rows_new = merge_sources(self._database, connection, catalog, table, origin) if table.num_rows else 0
                canary_id = self._record_canary(connection, question, reply, int(np.count_nonzero(~about_list)))
                lookup_id = record_complete(
                    connection,
                    question,
                    reply,
                    rows_in=answer.rows_in,
                    rows_rejected=answer.rows_in - table.num_rows,
                    row_cap=answer.row_cap,
                    canary_id=canary_id,
                )
                surveyed_ones = self._surveyed(listed, answer)
                add_coverage(connection, catalog, lookup_id, surveyed_ones.sky)
                # Where the survey did not look, nothing failed either: nobody has to ask there again.
                drop_gaps(connection, catalog, listed.sky)
                record_endpoints(connection, self._client)
        except InputError as error:
            self._fail(queue, listed, question, reply, LookupFailure(Cause.CONTRADICTION, str(error)))
            return
        with self._lock:
            self._slow_in_a_row = 0
            self._whole_in_a_row += 1
            if self._whole_in_a_row >= _GROW_AFTER:
                self._length, self._whole_in_a_row = min(self._longest, 2 * self._length), 0
        n_outside = n_positions - len(surveyed_ones.cell)
        queue.count(complete=1, rows=answer.rows_in, rows_new=rows_new, outside=n_outside)

    def _surveyed(self, listed: _Listed, answer: PositionAnswer) -> _Listed:
        """The positions where the survey looked: all, or those near which it has any source at all."""
        if self._definition.witness_radius_arcsec is None:
            return listed
        return listed.take(np.isin(np.arange(1, len(listed.cell) + 1), answer.row_ids))

    def _record_canary(
        self, connection: Connection, question: Question, reply: Reply[PositionAnswer], rows_in: int
    ) -> int:
        """The canary went out with the list, so its evidence is the same answer."""
        parameters = self._canary.model_dump() | {"sent_with": question.region}
        canary = replace(question, kind="canary", region=f"canary with {question.region}", parameters=parameters)
        return record_complete(connection, canary, reply, rows_in=rows_in, row_cap=None, canary_id=None)

    def _fail(
        self,
        queue: WorkQueue[_Chunk],
        listed: _Listed,
        question: Question,
        reply: Reply[PositionAnswer],
        failure: LookupFailure,
    ) -> None:
        catalog = self._definition.name
        with self._database.connect() as connection:
            advisory_lock(connection, f"ref.{catalog}")
            lookup_id = record_failure(connection, question, reply, failure)
            add_gap(connection, catalog, lookup_id, uncovered(connection, catalog, listed.sky))
            record_endpoints(connection, self._client)
        queue.failed(f"{question.region}: {failure}")
