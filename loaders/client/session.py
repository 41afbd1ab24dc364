"""One HTTP exchange, whole or failed: the session that astroquery, pyvo and the loaders all speak through."""

import socket
import ssl
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError
from urllib3.exceptions import ReadTimeoutError as Urllib3ReadTimeout

from vascodb import __version__
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.limits import Limiter
from vascodb.loaders.client.services import ServiceSettings

__all__ = ["EvidenceSession", "Exchange", "text_of_page"]

_PIECE = 1 << 16
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
        kwargs["timeout"] = (self.settings.connect_timeout_s, self.settings.first_byte_timeout_s)
        kwargs["stream"] = True
        # The redirect that starts a TAP job is the caller's to follow; others are followed here.
        with self.limiter.turn(), _named_failures():
            started = time.monotonic()
            response = super().request(method, url, *args, **kwargs)
            try:
                body = self._read(response, started + self.settings.total_timeout_s)
            finally:
                response.close()
        response._content = body
        response._content_consumed = True  # type: ignore[attr-defined]
        self.exchanges.append(
            Exchange(
                url=response.url,
                http_status=response.status_code,
                content_type=response.headers.get("Content-Type", ""),
                body_sha256=sha256(body).hexdigest(),
                n_bytes=len(body),
                seconds=time.monotonic() - started,
            )
        )
        _check_status(response)
        return response

    @property
    def last(self) -> Exchange:
        """The newest exchange."""
        return self.exchanges[-1]

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        """Read the body as it is sent, piece by piece, and undo its compression."""
        decoder = (
            zlib.decompressobj(wbits=47) if response.headers.get("Content-Encoding") in ("gzip", "deflate") else None
        )
        pieces: list[bytes] = []
        n_bytes = 0
        while piece := response.raw.read1(_PIECE, decode_content=False):
            decoded = decoder.decompress(piece) if decoder else piece
            pieces.append(decoded)
            n_bytes += len(decoded)
            if n_bytes > self.settings.max_bytes:
                raise LookupFailure(Cause.TOO_BIG, f"the answer is longer than {self.settings.max_bytes} bytes")
            if time.monotonic() > deadline:
                raise LookupFailure(
                    Cause.TOO_SLOW, f"{n_bytes} bytes in {self.settings.total_timeout_s:g} s, and still not whole"
                )
        if decoder and n_bytes and not decoder.eof:
            raise LookupFailure(Cause.TRUNCATED, f"the compressed answer ends in the middle, after {n_bytes} bytes")
        return b"".join(pieces)


def _check_status(response: requests.Response) -> None:
    status = response.status_code
    if status < 400:
        return
    detail = f"HTTP {status} {response.reason or ''}: {text_of_page(response.content)}"
    if status == 429:
        raise LookupFailure(Cause.RATE_LIMITED, detail, status, _retry_after_s(response))
    if status >= 500:
        raise LookupFailure(Cause.UNAVAILABLE, detail, status, _retry_after_s(response))
    raise LookupFailure(Cause.HTTP_ERROR, detail, status)


def _retry_after_s(response: requests.Response) -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    return None


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.extend(data.split())


def text_of_page(body: bytes, length: int = 200) -> str:
    """The beginning of what a page says to people, on one line; for messages."""
    reader = _Text()
    reader.feed(body[:20_000].decode("utf-8", "replace"))
    return " ".join(reader.words)[:length] or "(nothing)"


@contextmanager
def _named_failures() -> Iterator[None]:
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
