"""Finding PostgreSQL: the newest with Q3C, of the right major version, or a command that installs it."""

import os
from pathlib import Path

import pytest

from vascodb.cluster import find_postgres
from vascodb.cluster.install import PostgresInstall, apt_command, read_install
from vascodb.errors import InputError, ServiceError


def make_install(root: Path, printed: str, *, q3c_control: str | None = None) -> Path:
    """Make programs that answer as PostgreSQL's do."""
    bindir, sharedir = root / "bin", root / "share"
    bindir.mkdir(parents=True)
    (sharedir / "extension").mkdir(parents=True)
    if q3c_control is not None:
        (sharedir / "extension" / "q3c.control").write_text(q3c_control)
    answers = {"initdb": "", "pg_ctl": "", "psql": "", "postgres": printed, "pg_config": str(sharedir)}
    for program, answer in answers.items():
        (bindir / program).write_text(f"#!/bin/sh\necho '{answer}'\n")
        (bindir / program).chmod(0o755)
    return bindir


def test_the_installed_server_is_found() -> None:
    install = find_postgres()
    assert install.major >= 15
    assert install.q3c
    assert os.access(install.bindir / "initdb", os.X_OK)


@pytest.mark.parametrize(
    ("printed", "version", "major"),
    [
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "15.18", 15),
        ("postgres (PostgreSQL) 16.4 (Ubuntu 16.4-0ubuntu0.24.04.2)", "16.4", 16),
        ("postgres (PostgreSQL) 18.6", "18.6", 18),
        ("postgres (PostgreSQL) 19beta1", "19beta1", 19),
    ],
)
def test_versions_as_the_distributions_print_them(tmp_path: Path, printed: str, version: str, major: int) -> None:
    install = read_install(make_install(tmp_path, printed))
    assert install == PostgresInstall(tmp_path / "bin", version, None)
    assert install.major == major
    assert not install.q3c


def test_the_version_of_q3c_is_the_one_its_control_file_names(tmp_path: Path) -> None:
    control = "comment = 'q3c sky indexing plugin'\ndefault_version = '2.0.1'\nrelocatable = true\n"
    install = read_install(make_install(tmp_path, "postgres (PostgreSQL) 16.4", q3c_control=control))
    assert install is not None
    assert install.q3c
    assert install.q3c_version == "2.0.1"


def test_a_minor_version_is_a_number_not_a_text(tmp_path: Path) -> None:
    older = PostgresInstall(tmp_path, "15.9", None)
    newer = PostgresInstall(tmp_path, "15.10", None)
    assert newer.version_key > older.version_key


def test_a_folder_with_only_the_client_is_no_server(tmp_path: Path) -> None:
    bindir = make_install(tmp_path, "postgres (PostgreSQL) 16.4")
    (bindir / "initdb").unlink()
    assert read_install(bindir) is None


def test_the_folder_the_user_names_is_taken_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bindir = make_install(tmp_path, "postgres (PostgreSQL) 17.2")
    monkeypatch.setenv("VASCODB_PGBIN", str(bindir))
    assert find_postgres() == PostgresInstall(bindir, "17.2", None)
    with pytest.raises(ServiceError, match=r"^PostgreSQL 16 is not installed \(found 17\.2\): .*postgresql-16-q3c$"):
        find_postgres(16)


@pytest.mark.parametrize("printed", ["postgres (PostgreSQL) 14.9", "something else"])
def test_a_folder_without_a_usable_server_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str
) -> None:
    monkeypatch.setenv("VASCODB_PGBIN", str(make_install(tmp_path, printed)))
    with pytest.raises(InputError, match=r"^VASCODB_PGBIN=.* has no PostgreSQL 15 or newer"):
        find_postgres()


def test_commands_name_the_missing_packages_only() -> None:
    assert apt_command(16) == "sudo apt-get install postgresql-16 postgresql-16-q3c"
    assert apt_command(16, server=False) == "sudo apt-get install postgresql-16-q3c"
