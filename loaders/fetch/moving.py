"""Look for moving objects over images, each at the middle of its own exposure."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.coordinates import get_sun
from astropy.time import Time
from mocpy import MOC
from sqlalchemy import Connection, text

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.answers import SourceAnswer
from vascodb.loaders.client.ask import Reply, ServiceClient
from vascodb.loaders.client.failure import LookupFailure
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.fetch.canary import Canary
from vascodb.loaders.fetch.evidence import Question, record_complete, record_endpoints, record_failure
from vascodb.loaders.fetch.locks import claimed
from vascodb.loaders.fetch.reach import stage_rim_arcsec
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.fetch.units import units_for
from vascodb.loaders.fetch.workqueue import WorkQueue
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import CanaryPosition, CatalogDefinition
from vascodb.loaders.sources.skybot import PALOMAR, MovingAnswer, SkybotSource
from vascodb.loaders.tables import CORE_SCHEMA
from vascodb.plates.footprint import ORDER
from vascodb.plates.times import solve_plate_times

__all__ = ["Look", "add_objects", "fetch_moving", "find_times", "plan_moving"]

_CANARY_RADIUS_DEG = 2.0
_INSTANTS = {"corrected": "mid", "literal": "start"}
"""What is asked for under a reading of the plate's time. The seeds took the start, as the header writes it."""
_JD_DECIMALS = 6
"""A tenth of a second, in which nothing moves."""


@dataclass(frozen=True)
class Look:
    """One question: what moved in a cone over an image, at one time.

    Parameters
    ----------
    image_id : int
        Image.
    cone : `Cone`
        What is asked for; holds the part of the image that it is for, and about it the catalogue's margin and what
        stages search beyond the match radius.
    epoch_jd : float
        Middle of the image's exposure by all evidence, or its start as the header writes it; Julian date in UTC.
    observer : str
        IAU code of the observatory.
    """

    image_id: int
    cone: Cone
    epoch_jd: float
    observer: str

    @property
    def region(self) -> str:
        """The look in words: its name in evidence and locks."""
        return f"{self.cone.description} at JD {self.epoch_jd:.6f} from {self.observer}, image {self.image_id}"


def plan_moving(
    connection: Connection,
    definition: CatalogDefinition,
    image_ids: Collection[int],
    max_radius_deg: float,
    observer: str = PALOMAR,
    reading: str = "corrected",
) -> list[Look]:
    """The cones that cover some images, each with the catalogue's margin and as far about it as stages search.

    An image that fits in one cone is asked for with one, about its middle. For a larger one every
    HEALPix cell that its footprint touches is asked for, to the corners of the cell; no position is
    ever averaged, so 0h and the poles are nothing special. The time is the middle of the exposure by all
    evidence; an image whose time is in conflict or not known is not asked for, and its detections stay unknown.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        To an initialised database.
    definition : `CatalogDefinition`
        The catalogue of moving objects; its margin holds the match radius and half of a trail.
    image_ids : collection of int
        Images, which are stored and not refused.
    max_radius_deg : float
        Widest cone that the service is asked for.
    observer : str, optional
        IAU code of the observatory.
    reading : str, optional
        Of the plate's time: corrected, or literal as the seeds have it, whose answers count for their profiles alone.

    Raises
    ------
    InputError
        If an image is not there, or was refused.
    """
    find_times(connection, image_ids)
    images = connection.execute(
        text("""
            SELECT
                i.image_id, i.ra, i.dec, i.radius_deg, k.mid_jd,
                array_agg(lower(r)) AS low, array_agg(upper(r)) AS high
            FROM plate.image AS i
            CROSS JOIN LATERAL plate.moment_of(i.image_id, :reading, :instant) AS k
            CROSS JOIN unnest(i.footprint) AS r
            WHERE i.image_id = ANY (:ids) AND i.status = 'ok'
            GROUP BY i.image_id, k.mid_jd
            ORDER BY k.mid_jd, i.image_id
        """),
        {"ids": list(image_ids), "reading": reading, "instant": _INSTANTS[reading]},
    ).all()
    if missing := set(image_ids) - {image.image_id for image in images}:
        raise InputError(
            f"image {min(missing)} is not stored, or was refused ({len(missing)} images in all); "
            "ingest it first: vascodb ingest-tile FILE"
        )
    margin_arcsec = definition.coverage_margin_arcsec + stage_rim_arcsec(connection, definition.name)
    looks = []
    for image in images:
        if image.mid_jd is None:
            # Never a guess: what moves is asked for at the right time or not at all.
            continue
        footprint = MOC.from_depth29_ranges(
            max_depth=ORDER, ranges=np.array([image.low, image.high], dtype=np.uint64).T.copy()
        )
        units = units_for(Cone(image.ra, image.dec, image.radius_deg), footprint, margin_arcsec, max_radius_deg)
        epoch_jd = round(image.mid_jd, _JD_DECIMALS)
        looks += [Look(image.image_id, unit.cone, epoch_jd, observer) for unit in units]
    return looks


