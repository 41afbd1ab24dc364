"""Fetch images from archives: what is known is not asked for again, what is not whole is not kept."""

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, text

from vascodb.db import Database
from vascodb.ids import canonical_json, file_sha256
from vascodb.loaders.client.ask import Reply, ServiceClient
from vascodb.loaders.client.download import discard_parts, put_in_place, writing
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.fetch.evidence import record_endpoints
from vascodb.loaders.fetch.locks import claimed
from vascodb.loaders.fetch.workqueue import WorkQueue
from vascodb.loaders.images.wanted import Absent, Delivered, ImageSource, WantedImage, examined

__all__ = ["ImageFetch", "ImageTotals", "still_to_ask"]

_LASTING = ("ok", "non_poss", "unavailable")
# An archive that has no words for "there is none" says the same thing time and again: after so many
# attempts, with other images delivered in between, that is its answer.
_OFTEN_ENOUGH = 8
# One plate can have some tiles in a row of which the archive has nothing but a page; so many are out of order.
_ONLY_PAGES = 20


@dataclass(frozen=True)
class ImageTotals:
    """What a fetch of images has done so far.

    Parameters
    ----------
    wanted : int
        Images asked of vascodb.
    states : mapping
        How many are in each state: ok, non_poss, unavailable, retryable.
    known : int
        How many of these were known before.
    n_bytes : int
        Bytes downloaded.
    not_tried : int
        Images not tried so far; those that are left in the end were given up, because the archive is down.
    lines : tuple of str
        One line for each image that is not to be had or has to be tried again.
    paths : tuple of `~pathlib.Path`
        Files of the images that are there.
    """

    wanted: int
    states: Counter[str]
    known: int
    n_bytes: int
    not_tried: int
    lines: tuple[str, ...]
    paths: tuple[Path, ...]

    @property
    def done(self) -> int:
        """Images whose state is settled for now."""
        return sum(self.states.values())


