"""Verbs that ask what the evidence is: lookups and audit."""

from pathlib import Path

import click
from astropy.table import Table

from vascodb.audits import audits, count_rows
from vascodb.cli.options import output_options
from vascodb.cli.output import Query, emit, print_sql, run_query
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders import registry
from vascodb.settings import Settings

__all__ = ["COMMANDS"]

SOMETHING_FOUND = 1

_LOOKUPS = """
SELECT
    lookup_id, catalog, kind, region, complete, status, cause, error, service, endpoint, asked_at, age_d, seconds,
    attempts, http_status, rows_in, row_cap
FROM api.lookups
WHERE (catalog = :catalog OR :catalog = '') AND (:failed = '' OR NOT complete AND status <> 'split')
ORDER BY asked_at DESC, lookup_id
"""

_BRIEF = ("asked_at", "catalog", "kind", "service", "region", "complete", "cause", "rows_in", "attempts", "error")


@click.command(epilog="Example: vascodb lookups ps1_dr2 --failed")
@click.argument("catalog", required=False, default="")
@click.option("--failed", is_flag=True, help="Only those that failed or were cut off.")
@output_options
def lookups(catalog: str, failed: bool, kind: str, output: Path | None, show_sql: bool) -> None:
    """List the look-ups and how they went, newest first.

    CATALOG is the name of one catalogue; without it the look-ups of all are listed. The view api.lookups has the rest
    of the evidence: what was asked, the hash of the answer, the canary that vouches for it.
    """
    if catalog:
        registry.catalog(catalog)
    query = Query(_LOOKUPS, {"catalog": catalog, "failed": "failed" if failed else ""}, "api.lookups")
    if show_sql:
        print_sql(query)
        return
    with Database(Settings()).connect() as connection:
        emit(run_query(connection, query), kind, output, _BRIEF)


@click.command(epilog="Example: vascodb audit veto_leaks")
@click.argument("name", required=False, default="")
@output_options
def audit(name: str, kind: str, output: Path | None, show_sql: bool) -> int:
    """Ask the database the questions whose answer must be nothing.

    Every audit is run and its rows are counted; with the NAME of one its rows are listed. Exit status 1 if any has
    rows. The audits are plain SQL files (sql/audits), which psql can run as well.
    """
    if name and name not in audits():
        raise InputError(f"unknown audit {name!r}; there are: {', '.join(audits())}")
    chosen = [audits()[name]] if name else list(audits().values())
    if show_sql:
        click.echo("\n".join(a.statement for a in chosen), nl=False)
        return 0
    with Database(Settings()).connect() as connection:
        if name:
            found = run_query(connection, Query(chosen[0].query, {}, "api.lookups"))
            n_found = len(found)
        else:
            counts = [count_rows(connection, a) for a in chosen]
            found = Table(
                [[a.name for a in chosen], counts, [a.finds for a in chosen]], names=["audit", "found", "finds"],
                descriptions=["Audit", "Rows found; none is right", "What the rows are"], masked=True,
            )  # fmt: skip
            n_found = sum(counts)
    emit(found, kind, output)
    return SOMETHING_FOUND if n_found else 0


COMMANDS = (lookups, audit)
