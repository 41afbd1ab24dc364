"""Big files: streamed to disk, continued where an earlier try ended, put in place only when whole."""

import base64
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest, sha256
from itertools import chain
from pathlib import Path
from typing import Any

from vascodb.errors import InputError
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.pages import text_of_page
from vascodb.loaders.client.session import Answer, EvidenceSession, check_status

__all__ = ["Progress", "discard_parts", "download", "put_in_place", "writing"]

Progress = Callable[[int, int | None], None]
"""Told how many bytes are there, and of how many if that is known."""

_LONGEST_VALIDATOR = 100
_NO_VALIDATOR = "-"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def download(
    session: EvidenceSession,
    url: str,
    path: Path,
    begins_with: bytes = b"",
    progress: Progress = lambda _n_bytes, _total: None,
) -> Path:
    """Fetch a file beside where it belongs; `put_in_place` moves it there when its content has been checked.

    What arrives is kept in a file called after ``path`` and after what the server calls this version of
    its file (``ETag`` or ``Last-Modified``), ending in ``.part``. Should the transfer break, the next try
    asks for the rest of that version, and begins anew if the server has another one by then.

    Parameters
    ----------
    session : `EvidenceSession`
        Whose time limits, manners and names of failures apply.
    url : str
        Where it is.
    path : `~pathlib.Path`
        Where it belongs; the folder is made.
    begins_with : bytes, optional
        What the file begins with; anything else, such as a page for people, is refused at once.
    progress : callable, optional
        Called with every piece that arrives.

    Returns
    -------
    `~pathlib.Path`
        The part file, as long as the server said.

    Raises
    ------
    LookupFailure
        If it did not arrive whole; what did is kept for the next try.
    InputError
        If it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    part = _newest_part(path)
    if part is not None:
        validator, n_bytes = _validator_of(path, part), part.stat().st_size
        headers = {"Range": f"bytes={n_bytes}-", "If-Range": validator, "Accept-Encoding": "identity"}
        with session.answer("GET", url, headers=headers) as answer:
            status = answer.response.status_code
            if status == 206 and _continues(answer, validator, n_bytes):
                return _receive_rest(session, answer, part, progress)
            if status == 200:
                return _receive_anew(session, answer, path, begins_with, progress)
            if status == 416 and _is_all_of(answer, validator, n_bytes):
                with writing(part), part.open("rb") as stream:
                    session.note(answer, file_digest(stream, "sha256").hexdigest(), n_bytes)
                return part
            if status not in (206, 416):
                _refuse(session, answer)
        discard_parts(path)
    with session.answer("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
        if answer.response.status_code != 200:
            _refuse(session, answer)
        return _receive_anew(session, answer, path, begins_with, progress)


def put_in_place(part: Path, path: Path) -> None:
    """Move a file that is whole to where it belongs, so that it is there for good or not at all.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    with writing(path):
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    discard_parts(path)


def discard_parts(path: Path) -> None:
    """Remove what earlier tries for a file left."""
    for part in _parts(path):
        with writing(part):
            part.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell a full disk or a forbidden folder from a broken exchange.

    Raises
    ------
    InputError
        Instead of `OSError`: one line with the file and the reason.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _receive_anew(session: EvidenceSession, answer: Answer, path: Path, begins_with: bytes, progress: Progress) -> Path:
    """Write a file from its beginning; what an earlier try left goes once it is clear that this is the file."""
    pieces, total = answer.pieces(), _total(answer, 0)
    first = b""
    for piece in pieces:
        first += piece
        if len(first) >= len(begins_with):
            break
    if len(first) < len(begins_with) or not first:
        raise LookupFailure(Cause.TRUNCATED, f"{len(first)} bytes came, and no more, of {total or 'some'}")
    if not first.startswith(begins_with):
        raise LookupFailure(Cause.NOT_THE_FORMAT, f"another file than expected: {text_of_page(first)}")
    discard_parts(path)
    part = path.with_name(f"{path.name}.{_tag(_validator(answer.response.headers))}.part")
    return _append(session, answer, part, chain([first], pieces), total, progress)


