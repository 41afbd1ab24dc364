"""Every fault does what it claims, seen from the socket or from a plain client."""

import gzip
import io
import socket
import threading
import time
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
import requests
from astropy.io.votable import parse, parse_single_table
from astropy.table import Table

from servers.faults import FAULTS, Kind, dead_endpoint, faults_of
from servers.skytable import SkyTable
from servers.tap import TapServer

QUERY = "SELECT * FROM stars WHERE 1=CONTAINS(POINT('ICRS',ra,dec),CIRCLE('ICRS',10,20,0.5))"


@pytest.fixture(scope="module")
def sky() -> SkyTable:
    generator = np.random.default_rng(5)
    table = Table(
        {"id": np.arange(500), "ra": generator.uniform(9.5, 10.5, 500), "dec": generator.uniform(19.5, 20.5, 500)},
        units={"ra": "deg", "dec": "deg"},
    )
    return SkyTable("stars", table)


@pytest.fixture
def server(sky: SkyTable) -> Iterator[TapServer]:
    with TapServer([sky]) as running:
        yield running


def ask(server: TapServer, form: str = "votable", timeout_s: float = 5.0, **more: str) -> requests.Response:
    form_data = {"QUERY": QUERY, "LANG": "ADQL", "RESPONSEFORMAT": form, **more}
    return requests.post(f"{server.url}/sync", data=form_data, timeout=timeout_s)


def rows_of(answer: requests.Response) -> Table:
    return parse_single_table(io.BytesIO(answer.content)).to_table()


def raw(server: TapServer) -> bytes:
    """Send a query over a bare socket and return every byte that comes back."""
    host, port = server.root.removeprefix("http://").split(":")
    body = f"LANG=ADQL&RESPONSEFORMAT=csv&QUERY={requests.utils.quote(QUERY)}".encode()  # type: ignore[attr-defined]
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(
            b"POST /tap/sync HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def test_there_are_faults_enough_for_every_protocol() -> None:
    assert len(FAULTS) >= 20
    for protocol in ("tap", "vizier", "mast", "xmatch"):
        assert len(faults_of(protocol)) >= 20
    assert "service_error" in faults_of("stsci", Kind.CONTENT)
    assert len(faults_of("stsci")) >= 19


@pytest.mark.parametrize("name", faults_of("tap", Kind.ENDPOINT))
def test_dead_endpoints(name: str) -> None:
    expected = {
        "refused": "refused",
        "dns": "resol|Name or service|getaddrinfo",
        "tls": "SSL",
        "tls_self_signed": "CERTIFICATE_VERIFY_FAILED",
        "connect_timeout": "timed out",
    }
    with dead_endpoint(name) as url, pytest.raises(requests.ConnectionError, match=expected[name]) as raised:
        requests.get(f"{url}/tap/sync", timeout=(0.3, 2))
    assert isinstance(raised.value, requests.exceptions.SSLError) == name.startswith("tls")
    assert isinstance(raised.value, requests.exceptions.ConnectTimeout) == (name == "connect_timeout")


@pytest.mark.parametrize("name", [n for n in faults_of("tap", Kind.TRANSPORT) if n.startswith("http_")])
def test_statuses(server: TapServer, name: str) -> None:
    server.fail(name)
    answer = ask(server)
    assert answer.status_code == int(name.split("_")[1])
    assert ("Retry-After" in answer.headers) == (name == "http_429_retry_after")
    assert ask(server).status_code == 200
    assert [request.fault for request in server.requests] == [name, None]


def test_first_byte_never_comes(server: TapServer) -> None:
    server.fail("first_byte_timeout", times=None)
    with pytest.raises(requests.exceptions.ReadTimeout):
        ask(server, timeout_s=0.3)
    server.heal()
    assert ask(server).status_code == 200


def test_drip_outlasts_any_read_timeout(server: TapServer) -> None:
    server.fail("slow_drip")
    with requests.post(f"{server.url}/sync", data={"QUERY": QUERY}, timeout=0.3, stream=True) as answer:
        start = time.monotonic()
        got = 0
        for byte in answer.iter_content(1):
            got += len(byte)
            if time.monotonic() - start > 0.6:
                break
    assert 5 < got < 100


def test_reset_mid_body(server: TapServer) -> None:
    server.fail("reset_mid_body")
    with pytest.raises(ConnectionResetError):
        raw(server)
    server.fail("reset_mid_body")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        ask(server)


def test_short_body_breaks_its_promise(server: TapServer) -> None:
    server.fail("short_body")
    head, _, body = raw(server).partition(b"\r\n\r\n")
    promised = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(body) == promised // 2
    server.fail("short_body")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        ask(server)


@pytest.mark.parametrize("form", ["votable", "votable/td", "csv"])
def test_truncated_body_shows_only_to_a_parser(server: TapServer, form: str) -> None:
    whole = ask(server, form).content
    server.fail("truncated_body")
    answer = ask(server, form)
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(answer.content) < len(whole)
    assert whole.startswith(answer.content)
    if form == "csv":
        assert answer.text.splitlines()[-1].count(",") < answer.text.splitlines()[0].count(",")
    else:
        with pytest.raises(Exception, match=r"no element found|unclosed|not well-formed|XML|padding"):
            parse(io.BytesIO(answer.content))


def test_truncated_gzip(server: TapServer) -> None:
    server.fail("truncated_gzip")
    head, _, body = raw(server).partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) == len(body)
    with pytest.raises(EOFError):
        gzip.decompress(body)
    assert zlib.decompressobj(31).decompress(body).startswith(b"id,ra,dec")