class ImageFetch:
    """One fetch of images from one archive.

    Parameters
    ----------
    database : `Database`
        Where it is recorded.
    client : `ServiceClient`
        The archive.
    source : `ImageSource`
        How it is asked.
    folder : `~pathlib.Path`
        Where images go.
    force : bool, optional
        Ask even for what is known.
    limit : int, optional
        Most images to download.
    progress : callable, optional
        Called with the totals after each image.
    transfer : callable, optional
        Called with an image's name, its bytes so far, and of how many.
    """

    def __init__(
        self,
        database: Database,
        client: ServiceClient,
        source: ImageSource,
        folder: Path,
        *,
        force: bool = False,
        limit: int | None = None,
        progress: Callable[[ImageTotals], None] = lambda _: None,
        transfer: Callable[[str, int, int | None], None] = lambda _name, _n_bytes, _total: None,
    ) -> None:
        self._database, self._client, self._source, self._folder = database, client, source, folder
        self._force, self._limit, self._progress, self._transfer = force, limit, progress, transfer
        self._lock = threading.Lock()
        self._states: Counter[str] = Counter()
        self._known = self._n_bytes = self._n_downloaded = self._n_wanted = self._pages_in_a_row = 0
        self._lines: list[str] = []
        self._paths: list[Path] = []
        self._queue: WorkQueue[WantedImage] = WorkQueue(database, should_stop=self._is_enough)

    def run(self, wanted: Sequence[WantedImage], workers: int) -> ImageTotals:
        """Fetch images, in their order; safe to kill at any instant and to run again, also side by side.

        Returns
        -------
        `ImageTotals`
            Failures are counted there, never raised.
        """
        self._n_wanted = len(wanted)
        self._queue.run(wanted, min(workers, self._client.settings.connections), self._do)
        return self.totals

    @property
    def totals(self) -> ImageTotals:
        """What has been done so far."""
        limit_is_reached = self._limit is not None and self._n_downloaded >= self._limit
        return ImageTotals(
            self._n_wanted,
            Counter(self._states),
            self._known,
            self._n_bytes,
            0 if limit_is_reached else self._n_wanted - sum(self._states.values()),
            tuple(self._lines),
            tuple(self._paths),
        )

    def _is_enough(self) -> bool:
        limit_is_reached = self._limit is not None and self._n_downloaded >= self._limit
        return limit_is_reached or self._pages_in_a_row >= _ONLY_PAGES

    def _do(self, claims: Connection, wanted: WantedImage) -> None:
        with claimed(claims, f"image {wanted.fetch_id}") as mine:
            if not mine:
                self._queue.later(wanted)
                return
            path = self._folder / wanted.file_name
            before = _recorded(claims, wanted)
            if self._settle_from_disk(wanted, path, before):
                return
            reply = self._client.ask(
                lambda session, endpoint: self._source.fetch(
                    session, endpoint, wanted, path, lambda n, total: self._transfer(wanted.name, n, total)
                )
            )
            if isinstance(reply.answer, Delivered):
                self._keep(wanted, path, reply, reply.answer)
            else:
                self._do_without(wanted, reply, before)

    def _settle_from_disk(self, wanted: WantedImage, path: Path, before: Row[Any] | None) -> bool:
        """Whether nothing has to be asked: the state lasts, or the file is here."""
        if self._force:
            return False
        if before is not None and before.state in ("non_poss", "unavailable"):
            self._count(before.state, f"{wanted.name}: {before.state}: {before.detail}", known=1)
            return True
        if before is not None and before.state == "ok" and _is_there(before):
            stored = Path(before.path)
            if stored != path and not path.exists():
                _copy(stored, path)
            if stored == path or file_sha256(path) == before.sha256:
                self._count("ok", path=path, known=1)
                return True
        return path.is_file() and self._adopt(wanted, path)

    def _adopt(self, wanted: WantedImage, path: Path) -> bool:
        """Take a file that is there without a record, if it is what is wanted."""
        try:
            found = examined(path, wanted, path)
        except LookupFailure:
            return False
        if not isinstance(found, Delivered):
            return False
        self._record(wanted, "ok", {"endpoint": path.as_uri(), "attempts": 1, "seconds": 0.0} | _file(path))
        self._count("ok", path=path, known=1)
        return True

    def _keep(self, wanted: WantedImage, path: Path, reply: Reply[Any], delivered: Delivered) -> None:
        put_in_place(delivered.part, path)
        self._record(wanted, "ok", _reply(reply) | _file(path))
        self._count("ok", path=path, n_bytes=path.stat().st_size, n_downloaded=1)

    def _do_without(self, wanted: WantedImage, reply: Reply[Any], before: Row[Any] | None) -> None:
        absent, failure = reply.answer if isinstance(reply.answer, Absent) else None, reply.failure
        if failure is not None and (failure.http_status in self._source.gone or _says_so_always(before, failure)):
            absent = Absent("unavailable", "no_image", failure.detail)
        if absent is not None:
            self._record(wanted, absent.state, _reply(reply) | {"cause": absent.cause, "detail": absent.detail})
            self._count(absent.state, f"{wanted.name}: {absent.state}: {absent.detail}")
        elif failure is not None:
            self._record(wanted, "retryable", _reply(reply) | {"cause": failure.cause.value, "detail": failure.detail})
            self._count("retryable", f"{wanted.name}: {failure}", is_a_page=failure.cause is Cause.NOT_THE_FORMAT)

    def _record(self, wanted: WantedImage, state: str, values: dict[str, Any]) -> None:
        with self._database.connect() as connection:
            connection.execute(
                text("""
                    INSERT INTO plate.fetch AS f (
                        fetch_id, service, request, name, state, endpoint, cause, detail, http_status, attempts,
                        seconds, size_bytes, sha256, path
                    )
                    VALUES (
                        :fetch_id, :service, CAST(:request AS jsonb), :name, :state, :endpoint, :cause, :detail,
                        :http_status, :attempts, :seconds, :size_bytes, :sha256, :path
                    )
                    ON CONFLICT (fetch_id) DO UPDATE
                    SET service = excluded.service, name = excluded.name, state = excluded.state,
                        endpoint = excluded.endpoint, cause = excluded.cause, detail = excluded.detail,
                        http_status = excluded.http_status,
                        attempts = least(f.attempts + excluded.attempts, 32000), seconds = excluded.seconds,
                        size_bytes = excluded.size_bytes, sha256 = excluded.sha256, path = excluded.path,
                        recorded_at = clock_timestamp()
                """),
                _NOTHING
                | {
                    "fetch_id": wanted.fetch_id,
                    "service": self._source.service,
                    "request": canonical_json(dict(wanted.request)),
                    "name": wanted.name,
                    "state": state,
                }
                | values,
            )
            record_endpoints(connection, self._client)

    def _count(
        self,
        state: str,
        line: str | None = None,
        path: Path | None = None,
        known: int = 0,
        n_bytes: int = 0,
        n_downloaded: int = 0,
        is_a_page: bool = False,
    ) -> None:
        with self._lock:
            self._pages_in_a_row = self._pages_in_a_row + 1 if is_a_page else 0
            self._states[state] += 1
            self._known += known
            self._n_bytes += n_bytes
            self._n_downloaded += n_downloaded
            self._lines += [line] if line else []
            self._paths += [path] if path else []
        if is_a_page:
            self._queue.count(failed=1)
        elif state == "retryable":
            self._queue.failed(line or state)
        elif known:
            self._queue.count(skipped=1)
        else:
            self._queue.count(complete=1)
        self._progress(self.totals)


