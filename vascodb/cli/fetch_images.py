"""The verbs that download digitised plates: cutouts by position, whole plates by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import astropy.units as u
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vascodb.cli.options import AngleType, existing_path
from vascodb.db import Database
from vascodb.errors import InputError, ServiceError
from vascodb.plates.images import SearchBand
from vascodb.plates.plan import Survey, read_plan, tile_centre
from vascodb.settings import Settings

if TYPE_CHECKING:
    from vascodb.loaders.images.wanted import ImageSource, WantedImage
    from vascodb.pipeline.fetching import ImageTotals

__all__ = ["COMMANDS", "fetched_tile"]

_SIZE_ARCMIN = 60.0


def _common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--dry-run", is_flag=True, help="Say how much would be asked, and stop."),
        click.option("--force", is_flag=True, help="Ask even for what is known."),
        click.option(
            "--workers", type=click.IntRange(1, 32), help="Downloads at once.  [default: what the archive bears]"
        ),
        click.option(
            "-o",
            "--output",
            type=existing_path,
            metavar="DIR",
            help="Where images go.  [default: images in VASCODB_HOME]",
        ),
    ):
        command = option(command)
    return command


@click.command("fetch-tile", epilog="Example: vascodb fetch-tile --plan tiles.csv --limit 100")
@click.option("--tile", "tile_id", metavar="TILE_ID", help="A tile, such as tile_RA132.824_DECp11.801.")
@click.option("--ra", type=float, metavar="DEG", help="Right ascension of the centre, with --dec.")
@click.option("--dec", type=float, metavar="DEG", help="Declination of the centre.")
@click.option("--plan", type=existing_path, metavar="FILE", help="All tiles of a plan, in its order.")
@click.option("--plate", metavar="PLATE", help="With --plan: only the tiles of this plate.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="With --plan: stop after so many downloads.")
@click.option("--size", type=AngleType(u.arcmin), help="Side of the square.  [default: 60arcmin]")
@click.option(
    "--survey", type=click.Choice(["poss1_red", "poss1_blue"]), help="Survey to take it from.  [default: poss1_red]"
)
@_common_options
def fetch_tile(
    tile_id: str | None,
    ra: float | None,
    dec: float | None,
    plan: Path | None,
    plate: str | None,
    limit: int | None,
    size: float | None,
    survey: Survey | None,
    output: Path | None,
    workers: int | None,
    force: bool,
    dry_run: bool,
) -> None:
    """Download tiles from STScI's Digitized Sky Survey.

    Every image is checked before it is kept: whole, of POSS-I, and of that sky. What the archive does not have is
    remembered and not asked for again; it is safe to stop at any time and to run the same again.
    """
    from vascodb.loaders.images.stsci import StsciCutouts, wanted_tile  # noqa: PLC0415

    if plan is not None:
        if (tile_id, ra, dec) != (None, None, None):
            raise InputError("say for what: one of --tile, --ra with --dec, or --plan")
        if size is not None or survey is not None:
            raise InputError("--plan FILE says what size and survey its tiles have; leave out --size and --survey")
        wanted = [
            wanted_tile(t.ra_deg, t.dec_deg, t.size_arcmin, t.survey, t.tile_id)
            for t in read_plan(plan)
            if plate in (None, t.plate_id)
        ]
        if not wanted:
            raise InputError(f"{plan}: has no tile of plate {plate}")
    else:
        if plate is not None or limit is not None:
            raise InputError("--plate and --limit go with --plan FILE")
        wanted = [wanted_tile(*_centre(tile_id, ra, dec), size or _SIZE_ARCMIN, survey or "poss1_red", tile_id)]
    source = StsciCutouts()
    if totals := _fetch(source, wanted, "tiles", output, workers, limit, force=force, dry_run=dry_run):
        _report(totals, "tiles", source.service)


def fetched_tile(
    tile_id: str | None, ra: float | None, dec: float | None, size_arcmin: float, band: SearchBand
) -> Path:
    """The file of a tile of that band, which is downloaded if it is not there.

    Raises
    ------
    InputError
        If it is not said which, or the archive does not have it.
    ServiceError
        If the archive cannot be reached.
    """
    from vascodb.loaders.images.stsci import StsciCutouts, wanted_tile  # noqa: PLC0415

    survey: Survey = "poss1_red" if band == "red" else "poss1_blue"
    wanted = wanted_tile(*_centre(tile_id, ra, dec), size_arcmin, survey, tile_id=tile_id)
    totals = _fetch(StsciCutouts(), [wanted], "tiles", None, None, None, force=False, dry_run=False)
    assert totals is not None
    return _the_one_path(totals)


def _centre(tile_id: str | None, ra: float | None, dec: float | None) -> tuple[float, float]:
    if tile_id is not None and ra is None and dec is None:
        return tile_centre(tile_id)
    if tile_id is None and ra is not None and dec is not None:
        return ra, dec
    raise InputError("say for what: one of --tile, --ra with --dec, or --plan")


@click.command("fetch-plate", epilog="Example: vascodb fetch-plate XE486 XO486")
@click.argument("plates", nargs=-1, required=True, metavar="PLATES")
@_common_options
def fetch_plate(plates: tuple[str, ...], output: Path | None, workers: int | None, force: bool, dry_run: bool) -> None:
    """Download whole plates from IRSA.

    PLATES are their names: XE486 is red, XO486 blue. A plate has 0.4 to 1.1 GB. A transfer that breaks is
    continued where it ended, also by a later call; a plate is put in place only when it is whole.
    """
    from vascodb.loaders.images.irsa import IrsaPlates, wanted_plate  # noqa: PLC0415

    wanted, source = [wanted_plate(name) for name in dict.fromkeys(plates)], IrsaPlates()
    if totals := _fetch(source, wanted, "plates", output, workers, None, force=force, dry_run=dry_run):
        _report(totals, "plates", source.service)


def _fetch(
    source: ImageSource,
    wanted: Sequence[WantedImage],
    kind: str,
    output: Path | None,
    workers: int | None,
    limit: int | None,
    *,
    force: bool,
    dry_run: bool,
) -> ImageTotals | None:
    """Fetch images; nothing comes of a dry run but a line of what would be asked."""
    # The services' libraries take a second to load, which other verbs need not wait for.
    from vascodb.cli.settings import settings_in_effect  # noqa: PLC0415
    from vascodb.loaders.fetch.reference import client_for  # noqa: PLC0415
    from vascodb.pipeline.fetching import ImageFetch, still_to_ask  # noqa: PLC0415

    settings = Settings()
    found = settings_in_effect(settings)
    chosen = found.configuration.fetch
    folder = (output or (chosen.images or settings.images_dir) / kind).expanduser().absolute()
    force = force or chosen.images_again
    database = Database(settings)
    with database.connect() as connection:
        asked = (list(wanted) if force else still_to_ask(connection, wanted))[:limit]
    if dry_run:
        size_gb = sum(image.expected_bytes for image in asked) / 1e9
        click.echo(f"would ask {source.service} for {len(asked)} of {len(wanted)} {kind}, about {size_gb:.2f} GB")
        return None
    if asked:
        found.require_network()
    client = client_for(database, source.service, found.configuration.services)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(kind, total=len(wanted))
        fetch = ImageFetch(
            database,
            client,
            source,
            folder,
            force=force,
            limit=limit,
            progress=lambda totals: bar.update(task, completed=totals.done),
            transfer=lambda name, n, total: bar.update(task, description=_brief(kind, name, n, total)),
        )
        return fetch.run(wanted, workers or chosen.workers or client.settings.connections)


def _brief(kind: str, name: str, n_bytes: int, total: int | None) -> str:
    return f"{kind}: {name} {n_bytes / 1e6:,.0f}" + (f" of {total / 1e6:,.0f} MB" if total else " MB")


def _report(totals: ImageTotals, kind: str, service: str) -> None:
    """Say what was done; the paths of what is there go to standard output where they were asked for by name."""
    states = totals.states
    if totals.wanted == 1:
        click.echo(_the_one_path(totals))
        return
    click.echo(
        f"{kind}: {states['ok']} there, {states['non_poss']} not of POSS-I, {states['unavailable']} unavailable, "
        f"{states['retryable']} to try again; {totals.known} were known already, "
        f"{totals.n_bytes / 1e6:,.1f} MB downloaded"
    )
    for line in totals.lines:
        click.echo(f"  {line}", err=True)
    if states["retryable"] or totals.not_tried:
        left = f", {totals.not_tried} not tried because {service} is down" if totals.not_tried else ""
        raise ServiceError(f"{states['retryable']} {kind} failed{left}; safe to run again")


def _the_one_path(totals: ImageTotals) -> Path:
    if totals.states["ok"]:
        return totals.paths[0]
    if totals.states["retryable"]:
        raise ServiceError(f"{totals.lines[0]}; safe to run again")
    raise InputError(f"{totals.lines[0]}; fetch-tile or fetch-plate with --force asks again")


COMMANDS = (fetch_tile, fetch_plate)
