"""An answer is whole and in time, or it is a failure with a name."""

import gzip
import random
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from servers.faults import dead_endpoint
from servers.http import Request, ServiceServer
from servers.transport import Answer

from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.limits import Limiter
from vascodb.loaders.client.pages import text_of_page
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.client.session import EvidenceSession

BODY = random.Random(5).randbytes(200_000)


class PlainServer(ServiceServer):
    """Answers every request alike."""

    def __init__(self, answer: Answer | Callable[[Request], Answer]) -> None:
        super().__init__()
        self._answer = answer

    def answer(self, request: Request, fault: str | None) -> Answer:
        return self._answer if isinstance(self._answer, Answer) else self._answer(request)


def session_for(**changes: object) -> EvidenceSession:
    settings = ServiceSettings(
        title="a service", protocol="files", endpoints=("http://127.0.0.1",), connect_timeout_s=0.3,
        first_byte_timeout_s=0.4, total_timeout_s=0.8, per_second=1000, connections=4,
    ).model_copy(update=changes)  # fmt: skip
    return EvidenceSession(settings, Limiter(settings.per_second, settings.connections))


def failure_of(url: str, **changes: object) -> LookupFailure:
    with session_for(**changes) as session, pytest.raises(LookupFailure) as caught:
        session.get(url)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_whole_answer_is_read_and_remembered() -> None:
    with PlainServer(Answer(BODY, content_type="application/x-thing")) as server, session_for() as session:
        response = session.get(server.url + "/a", params={"q": "1"})
        assert response.content == BODY
        assert response.status_code == 200
        last = session.last
        assert (last.url, last.http_status) == (server.root + "/a?q=1", 200)
        assert (last.content_type, last.n_bytes) == ("application/x-thing", len(BODY))
        assert last.body_sha256 == sha256(BODY).hexdigest()
        assert 0 <= last.seconds < 5


def test_an_answer_that_is_not_there_leaves_no_exchange() -> None:
    with dead_endpoint("refused") as url, session_for() as session:
        with pytest.raises(LookupFailure):
            session.get(url)
        assert session.exchanges == []


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("dns", Cause.DNS), ("refused", Cause.REFUSED), ("tls", Cause.TLS), ("tls_self_signed", Cause.TLS),
        ("connect_timeout", Cause.CONNECT_TIMEOUT),
    ],
)  # fmt: skip
def test_no_conversation_has_a_name(fault: str, cause: Cause) -> None:
    with dead_endpoint(fault) as url:
        started = time.monotonic()
        assert failure_of(url).cause is cause
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("fault", "cause", "status"),
    [
        ("first_byte_timeout", Cause.FIRST_BYTE_TIMEOUT, None), ("slow_drip", Cause.TOO_SLOW, None),
        ("reset_mid_body", Cause.RESET, None), ("short_body", Cause.RESET, None),
        ("truncated_gzip", Cause.TRUNCATED, None), ("http_429", Cause.RATE_LIMITED, 429),
        ("http_500", Cause.UNAVAILABLE, 500), ("http_502", Cause.UNAVAILABLE, 502),
        ("http_503", Cause.UNAVAILABLE, 503), ("http_504", Cause.UNAVAILABLE, 504),
    ],
)  # fmt: skip
def test_every_way_to_break_an_exchange_has_a_name(fault: str, cause: Cause, status: int | None) -> None:
    with PlainServer(Answer(BODY)) as server:
        server.fail(fault)
        failure = failure_of(server.url)
        assert (failure.cause, failure.http_status) == (cause, status)
        with session_for() as session:
            assert session.get(server.url).content == BODY


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refused_query_says_what_the_page_says(status: int) -> None:
    page = b"<html><head><script>if (a < b) {}</script></head><body>The  table\nis unknown</body></html>"
    with PlainServer(Answer(page, status, "text/html")) as server:
        failure = failure_of(server.url)
    assert (failure.cause, failure.http_status) == (Cause.HTTP_ERROR, status)
    assert failure.detail.endswith("The table is unknown")
    assert "if (" not in failure.detail


def test_a_refusal_keeps_its_name_when_its_page_is_cut_off() -> None:
    def refuse(_: Request) -> Answer:
        return Answer(b"busy", 503, "text/html", {"Retry-After": "7"}, content_length=5000)

    with PlainServer(refuse) as server:
        failure = failure_of(server.url)
    assert (failure.cause, failure.http_status, failure.retry_after_s) == (Cause.UNAVAILABLE, 503, 7.0)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("said", "wish"), [("7", 7), ("0", 0), ("Mon, 01 Jan 2001 00:00:00 GMT", 0)])
