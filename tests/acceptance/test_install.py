"""`pip install`: everything the program needs is inside the `vascodb` namespace, and nothing is outside."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from commandline import PROGRAM

PROJECT = Path(__file__).resolve().parents[2]
SHIPPED = (".py", ".sql", ".toml", ".typed")
UNTRACKED = (".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")


def pip(*arguments: object, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def build_wheel(source: Path, target: Path) -> Path:
    pip("wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "-w", target, folder=source)
    [wheel] = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the project, in which building leaves its traces."""
    copy = tmp_path_factory.mktemp("source") / "project"
    shutil.copytree(PROJECT, copy, symlinks=True, ignore=shutil.ignore_patterns(*UNTRACKED))
    return copy


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_the_wheel_puts_nothing_outside_the_namespace(wheel):
    tops = {name.split("/")[0] for name in contents(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"vascodb"}
    assert len(tops) == 2


def test_the_wheel_holds_every_file_of_the_package(wheel):
    """Also those reached through the links to loaders/, sql/ and migrations/."""
    expected = {
        str((Path("vascodb") / folder / file).relative_to("."))
        for top in ("", "loaders", "sql", "migrations")
        for folder, file in files_below(PROJECT / "vascodb" / top, Path(top))
    }
    assert {name for name in contents(wheel) if ".dist-info/" not in name} == expected
    for needed in (
        "py.typed", "loaders/catalogs.toml", "profiles/vasco60.toml", "sql/views/api.sql", "extract/configs/seed.toml",
        "migrations/ddl/0001_plate.sql", "migrations/env.py",
    ):  # fmt: skip
        assert f"vascodb/{needed}" in expected


def files_below(folder: Path, name: Path) -> list[tuple[Path, str]]:
    return [
        (name / Path(where).relative_to(folder), file)
        for where, _, files in os.walk(folder)
        for file in files
        if file.endswith(SHIPPED)
    ]


def test_a_source_distribution_makes_the_same_wheel(source, wheel, tmp_path):
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True, timeout=120)
    [archive] = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path)
    [unpacked] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert not any(path.is_symlink() for path in unpacked.rglob("*"))
    again = build_wheel(unpacked, tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())
        for name in first.namelist():
            if name.startswith("vascodb/"):
                assert first.read(name) == second.read(name), name


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The program in an environment of its own, with the dependencies of this one."""
    environment = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    python = environment / "bin" / "python"
    before = set(site_packages(python).iterdir())
    pip("--python", python, "install", "--no-deps", "--no-index", wheel, folder=environment)
    new = {path.name for path in set(site_packages(python).iterdir()) - before}
    assert {name for name in new if not name.endswith(".dist-info")} == {"vascodb"}
    (site_packages(python) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / PROGRAM.name


def site_packages(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip())


def test_the_installed_program_does_the_whole_job(installed, new_home, small_simulation):
    home = new_home()
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("VASCODB_", "PYTHON"))}

    def run(*arguments: object) -> str:
        done = subprocess.run(
            [installed, *map(str, arguments)], env=variables | {"VASCODB_HOME": str(home)}, cwd="/",
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    code = "import vascodb, vascodb.sql; print(vascodb.__file__)"
    where = subprocess.run(
        [installed.with_name("python"), "-c", code], cwd="/", capture_output=True, text=True, check=True
    )
    assert Path(where.stdout.strip()).is_relative_to(installed.parents[1])
    assert "brought up to date" in run("init")
    run("load-reference", "gaia_edr3", small_simulation.reference, "--cone", "132.850192,11.800202,0.138deg")
    assert "candidates" in run("ingest-tile", "--fits", small_simulation.image)
    run("down")
