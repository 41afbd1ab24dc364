"""A question is put until it is answered or clearly will not be: retries, mirrors, manners, a record of each try."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from servers.faults import dead_endpoint
from servers.http import Request, ServiceServer
from servers.transport import Answer

from vascodb.loaders.client.ask import Reply, ServiceClient
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.client.session import EvidenceSession


class Echo(ServiceServer):
    """Says its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def answer(self, request: Request, fault: str | None) -> Answer:
        return Answer(self.name.encode())


@contextmanager
def mirrors(n_mirrors: int = 1, **changes: object) -> Iterator[tuple[ServiceClient, list[Echo]]]:
    with ExitStack() as stack:
        servers = [stack.enter_context(Echo(f"mirror {n}")) for n in range(n_mirrors)]
        yield client_of([server.url for server in servers], **changes), servers


def client_of(endpoints: list[str], preferred: tuple[str, ...] = (), **changes: object) -> ServiceClient:
    settings = ServiceSettings(
        title="a service", protocol="files", endpoints=tuple(endpoints), attempts=3, backoff_s=0.01,
        max_backoff_s=0.02, per_second=1000, connections=4, connect_timeout_s=0.5, first_byte_timeout_s=0.5,
        total_timeout_s=1.0,
    )  # fmt: skip
    return ServiceClient("service", settings.model_copy(update=changes), preferred)


def name_of_it(session: EvidenceSession, endpoint: str) -> str:
    return session.get(endpoint).text


def asked(servers: list[Echo]) -> list[int]:
    return [len(server.requests) for server in servers]


def test_an_answer_comes_with_its_evidence() -> None:
    with mirrors() as (client, servers):
        reply = client.ask(name_of_it)
        assert (reply.answer, reply.failure, reply.attempts) == ("mirror 0", None, 1)
        assert (reply.endpoint, reply.http_status, reply.response_bytes) == (servers[0].url, 200, 8)
        assert len(reply.response_sha256 or "") == 64
        assert reply.seconds >= 0


@pytest.mark.parametrize("fault", ["http_503", "reset_mid_body", "http_500", "short_body", "first_byte_timeout"])
def test_what_may_pass_is_tried_again_and_counted(fault: str) -> None:
    with mirrors() as (client, servers):
        servers[0].fail(fault, 2)
        reply = client.ask(name_of_it)
        assert (reply.answer, reply.attempts) == ("mirror 0", 3)
        assert asked(servers) == [3]


def test_attempts_come_to_an_end() -> None:
    with mirrors() as (client, servers):
        servers[0].fail("http_503", None)
        reply = client.ask(name_of_it)
        assert reply.answer is None
        assert reply.failure is not None
        assert (reply.failure.cause, reply.attempts, reply.http_status) == (Cause.UNAVAILABLE, 3, 503)
        assert asked(servers) == [3]
        assert client.ask(name_of_it, attempts=1).attempts == 1


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause.asks_for_less or cause is Cause.CONTRADICTION])
def test_what_asking_again_cannot_mend_is_not_asked_again(cause: Cause) -> None:
    n_asked = itertools.count()

    def too_much(session: EvidenceSession, endpoint: str) -> None:
        next(n_asked)
        raise LookupFailure(cause, "x")

    reply = client_of(["http://127.0.0.1:1", "http://127.0.0.1:2"]).ask(too_much)
    assert reply.failure is not None
    assert (reply.failure.cause, reply.attempts, next(n_asked)) == (cause, 1, 1)


def test_who_says_that_there_is_too_much_is_in_order() -> None:
    def too_much(session: EvidenceSession, endpoint: str) -> None:
        raise LookupFailure(Cause.OVERFLOW, "x")

    client = client_of(["http://127.0.0.1:1", "http://127.0.0.1:2"])
    client.ask(too_much)
    assert client.take_outcomes() == [("http://127.0.0.1:1", None)]
    assert client.first_endpoint == "http://127.0.0.1:1"


