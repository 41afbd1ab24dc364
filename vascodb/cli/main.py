"""The command ``vascodb``: its verbs, and the edge at which errors become one line and an exit status."""

import logging
import os
import sys
import traceback
from typing import NoReturn

import click
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from vascodb import __version__
from vascodb.cli import (
    asteroids,
    database,
    demo,
    evidence,
    export,
    fetch,
    fetch_images,
    hats,
    ingest,
    plate_times,
    queries,
    references,
    releases,
    run,
    settings,
    simulate,
)
from vascodb.cli.interruptible import wait_interruptibly
from vascodb.cli.interruption import Interruption
from vascodb.errors import VascodbError

__all__ = ["cli", "main"]

INTERRUPTED = 130

EPILOG = """
Exit status: 0 done; 1 the input is wrong; 2 usage; 3 done, but some verdicts are unknown;
4 a service or the database is down, safe to run again; 5 the database has another schema version.
"""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vascodb")
@click.option("-v", "--verbose", count=True, help="More messages; twice also shows where an error came from.")
@click.pass_context
def cli(context: click.Context, verbose: int) -> None:
    """Find sources on 1950s plates that are on no modern image, with every look-up on record.

    Files and the private database lie below VASCODB_HOME; VASCODB_URL names a server instead.
    """
    context.obj = verbose
    logging.basicConfig(level=(logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)], format="%(message)s")


for group in (
    database, settings, references, releases, hats, fetch, fetch_images, plate_times, asteroids, ingest, run, queries,
    evidence, export, simulate, demo,
):  # fmt: skip
    for command in group.COMMANDS:
        cli.add_command(command)


def main(interruption: Interruption) -> None:
    """Run the command line; the only place where every exception is caught.

    Parameters
    ----------
    interruption : `Interruption`
        What was told to stop the command; an error that comes after that is no fault.
    """
    wait_interruptibly()
    arguments = sys.argv[1:]
    debug = any(a.startswith("-vv") for a in arguments) or arguments.count("-v") > 1
    try:
        result = cli.main(args=arguments, prog_name="vascodb", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _interrupted(debug)
    except BrokenPipeError:
        # The reader of our output has gone; that is its business. Python must not stumble over it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001
        if interruption.came:
            _interrupted(debug)
        _fail(*_told(error), debug)
    sys.exit(result if isinstance(result, int) else 0)


def _interrupted(debug: bool) -> NoReturn:
    _fail("interrupted; nothing half-done was kept, run the same command again", INTERRUPTED, debug)


def _fail(message: str, status: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    click.echo(f"vascodb: {message}", err=True)
    sys.exit(status)


def _told(error: Exception) -> tuple[str, int]:
    """Say in one line what went wrong, with the exit status."""
    match error:
        case VascodbError():
            return str(error), error.exit_status
        case ValidationError():
            return _settings_message(error), 1
        case SQLAlchemyError():
            return f"unexpected database error: {_one_line(error)} (-vv shows where)", 1
        case _:
            return f"unexpected {type(error).__name__}: {_one_line(error)} (-vv shows where)", 1


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]


def _settings_message(error: ValidationError) -> str:
    problems = [f"VASCODB_{'.'.join(str(p) for p in e['loc']).upper()}: {e['msg']}" for e in error.errors()]
    return "wrong settings: " + "; ".join(problems)
