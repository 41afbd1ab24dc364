"""A list of positions against a catalogue at a TAP service: the list is uploaded and joined there."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree

from astropy.table import Table
from pyvo.dal import TAPService
from pyvo.dal.tap import TAPQuery

from vascodb.ids import content_id
from vascodb.loaders.client.answers import PositionAnswer, Positions, position_answer, read_votable
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.raw import refuse_pages
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.client.session import EvidenceSession, text_of_page
from vascodb.loaders.registry import CatalogDefinition, SourceBinding
from vascodb.loaders.sources.adql import list_query
from vascodb.loaders.sources.lists import JobMemory, list_evidence, nearest_only, refuse_repeated

__all__ = ["JobsInMemory", "TapUploadSource"]

_UPLOAD = "t1"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_GONE = (404, 410)


class JobsInMemory:
    """Jobs of this process only."""

    def __init__(self) -> None:
        self.urls: dict[int, str] = {}

    def recall(self, key: int) -> str | None:
        """See `JobMemory`."""
        return self.urls.get(key)

    def remember(self, key: int, endpoint: str, job_url: str) -> None:
        """See `JobMemory`."""
        self.urls[key] = job_url

    def forget(self, key: int) -> None:
        """See `JobMemory`."""
        self.urls.pop(key, None)


@dataclass(frozen=True)
class _Job:
    phase: str
    result_url: str | None
    message: str


@dataclass(frozen=True)
class TapUploadSource:
    """Asks by ADQL for all sources near each position; at once or, where the binding says so, as a job.

    Parameters
    ----------
    definition : `CatalogDefinition`
        The catalogue.
    binding : `SourceBinding`
        How the service publishes it.
    settings : `ServiceSettings`
        The service; its total time is also the longest that one try waits for a job. The next try goes on waiting.
    jobs : `JobMemory`, optional
        Where jobs are remembered.
    sleep, clock : callable, optional
        Of seconds; tests put in their own.
    """

    definition: CatalogDefinition
    binding: SourceBinding
    settings: ServiceSettings
    jobs: JobMemory = field(default_factory=JobsInMemory)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def with_jobs(self, jobs: JobMemory) -> "TapUploadSource":
        """The same source, which remembers its jobs elsewhere."""
        return replace(self, jobs=jobs)

    def parameters(self, positions: Positions, radius_arcsec: float) -> dict[str, Any]:
        """What is asked, with the list itself as number and hash."""
        return {
            "query": list_query(self.binding, radius_arcsec, _UPLOAD),
            "maxrec": self.settings.row_cap,
            "mode": self.binding.mode,
        } | list_evidence(positions, radius_arcsec)

    def ask_positions(
        self, session: EvidenceSession, endpoint: str, positions: Positions, radius_arcsec: float
    ) -> PositionAnswer:
        """Ask once; raises `LookupFailure` for anything but a whole, sound answer."""
        refuse_repeated(positions)
        asked = self.parameters(positions, radius_arcsec)
        upload = Table([positions.row_id, positions.ra_deg, positions.dec_deg], names=("row_id", "ra", "dec"))
        query = TAPService(endpoint, session=session).create_query(
            asked["query"], mode=self.binding.mode, maxrec=asked["maxrec"], uploads={_UPLOAD: upload}
        )
        if self.binding.mode == "sync":
            # The answer as it was sent: pyvo itself only warns of an overflow.
            return self._answer(query.submit().content, positions, radius_arcsec)
        key = content_id("async job", endpoint, asked)
        body = self._body_of_job(session, endpoint, query, key)
        try:
            return self._answer(body, positions, radius_arcsec)
        finally:
            # Whatever is wrong with its result stays so: the next try submits anew.
            self.jobs.forget(key)

    def _answer(self, body: bytes, positions: Positions, radius_arcsec: float) -> PositionAnswer:
        answer = position_answer(
            read_votable(body), self.definition, self.binding, positions, radius_arcsec, self.settings.row_cap
        )
        return nearest_only(answer, positions) if self.binding.nearest_only else answer

    def _body_of_job(self, session: EvidenceSession, endpoint: str, query: TAPQuery, key: int) -> bytes:
        """Wait for the job of a question, a new one if none is remembered, and fetch its result."""
        deadline = self.clock() + self.settings.total_timeout_s
        job_url = self.jobs.recall(key)
        try:
            if job_url is None:
                job_url = self._submit(session, query)
                self.jobs.remember(key, endpoint, job_url)
            return session.get(self._completed(session, job_url, deadline)).content
        except LookupFailure as failure:
            if failure.cause is Cause.SERVICE_ERROR:
                self.jobs.forget(key)
            if failure.http_status not in _GONE or job_url is None:
                raise
            # The service throws jobs away some days after they were submitted.
            self.jobs.forget(key)
            raise LookupFailure(Cause.SERVICE_ERROR, f"the job is gone: {job_url}", failure.http_status) from failure

    def _submit(self, session: EvidenceSession, query: TAPQuery) -> str:
        # pyvo would follow the redirect, and lose the job's address if that fails. The job waits until it is
        # told to run: killed before its address is kept, it leaves nothing behind that works.
        files = {upload.name: upload.fileobj() for upload in query._uploads}
        response = session.post(query.queryurl, data=dict(query), files=files, allow_redirects=False)
        location = response.headers.get("Location")
        if not location:
            raise LookupFailure(
                Cause.NOT_THE_FORMAT, f"no job but HTTP {response.status_code}: {text_of_page(response.content)}"
            )
        return urljoin(response.url, location)

    def _completed(self, session: EvidenceSession, job_url: str, deadline: float) -> str:
        """Wait until a job has ended; returns the address of its result."""
        pause_s = _FIRST_PAUSE_S
        while True:
            job = _read_job(session.get(job_url).content, job_url)
            if job.phase == "COMPLETED":
                return job.result_url or f"{job_url}/results/result"
            if job.phase in ("ERROR", "ABORTED", "ARCHIVED"):
                raise LookupFailure(
                    Cause.SERVICE_ERROR, f"the job ended as {job.phase}: {job.message or 'no reason given'}"
                )
            if job.phase == "PENDING":
                session.post(f"{job_url}/phase", data={"PHASE": "RUN"}, allow_redirects=False)
            if self.clock() + pause_s > deadline:
                raise LookupFailure(
                    Cause.TOO_SLOW,
                    f"the job is {job.phase} after {self.settings.total_timeout_s:g} s; the next try waits on",
                )
            self.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)


def _read_job(body: bytes, job_url: str) -> _Job:
    """Phase, result and message of a job's description (Universal Worker Service 1.1)."""
    refuse_pages(body, "the description of a job")
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise LookupFailure(Cause.TRUNCATED, f"the description of the job is damaged: {error}") from error
    elements: dict[str, ElementTree.Element] = {}
    for element in root.iter():
        name = element.tag.rpartition("}")[2]
        # A job may have results beside the table, such as a log.
        if name != "result" or element.get("id") == "result" or name not in elements:
            elements[name] = element
    if "phase" not in elements:
        raise LookupFailure(Cause.NOT_THE_FORMAT, f"no description of a job: {text_of_page(body)}")
    href = None
    if "result" in elements:
        href = next((value for key, value in elements["result"].attrib.items() if key.endswith("href")), None)
    message = elements["message"].text if "message" in elements else ""
    return _Job(
        phase=(elements["phase"].text or "").strip().upper(),
        result_url=urljoin(job_url + "/", href) if href else None,
        message=" ".join((message or "").split()),
    )
