"""SExtractor or PSFEx missing or crashing: says which, with its own last words, and leaves nothing."""

import os
import shutil
from pathlib import Path

import pytest
from commandline import Vascodb, assert_one_line

REAL = {name: shutil.which(name) for name in ("source-extractor", "psfex")}
NAMES = ("source-extractor", "sex", "sextractor", "psfex")


@pytest.fixture(scope="module")
def used(module_vascodb: Vascodb, small_simulation) -> tuple[Vascodb, dict, Path]:
    """A database that knows the sky of the image, but not the image."""
    module_vascodb.ok(
        "load-reference", "gaia_edr3", small_simulation.reference, "--cone", "132.850192,11.800202,0.138deg"
    )
    return module_vascodb, module_vascodb.fingerprint(), small_simulation.image


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder that stands for the PATH: links to all programs there are, but not the extraction tools."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for directory in os.environ["PATH"].split(":"):
        for program in Path(directory).glob("*") if Path(directory).is_dir() else ():
            if program.name not in NAMES and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return folder


def provide(folder: Path, name: str, script: str | None = None) -> None:
    """Put a tool there: the real one, or a shell script that knows its version and does otherwise as told."""
    path = folder / name
    if script is None:
        path.symlink_to(REAL[name])
        return
    program = f'#!/bin/sh\ncase "$1" in --version) exec {REAL[name]} --version;; esac\n{script}\n'
    path.write_text(program)
    path.chmod(0o755)


def assert_nothing_written(vascodb: Vascodb, fingerprint: dict) -> None:
    assert vascodb.fingerprint() == fingerprint
    assert list((vascodb.home / "work").glob("*")) == []
    assert vascodb.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'staging'") == [["0"]]


@pytest.mark.parametrize("missing", REAL)
def test_a_missing_tool_is_named_with_the_command_that_mends_it(missing, used, tools):
    vascodb, fingerprint, image = used
    provide(tools, next(name for name in REAL if name != missing))
    outcome = vascodb.run("ingest-tile", "--fits", image, PATH=str(tools))
    assert_one_line(outcome, f"{missing} is not installed", f"apt-get install {missing}")
    assert_nothing_written(vascodb, fingerprint)


CRASHES = {
    "ends with an error": (
        'for n in 1 2 3 4 5 6 7 8; do echo "line $n" >&2; done; exit 3',
        ["ended with status 3", "line 4 | line 5 | line 6 | line 7 | line 8"],
    ),
    "crashes": ('echo "about to crash"; kill -SEGV $$', ["killed by signal 11", "about to crash"]),
    "is killed": ("kill -KILL $$", ["killed by signal 9", "it said nothing"]),
    "aborts": ('printf "\\033[1M> half a line"; kill -ABRT $$', ["killed by signal 6", "half a line"]),
    "writes nothing": ('echo "all done"; exit 0', ["wrote no", "all done"]),
    "does not start": (None, ["--version failed"]),
}


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.parametrize("broken", REAL)
def test_a_crashing_tool_is_named_with_its_own_last_lines(broken, crash, used, tools):
    vascodb, fingerprint, image = used
    for name in REAL:
        if name != broken:
            provide(tools, name)
    script, words = CRASHES[crash]
    if script is None:
        (tools / broken).write_bytes(b"\x7fELF not really")
        (tools / broken).chmod(0o755)
    else:
        provide(tools, broken, script)
    outcome = vascodb.run("ingest-tile", "--fits", image, PATH=str(tools))
    assert_one_line(outcome, broken, *words)
    assert_nothing_written(vascodb, fingerprint)


@pytest.mark.parametrize(
    ("broken", "output"),
    [("source-extractor", "detect.ldac"), ("source-extractor", "pass1.ldac"), ("psfex", "pass1.psf")],
)
@pytest.mark.parametrize("content", ["garbage", "SIMPLE  =                    T", ""])
def test_a_tool_that_writes_rubbish_is_caught(broken, output, content, used, tools):
    vascodb, fingerprint, image = used
    other = next(name for name in REAL if name != broken)
    provide(tools, other)
    provide(
        tools, broken, f'{REAL[broken]} "$@" || exit $?\n[ -e {output} ] && printf "%s" "{content}" > {output}\nexit 0'
    )
    outcome = vascodb.run("ingest-tile", "--fits", image, PATH=str(tools))
    assert_one_line(outcome)
    assert_nothing_written(vascodb, fingerprint)


def test_when_the_tools_are_back_it_goes_on(used):
    vascodb, _, image = used
    assert vascodb.run("ingest-tile", "--fits", image).status in (0, 3)


def test_a_tool_that_is_missing_when_all_is_measured_is_still_named(used, tools):
    """The extraction is identified by the versions of the tools, so they must be there."""
    vascodb, _, image = used
    stored = vascodb.fingerprint()
    provide(tools, "source-extractor")
    assert_one_line(vascodb.run("ingest-tile", "--fits", image, PATH=str(tools)), "psfex is not installed")
    assert_nothing_written(vascodb, stored)
