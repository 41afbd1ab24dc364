"""Ctrl-C and SIGTERM end a command with one line and 130, even where a library makes another error of them."""

import subprocess
import sys

import pytest

# A verb that is interrupted inside of a library, which reports something else.
VERB = """
import signal, sys
import click
from sqlalchemy.exc import OperationalError
from vascodb.cli import main
from vascodb.cli.main import cli
from vascodb.errors import ServiceError

@cli.command("wait")
def wait():
    try:
        {interruption}
    except KeyboardInterrupt as error:
        raise {error} from error

sys.argv = ["vascodb", "wait"]
main()
"""

# The same while the verbs are loaded.
LOADING = """
import signal, sys
from vascodb.cli import main

class Loading:
    def find_spec(self, name, path=None, target=None):
        if name == "vascodb.cli.main":
            try:
                {interruption}
            except KeyboardInterrupt as error:
                raise ImportError("initialization failed") from error

sys.meta_path.insert(0, Loading())
main()
"""

ERRORS = [
    "KeyboardInterrupt",
    "ImportError('initialization failed')",
    "ServiceError('the service is down')",
    "OperationalError('SELECT', None, RuntimeError('lost'))",
    "click.Abort",
]


def run(program: str, **parts: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program.format(**parts)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("error", ERRORS)
def test_whatever_is_made_of_an_interruption_it_is_one(error, signal_name):
    ended = run(VERB, interruption=f"signal.raise_signal(signal.{signal_name})", error=error)
    assert ended.returncode == 130
    assert ended.stderr.strip() == "vascodb: interrupted; nothing half-done was kept, run the same command again"


@pytest.mark.parametrize(("error", "status"), [(ERRORS[1], 1), (ERRORS[2], 4)])
def test_the_same_error_without_an_interruption_is_told(error, status):
    ended = run(VERB.replace("except KeyboardInterrupt", "except ZeroDivisionError"), interruption="1 / 0", error=error)
    assert ended.returncode == status
    assert "interrupted" not in ended.stderr


def test_while_it_starts_nothing_is_said():
    ended = run(LOADING, interruption="signal.raise_signal(signal.SIGINT)")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_a_fault_while_it_starts_is_told():
    ended = run(LOADING.replace("except KeyboardInterrupt", "except ZeroDivisionError"), interruption="1 / 0")
    assert ended.returncode == 1
    assert "ImportError: initialization failed" in ended.stderr


def test_a_command_in_the_background_goes_on_ignoring_ctrl_c():
    program = VERB.replace("from vascodb.cli import main\n", "from vascodb.cli import main\n{ignore}\n", 1)
    ended = run(
        program,
        ignore="signal.signal(signal.SIGINT, signal.SIG_IGN)",
        interruption="signal.raise_signal(signal.SIGINT)",
        error="ZeroDivisionError",
    )
    assert (ended.returncode, ended.stderr) == (0, "")
