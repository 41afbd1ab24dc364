"""The faults that services show, by name: what each does, and the protocols in which it can exist."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Where a fault acts."""

    ENDPOINT = "no conversation comes about: ask `dead_endpoint` for an address"
    TRANSPORT = "the answer is computed, then spoilt on its way"
    CONTENT = "the answer itself says something else, in the protocol's own words"


TABLES = frozenset({"tap", "vizier", "mast", "xmatch", "skybot"})
IMAGES = frozenset({"stsci", "files", "recorded"})
EVERY = TABLES | IMAGES


@dataclass(frozen=True)
class Fault:
    """One way to fail.

    Parameters
    ----------
    name
        Name in `FAULTS`.
    kind
        Where it acts.
    what
        What a client sees.
    protocols
        Protocols in which it can exist.
    needs_body
        True if only an answer with a body can show it; such a fault waits for one.
    """

    name: str
    kind: Kind
    what: str
    protocols: frozenset[str] = EVERY
    needs_body: bool = False


def _endpoint(name: str, what: str) -> Fault:
    return Fault(name, Kind.ENDPOINT, what)


def _transport(name: str, what: str, *, needs_body: bool = False) -> Fault:
    return Fault(name, Kind.TRANSPORT, what, needs_body=needs_body)


def _content(name: str, what: str, protocols: frozenset[str] = TABLES) -> Fault:
    return Fault(name, Kind.CONTENT, what, protocols, needs_body=True)


_ALL = (
    _endpoint("refused", "nobody listens at the port"),
    _endpoint("dns", "the host has no address"),
    _endpoint("tls", "an https address behind which plain HTTP is spoken"),
    _endpoint("tls_self_signed", "an https address whose certificate nobody vouches for"),
    _endpoint("connect_timeout", "the connection is never accepted"),
    _transport("first_byte_timeout", "the request is taken, no byte ever comes back"),
    _transport("slow_drip", "headers at once, then a byte now and then: only a total timeout ends it", needs_body=True),
    _transport("reset_mid_body", "connection reset after half of the body", needs_body=True),
    _transport("http_429", "429 without Retry-After"),
    _transport("http_429_retry_after", "429 with Retry-After: 1"),
    _transport("http_500", "500 with a short HTML page"),
    _transport("http_502", "502 with a short HTML page"),
    _transport("http_503", "503 with a short HTML page"),
    _transport("http_504", "504 with a short HTML page"),
    _transport("html_maintenance", "200 and a maintenance page as text/html"),
    _transport("truncated_body", "half of the body under a Content-Length that fits: the last row breaks off inside",
               needs_body=True),
    _transport("short_body", "half of the body, then the connection is closed; Content-Length promised all of it",
               needs_body=True),
    _transport("truncated_gzip", "Content-Encoding: gzip and half of the stream, Content-Length fits", needs_body=True),
    _transport("empty_body", "200 and no bytes", needs_body=True),
    _content("service_error", "200 and the protocol's own error document", TABLES | {"stsci"}),
    _content("overflow", "half of the rows, flagged as OVERFLOW where the format has the flag, else silently"),
    _content("exactly_cap", "exactly as many rows as were asked for at most, some rows missing, no flag",
             TABLES - {"skybot"}),
    _content("empty", "a proper answer without rows"),
    _content("header_only", "names of columns and nothing else; VOTable: FIELDs but no DATA"),
    _content("missing_column", "no column of declinations"),
    # JSON and CSV carry no units: there the values alone are in radians.
    _content("wrong_unit", "positions in radians, and said to be so where the format has units"),
    _content("duplicate_rows", "every other row twice"),
    _content("wrong_sky", "the rows of another part of the sky"),
    _content("nan_position", "a row without a position"),
)  # fmt: skip

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}


def faults_of(protocol: str, *kinds: Kind) -> list[str]:
    """Return the names of the faults that can exist in a protocol, of some kinds or of all."""
    return [f.name for f in _ALL if protocol in f.protocols and (not kinds or f.kind in kinds)]


@contextlib.contextmanager
def dead_endpoint(name: str) -> Iterator[str]:
    """Yield the root of a service (``scheme://host:port``) with which no conversation comes about.

    Parameters
    ----------
    name
        An endpoint fault: refused, dns, tls, tls_self_signed, connect_timeout.
    """
    if FAULTS[name].kind is not Kind.ENDPOINT:
        raise ValueError(f"{name} is not a dead endpoint; schedule it with server.fail({name!r})")
    if name == "dns":
        yield "http://no-such-service.invalid"
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        if name == "refused":  # bound but not listening: the kernel refuses, and nobody else gets the port
            yield f"http://127.0.0.1:{port}"
        elif name == "connect_timeout":
            with _full_backlog(listener):
                yield f"http://127.0.0.1:{port}"
        elif name == "tls":
            with _plain_speaker(listener):
                yield f"https://127.0.0.1:{port}"
        else:
            from servers.selfsigned import tls_speaker  # noqa: PLC0415

            with tls_speaker(listener):
                yield f"https://127.0.0.1:{port}"


@contextlib.contextmanager
def _full_backlog(listener: socket.socket) -> Iterator[None]:
    """Fill the queue of connections nobody accepts: Linux drops what comes then, clients wait."""
    listener.listen(0)
    address = listener.getsockname()
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        yield


@contextlib.contextmanager
def _plain_speaker(listener: socket.socket) -> Iterator[None]:
    """Answer whatever comes in with a line of plain HTTP, which no TLS client understands."""
    listener.listen(16)

    def speak() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(1)
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        thread.join(2)
