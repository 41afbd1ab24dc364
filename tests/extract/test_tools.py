"""Running the external tools: found, failing, warning, and never left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vascodb.errors import ToolError
from vascodb.extract.tools import RunningTool, find_tool

PLATE = Path("plate XE486.fits")
FakeTool = Callable[[str, str], Path]


def start(tmp_path: Path, timeout_s: float = 30.0) -> RunningTool:
    return RunningTool(
        find_tool("source-extractor"),
        ["image.fits"],
        workdir=tmp_path,
        image=PLATE,
        output="out.ldac",
        timeout_s=timeout_s,
    )


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.parametrize("name", ["source-extractor", "psfex"])
def test_the_installed_tools_are_found_with_their_version(name: str) -> None:
    tool = find_tool(name)  # type: ignore[arg-type]
    assert tool.path.is_file()
    assert tool.version[0].isdigit()


@pytest.mark.parametrize("name", ["source-extractor", "psfex"])
def test_a_missing_tool_says_how_to_install_it(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=f"{name} is not installed .*apt-get install {name}$"):
        find_tool(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("old_name", ["sex", "sextractor"])
def test_sextractor_is_found_under_its_old_names(
    old_name: str, fake_tool: FakeTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake_tool(old_name, "exit 0")
    monkeypatch.setenv("PATH", str(path.parent))
    tool = find_tool("source-extractor")
    assert (tool.path, tool.version) == (path, "9.9.9")


def test_a_program_of_the_same_name_is_not_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = tmp_path / "psfex"
    stranger.write_text("#!/bin/sh\necho usage: psfex FILE\n", encoding="utf-8")
    stranger.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="names no version"):
        find_tool("psfex")


def test_a_failing_tool_is_quoted_in_one_line(tmp_path: Path, fake_tool: FakeTool) -> None:
    fake_tool("source-extractor", "for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; exit 3")
    with start(tmp_path) as run, pytest.raises(ToolError) as raised:
        run.wait()
    message = str(raised.value)
    assert "ended with status 3 on plate XE486.fits: line 3 | line 4 | line 5 | line 6 | line 7" in message
    assert message.startswith("source-extractor 9.9.9 ")


def test_a_crashing_tool_names_the_signal(tmp_path: Path, fake_tool: FakeTool) -> None:
    fake_tool("source-extractor", "echo partial > out.ldac; echo so far; kill -SEGV $$")
    with start(tmp_path) as run, pytest.raises(ToolError, match=r"was killed by signal 11 on plate XE486.fits: so far"):
        run.wait()


@pytest.mark.parametrize("script", ["echo done", ": > out.ldac"])
def test_a_tool_that_writes_nothing_has_failed(tmp_path: Path, fake_tool: FakeTool, script: str) -> None:
    fake_tool("source-extractor", script)
    with start(tmp_path) as run, pytest.raises(ToolError, match=r"wrote no out.ldac on plate XE486.fits"):
        run.wait()


def test_the_output_of_an_earlier_run_is_not_taken_for_this_ones(tmp_path: Path, fake_tool: FakeTool) -> None:
    (tmp_path / "out.ldac").write_bytes(b"earlier")
    fake_tool("source-extractor", "exit 0")
    with start(tmp_path) as run, pytest.raises(ToolError, match=r"wrote no out.ldac"):
        run.wait()


def test_warnings_are_collected_without_their_escape_codes(tmp_path: Path, fake_tool: FakeTool) -> None:
    fake_tool(
        "source-extractor",
        r"""
        printf '\033[1M> Line:   25\n\033[1A'
        printf '\n> WARNING: Pixel stack overflow at position 282,712\n\n'
        printf '\033[1M> WARNING: Deblending overflow for detection at 10,20\n'
        echo data > out.ldac
        """,
    )
    with start(tmp_path) as run:
        done = run.wait()
    assert done.output.read_text(encoding="utf-8") == "data\n"
    assert done.warnings == (
        "Pixel stack overflow at position 282,712",
        "Deblending overflow for detection at 10,20",
    )


@pytest.mark.parametrize("warning", ["DETECT_TRESH keyword unknown", "DETECT_TRESH catalog parameter unknown"])
def test_a_key_the_tool_does_not_know_is_an_error(tmp_path: Path, fake_tool: FakeTool, warning: str) -> None:
    fake_tool("source-extractor", f'echo "> WARNING: {warning}"; echo data > out.ldac')
    with start(tmp_path) as run, pytest.raises(ToolError, match="does not know DETECT_TRESH; remove it"):
        run.wait()


def test_a_tool_that_hangs_is_given_up_and_ended(tmp_path: Path, fake_tool: FakeTool) -> None:
    fake_tool("source-extractor", "echo $$ > pid; exec sleep 60")
    with start(tmp_path, timeout_s=0.5) as run, pytest.raises(ToolError, match="did not end within"):
        run.wait()
    assert not is_running(int((tmp_path / "pid").read_text(encoding="ascii")))


def test_leaving_the_block_by_an_error_ends_the_tool(tmp_path: Path, fake_tool: FakeTool) -> None:
    fake_tool("source-extractor", "echo $$ > pid; exec sleep 60")
    pid_file = tmp_path / "pid"
    with pytest.raises(KeyboardInterrupt), start(tmp_path):
        assert wait_for(lambda: pid_file.is_file() and pid_file.stat().st_size > 0)
        raise KeyboardInterrupt
    assert not is_running(int(pid_file.read_text(encoding="ascii")))


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ending_python_ends_the_tool(tmp_path: Path, fake_tool: FakeTool, end: signal.Signals) -> None:
    fake_tool("source-extractor", "echo $$ > pid; exec sleep 60")
    pid_file = tmp_path / "pid"
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from vascodb.extract.tools import RunningTool, find_tool
        tool = find_tool("source-extractor")
        with RunningTool(tool, [], workdir=Path(sys.argv[1]), image=Path("x"), output="out.ldac") as run:
            run.wait()
        """
    )
    python = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    assert wait_for(lambda: pid_file.is_file() and pid_file.stat().st_size > 0)
    tool_pid = int(pid_file.read_text(encoding="ascii"))
    assert is_running(tool_pid)
    python.send_signal(end)
    assert python.wait(timeout=10) != 0
    assert wait_for(lambda: not is_running(tool_pid), timeout_s=5.0)
