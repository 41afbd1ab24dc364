"""The verb that asks outside services for reference catalogues."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vascodb.cli.options import AngleType, existing_path
from vascodb.db import Database
from vascodb.errors import InputError, ServiceError
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.settings import Settings

if TYPE_CHECKING:
    from vascodb.loaders.fetch.request import Job

__all__ = ["COMMANDS"]


@click.command("fetch-reference", epilog="Example: vascodb fetch-reference gaia_dr3 --plan tiles.csv --workers 4")
@click.argument("name", metavar="CATALOG")
@click.option("--tile", metavar="TILE_ID", help="A tile: its image if there is one, else the planned square.")
@click.option("--size", default="60arcmin", show_default=True, type=AngleType(u.arcmin), help="Size of that square.")
@click.option("--plate", metavar="PLATE", help="A whole plate, such as XE486; with --plan only its tiles.")
@click.option("--plan", type=existing_path, metavar="FILE", help="All tiles of a plan.")
@click.option("--cone", metavar="RA,DEC,RADIUS", help="A cone, such as 132.82,11.80,0.5deg.")
@click.option("--candidates", metavar="RUN", help="What is still in question in a run.")
@click.option("--via", metavar="SERVICE", help="Service to ask, if the catalogue has several.")
@click.option(
    "--workers", type=click.IntRange(1, 32), help="Questions under way at once.  [default: the service's own]"
)
@click.option("--again", is_flag=True, help="Ask even for what is known.")
@click.option(
    "--reading", type=click.Choice(["corrected", "literal"]), default="corrected", show_default=True,
    help="Time asked for moving objects: the middle, or the start as headers write it, for the seeds' profiles.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say how much would be asked, and stop.")
def fetch_reference(
    name: str,
    tile: str | None,
    size: float,
    plate: str | None,
    plan: Path | None,
    cone: str | None,
    candidates: str | None,
    via: str | None,
    workers: int | None,
    again: bool,
    reading: str,
    dry_run: bool,
) -> None:
    """Fetch a reference catalogue from a service.

    CATALOG is its name, such as gaia_dr3. Whole answers are stored with their evidence and cover their sky; failed or
    cut ones are on record too, but cover nothing. What is known already is not asked for again, so it is safe to stop
    and to run again, also side by side.
    """
    if sum(value is not None for value in (tile, cone, candidates, plan or plate)) != 1:
        raise InputError("say for what: one of --tile, --plate, --plan, --cone or --candidates")
    # The services' libraries take a second to load, which other verbs need not wait for.
    from vascodb.cli.settings import settings_in_effect  # noqa: PLC0415
    from vascodb.loaders.client.configured import load_catalog, load_services  # noqa: PLC0415
    from vascodb.loaders.fetch.request import Wish, prepare  # noqa: PLC0415

    settings = Settings()
    in_effect = settings_in_effect(settings)
    definition = load_catalog(settings, name)
    chosen = in_effect.configuration.fetch
    if definition.family in chosen.without:
        raise InputError(f"{definition.name} is not fetched, because of {in_effect.origin('fetch.without')}")
    if reading != "corrected" and not definition.moving:
        raise InputError(
            f"--reading is for catalogues of moving objects, such as skybot; {definition.name} is of fixed ones"
        )
    again = again or definition.family in chosen.again
    # Whole copies are named by the families that the older pipelines kept: gaia, ps1, usnob.
    local_copy = getattr(in_effect.configuration.bulk, definition.family, None)
    wish = Wish(tile, plate, plan, cone, candidates, size, via, again, local_copy, reading)
    if local_copy is None:
        in_effect.require_network()
    job = prepare(Database(settings), load_services(settings, definition.name), definition, wish)
    for note in job.notes:
        click.echo(note)
    if not job.size:
        click.echo(f"{definition.name}: nothing to ask; all that was wanted is known")
        return
    if dry_run:
        click.echo(f"{definition.name}: would ask {job.what}")
        return
    click.echo(f"{definition.name}: asking {job.what}")
    _print_totals(definition.name, _with_progress(definition.name, job, workers or chosen.workers))


def _with_progress(name: str, job: Job, workers: int | None) -> FetchTotals:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=job.size)

        def report(totals: FetchTotals) -> None:
            bar.update(task, total=max(totals.planned, 1), completed=totals.done, description=_brief(name, totals))

        return job.run(workers, report)


def _brief(name: str, totals: FetchTotals) -> str:
    return f"{name}: {totals.rows:,} rows" + (f", {totals.failed} failed" if totals.failed else "")


def _print_totals(name: str, totals: FetchTotals) -> None:
    """Say what was done; what failed is an error of the service, after which it is safe to run again."""
    click.echo(
        f"{name}: {totals.complete} look-ups complete, {totals.skipped} known already, {totals.split} split, "
        f"{totals.failed} failed; {totals.rows:,} rows, {totals.rows_new:,} of them new"
    )
    for line in totals.failures:
        click.echo(f"  {line}", err=True)
    if totals.failed or totals.given_up:
        left = f", {totals.given_up} not tried because the service is down" if totals.given_up else ""
        raise ServiceError(
            f"{name}: {totals.failed} look-ups failed{left}; their sky is unknown, not empty; safe to run again"
        )


COMMANDS = (fetch_reference,)
