"""The socket's folder: short enough for the kernel, plain enough for a URL, closed to others."""

import os
import socket
from pathlib import Path

import pytest

from vascodb.cluster.account import ServerAccount
from vascodb.cluster.sockets import is_listening, prepare_socket_dir, socket_dir_for
from vascodb.errors import InputError


@pytest.fixture
def account() -> ServerAccount:
    return ServerAccount("me", os.geteuid(), os.getegid())


def test_the_socket_is_in_the_home_where_it_can_be() -> None:
    assert socket_dir_for(Path("/var/lib/vascodb"), 1000) == Path("/var/lib/vascodb/run")


@pytest.mark.parametrize("home", ["/" + "x" * 200, "/data/a,b", "/data/a:b", "/data/a b", "/data/ü", "/data/it's"])
def test_other_homes_get_a_short_plain_path_of_their_own(home: str) -> None:
    chosen = socket_dir_for(Path(home), 1000)
    assert chosen.match("/tmp/vascodb-1000-????????")
    assert chosen == socket_dir_for(Path(home), 1000)
    assert chosen != socket_dir_for(Path(home + "2"), 1000)
    assert chosen != socket_dir_for(Path(home), 1001)


@pytest.mark.parametrize("length", range(60, 110))
def test_no_path_is_longer_than_the_kernel_allows(length: int) -> None:
    home = Path("/" + "x" * (length - 1))
    # sun_path has 108 bytes with the closing NUL; PostgreSQL also binds nothing longer than its lock file.
    assert len(os.fsencode(socket_dir_for(home, 4_000_000_000) / ".s.PGSQL.5432.lock")) <= 107


def test_a_folder_is_made_for_its_owner_only(tmp_path: Path, account: ServerAccount) -> None:
    before = os.umask(0)
    try:
        prepare_socket_dir(tmp_path / "run", account)
    finally:
        os.umask(before)
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    prepare_socket_dir(tmp_path / "run", account)


def test_a_folder_open_to_others_is_refused(tmp_path: Path, account: ServerAccount) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o711)
    with pytest.raises(InputError, match="only user me can enter"):
        prepare_socket_dir(tmp_path / "run", account)


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path, account: ServerAccount) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(InputError, match="only user me can enter"):
        prepare_socket_dir(tmp_path / "run", account)


@pytest.mark.usefixtures("as_root")
def test_a_folder_another_user_made_first_is_refused(tmp_path: Path, account: ServerAccount) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    os.chown(tmp_path / "run", 54321, 54321)
    with pytest.raises(InputError, match="only user me can enter"):
        prepare_socket_dir(tmp_path / "run", account)


def test_listening(folder: Path) -> None:
    assert not is_listening(folder)
    path = folder / ".s.PGSQL.5432"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert not is_listening(folder)
        server.listen(0)
        assert is_listening(folder)
        assert is_listening(folder)  # the queue is full by now: somebody is there all the same
        assert is_listening(folder)
    assert not is_listening(folder)
