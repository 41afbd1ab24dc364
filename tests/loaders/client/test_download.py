"""Big files: continued where they broke, begun anew when the server has another, in place only when whole."""

import random
from pathlib import Path

import pytest
from servers.faults import dead_endpoint
from servers.files import FileServer
from servers.http import Request
from servers.transport import Answer

from vascodb.errors import InputError
from vascodb.loaders.client.download import discard_parts, download, put_in_place
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.limits import Limiter
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.client.session import EvidenceSession

CONTENT = b"SIMPLE  =" + random.Random(1).randbytes(400_000)
OTHER = b"SIMPLE  =" + random.Random(2).randbytes(300_000)


def session_for(**changes: object) -> EvidenceSession:
    settings = ServiceSettings(
        title="files", protocol="files", endpoints=("http://127.0.0.1",), connect_timeout_s=0.5,
        first_byte_timeout_s=0.5, total_timeout_s=1.0, per_second=1000,
    ).model_copy(update=changes)  # fmt: skip
    return EvidenceSession(settings, Limiter(settings.per_second, settings.connections))


def fetch(server: FileServer, path: Path, **changes: object) -> Path:
    with session_for(**changes) as session:
        part = download(session, server.url + "/a.fits", path, b"SIMPLE  =")
        assert session.last.n_bytes == part.stat().st_size
        return part


def failure_of(server: FileServer, path: Path, **changes: object) -> LookupFailure:
    with pytest.raises(LookupFailure) as caught:
        fetch(server, path, **changes)
    return caught.value


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def ranges(server: FileServer) -> list[str | None]:
    return [request.headers.get("Range") for request in server.requests]


