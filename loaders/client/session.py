"""One HTTP exchange, whole or failed: the session that astroquery, pyvo and the loaders all speak through."""

import re
import socket
import ssl
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError
from urllib3.exceptions import ReadTimeoutError as Urllib3ReadTimeout

from vascodb import __version__
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.limits import Limiter
from vascodb.loaders.client.pages import text_of_page
from vascodb.loaders.client.services import ServiceSettings

__all__ = ["Answer", "EvidenceSession", "Exchange", "check_status", "named_failures", "text_of_page"]

_PIECE = 1 << 16
_LONGEST_PAGE = 1 << 20
_ENCODINGS = ("gzip", "x-gzip", "deflate")
_USER_AGENT = f"vascodb/{__version__} (catalogue look-ups; astronomical research)"


@dataclass(frozen=True)
class Exchange:
    """What was asked and what came back.

    Parameters
    ----------
    url : str
        Address that answered.
    http_status : int
        Status of the answer.
    content_type : str
        What the answer says it is.
    body_sha256 : str
        SHA-256 of the body, after decompression.
    n_bytes : int
        Length of the body.
    seconds : float
        How long it took.
    """

    url: str
    http_status: int
    content_type: str
    body_sha256: str
    n_bytes: int
    seconds: float


class EvidenceSession(requests.Session):
    """A requests session whose answers are whole, of status 2xx, in time; all else is a `LookupFailure`.

    The body is read here, so that a stalled, reset, cut or oversized one is noticed before any
    library parses it. Each exchange is kept in `exchanges`. Give it to one thread only.

    Parameters
    ----------
    settings : `ServiceSettings`
        Timeouts and limits.
    limiter : `Limiter`
        Shared by all sessions of the service.
    """

    def __init__(self, settings: ServiceSettings, limiter: Limiter) -> None:
        super().__init__()
        self.settings = settings
        self.limiter = limiter
        self.exchanges: list[Exchange] = []
        self.headers.update({"User-Agent": _USER_AGENT, "Accept-Encoding": "gzip"})
        for scheme in ("http://", "https://"):
            self.mount(scheme, HTTPAdapter(max_retries=0, pool_maxsize=1))

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Ask, and read the whole answer; see the class."""
        # The redirect that starts a TAP job is the caller's to follow; others are followed here.
        with self.answer(method, url, *args, **kwargs) as answer:
            body = answer.whole() if answer.response.status_code < 400 else answer.page()
        answer.response._content = body
        answer.response._content_consumed = True  # type: ignore[attr-defined]
        self.note(answer, sha256(body).hexdigest(), len(body))
        check_status(answer.response, body)
        return answer.response

    @contextmanager
    def answer(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> Iterator["Answer"]:
        """Ask, and have the answer while it comes; whatever breaks inside the context gets its name.

        Errors of other things than the exchange, such as a full disk, must not pass through here as `OSError`.
        """
        kwargs["timeout"] = (self.settings.connect_timeout_s, self.settings.first_byte_timeout_s)
        kwargs["stream"] = True
        with self.limiter.turn(), named_failures():
            started = time.monotonic()
            response = super().request(method, url, *args, **kwargs)
            try:
                yield Answer(response, self.settings, started)
            finally:
                response.close()

    def note(self, answer: "Answer", body_sha256: str, n_bytes: int) -> Exchange:
        """Keep what was exchanged."""
        self.exchanges.append(
            Exchange(
                url=answer.response.url,
                http_status=answer.response.status_code,
                content_type=answer.response.headers.get("Content-Type", ""),
                body_sha256=body_sha256,
                n_bytes=n_bytes,
                seconds=time.monotonic() - answer.started,
            )
        )
        return self.last

    @property
    def last(self) -> Exchange:
        """The newest exchange."""
        return self.exchanges[-1]


class Answer:
    """An answer that is under way.

    Parameters
    ----------
    response : `requests.Response`
        Status and headers; its body has not been read.
    settings : `ServiceSettings`
        Limits of the body.
    started : float
        When it was asked for, seconds of the monotonic clock.
    """

    def __init__(self, response: requests.Response, settings: ServiceSettings, started: float) -> None:
        self.response, self.settings, self.started = response, settings, started

    def whole(self) -> bytes:
        """The body, decompressed."""
        encoding = self.response.headers.get("Content-Encoding", "").strip().lower()
        if encoding in ("", "identity"):
            return b"".join(self.pieces())
        if encoding not in _ENCODINGS:
            raise LookupFailure(Cause.NOT_THE_FORMAT, f"the answer is packed as {encoding!r}, which nobody asked for")
        return self._unpacked()

    def page(self) -> bytes:
        """What can be had of the page that comes with a refusal, broken or not: the status says enough."""
        body = b""
        try:
            for piece in self.pieces():
                body += piece
                if len(body) > _LONGEST_PAGE:
                    break
            if self.response.headers.get("Content-Encoding", "").strip().lower() in _ENCODINGS:
                body = zlib.decompressobj(wbits=47).decompress(body, _LONGEST_PAGE)
        except (LookupFailure, Urllib3Error, OSError, zlib.error):
            pass
        return body

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes, still packed if it is."""
        n_bytes = 0
        while piece := self.response.raw.read1(_PIECE, decode_content=False):
            n_bytes += len(piece)
            self._limit(n_bytes)
            if time.monotonic() > self.started + self.settings.total_timeout_s:
                raise LookupFailure(
                    Cause.TOO_SLOW, f"{n_bytes} bytes in {self.settings.total_timeout_s:g} s, and still not whole"
                )
            yield piece

    def _unpacked(self) -> bytes:
        unpacked: list[bytes] = []
        n_packed = n_bytes = 0
        decoder = zlib.decompressobj(wbits=47)
        for piece in self.pieces():
            n_packed += len(piece)
            rest = piece
            while rest:
                if decoder.eof:
                    # A packed answer may be several, one after the other.
                    decoder = zlib.decompressobj(wbits=47)
                unpacked.append(decoder.decompress(rest))
                rest = decoder.unused_data
                n_bytes += len(unpacked[-1])
                self._limit(n_bytes)
        if n_packed and not decoder.eof:
            raise LookupFailure(Cause.TRUNCATED, f"the packed answer ends in the middle, after {n_packed} bytes")
        return b"".join(unpacked)

    def _limit(self, n_bytes: int) -> None:
        if n_bytes > self.settings.max_bytes:
            raise LookupFailure(Cause.TOO_BIG, f"the answer is longer than {self.settings.max_bytes} bytes")


