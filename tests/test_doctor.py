"""The doctor: finds what is there, names what is not with the command that mends it, and keeps secrets."""

import os
from pathlib import Path

import pytest

from vascodb.cluster import Cluster, install
from vascodb.doctor import Check, diagnose
from vascodb.settings import Settings


def by_name(settings: Settings) -> dict[str, Check]:
    checks = diagnose(settings)
    assert all("\n" not in check.detail + check.mend for check in checks)
    assert all(check.mend for check in checks if check.status != "ok")
    return {check.name: check for check in checks}


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with neither PostgreSQL nor the extraction tools."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(install, "SYSTEM_BINDIRS", ())


def test_on_a_machine_with_everything(cluster: Cluster) -> None:
    checks = by_name(Settings(home=cluster.home))
    assert {check.status for check in checks.values()} <= {"ok", "warn"}
    assert checks["PostgreSQL"].detail.startswith(cluster.install.version)
    assert checks["private database"].detail.startswith("running")
    assert "source-extractor" in checks
    assert "psfex" in checks


def test_on_a_machine_with_nothing(bare_machine: None, tmp_path: Path) -> None:
    checks = by_name(Settings(home=tmp_path / "home"))
    assert {name for name, check in checks.items() if check.status == "missing"} == {
        "PostgreSQL",
        "source-extractor",
        "psfex",
    }
    assert checks["PostgreSQL"].detail == "PostgreSQL 15 or newer is not installed"
    assert checks["PostgreSQL"].mend.startswith("sudo apt-get install postgresql-")
    assert checks["psfex"].mend == "sudo apt-get install psfex"
    assert not (tmp_path / "home").exists()  # looking changes nothing


def test_a_database_is_reported_even_where_postgresql_is_gone(bare_machine: None, cluster: Cluster) -> None:
    assert by_name(Settings(home=cluster.home))["private database"].detail.startswith("running")


def test_postgresql_without_q3c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"initdb": "", "pg_ctl": "", "psql": "", "postgres": "postgres (PostgreSQL) 17.2", "pg_config": "/none"}
    for program, answer in answers.items():
        (tmp_path / program).write_text(f"#!/bin/sh\necho '{answer}'\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("VASCODB_PGBIN", str(tmp_path))
    checks = by_name(Settings(home=tmp_path / "home"))
    assert checks["PostgreSQL"].status == "ok"
    assert checks["Q3C"].status == "missing"
    assert checks["Q3C"].mend == "sudo apt-get install postgresql-17-q3c"


@pytest.mark.parametrize(("version", "wide_cones_fail"), [("2.0.0", True), ("2.0.4", True), ("2.0.5", False)])
def test_faults_of_q3c_by_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, wide_cones_fail: bool
) -> None:
    (tmp_path / "extension").mkdir()
    (tmp_path / "extension" / "q3c.control").write_text(f"default_version = '{version}'\n")
    answers = dict.fromkeys(["initdb", "pg_ctl", "psql"], "") | {"postgres": "postgres (PostgreSQL) 17.2"}
    for program, answer in (answers | {"pg_config": str(tmp_path)}).items():
        (tmp_path / program).write_text(f"#!/bin/sh\necho '{answer}'\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("VASCODB_PGBIN", str(tmp_path))
    detail = by_name(Settings(home=tmp_path / "home"))["Q3C"].detail
    assert detail.startswith(version)
    assert ("35 degrees" in detail) == wide_cones_fail
    assert "q3c_in_poly" in detail


def test_a_server_that_answers(cluster: Cluster) -> None:
    url = cluster.url.replace("vasco@", "vasco:open-sesame@")
    checks = by_name(Settings(url=url))
    assert checks["server of VASCODB_URL"].status == "ok"
    assert cluster.install.version in checks["server of VASCODB_URL"].detail
    assert checks["Q3C"].status == "ok"
    assert "private database" not in checks
    assert "open-sesame" not in str(checks)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:open-sesame@127.0.0.1:1/vascodb",
        "postgresql+psycopg2://someone@127.0.0.1:1/vascodb?password=open-sesame",
        "no url: open-sesame",
    ],
)
def test_a_server_that_does_not_answer(url: str) -> None:
    checks = by_name(Settings(url=url))
    assert checks["server of VASCODB_URL"].status == "missing"
    assert "open-sesame" not in str(checks)


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    checks = by_name(Settings(home=tmp_path / "home"))
    assert checks["home"].status == "missing"
    assert "VASCODB_HOME" in checks["home"].mend


def test_a_database_folder_of_someone_unknown(folder_of_a_stranger: Path) -> None:
    check = by_name(Settings(home=folder_of_a_stranger))["private database"]
    assert check.status == "missing"
    assert "belongs to user number 54321" in check.detail


@pytest.fixture
def folder_of_a_stranger(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("needs root: gives a folder away")
    (tmp_path / "database").mkdir()
    os.chown(tmp_path / "database", 54321, 54321)
    return tmp_path
