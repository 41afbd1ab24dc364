"""Jobs of a Universal Worker Service: phases that pass with time, and the documents about them."""

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape, quoteattr

from servers.transport import Answer

_NAMESPACE = (
    'xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="1.1"'
)
FINAL = frozenset({"COMPLETED", "ERROR", "ABORTED"})
_numbers = itertools.count(1)


@dataclass
class Job:
    """One job. Its result is computed when it ends, its phase follows from the clock.

    Parameters
    ----------
    parameters
        Parameters by lower-case name.
    compute
        Gives the answer; one with another status than 200 is the job's error.
    queued_s, executing_s
        How long it stays in these phases [s].
    """

    parameters: dict[str, str]
    compute: Callable[[], Answer]
    queued_s: float
    executing_s: float
    identifier: str = field(default_factory=lambda: f"job{next(_numbers):06d}")
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_s: float | None = None
    aborted: bool = False
    result: Answer | None = None
    error: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def phase(self) -> str:
        """PENDING, QUEUED, EXECUTING, COMPLETED, ERROR or ABORTED."""
        with self._lock:
            if self.aborted:
                return "ABORTED"
            if self.started_s is None:
                return "PENDING"
            age = time.monotonic() - self.started_s
            if age < self.queued_s:
                return "QUEUED"
            if age < self.queued_s + self.executing_s:
                return "EXECUTING"
            if self.result is None:
                self.result = self.compute()
                if self.result.status != 200 or b'value="ERROR"' in self.result.body[:4000]:
                    self.error = _message(self.result)
            return "ERROR" if self.error else "COMPLETED"

    def run(self) -> None:
        """Start the clock, once."""
        if self.started_s is None:
            self.started_s = time.monotonic()

    def abort(self) -> None:
        """End the job unless it has ended by itself."""
        if self.phase not in FINAL:
            self.aborted = True

    def document(self, url: str) -> bytes:
        """Return the job as XML; `url` is its own address."""
        phase = self.phase
        destruction = _iso(self.created + timedelta(days=2))
        parameters = "".join(
            f"<uws:parameter id={quoteattr(name)}>{escape(value)}</uws:parameter>\n"
            for name, value in sorted(self.parameters.items())
        )
        result = f'<uws:result id="result" xlink:href={quoteattr(url + "/results/result")}/>'
        error = (
            f'<uws:errorSummary type="fatal" hasDetail="true"><uws:message>{escape(self.error)}</uws:message>'
            "</uws:errorSummary>\n"
        )
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<uws:job {_NAMESPACE}>\n'
            f"<uws:jobId>{self.identifier}</uws:jobId>\n"
            '<uws:ownerId xsi:nil="true"/>\n'
            f"<uws:phase>{phase}</uws:phase>\n"
            f"<uws:quote>{destruction}</uws:quote>\n"
            f"<uws:creationTime>{_iso(self.created)}</uws:creationTime>\n"
            f"{_instant('startTime', self.created if self.started_s is not None else None)}\n"
            f"{_instant('endTime', datetime.now(UTC) if phase in FINAL else None)}\n"
            "<uws:executionDuration>3600</uws:executionDuration>\n"
            f"<uws:destruction>{destruction}</uws:destruction>\n"
            f"<uws:parameters>\n{parameters}</uws:parameters>\n"
            f"<uws:results>{result if phase == 'COMPLETED' else ''}</uws:results>\n"
            f"{error if phase == 'ERROR' else ''}</uws:job>\n"
        ).encode()


def job_list(jobs: list[Job], url: str) -> bytes:
    """Return the list of jobs as XML."""
    entries = "".join(
        f"<uws:jobref id={quoteattr(job.identifier)} xlink:href={quoteattr(f'{url}/{job.identifier}')}>"
        f"<uws:phase>{job.phase}</uws:phase></uws:jobref>\n"
        for job in jobs
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<uws:jobs {_NAMESPACE}>\n{entries}</uws:jobs>\n'.encode()


def wait_for_change(job: Job, asked_phase: str, seconds: float, stopping: threading.Event) -> None:
    """Hold an answer back until the job's phase changes, as UWS 1.1 clients ask with WAIT."""
    phase = job.phase
    if phase in FINAL or phase == "PENDING" or (asked_phase and phase != asked_phase):
        return
    until = time.monotonic() + (min(seconds, 60.0) if seconds >= 0 else 60.0)
    while time.monotonic() < until and not stopping.wait(0.01):
        if job.phase != phase:
            return


def _message(answer: Answer) -> str:
    text = answer.body.decode(errors="replace")
    start = text.find('value="ERROR">')
    return text[start + len('value="ERROR">') : text.find("</INFO>", start)] if start >= 0 else "the query failed"


def _instant(name: str, instant: datetime | None) -> str:
    return f"<uws:{name}>{_iso(instant)}</uws:{name}>" if instant else f'<uws:{name} xsi:nil="true"/>'


def _iso(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