def find_times(connection: Connection, image_ids: Collection[int]) -> None:
    """Find out when images were exposed, if nobody has for one of them: a header that came later may tell."""
    if connection.scalar(
        text("""
            SELECT EXISTS (
                SELECT 1 FROM plate.image AS i
                WHERE i.image_id = ANY (:ids) AND NOT EXISTS (
                    SELECT 1 FROM plate.exposure_time AS t
                    WHERE t.plate_id = i.plate_id AND t.source = 'solution' AND t.reading = 'corrected'
                )
            )
        """),
        {"ids": list(image_ids)},
    ):
        solve_plate_times(connection)


def fetch_moving(
    database: Database,
    client: ServiceClient,
    definition: CatalogDefinition,
    image_ids: Collection[int],
    progress: Callable[[FetchTotals], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    workers: int | None = None,
    observer: str = PALOMAR,
    reading: str = "corrected",
    again: bool = False,
) -> FetchTotals:
    """Look for moving objects over images; what is known already is not asked for again.

    Safe to kill at any instant and to run again, also side by side.

    Parameters
    ----------
    database : `Database`
        Where everything goes.
    client : `ServiceClient`
        The service.
    definition : `CatalogDefinition`
        The catalogue of moving objects.
    image_ids : collection of int
        Images.
    progress : callable, optional
        Called with the totals after each look-up.
    should_stop : callable, optional
        Asked before each look-up whether to stop.
    workers : int, optional
        Questions under way at once; by default, and at most, as many as the service bears.
    observer : str, optional
        IAU code of the observatory from where objects are seen; its parallax is up to 9 arcsec at 1 au.
    reading : str, optional
        Of the plates' times; see `plan_moving`.
    again : bool, optional
        Ask even for what is known.

    Returns
    -------
    `FetchTotals`
        Failed look-ups are counted there, never raised.
    """
    with database.connect() as connection:
        looks = plan_moving(connection, definition, image_ids, client.settings.max_radius_deg, observer, reading)
    limit = client.settings.connections
    fetch = _MovingFetch(database, client, definition, again)
    queue: WorkQueue[Look] = WorkQueue(database, progress=progress, should_stop=should_stop)
    return queue.run(looks, min(workers or limit, limit), lambda claims, look: fetch.do(queue, claims, look))


class _MovingFetch:
    """Puts questions, and stores what comes of them."""

    def __init__(self, database: Database, client: ServiceClient, definition: CatalogDefinition, again: bool) -> None:
        self._database, self._client, self._definition, self._again = database, client, definition, again
        self._source = SkybotSource(client.settings.row_cap)
        self._canaries: dict[float, Canary] = {}
        self._lock = threading.Lock()

    def do(self, queue: WorkQueue[Look], claims: Connection, look: Look) -> None:
        with claimed(claims, f"{self._definition.name} {look.region}") as mine:
            if not mine:
                queue.later(look)
            elif not self._again and self._is_known(claims, look):
                queue.count(skipped=1)
            else:
                self._ask(queue, look)

    def _is_known(self, connection: Connection, look: Look) -> bool:
        return bool(
            connection.scalar(
                text("""
                    SELECT EXISTS (
                        SELECT 1 FROM ref.moving_look AS m
                        WHERE m.catalog = :catalog AND m.image_id = :image_id AND m.complete AND m.observer = :observer
                        AND abs(m.epoch_jd - :epoch_jd) < 1e-6
                        AND sky.separation_arcsec(m.ra, m.dec, :ra, :dec) < 0.001 AND m.radius_deg >= :radius_deg - 1e-9
                    )
                """),
                self._row(look),
            )
        )

    def _ask(self, queue: WorkQueue[Look], look: Look) -> None:
        parameters = self._source.parameters(look.cone, look.epoch_jd, look.observer)
        question = Question(self._definition.name, "moving", self._client.name, look.region, parameters)
        canary = self._canary(look)
        try:
            canary_id = canary.current()
        except LookupFailure as failure:
            unasked: Reply[MovingAnswer] = Reply(
                None, failure, self._client.first_endpoint, 1, 0.0, failure.http_status, None, None
            )
            self._fail(queue, look, question, unasked, failure)
            return

        def put(session: EvidenceSession, endpoint: str) -> MovingAnswer:
            answer = self._source.ask(session, endpoint, look.cone, look.epoch_jd, look.observer)
            if answer.rows_in == 0:
                canary.confirm(session, endpoint)
                # Asked once more, now that the service is known to see: this answer is the evidence.
                answer = self._source.ask(session, endpoint, look.cone, look.epoch_jd, look.observer)
            return answer

        reply = self._client.ask(put)
        if reply.answer is not None:
            self._store(look, question, reply, reply.answer, canary_id)
            queue.count(complete=1, rows=reply.answer.rows_in, rows_new=reply.answer.rows_in)
        elif reply.failure is not None:
            self._fail(queue, look, question, reply, reply.failure)

    def _canary(self, look: Look) -> Canary:
        """One for each time: the service computes each from tables of its own."""
        with self._lock:
            if look.epoch_jd not in self._canaries:
                source = _AtOneTime(self._source, look.epoch_jd, look.observer)
                radius_deg = min(_CANARY_RADIUS_DEG, self._client.settings.max_radius_deg)
                definition = self._definition.model_copy(
                    update={"canary": _opposite_the_sun(look.epoch_jd, radius_deg)}
                )
                self._canaries[look.epoch_jd] = Canary(self._database, self._client, definition, source)
            return self._canaries[look.epoch_jd]

    def _store(
        self, look: Look, question: Question, reply: Reply[MovingAnswer], answer: MovingAnswer, canary_id: int
    ) -> None:
        """Evidence, look and objects in one transaction."""
        with self._database.connect() as connection:
            lookup_id = record_complete(
                connection, question, reply, rows_in=answer.rows_in, row_cap=answer.row_cap, canary_id=canary_id
            )
            self._add_look(connection, look, lookup_id, complete=True)
            add_objects(connection, lookup_id, answer.objects)
            record_endpoints(connection, self._client)

    def _fail(
        self,
        queue: WorkQueue[Look],
        look: Look,
        question: Question,
        reply: Reply[MovingAnswer],
        failure: LookupFailure,
    ) -> None:
        with self._database.connect() as connection:
            lookup_id = record_failure(connection, question, reply, failure)
            self._add_look(connection, look, lookup_id, complete=False)
            record_endpoints(connection, self._client)
        queue.failed(f"{look.region}: {failure}")

    def _add_look(self, connection: Connection, look: Look, lookup_id: int, *, complete: bool) -> None:
        connection.execute(
            text("""
                INSERT INTO ref.moving_look (
                    lookup_id, catalog, image_id, complete, ra, dec, radius_deg, epoch_jd, observer
                )
                VALUES (:lookup_id, :catalog, :image_id, :complete, :ra, :dec, :radius_deg, :epoch_jd, :observer)
                ON CONFLICT (lookup_id) DO NOTHING
            """),
            self._row(look) | {"lookup_id": lookup_id, "complete": complete},
        )

    def _row(self, look: Look) -> dict[str, Any]:
        return {
            "catalog": self._definition.name,
            "image_id": look.image_id,
            "ra": look.cone.ra_deg,
            "dec": look.cone.dec_deg,
            "radius_deg": look.cone.radius_deg,
            "epoch_jd": look.epoch_jd,
            "observer": look.observer,
        }


def add_objects(connection: Connection, lookup_id: int, objects: pa.Table) -> None:
    """Store the objects of a look-up, rows of `OBJECT_SCHEMA`."""
    # The same answer again is the same look-up, whose objects are there.
    connection.execute(
        text("""
            INSERT INTO ref.moving_object (
                lookup_id, source_id, name, number, class, ra, dec, rate_ra_arcsec_h, rate_dec_arcsec_h, mag,
                error_arcsec
            )
            SELECT :lookup_id, o.*
            FROM unnest(
                CAST(:source_id AS bigint[]), CAST(:name AS text[]), CAST(:number AS integer[]), CAST(:class AS text[]),
                CAST(:ra AS double precision[]), CAST(:dec AS double precision[]),
                CAST(:rate_ra_arcsec_h AS real[]), CAST(:rate_dec_arcsec_h AS real[]),
                CAST(:mag AS real[]), CAST(:error_arcsec AS real[])
            ) AS o
            ON CONFLICT (lookup_id, source_id) DO NOTHING
        """),
        {"lookup_id": lookup_id} | {name: objects[name].to_pylist() for name in objects.column_names},
    )


class _AtOneTime:
    """A source of moving objects as one of fixed ones: what it says of one time; only counts rows."""

    def __init__(self, source: SkybotSource, epoch_jd: float, observer: str) -> None:
        self._source, self._epoch_jd, self._observer = source, epoch_jd, observer

    def parameters(self, cone: Cone) -> dict[str, Any]:
        return self._source.parameters(cone, self._epoch_jd, self._observer)

    def ask_cone(self, session: EvidenceSession, endpoint: str, cone: Cone) -> SourceAnswer:
        answer = self._source.ask(session, endpoint, cone, self._epoch_jd, self._observer)
        return SourceAnswer(CORE_SCHEMA.empty_table(), answer.rows_in, answer.row_cap)


def _opposite_the_sun(epoch_jd: float, radius_deg: float) -> CanaryPosition:
    """A circle in which there are always asteroids, hundreds of them: they lie along the ecliptic, brightest there.

    Neither the minute between UTC and TDB nor aberration matters at that size.
    """
    sun = get_sun(Time(epoch_jd, format="jd", scale="tdb"))
    # Not validated: canaries of fixed sources are no wider than a minute of arc.
    return CanaryPosition.model_construct(
        ra=float(sun.ra.deg + 180.0) % 360.0, dec=-float(sun.dec.deg), radius_arcsec=radius_deg * 3600.0, empty=None
    )