def test_a_refused_query_is_put_to_each_mirror_once() -> None:
    with mirrors(2) as (client, servers):
        for server in servers:
            server.answer = lambda request, fault: Answer(b"no such table", 400)  # type: ignore[method-assign]
        reply = client.ask(name_of_it)
        assert reply.failure is not None
        assert (reply.failure.cause, reply.attempts, asked(servers)) == (Cause.HTTP_ERROR, 2, [1, 1])
    with mirrors(1) as (client, servers):
        servers[0].answer = lambda request, fault: Answer(b"no such table", 400)  # type: ignore[method-assign]
        assert (client.ask(name_of_it).attempts, asked(servers)) == (1, [1])


def test_an_error_of_our_own_is_no_failure_of_the_service() -> None:
    def mistaken(session: EvidenceSession, endpoint: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client_of(["http://127.0.0.1:1"]).ask(mistaken)


def test_mirrors_take_turns_and_the_good_one_stays_first() -> None:
    with mirrors(3) as (client, servers):
        servers[0].fail("http_503", None)
        servers[1].fail("http_502", None)
        reply = client.ask(name_of_it)
        assert (reply.answer, reply.attempts, reply.endpoint) == ("mirror 2", 3, servers[2].url)
        assert client.ask(name_of_it).attempts == 1
        assert asked(servers) == [1, 1, 2]
        assert client.take_outcomes() == [
            (servers[0].url, Cause.UNAVAILABLE), (servers[1].url, Cause.UNAVAILABLE), (servers[2].url, None),
            (servers[2].url, None),
        ]  # fmt: skip
        assert client.take_outcomes() == []


def test_every_mirror_is_tried_even_if_there_are_more_than_attempts() -> None:
    with mirrors(5, attempts=2) as (client, servers):
        for server in servers[:4]:
            server.fail("http_503", None)
        assert client.ask(name_of_it).answer == "mirror 4"


@pytest.mark.parametrize("fault", ["refused", "dns", "tls", "connect_timeout"])
def test_a_dead_mirror_is_passed_over(fault: str) -> None:
    with dead_endpoint(fault) as dead, Echo("alive") as server:
        client = client_of([dead, server.url])
        assert client.ask(name_of_it).answer == "alive"
        assert client.ask(name_of_it).attempts == 1


def test_the_mirror_that_answered_lately_is_asked_first() -> None:
    with Echo("first") as first, Echo("second") as second:
        client = client_of([first.url, second.url], preferred=(second.url, "http://gone.invalid"))
        assert client.ask(name_of_it).answer == "second"
        assert asked([first, second]) == [0, 1]


def test_a_wish_to_be_left_alone_is_granted_to_all_threads() -> None:
    with mirrors() as (client, servers):
        servers[0].fail("http_429_retry_after")
        started = time.monotonic()
        replies: list[Reply[str]] = []
        threads = [threading.Thread(target=lambda: replies.append(client.ask(name_of_it))) for _ in range(3)]
        threads[0].start()
        while not any(request.status for request in servers[0].requests):
            time.sleep(0.005)
        time.sleep(0.05)
        for thread in threads[1:]:
            thread.start()
        for thread in threads:
            thread.join()
        assert [reply.answer for reply in replies] == ["mirror 0"] * 3
        times = [request.received_s - started for request in servers[0].requests]
        assert times[0] < 0.5
        assert all(later >= 0.95 for later in times[1:])


def test_a_wish_of_one_mirror_is_no_reason_to_wait_for_another() -> None:
    with mirrors(2) as (client, servers):
        servers[0].fail("http_429_retry_after")
        started = time.monotonic()
        assert client.ask(name_of_it).answer == "mirror 1"
        assert time.monotonic() - started < 0.9


def test_questions_keep_to_the_services_pace() -> None:
    with mirrors(per_second=20) as (client, servers):
        threads = [threading.Thread(target=client.ask, args=(name_of_it,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        times = sorted(request.received_s for request in servers[0].requests)
        assert times[-1] - times[0] >= 7 / 20 - 0.02


def test_no_more_connections_are_open_than_the_service_bears() -> None:
    with mirrors(connections=2) as (client, servers):
        servers[0].latency_s = 0.02
        threads = [threading.Thread(target=client.ask, args=(name_of_it,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert servers[0].max_concurrent == 2


def test_what_goes_well_after_a_failure_has_no_failure() -> None:
    with mirrors() as (client, servers):
        servers[0].fail("http_503")
        reply = client.ask(name_of_it)
        assert (reply.answer, reply.failure, reply.http_status) == ("mirror 0", None, 200)
