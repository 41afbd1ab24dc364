"""Run the command as users do: as a process of its own, with a home and a database of its own."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = Path(sys.executable).parent / "vascodb"

# Importing the program takes two seconds of CPU time, and what it asks services with two more. This process does it
# once and forks for every command; the rest of a command's life is that of any process: own environment, folder,
# output and exit status.
_SERVER = """
import json, os, sys
from vascodb.cli import main
import vascodb.cli.main, vascodb.loaders.client.configured, vascodb.loaders.fetch.request, vascodb.loaders.sources.tap

for line in sys.stdin:
    job = json.loads(line)
    if "wait" in job:
        _, how = os.waitpid(job["wait"], 0)
        print(os.waitstatus_to_exitcode(how), flush=True)
        continue
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
    print(child, flush=True)
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
        self._numbers = itertools.count()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(
        self, arguments: list[str], environment: Mapping[str, str], folder: Path, stdin: str = ""
    ) -> "RunningCommand":
        """Start one command, leader of a session of its own."""
        streams = [self._folder / f"{name}-{next(self._numbers)}" for name in ("stdin", "stdout", "stderr")]
        for stream in streams:
            stream.write_text(stdin if stream == streams[0] else "")
        job = {
            "arguments": arguments,
            "environment": dict(environment),
            "folder": str(folder),
            "streams": [str(s) for s in streams],
        }
        return RunningCommand(self, int(self.ask(job)), streams[1], streams[2])

    def ask(self, job: Mapping[str, object]) -> str:
        """Send a job and return the answer."""
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def stop(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


@dataclass(frozen=True)
class RunningCommand:
    """A command at work."""

    server: CommandServer
    pid: int
    stdout: Path
    stderr: Path

    def kill(self, number: int) -> None:
        """Send a signal to the command alone, not to what it started."""
        os.kill(self.pid, number)

    def interrupt(self) -> None:
        """Send what Ctrl-C sends: SIGINT to the command and all that it started."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self) -> Outcome:
        """Wait for its end; a negative status is the signal that killed it."""
        status = int(self.server.ask({"wait": self.pid}))
        raw = self.stdout.read_bytes()
        err = self.stderr.read_text(errors="surrogateescape")
        return Outcome(status, raw.decode(errors="surrogateescape"), err, raw)

    def descendants(self) -> list[str]:
        """Command lines of the processes of its session that still run."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                _, _, rest = status.read_text().rpartition(")")
                command = status.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            state, _, _, session = rest.split()[:4]
            if int(session) == self.pid and state != "Z":
                found.append(command)
        return found


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
        return self.begin(*arguments, folder=folder, stdin=stdin, **environment).wait()

    def begin(
        self, *arguments: object, folder: Path = Path("/"), stdin: str = "", **environment: str
    ) -> RunningCommand:
        """Start a command."""
        return self.server.begin([str(a) for a in arguments], self.variables() | environment, folder, stdin)

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
    assert not lines[0].startswith("vascodb: unexpected"), lines[0]
    assert "Traceback" not in lines[0]
    for word in words:
        assert word in lines[0], (word, lines[0])
