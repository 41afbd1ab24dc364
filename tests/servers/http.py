"""A threaded HTTP/1.1 server on 127.0.0.1 that records what it is asked and fails when told to."""

import contextlib
import email.message
import email.parser
import email.policy
import json
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from servers.faults import FAULTS, Fault, Kind
from servers.transport import Answer, html, send, spoil

Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Upload:
    """A file sent with a multipart form."""

    filename: str
    content_type: str
    content: bytes


@dataclass
class Request:
    """One request as the server understood it.

    Parameters
    ----------
    number
        Running number, from 0.
    method, path
        Of the request line, path without the query string.
    parameters
        Decoded pairs of query string and body, in order.
    files
        Uploaded files by the name of their form field.
    headers
        Headers, looked up without regard to case.
    body
        Raw body.
    received_s
        Monotonic clock at its arrival [s].
    fault
        Name of the fault applied to the answer, or None.
    status
        Status of the answer, 0 while there is none.
    """

    number: int
    method: str
    path: str
    parameters: Parameters
    files: Mapping[str, Upload]
    headers: Mapping[str, str]
    body: bytes
    received_s: float
    fault: str | None = None
    status: int = 0

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter, its name without regard to case."""
        return [value for key, value in self.parameters if key.lower() == name.lower()]

    def first(self, name: str, default: str = "") -> str:
        """Return the first value of a parameter."""
        return next(iter(self.all(name)), default)


@dataclass
class _Scheduled:
    fault: Fault
    left: int | None
    when: Callable[[Request], bool] | None = field(default=None)


class ServiceServer(ABC):
    """What the servers of all protocols have in common; each gives `answer`.

    Attributes
    ----------
    requests
        Every request so far.
    max_concurrent
        Highest number of requests that were under way at once.
    """

    protocol: ClassVar[str] = "recorded"
    base_path: ClassVar[str] = ""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.max_concurrent = 0
        self.latency_s = 0.0
        self._under_way = 0
        self._schedule: list[_Scheduled] = []
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._httpd: _Httpd | None = None
        self._thread: threading.Thread | None = None

    # What a protocol gives

    @abstractmethod
    def answer(self, request: Request, fault: str | None) -> Answer:
        """Return the answer to a request, with a content fault applied if one is named."""

    def is_data_request(self, request: Request) -> bool:
        """Tell whether the answer carries rows: only then can a content fault show."""
        return request.method in {"GET", "POST"}

    def has_body(self, request: Request) -> bool:
        """Tell whether the answer has a body worth spoiling."""
        return request.method in {"GET", "POST"}

    def parse_body(self, body: bytes, content_type: str) -> tuple[Parameters, dict[str, Upload]]:
        """Return parameters and files of a request's body."""
        return parse_body(body, content_type)

    # What a test uses

    @property
    def root(self) -> str:
        """Scheme, host and port."""
        if self._httpd is None:
            raise RuntimeError("the server does not run; use it as a context manager")
        return f"http://127.0.0.1:{self._httpd.server_address[1]}"

    @property
    def url(self) -> str:
        """Address of the service."""
        return self.root + self.base_path

    def fail(self, fault: str, times: int | None = 1, *, when: Callable[[Request], bool] | None = None) -> None:
        """Let a fault befall the next requests.

        Parameters
        ----------
        fault
            Name of a transport or content fault.
        times
            How many requests; None for all until `heal`.
        when
            Which requests; without it all in which the fault can show.
        """
        known = FAULTS[fault]
        if known.kind is Kind.ENDPOINT:
            raise ValueError(f"{fault} is an endpoint: use dead_endpoint({fault!r}) in place of the server's address")
        if self.protocol not in known.protocols:
            raise ValueError(f"the protocol {self.protocol} has no fault {fault}")
        with self._lock:
            self._schedule.append(_Scheduled(known, times, when))

    def heal(self) -> None:
        """Forget all faults that are scheduled."""
        with self._lock:
            self._schedule.clear()

    def start(self) -> Self:
        """Listen on a free port."""
        self._httpd = _Httpd(self)
        self._thread = threading.Thread(
            target=self._httpd.serve_forever,
            kwargs={"poll_interval": 0.02},
            daemon=True,
            name=f"{self.protocol}-server",
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close at once, whoever still waits for an answer."""
        self._stopping.set()
        if self._httpd is not None:
            self._httpd.shutdown()
            self._httpd.server_close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # What the handler of a connection calls

    def serve(
        self, method: str, target: str, headers: email.message.Message, body: bytes, connection: socket.socket
    ) -> bool:
        """Answer one request and say whether the connection stays open."""
        parts = urlsplit(target)
        sent, files = self.parse_body(body, headers.get("Content-Type", ""))
        asked = tuple(parse_qsl(parts.query, keep_blank_values=True))
        known_headers = _Headers(headers)
        with self._lock:
            request = Request(
                len(self.requests), method, parts.path, asked + sent, files, known_headers, body, time.monotonic()
            )
            self.requests.append(request)
            self._under_way += 1
            self.max_concurrent = max(self.max_concurrent, self._under_way)
            fault = self._take(request)
        try:
            if self.latency_s:
                self._stopping.wait(self.latency_s)
            return self._respond(request, fault, connection)
        finally:
            with self._lock:
                self._under_way -= 1

    def _respond(self, request: Request, fault: Fault | None, connection: socket.socket) -> bool:
        name = fault.name if fault else None
        transport = name if fault and fault.kind is Kind.TRANSPORT else None
        if transport and not (fault and fault.needs_body):
            answer = spoil(Answer(), transport)  # the service never got as far as to look at the question
        else:
            answer = spoil(self.answer(request, None if transport else name), transport)
        if request.method == "HEAD":
            answer = Answer(b"", answer.status, answer.content_type, answer.headers, len(answer.body))
        request.status = 0 if name == "first_byte_timeout" else answer.status
        return send(connection, answer, transport, self._stopping)

    def _take(self, request: Request) -> Fault | None:
        """Return the first scheduled fault that can show in this request, and count it."""
        for scheduled in self._schedule:
            fault = scheduled.fault
            if fault.kind is Kind.CONTENT and not self.is_data_request(request):
                continue
            if fault.kind is Kind.TRANSPORT and fault.needs_body and not self.has_body(request):
                continue
            if scheduled.when is not None and not scheduled.when(request):
                continue
            if scheduled.left is not None:
                scheduled.left -= 1
                if scheduled.left <= 0:
                    self._schedule.remove(scheduled)
            request.fault = fault.name
            return fault
        return None

    @contextlib.contextmanager
    def connected(self, connection: socket.socket) -> Iterator[None]:
        """Remember a connection for as long as it is open, so that `stop` can end it."""
        with self._lock:
            self._connections.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._connections.discard(connection)


def parse_body(body: bytes, content_type: str) -> tuple[Parameters, dict[str, Upload]]:
    """Return parameters and files of a form, a multipart form or a JSON object."""
    if content_type.startswith("application/x-www-form-urlencoded"):
        return tuple(parse_qsl(body.decode(), keep_blank_values=True)), {}
    if content_type.startswith("multipart/form-data"):
        return _parse_multipart(body, content_type)
    if content_type.startswith("application/json") and body:
        return tuple(_pairs(json.loads(body))), {}
    return (), {}


def _pairs(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        for single in value if isinstance(value, list) else [value]:
            yield name, str(single)


def _parse_multipart(body: bytes, content_type: str) -> tuple[Parameters, dict[str, Upload]]:
    document = b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(document)
    parameters, files = [], {}
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes):
            continue
        filename = part.get_filename()
        if filename is None:
            parameters.append((name, content.decode()))
        else:
            files[name] = Upload(filename, part.get_content_type(), content)
    return tuple(parameters), files


class _Headers(Mapping[str, str]):
    def __init__(self, message: email.message.Message) -> None:
        self._message = message

    def __getitem__(self, name: str) -> str:
        value = self._message[name]
        if value is None:
            raise KeyError(name)
        return str(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._message.keys())

    def __len__(self) -> int:
        return len(self._message)


class _Httpd(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, service: ServiceServer) -> None:
        self.service = service
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about clients that hung up; every other failure is printed as usual."""
        import sys  # noqa: PLC0415

        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close without the polite half-close, which would send FIN where a reset was meant."""
        self.close_request(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Httpd

    def handle(self) -> None:
        with self.server.service.connected(self.connection):
            super().handle()

    def _serve(self) -> None:
        body = self._read_body()
        service = self.server.service
        try:
            keep = service.serve(self.command, self.path, self.headers, body, self.connection)
        except OSError:
            raise
        except BaseException:
            with contextlib.suppress(OSError):
                send(self.connection, html(500, "the test server itself failed"), None, threading.Event())
            self.close_connection = True
            raise
        if not keep:
            self.close_connection = True

    def _read_body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def __getattr__(self, name: str) -> Any:
        """Serve every method alike; the base class looks for do_GET and so on."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: `requests` tells it all."""