def check_status(response: requests.Response, body: bytes) -> None:
    """Refuse an answer whose status says that it is none.

    Raises
    ------
    LookupFailure
        For any status from 400 on, with what the page says.
    """
    status = response.status_code
    if status < 400:
        return
    detail = f"HTTP {status} {response.reason or ''}: {text_of_page(body)}"
    if status == 429:
        raise LookupFailure(Cause.RATE_LIMITED, detail, status, _retry_after_s(response))
    if status >= 500:
        raise LookupFailure(Cause.UNAVAILABLE, detail, status, _retry_after_s(response))
    raise LookupFailure(Cause.HTTP_ERROR, detail, status)


def _retry_after_s(response: requests.Response) -> float | None:
    """Seconds for which the service wants to be left alone; it may say a time instead."""
    value = response.headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,9}", value):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, when.astimezone(UTC).timestamp() - time.time())


@contextmanager
def named_failures() -> Iterator[None]:
    """Give every way in which an exchange can break its name."""
    try:
        yield
    except requests.exceptions.ConnectTimeout as error:
        raise LookupFailure(Cause.CONNECT_TIMEOUT, str(error)) from error
    except (requests.exceptions.ReadTimeout, Urllib3ReadTimeout, TimeoutError) as error:
        raise LookupFailure(Cause.FIRST_BYTE_TIMEOUT, str(error)) from error
    except requests.exceptions.SSLError as error:
        raise LookupFailure(Cause.TLS, str(error)) from error
    except requests.exceptions.ConnectionError as error:
        raise LookupFailure(_connection_cause(error), str(error)) from error
    except (requests.exceptions.RequestException, Urllib3Error, OSError) as error:
        raise LookupFailure(Cause.RESET, str(error) or type(error).__name__) from error
    except zlib.error as error:
        raise LookupFailure(Cause.TRUNCATED, f"the compressed answer is damaged: {error}") from error


def _connection_cause(error: BaseException) -> Cause:
    reason: Any = error.args[0] if error.args else error
    while isinstance(reason, MaxRetryError) and reason.reason is not None:
        reason = reason.reason
    if isinstance(reason, NameResolutionError | socket.gaierror):
        return Cause.DNS
    if isinstance(reason, NewConnectionError):
        return Cause.REFUSED
    if isinstance(reason, ssl.SSLError):
        return Cause.TLS
    return Cause.RESET