def test_pages_without_data(server: TapServer) -> None:
    server.fail("html_maintenance")
    answer = ask(server)
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (200, "text/html")
    server.fail("empty_body")
    answer = ask(server)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("name", faults_of("tap", Kind.CONTENT))
def test_content_of_tap(server: TapServer, sky: SkyTable, name: str, mode: str) -> None:
    right = sky.table[sky.cone(10, 20, 0.5)]
    server.fail(name)
    if mode == "sync":
        answer = ask(server, MAXREC="600")
    else:
        job = requests.post(
            f"{server.url}/async", data={"QUERY": QUERY, "LANG": "ADQL", "MAXREC": "600", "PHASE": "RUN"}, timeout=5
        ).url
        phase = requests.get(f"{job}/phase", timeout=5).text
        assert phase == ("ERROR" if name == "service_error" else "COMPLETED")
        answer = requests.get(f"{job}/{'error' if phase == 'ERROR' else 'results/result'}", timeout=5)
    assert answer.status_code == 200
    assert server.requests[0].fault == name
    assert (b'value="ERROR"' in answer.content) == (name == "service_error")
    assert (b'value="OVERFLOW"' in answer.content) == (name == "overflow")
    if name == "service_error":
        return
    table = rows_of(answer)
    first = table[0] if len(table) else None
    assert len(table) == {
        "overflow": (len(right) + 1) // 2, "exactly_cap": 600, "empty": 0, "header_only": 0,
        "duplicate_rows": len(right) + (len(right) + 1) // 2,
    }.get(name, len(right))  # fmt: skip
    assert (b"<DATA>" in answer.content) == (name != "header_only")
    assert ("dec" in table.colnames) == (name != "missing_column")
    if name == "exactly_cap":
        assert not set(right["id"]) <= set(table["id"])
        assert len(set(table["id"])) == 600
    elif name == "wrong_unit":
        assert str(table["dec"].unit) == "rad"
        np.testing.assert_allclose(table["dec"], np.radians(right["dec"]))
    elif name == "wrong_sky":
        assert first is not None and first["dec"] < -19
    elif name == "nan_position":
        assert np.sum(np.isnan(np.ma.filled(table["ra"], np.nan))) == 1
    assert len(rows_of(ask(server))) == len(right)


def test_faults_are_counted_chosen_and_healed(server: TapServer) -> None:
    server.fail("http_503", times=2)
    server.fail("http_500", times=None, when=lambda request: request.first("RESPONSEFORMAT") == "csv")
    assert [ask(server, form).status_code for form in ("votable", "csv", "votable", "csv", "csv")] == [
        503, 503, 200, 500, 500,
    ]  # fmt: skip
    server.heal()
    assert ask(server, "csv").status_code == 200
    with pytest.raises(ValueError, match="dead_endpoint"):
        server.fail("dns")


def test_requests_are_recorded_and_counted_side_by_side(server: TapServer) -> None:
    server.latency_s = 0.2
    threads = [threading.Thread(target=ask, args=(server,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.max_concurrent == 3
    assert [r.first("query") for r in server.requests] == [QUERY] * 3
    assert [r.number for r in server.requests] == [0, 1, 2]
    assert all(r.method == "POST" and r.status == 200 for r in server.requests)


def test_stop_does_not_wait_for_waiting_clients(sky: SkyTable) -> None:
    start = time.monotonic()
    with TapServer([sky]) as server:
        server.fail("first_byte_timeout", times=None)
        failures: list[Exception] = []

        def wait() -> None:
            try:
                ask(server, timeout_s=30)
            except requests.RequestException as error:
                failures.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        while not server.requests:
            time.sleep(0.01)
    thread.join(5)
    assert time.monotonic() - start < 2
    assert len(failures) == 1
