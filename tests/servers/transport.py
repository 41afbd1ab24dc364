"""How an answer goes over the wire, whole or spoilt by a transport fault."""

import contextlib
import gzip
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field, replace

DRIP_INTERVAL_S = 0.02
_PAUSE_S = 0.03  # lets the client read what came before a reset

_REASONS = {
    200: "OK", 206: "Partial Content", 303: "See Other", 304: "Not Modified", 400: "Bad Request", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 413: "Payload Too Large", 416: "Range Not Satisfiable",
    429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout",
}  # fmt: skip

MAINTENANCE = b"""<!DOCTYPE html>
<html><head><title>Scheduled maintenance</title></head>
<body><h1>We will be back soon</h1><p>The archive is down for scheduled maintenance.</p></body></html>
"""


@dataclass(frozen=True)
class Answer:
    """What a server says to one request."""

    body: bytes = b""
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    content_length: int | None = None  # said instead of the body's own length (HEAD)


def html(status: int, headline: str, headers: dict[str, str] | None = None) -> Answer:
    """Return a short HTML page."""
    page = f"<html><head><title>{status} {headline}</title></head><body><h1>{headline}</h1></body></html>\n"
    return Answer(page.encode(), status, "text/html; charset=utf-8", headers or {})


def spoil(answer: Answer, fault: str | None) -> Answer:
    """Return the answer that a transport fault which still speaks proper HTTP puts in place of another."""
    if fault == "http_429_retry_after":
        return html(429, _REASONS[429], {"Retry-After": "1"})
    if fault is not None and fault.startswith("http_"):
        status = int(fault.removeprefix("http_"))
        return html(status, _REASONS[status])
    if fault == "html_maintenance":
        return Answer(MAINTENANCE, 200, "text/html; charset=utf-8")
    if fault == "truncated_gzip":
        packed = gzip.compress(answer.body, mtime=0)
        return replace(answer, body=packed[: len(packed) // 2], headers={**answer.headers, "Content-Encoding": "gzip"})
    if fault in {"truncated_body", "empty_body"}:
        return replace(answer, body=cut(answer.body, answer.content_type) if fault == "truncated_body" else b"")
    return answer


def cut(body: bytes, content_type: str) -> bytes:
    """Return about half of a body, cut where a parser must notice it.

    A table in lines is cut behind the first field of a row, never at the end of a line, where the rest would be
    missing without a trace.
    """
    half = max(1, len(body) // 2)
    delimiter = b"\t" if "tab-separated" in content_type else b"," if "csv" in content_type else None
    if delimiter is None:
        return body[:half]
    line_start = body.rfind(b"\n", 0, half) + 1
    field_end = body.find(delimiter, line_start)
    return body[:half] if field_end < 0 else body[:field_end]


def send(connection: socket.socket, answer: Answer, fault: str | None, stopping: threading.Event) -> bool:
    """Send an answer and say whether the connection can be used again.

    Parameters
    ----------
    connection
        The client's connection.
    answer
        The answer, already passed through `spoil`.
    fault
        Transport fault in force, or None.
    stopping
        Set when the server goes down: ends waiting and dripping.
    """
    if fault == "first_byte_timeout":
        _wait_until_gone(connection, stopping)
        return False
    half = len(answer.body) // 2
    connection.sendall(head(answer, close=fault in {"short_body", "reset_mid_body", "slow_drip"}))
    if fault == "slow_drip":
        _drip(connection, answer.body, stopping)
        return False
    if fault == "short_body":
        connection.sendall(answer.body[:half])
        return False
    if fault == "reset_mid_body":
        connection.sendall(answer.body[:half])
        time.sleep(_PAUSE_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close sends RST
        return False
    connection.sendall(answer.body)
    return True


def head(answer: Answer, *, close: bool = False) -> bytes:
    """Return status line and headers."""
    length = len(answer.body) if answer.content_length is None else answer.content_length
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {length}",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
        *(["Connection: close"] if close else []),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _drip(connection: socket.socket, body: bytes, stopping: threading.Event) -> None:
    with contextlib.suppress(OSError):
        for position in range(len(body)):
            connection.sendall(body[position : position + 1])
            if stopping.wait(DRIP_INTERVAL_S):
                return


def _wait_until_gone(connection: socket.socket, stopping: threading.Event) -> None:
    """Wait, saying nothing, until the client hangs up or the server stops."""
    with contextlib.suppress(OSError):
        while not stopping.is_set():
            readable, _, _ = select.select([connection], [], [], 0.05)
            if readable and not connection.recv(1, socket.MSG_PEEK):
                return
            if readable:  # a pipelined request: nobody answers it either
                stopping.wait(0.05)