def test_a_file_arrives_and_is_put_in_place(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.fits"
    with FileServer({"/a.fits": CONTENT}) as server:
        part = fetch(server, path)
        assert part.name.startswith("a.fits.")
        assert part.name.endswith(".part")
        assert not path.exists()
        put_in_place(part, path)
    assert names(path.parent) == ["a.fits"]
    assert path.read_bytes() == CONTENT
    assert ranges(server) == [None]


@pytest.mark.parametrize("fault", ["reset_mid_body", "short_body"])
def test_a_broken_transfer_goes_on_where_it_ended(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "a.fits"
    with FileServer({"/a.fits": CONTENT}) as server:
        server.fail(fault)
        assert failure_of(server, path).cause is Cause.RESET
        assert not path.exists()
        (left,) = tmp_path.iterdir()
        n_bytes = left.stat().st_size
        assert 0 < n_bytes < len(CONTENT)
        assert left.read_bytes() == CONTENT[:n_bytes]
        put_in_place(fetch(server, path), path)
        assert path.read_bytes() == CONTENT
        assert ranges(server) == [None, f"bytes={n_bytes}-"]
        assert server.requests[1].headers["If-Range"].startswith('"')
        assert names(tmp_path) == ["a.fits"]


def test_it_goes_on_as_often_as_it_breaks(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    with FileServer({"/a.fits": CONTENT}) as server:
        server.fail("reset_mid_body", 5)
        sizes = []
        for _ in range(5):
            failure_of(server, path)
            sizes.append(next(tmp_path.iterdir()).stat().st_size)
        assert sizes == sorted(set(sizes))
        put_in_place(fetch(server, path), path)
    assert path.read_bytes() == CONTENT


def test_a_file_that_has_changed_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    with FileServer({"/a.fits": CONTENT}) as server:
        server.fail("reset_mid_body")
        failure_of(server, path)
        server.put("/a.fits", OTHER)
        put_in_place(fetch(server, path), path)
    assert path.read_bytes() == OTHER
    assert names(tmp_path) == ["a.fits"]


def test_a_rest_of_another_version_is_not_appended(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    with FileServer({"/a.fits": CONTENT}) as server:
        server.fail("reset_mid_body")
        failure_of(server, path)
        server.put("/a.fits", OTHER)
        plain = server.answer

        def heedless(request: Request, fault: str | None) -> Answer:
            """Send the part that was asked for, whatever If-Range says."""
            headers = {key: value for key, value in request.headers.items() if key != "If-Range"}
            return plain(Request(0, "GET", request.path, (), {}, headers, b"", 0.0), fault)

        server.answer = heedless  # type: ignore[method-assign]
        put_in_place(fetch(server, path), path)
    assert path.read_bytes() == OTHER


def test_a_server_that_ignores_ranges_sends_all_of_it_again(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    with FileServer({"/a.fits": CONTENT}, ranges=False) as server:
        server.fail("reset_mid_body")
        failure_of(server, path)
        put_in_place(fetch(server, path), path)
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.fits"]


def test_a_part_that_is_all_there_is_not_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    with FileServer({"/a.fits": CONTENT}) as server:
        part = fetch(server, path)
        assert fetch(server, path) == part
        assert ranges(server) == [None, f"bytes={len(CONTENT)}-"]
        assert part.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    with FileServer({"/a.fits": CONTENT}) as server:
        part = fetch(server, path)
        with part.open("ab") as stream:
            stream.write(b"more")
        assert fetch(server, path).read_bytes() == CONTENT


def test_without_a_name_for_the_version_nothing_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    with FileServer() as server:
        server.answer = lambda request, fault: Answer(CONTENT)  # type: ignore[method-assign]
        server.fail("reset_mid_body")
        failure_of(server, path)
        assert fetch(server, path).read_bytes() == CONTENT
        assert ranges(server) == [None, None]


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("http_503", Cause.UNAVAILABLE), ("http_429_retry_after", Cause.RATE_LIMITED),
        ("html_maintenance", Cause.NOT_THE_FORMAT), ("empty_body", Cause.TRUNCATED),
        ("truncated_gzip", Cause.NOT_THE_FORMAT), ("first_byte_timeout", Cause.FIRST_BYTE_TIMEOUT),
        ("slow_drip", Cause.TOO_SLOW),
    ],
)  # fmt: skip
@pytest.mark.parametrize("with_part", [False, True], ids=["anew", "continued"])
def test_every_failure_has_a_name_and_spoils_nothing(tmp_path: Path, fault: str, cause: Cause, with_part: bool) -> None:
    path = tmp_path / "a.fits"
    with FileServer({"/a.fits": CONTENT}) as server:
        if with_part:
            server.fail("reset_mid_body")
            failure_of(server, path)
        left = names(tmp_path)
        server.fail(fault)
        assert failure_of(server, path).cause is cause
        assert not path.exists()
        if fault != "slow_drip":
            assert names(tmp_path) == left
        put_in_place(fetch(server, path), path)
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.fits"]


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with FileServer() as server:
        failure = failure_of(server, tmp_path / "a.fits")
    assert (failure.cause, failure.http_status) == (Cause.HTTP_ERROR, 404)


def test_a_dead_server_leaves_nothing(tmp_path: Path) -> None:
    with dead_endpoint("refused") as url, session_for() as session, pytest.raises(LookupFailure):
        download(session, url + "/a.fits", tmp_path / "a.fits")
    assert names(tmp_path) == []


def test_a_file_that_is_too_big_is_refused_before_it_comes(tmp_path: Path) -> None:
    with FileServer({"/a.fits": CONTENT}) as server:
        assert failure_of(server, tmp_path / "a.fits", max_bytes=100_000).cause is Cause.TOO_BIG
    assert names(tmp_path) == []


def test_a_disk_that_is_full_is_no_failure_of_the_service(tmp_path: Path) -> None:
    with FileServer({"/a.fits": CONTENT}) as server, pytest.raises(InputError, match="cannot be written"):
        fetch(server, Path("/proc/nowhere/a.fits"))


def test_progress_is_told_of_all_bytes(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    with FileServer({"/a.fits": CONTENT}) as server:
        server.fail("reset_mid_body")
        failure_of(server, tmp_path / "a.fits")
        with session_for() as session:
            download(
                session, server.url + "/a.fits", tmp_path / "a.fits", progress=lambda n, total: told.append((n, total))
            )
    assert {total for _, total in told} == {len(CONTENT)}
    assert [n for n, _ in told] == sorted({n for n, _ in told})
    assert told[-1][0] == len(CONTENT)


def test_only_parts_of_the_file_itself_are_discarded(tmp_path: Path) -> None:
    for name in ("a.fits", "a.fits.x.part", "a.fits2.x.part", "b.a.fits.x.part"):
        (tmp_path / name).write_bytes(b"x")
    discard_parts(tmp_path / "a.fits")
    assert names(tmp_path) == ["a.fits", "a.fits2.x.part", "b.a.fits.x.part"]