def _receive_rest(session: EvidenceSession, answer: Answer, part: Path, progress: Progress) -> Path:
    total = _total(answer, part.stat().st_size)
    return _append(session, answer, part, answer.pieces(), total, progress)


def _append(
    session: EvidenceSession,
    answer: Answer,
    part: Path,
    pieces: Iterable[bytes],
    total: int | None,
    progress: Progress,
) -> Path:
    with writing(part):
        output = part.open("ab+")
    try:
        with writing(part):
            output.seek(0)
            digest = file_digest(output, "sha256")
            n_bytes = output.tell()
        for piece in pieces:
            digest.update(piece)
            n_bytes += len(piece)
            with writing(part):
                output.write(piece)
            progress(n_bytes, total)
    finally:
        with writing(part):
            output.close()
    if total is not None and n_bytes != total:
        raise LookupFailure(Cause.TRUNCATED, f"{n_bytes} bytes came, and no more, of {total}")
    session.note(answer, digest.hexdigest(), n_bytes)
    return part


def _refuse(session: EvidenceSession, answer: Answer) -> None:
    body = answer.page()
    session.note(answer, sha256(body).hexdigest(), len(body))
    check_status(answer.response, body)
    raise LookupFailure(Cause.NOT_THE_FORMAT, f"HTTP {answer.response.status_code} instead of a file")


def _continues(answer: Answer, validator: str, n_bytes: int) -> bool:
    """Whether an answer is the rest of the same version of the file."""
    match = _CONTENT_RANGE.fullmatch(answer.response.headers.get("Content-Range", ""))
    theirs = _validator(answer.response.headers)
    # A server may leave the validator out of partial answers; with If-Range it has compared it itself.
    return match is not None and int(match[1]) == n_bytes and theirs in ("", validator)


def _is_all_of(answer: Answer, validator: str, n_bytes: int) -> bool:
    """Whether there is no rest to ask for, because the part is the whole file already."""
    theirs = _validator(answer.response.headers)
    return answer.response.headers.get("Content-Range", "") == f"bytes */{n_bytes}" and theirs in ("", validator)


def _total(answer: Answer, n_before: int) -> int | None:
    """Length of the whole file, as far as the server says."""
    headers = answer.response.headers
    if headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise LookupFailure(Cause.NOT_THE_FORMAT, "the file comes packed, which nobody asked for")
    if n_before and (match := _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))):
        return int(match[3])
    length = headers.get("Content-Length", "")
    total = n_before + int(length) if length.isascii() and length.isdigit() else None
    if total is not None and total > answer.settings.max_bytes:
        raise LookupFailure(Cause.TOO_BIG, f"the file has {total} bytes, more than {answer.settings.max_bytes}")
    return total


def _validator(headers: Mapping[str, Any]) -> str:
    """What the server calls this version: a strong ETag, else the time of its last change."""
    etag = str(headers.get("ETag", "")).strip()
    return etag if etag.startswith('"') else str(headers.get("Last-Modified", "")).strip()


def _tag(validator: str) -> str:
    """A validator as a part of a file name; none if there is none to speak of, and then nothing can be continued."""
    if not 0 < len(validator) <= _LONGEST_VALIDATOR or not validator.isascii():
        return _NO_VALIDATOR
    return base64.urlsafe_b64encode(validator.encode()).decode().rstrip("=")


def _validator_of(path: Path, part: Path) -> str:
    tag = part.name.removeprefix(f"{path.name}.").removesuffix(".part")
    if tag == _NO_VALIDATOR:
        return ""
    try:
        return base64.urlsafe_b64decode(tag + "=" * (-len(tag) % 4)).decode("ascii")
    except ValueError:
        return ""


def _parts(path: Path) -> list[Path]:
    start, end = f"{path.name}.", ".part"
    return [p for p in path.parent.glob("*.part") if p.name.startswith(start) and p.name.endswith(end)]


def _newest_part(path: Path) -> Path | None:
    """What an earlier try left and can be continued."""
    parts = [p for p in _parts(path) if _validator_of(path, p) and p.stat().st_size]
    return max(parts, key=lambda p: p.stat().st_mtime, default=None)