def test_a_wish_to_be_left_alone_is_understood(status: int, said: str, wish: float) -> None:
    with PlainServer(Answer(b"", status, "text/html", {"Retry-After": said})) as server:
        assert failure_of(server.url).retry_after_s == wish


def test_a_wish_may_be_a_time() -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    with PlainServer(Answer(b"", 503, "text/html", {"Retry-After": then})) as server:
        wish = failure_of(server.url).retry_after_s
    assert wish == pytest.approx(3600, abs=60)


@pytest.mark.parametrize("said", ["", "soon", "-5", "1e9", "99999999999999999999", "²", "Xxx, 99 Foo"])
def test_a_wish_that_nobody_understands_is_none(said: str) -> None:
    with PlainServer(Answer(b"", 429, "text/html", {"Retry-After": said.encode().decode("latin-1")})) as server:
        assert failure_of(server.url).retry_after_s is None


PACKED = {
    "gzip": gzip.compress(BODY, mtime=0),
    "x-gzip": gzip.compress(BODY, mtime=0),
    "GZIP": gzip.compress(BODY, mtime=0),
    "deflate": zlib.compress(BODY),
}


@pytest.mark.parametrize("encoding", sorted(PACKED))
def test_a_packed_answer_is_unpacked(encoding: str) -> None:
    answer = Answer(PACKED[encoding], headers={"Content-Encoding": encoding})
    with PlainServer(answer) as server, session_for() as session:
        assert session.get(server.url).content == BODY
        assert session.last.body_sha256 == sha256(BODY).hexdigest()


def test_a_packed_answer_of_several_parts_is_unpacked_to_its_end() -> None:
    packed = gzip.compress(BODY[:70_000]) + gzip.compress(BODY[70_000:])
    with PlainServer(Answer(packed, headers={"Content-Encoding": "gzip"})) as server, session_for() as session:
        assert session.get(server.url).content == BODY


@pytest.mark.parametrize("n_bytes", [1, 9, 11, 1000, len(PACKED["gzip"]) - 9, len(PACKED["gzip"]) - 1])
def test_a_packed_answer_cut_anywhere_is_not_whole(n_bytes: int) -> None:
    with PlainServer(Answer(PACKED["gzip"][:n_bytes], headers={"Content-Encoding": "gzip"})) as server:
        assert failure_of(server.url).cause is Cause.TRUNCATED


def test_a_damaged_packed_answer_is_not_whole() -> None:
    packed = bytearray(PACKED["gzip"])
    packed[50_000] ^= 0xFF
    with PlainServer(Answer(bytes(packed), headers={"Content-Encoding": "gzip"})) as server:
        assert failure_of(server.url).cause is Cause.TRUNCATED


def test_an_answer_in_a_packing_that_nobody_asked_for_is_not_guessed_at() -> None:
    with PlainServer(Answer(BODY, headers={"Content-Encoding": "br"})) as server:
        assert failure_of(server.url).cause is Cause.NOT_THE_FORMAT


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}], ids=["plain", "packed"])
def test_an_answer_longer_than_allowed_is_not_read_to_its_end(headers: dict[str, str]) -> None:
    body = gzip.compress(bytes(10_000_000)) if headers else bytes(10_000_000)
    with PlainServer(Answer(body, headers=headers)) as server:
        assert failure_of(server.url, max_bytes=100_000).cause is Cause.TOO_BIG
        assert failure_of(server.url, max_bytes=9_999_999).cause is Cause.TOO_BIG
        with session_for(max_bytes=10_000_000) as session:
            assert len(session.get(server.url).content) == 10_000_000


def test_a_redirection_is_followed_unless_the_caller_wants_to_see_it() -> None:
    def answer(request: Request) -> Answer:
        moved = Answer(b"", 303, "text/html", {"Location": "/there"})
        return moved if request.path == "/here" else Answer(b"found")

    with PlainServer(answer) as server, session_for() as session:
        assert session.get(server.url + "/here").content == b"found"
        seen = session.get(server.url + "/here", allow_redirects=False)
        assert (seen.status_code, seen.headers["Location"]) == (303, "/there")


@given(st.binary(max_size=300))
@hypothesis_settings(deadline=None, max_examples=300)
def test_any_bytes_make_one_line_that_the_database_takes(body: bytes) -> None:
    detail = LookupFailure(Cause.NOT_THE_FORMAT, text_of_page(body)).detail
    assert "\n" not in detail
    assert "\0" not in detail
    detail.encode("utf-8")


@pytest.mark.parametrize("body", [b"", b"<![if foo[", b"<![", b"<!x", b"<script>never ends", b"</script></script>a"])
def test_odd_pages_make_a_line_too(body: bytes) -> None:
    assert text_of_page(body)