def still_to_ask(connection: Connection, wanted: Sequence[WantedImage]) -> list[WantedImage]:
    """The images that are not settled: their archive would be asked for them."""
    settled = []
    for image in wanted:
        row = _recorded(connection, image)
        if row is not None and (row.state in ("non_poss", "unavailable") or (row.state == "ok" and _is_there(row))):
            settled.append(image.fetch_id)
    return [image for image in wanted if image.fetch_id not in settled]


_NOTHING: dict[str, Any] = dict.fromkeys(
    ("endpoint", "cause", "detail", "http_status", "attempts", "seconds", "size_bytes", "sha256", "path")
)


def _recorded(connection: Connection, wanted: WantedImage) -> Row[Any] | None:
    return connection.execute(
        text("""
            SELECT
                f.state, f.cause, f.detail, f.attempts, f.path, f.size_bytes, f.sha256,
                EXISTS (
                    SELECT 1 FROM plate.fetch AS other
                    WHERE other.service = f.service AND other.state = 'ok' AND other.recorded_at > f.recorded_at
                ) AS others_came
            FROM plate.fetch AS f
            WHERE f.fetch_id = :fetch_id
        """),
        {"fetch_id": wanted.fetch_id},
    ).first()


def _is_there(row: Row[Any]) -> bool:
    path = Path(row.path)
    return path.is_file() and path.stat().st_size == row.size_bytes


def _says_so_always(before: Row[Any] | None, failure: LookupFailure) -> bool:
    return (
        before is not None
        and failure.cause is Cause.NOT_THE_FORMAT
        and (before.cause, before.detail) == (failure.cause.value, failure.detail)
        and before.attempts >= _OFTEN_ENOUGH
        and bool(before.others_came)
    )


def _copy(source: Path, path: Path) -> None:
    part = path.with_name(f"{path.name}.-.part")
    with writing(part):
        path.parent.mkdir(parents=True, exist_ok=True)
        discard_parts(path)
        shutil.copyfile(source, part)
    put_in_place(part, path)


def _file(path: Path) -> dict[str, Any]:
    return {"path": str(path), "size_bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _reply(reply: Reply[Any]) -> dict[str, Any]:
    return {
        "endpoint": reply.endpoint,
        "http_status": reply.http_status,
        "attempts": reply.attempts,
        "seconds": reply.seconds,
    }
