"""The verb that takes in releases of other pipelines."""

import json
from pathlib import Path

import click
from rich.table import Table

from vascodb.cli.options import existing_path, report_format
from vascodb.cli.output import PlainConsole
from vascodb.db import Database
from vascodb.releases import ImportReport, import_release
from vascodb.settings import Settings

__all__ = ["COMMANDS"]


@click.command("import-release", epilog="Example: vascodb import-release final_release_v1")
@click.argument("folder", metavar="DIR", type=existing_path)
@click.option("--name", metavar="NAME", help="Name to import it under; by default the folder's.")
@report_format("Form of the report.")
def import_release_command(folder: Path, name: str | None, kind: str) -> None:
    """Import a published release as an external run.

    DIR is a release of vasco60, or one in its form, or the folder of one of its runs. It holds tile_manifest.csv and
    stage_S0.csv, and may hold the files of the later stages, at any depth, plain or .gz. Load the plates first
    (vascodb load-plates): the dates in survivors.csv then tell which plate an image really shows. The same folder again
    writes nothing.
    """
    report = import_release(Database(Settings()), folder, name)
    if kind == "json":
        click.echo(json.dumps(report.as_dict()))
    else:
        _print(report)


def _print(report: ImportReport) -> None:
    console = PlainConsole(120)
    how = "imported" if report.new else "stored already"
    tag = f" (run {report.run_tag})" if report.run_tag not in (None, report.name) else ""
    console.print(f"[bold]{report.name}[/]{tag}: {how}, {report.seconds:.2f} s")
    console.print(
        f"{report.tiles} tiles: {report.tiles_with_rows} with survivors, {report.tiles_empty} without, "
        f"{report.tiles_missing} whose list of survivors is missing"
    )
    console.print(f"{report.detections} detections")
    stages = Table("stage, as published", "in", "kept", box=None, header_style="bold")
    for stage in report.stages:
        stages.add_row(stage["stage"], str(stage["in"]), str(stage["kept"]))
    console.print(stages)
    console.print(
        f"{report.detections_without_gaia} detections were not shown to be vetoed by Gaia, "
        f"{report.tiles_without_gaia} tiles had no star of Gaia"
    )
    console.print(f"plates: {report.plates_resolved} of {report.tiles_dated} dated tiles told by their dates")
    if report.plates_resolved < report.tiles_dated and not report.plates_loaded:
        console.print("no plates are loaded; load them (vascodb load-plates) and run the same command again")


COMMANDS = (import_release_command,)
