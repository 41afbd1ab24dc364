"""The verb that writes a run in the seeds' own form."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from vascodb.cli.options import existing_path, report_format
from vascodb.db import Database
from vascodb.exports import export_run
from vascodb.settings import Settings

__all__ = ["COMMANDS"]


@click.command(epilog="Example: vascodb export survey run-survey")
@click.argument("run")
@click.argument("folder", metavar="DIR", type=existing_path)
@click.option("--force", is_flag=True, help="Replace an earlier export in DIR.")
@click.option(
    "--with-outcome",
    is_flag=True,
    help="Add pass, fail, unknown or not_covered to flags and ledgers, as a last column.",
)
@report_format("Form of the list of files.")
def export(run: str, folder: Path, force: bool, with_outcome: bool, kind: str) -> None:
    """Write a run as a run folder of vasco60.

    RUN is its name. DIR gets the list of survivors before and after duplicates were dropped, the uploads, for each
    stage what it kept, its flags and its ledger, and the report, with the columns, orders and decimals of vasco60, so
    that it can be compared with diff. DIR is written whole or not at all.
    """
    written = export_run(Database(Settings()), run, folder, force=force, with_outcome=with_outcome)
    if kind == "json":
        click.echo(json.dumps([asdict(file) for file in written]))
        return
    width = max(len(file.name) for file in written)
    for file in written:
        click.echo(f"{file.name:<{width}}" + ("" if file.rows is None else f"  {file.rows:>10,} rows"))
    click.echo(f"{len(written)} files in {folder}")


COMMANDS = (export,)
