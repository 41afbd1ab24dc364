"""Run the command as users do: as a process of its own, with a home and a database of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = Path(sys.executable).parent / "vascodb"

# Importing the program takes two seconds of CPU time. This process does it once and forks for every command; the rest
# of a command's life is that of any process: own environment, folder, output and exit status.
_SERVER = """
import json, os, sys
from vascodb.cli import main

for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(job["folder"])
        os.environ.clear()
        os.environ.update(job["environment"])
        for number, path in enumerate(job["streams"]):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
        sys.argv = ["vascodb", *job["arguments"]]
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
        sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            import traceback
            traceback.print_exc()
            status = 70
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    _, how = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(how), flush=True)
"""


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str
    raw: bytes = b""

    @property
    def value(self):
        """Standard output as JSON."""
        return json.loads(self.out)


class CommandServer:
    """Starts commands from one process that has the program imported already."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, arguments: list[str], environment: Mapping[str, str], folder: Path, stdin: str = "") -> Outcome:
        """Run one command to its end."""
        streams = [self._folder / name for name in ("stdin", "stdout", "stderr")]
        for stream in streams:
            stream.unlink(missing_ok=True)
        streams[0].write_text(stdin)
        job = {
            "arguments": arguments,
            "environment": dict(environment),
            "folder": str(folder),
            "streams": [str(s) for s in streams],
        }
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        raw = streams[1].read_bytes()
        err = streams[2].read_text(errors="surrogateescape")
        return Outcome(status, raw.decode(errors="surrogateescape"), err, raw)

    def stop(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


@dataclass
class Vascodb:
    """The command with a home of its own, and perhaps a server.

    Parameters
    ----------
    server : CommandServer
        What starts it.
    home : Path
        ``VASCODB_HOME``.
    url : str or None
        ``VASCODB_URL``.
    environment : dict
        Further variables.
    """

    server: CommandServer
    home: Path
    url: str | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """The whole environment of a command."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("VASCODB_", "PG"))}
        own |= {"VASCODB_HOME": str(self.home)} | ({"VASCODB_URL": self.url} if self.url else {})
        return own | self.environment

    def run(self, *arguments: object, folder: Path = Path("/"), stdin: str = "", **environment: str) -> Outcome:
        """Run a command to its end."""
        return self.server.run([str(a) for a in arguments], self.variables() | environment, folder, stdin)

    def ok(self, *arguments: object, **environment: str) -> Outcome:
        """Run a command that must end well."""
        outcome = self.run(*arguments, **environment)
        assert outcome.status == 0, outcome
        return outcome

    def start(self, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
        """Start the installed program itself, leader of its own process group, and return at once."""
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments)], env=self.variables() | environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def fingerprint(self) -> dict[str, tuple[int, str]]:
        """Rows and hash of every table."""
        rows = self.ok("status", "--fingerprint", "--format", "json").value
        return {row["table_name"]: (row["n_rows"], row["fingerprint"]) for row in rows}

    def sql(self, statement: str) -> list[list[str]]:
        """Rows of a query, as psql writes them."""
        printed = self.ok("psql", "-X", "-q", "-At", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", statement).out
        return [line.split("\t") for line in printed.splitlines()]


def assert_one_line(outcome: Outcome, *words: str, status: int = 1) -> None:
    """Check that a command failed with one clear line and nothing else."""
    assert outcome.status == status, outcome
    assert outcome.out == ""
    lines = outcome.err.splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("vascodb: ")
    assert "unexpected" not in lines[0], lines[0]
    assert "Traceback" not in lines[0]
    for word in words:
        assert word in lines[0], (word, lines[0])
