"""Running SExtractor and PSFEx: find them, run them in a folder, keep their log, leave nothing running."""

import logging
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Self

from vascodb.errors import ToolError

__all__ = ["INSTALL_HINT", "RunningTool", "Tool", "ToolName", "ToolRun", "find_tool"]

_LOG = logging.getLogger(__name__)

ToolName = Literal["source-extractor", "psfex"]

INSTALL_HINT: Mapping[ToolName, str] = MappingProxyType(
    {
        "source-extractor": "on Debian and Ubuntu: apt-get install source-extractor",
        "psfex": "on Debian and Ubuntu: apt-get install psfex",
    }
)
# Debian renamed SExtractor's executable; conda and source builds kept the old names.
_EXECUTABLES: Mapping[ToolName, tuple[str, ...]] = MappingProxyType(
    {"source-extractor": ("source-extractor", "sex", "sextractor"), "psfex": ("psfex",)}
)
# A full pass 2 of a crowded 60' tile takes an hour on a slow core; a tool that takes a day hangs.
DEFAULT_TIMEOUT_S = 86_400.0
_LAST_LINES = 5
_ESCAPE_CODE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_WARNING = re.compile(r"^>?\s*WARNING:\s*(.+)$")
_UNKNOWN_KEY = re.compile(r"(\S+) (?:keyword|catalog parameter) unknown")


@dataclass(frozen=True)
class Tool:
    """An installed tool.

    Parameters
    ----------
    name : str
        ``source-extractor`` or ``psfex``.
    path : `~pathlib.Path`
        Executable.
    version : str
        What the tool itself says.
    """

    name: ToolName
    path: Path
    version: str


@dataclass(frozen=True)
class ToolRun:
    """A run that ended well.

    Parameters
    ----------
    output : `~pathlib.Path`
        The file the run was to write.
    warnings : tuple of str
        The tool's own warnings, in order.
    seconds : float
        Wall time of the run.
    """

    output: Path
    warnings: tuple[str, ...]
    seconds: float


def find_tool(name: ToolName) -> Tool:
    """Find a tool on the PATH.

    Parameters
    ----------
    name : {"source-extractor", "psfex"}
        Tool, by its Debian name; SExtractor is also looked for as ``sex`` and ``sextractor``.

    Returns
    -------
    `Tool`

    Raises
    ------
    ToolError
        The tool is not installed, or does not say its version.
    """
    path = next((found for executable in _EXECUTABLES[name] if (found := shutil.which(executable))), None)
    if path is None:
        raise ToolError(f"{name} is not installed or not on the PATH; {INSTALL_HINT[name]}")
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{path} --version failed: {error}; {INSTALL_HINT[name]}") from error
    version = re.search(r"version\s+v?(\d\S*)", answer.stdout + answer.stderr)
    if version is None:
        raise ToolError(f"{path} --version names no version, so it is not {name}; {INSTALL_HINT[name]}")
    return Tool(name, Path(path), version.group(1))


class RunningTool:
    """A tool at work in a folder; a context manager, so that leaving the block by any way ends the process.

    Parameters
    ----------
    tool : `Tool`
        What to run.
    arguments : sequence of str
        Command line; every file named in it lies in ``workdir``.
    workdir : `~pathlib.Path`
        Working directory of the run. The log goes there too.
    image : `~pathlib.Path`
        The image this is about, for messages.
    output : str
        Name, within ``workdir``, of the file the tool is to write; one that is already there is removed first.
    timeout_s : float, optional
        Wall time after which the run is given up, s.
    """

    def __init__(
        self,
        tool: Tool,
        arguments: Sequence[str],
        *,
        workdir: Path,
        image: Path,
        output: str,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        self._tool = tool
        self._image = image
        self._output = workdir / output
        self._log = self._output.with_suffix(self._output.suffix + ".log")
        self._timeout_s = timeout_s
        self._output.unlink(missing_ok=True)
        self._started = time.monotonic()
        self._started_at = time.time()
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [*_dying_with_parent(), str(tool.path), *arguments],
                    cwd=workdir,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        except OSError as error:
            raise ToolError(f"{tool.name} could not be started on {image}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait(self) -> ToolRun:
        """Wait for the end of the run.

        Returns
        -------
        `ToolRun`

        Raises
        ------
        ToolError
            The tool failed, was killed, took too long, wrote nothing, or did not know a key it was given.
        """
        remaining_s = self._started + self._timeout_s - time.monotonic()
        try:
            status = self._process.wait(timeout=max(remaining_s, 0.0))
        except subprocess.TimeoutExpired as error:
            raise ToolError(self._failure(f"did not end within {self._timeout_s:.0f} s")) from error
        if status < 0:
            raise ToolError(self._failure(f"was killed by signal {-status}"))
        if status > 0:
            raise ToolError(self._failure(f"ended with status {status}"))
        if not self._output.is_file() or self._output.stat().st_size == 0:
            raise ToolError(self._failure(f"wrote no {self._output.name}"))
        warnings = tuple(found.group(1) for line in self._log_lines() if (found := _WARNING.match(line)))
        for warning in warnings:
            # The tools go on with their default; the configuration would then not say what was done.
            if unknown := _UNKNOWN_KEY.search(warning):
                raise ToolError(
                    f"{self._tool.name} {self._tool.version} does not know {unknown.group(1)}; "
                    "remove it from the extraction configuration"
                )
            # They are kept with the extraction; most are about stars that were left out.
            _LOG.info("%s on %s: %s", self._tool.name, self._image, warning)
        # Several runs may be at work at once and this one may have ended long before it was waited for.
        return ToolRun(self._output, warnings, max(0.0, self._output.stat().st_mtime - self._started_at))

    def _log_lines(self) -> list[str]:
        text = _ESCAPE_CODE.sub("", self._log.read_text(encoding="utf-8", errors="replace"))
        return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip(" >\t")]

    def _failure(self, what: str) -> str:
        lines = " | ".join(self._log_lines()[-_LAST_LINES:]) or "it said nothing"
        return f"{self._tool.name} {self._tool.version} {what} on {self._image}: {lines}"


def _dying_with_parent() -> list[str]:
    # A Python that is killed outright runs no clean-up; the kernel then ends the tool in its place (Linux, util-linux).
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
