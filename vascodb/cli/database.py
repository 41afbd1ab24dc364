"""Verbs for the database itself: up, down, doctor, init, status, url, psql."""

import os
import shutil
import sys
from pathlib import Path

import click
from sqlalchemy import text

from vascodb.cli.options import output_options
from vascodb.cli.output import Query, emit, print_sql, run_query
from vascodb.cluster import Cluster
from vascodb.db import Database
from vascodb.doctor import diagnose
from vascodb.errors import InputError, ServiceError
from vascodb.settings import Settings

__all__ = ["COMMANDS"]

_ORDER = {
    "api.catalogs": " ORDER BY catalog",
    "api.gaps": " ORDER BY catalog, asked_at DESC, lookup_id",
    "api.endpoints": " ORDER BY service, endpoint",
}
_BRIEF = (
    "catalog", "sources", "coverage_sqdeg", "lookups_complete", "lookups_incomplete", "gap_sqdeg", "newest_age_d",
    "title",
)  # fmt: skip
_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "missing": ("✗", "red")}


@click.command(epilog="Example: vascodb up")
def up() -> None:
    """Start the private database; make it first if need be.

    Every other verb does so by itself. With VASCODB_URL set, that server is checked and brought up to date.
    """
    database = Database(Settings())
    database.initialise()
    where = database.settings.home if database.is_private else "the server of VASCODB_URL"
    click.echo(f"the database is up: {where}")


@click.command(epilog="Example: vascodb down")
def down() -> None:
    """Stop the private database; its contents stay."""
    settings = Settings()
    if settings.url is not None:
        raise InputError("VASCODB_URL names a server; vascodb stops only its own private database")
    Cluster(settings.home).stop()
    click.echo(f"the private database is down: {settings.home}")


@click.command(epilog="Example: vascodb doctor")
def doctor() -> None:
    """Say what is missing, and the command that mends it.

    Exit status 1 if something is missing without which vascodb cannot work. Nothing is changed.
    """
    worst = 0
    for check in diagnose(Settings()):
        mark, colour = _MARKS[check.status]
        click.echo(f"{click.style(mark, fg=colour)} {check.name}: {check.detail}")
        if check.mend:
            click.echo(f"    mend: {check.mend}")
        worst = max(worst, int(check.status == "missing"))
    if worst:
        sys.exit(1)


@click.command(epilog="Example: vascodb init")
def init() -> None:
    """Bring the database's schema up to date; safe to repeat.

    Tables are migrated; functions, views and the registry of catalogues are made anew where they changed.
    """
    changed = Database(Settings()).initialise()
    click.echo("the schema was brought up to date" if changed else "the schema is up to date; nothing was changed")


@click.command(epilog="Example: vascodb status --fingerprint")
@click.option("--gaps", "relation", flag_value="api.gaps", help="List what is still to be tried again instead.")
@click.option(
    "--endpoints",
    "relation",
    flag_value="api.endpoints",
    help="List the services' addresses instead, last good and bad.",
)
@click.option(
    "--fingerprint",
    "relation",
    flag_value="api.fingerprint",
    help="Print one hash per table and one for all instead; equal content has equal hashes on any machine.",
)
@output_options
def status(relation: str | None, kind: str, output: Path | None, show_sql: bool) -> None:
    """List the reference catalogues and the sky they cover.

    Sources are counted up to a million and estimated above. A gap is sky where a look-up failed and none has covered
    since; fetching again tries it again. Ages are those of complete look-ups.
    """
    chosen = relation or "api.catalogs"
    query = Query(f"SELECT * FROM {chosen}{_ORDER.get(chosen, '')}", {}, chosen)
    if show_sql:
        print_sql(query)
        return
    with Database(Settings()).connect() as connection:
        found = run_query(connection, query)
    if chosen != "api.catalogs" or kind != "table" or output is not None:
        emit(found, kind, output)
        return
    known = (found["sources"] > 0) | (found["lookups_complete"] > 0) | (found["lookups_incomplete"] > 0)
    emit(found[known], kind, output, _BRIEF)
    if not known.all():
        click.echo(f"nothing yet of {', '.join(found['catalog'][~known])}")


@click.command(epilog="Example: vascodb url")
def url() -> None:
    """Print the database's URL, for other clients.

    If the URL has a password, that is printed too.
    """
    click.echo(Database(Settings()).libpq_url)


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    epilog="Example: vascodb psql -c 'SELECT * FROM api.candidates'",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Run psql on the database.

    All ARGUMENTS are psql's own; so is --help.
    """
    database = Database(Settings())
    if database.is_private:
        with database.connect() as connection:
            connection.execute(text("SELECT 1"))
        database.close()
        sys.exit(Cluster(database.settings.home).psql(arguments))
    program = shutil.which("psql")
    if program is None:
        raise ServiceError("psql is not installed; on Debian and Ubuntu: apt-get install postgresql-client")
    # The URL may hold a password, which must not stand on a command line that every user can read.
    parts = database.url
    environment = {"PGHOST": parts.host, "PGPORT": parts.port and str(parts.port), "PGUSER": parts.username}
    environment |= {"PGPASSWORD": parts.password, "PGDATABASE": parts.database}
    environment |= {f"PG{k.upper()}": str(v) for k, v in parts.query.items() if k in ("host", "port", "sslmode")}
    sys.stdout.flush()
    os.execve(program, ["psql", *arguments], os.environ | {k: v for k, v in environment.items() if v})


COMMANDS = (up, down, doctor, init, status, url, psql)
