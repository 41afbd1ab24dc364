"""The main verb: one image the whole way to its candidates."""

import json
from pathlib import Path

import astropy.units as u
import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vascodb.cli.fetch_images import fetched_tile
from vascodb.cli.options import AngleType, existing_path, report_format
from vascodb.cli.output import PlainConsole
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.pipeline.ingest import ingest_image
from vascodb.pipeline.report import IngestReport
from vascodb.plates.images import SearchBand
from vascodb.profiles import load_profile
from vascodb.settings import Settings

__all__ = ["COMMANDS", "print_report"]

SOME_UNKNOWN = 3


@click.command("ingest-tile", epilog="Example: vascodb ingest-tile --fits plate.fits")
@click.argument("tile_id", required=False)
@click.option(
    "--fits", "path", type=existing_path, metavar="FILE", help="FITS image of a POSS-I plate, or of a part of one."
)
@click.option(
    "--band",
    type=click.Choice(["red", "blue"]),
    default="red",
    show_default=True,
    help="Of the plate. A blue one is there for red ones to be compared with; it has no candidates.",
)
@click.option(
    "--ra", type=float, metavar="DEG", help="Right ascension of a tile that is downloaded if it is not there."
)
@click.option("--dec", type=float, metavar="DEG", help="Declination of it.")
@click.option(
    "--size", type=AngleType(u.arcmin), default="60arcmin", show_default=True, help="Side of a tile to download."
)
@click.option(
    "--profile", "profile_name", default="default", show_default=True, metavar="NAME", help="Profile to judge by."
)
@click.option(
    "--require",
    "families",
    multiple=True,
    metavar="FAMILY",
    help="Family of catalogues that must leave a candidate clear, beside the profile's own; may be repeated.",
)
@click.option("--full-pass2", is_flag=True, help="Measure every detection against the PSF, not only what needs it.")
@report_format("Form of the report.")
@click.option("--progress/--no-progress", default=None, help="Show the step at work; by default on a terminal.")
def ingest_tile(
    tile_id: str | None,
    path: Path | None,
    band: SearchBand,
    ra: float | None,
    dec: float | None,
    size: float,
    profile_name: str,
    families: tuple[str, ...],
    full_pass2: bool,
    kind: str,
    progress: bool | None,
) -> int:
    """Take one image all the way to its candidates.

    It is extracted and matched; what has no counterpart is measured against the PSF and judged. All of it is one
    transaction; the same image again does only what is missing. TILE_ID names the tile where the image's own centre
    should not. Without --fits the image of TILE_ID, or of the square about --ra and --dec, is downloaded if it is not
    there. With --require FAMILY (gaia, ps1, usnob, …) the run is one of its own, such as default+ps1.
    """
    profile = load_profile(profile_name).requiring(families)
    if path is None:
        if (tile_id is None) == (ra is None) or (ra is None) != (dec is None):
            raise InputError("name an image (--fits FILE), a tile, or a position (--ra DEG --dec DEG)")
        path = fetched_tile(tile_id, ra, dec, size, band)
    elif ra is not None or dec is not None:
        raise InputError("--fits FILE says where the tile is; leave out --ra and --dec")
    console = Console(stderr=True)
    shown = console.is_terminal if progress is None else progress
    name = escape(path.name)
    with console.status(name) if shown else _Quiet() as status:
        report = ingest_image(
            Database(Settings()),
            path,
            profile,
            tile_id=tile_id,
            band=band,
            measure_all=full_pass2,
            progress=lambda step: status.update(f"{name}: {step}"),
        )
    if kind == "json":
        click.echo(json.dumps(report.as_dict()))
    else:
        print_report(report)
    return SOME_UNKNOWN if report.has_unknown else 0


class _Quiet:
    """A progress display that shows nothing."""

    def __enter__(self) -> "_Quiet":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, _: str) -> None:
        """Show nothing."""


def print_report(report: IngestReport) -> None:
    """Print what happened to an image, for people."""
    console = PlainConsole(120)
    judged = f"judged by run {report.run}" if report.run else "blue: to be compared with, judged by no run"
    console.print(f"[bold]{report.tile_id}[/] on plate {report.plate_id}, {judged}")
    console.print(f"{report.detections} detections, {report.measured} measured against the PSF")
    states = Table("catalogue", "matched", "clear", "unknown", "not covered", box=None, header_style="bold")
    for name, count in report.catalogs.items():
        states.add_row(name, *(str(count[state]) for state in ("matched", "clear", "unknown", "not_covered")))
    console.print(states)
    if report.run:
        _print_stages(console, report)
        console.print(f"[bold]{report.candidates} candidates[/]")
    for warning in report.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    parts = ", ".join(f"{part} {value:.2f}" for part, value in report.seconds.items() if part != "total")
    console.print(f"{report.seconds['total']:.2f} s ({parts})", style="dim")


def _print_stages(console: PlainConsole, report: IngestReport) -> None:
    """Stages in their order; those that had nobody's word to go by are named in one line."""
    counts = {**report.vetoes, **report.gates}
    outcomes = ("pass", "fail", "unknown", "not_covered")
    view = Table("stage", "pass", "fail", "unknown", "not covered", "left so far", box=None, header_style="bold")
    silent = []
    for name, left in report.remaining.items():
        n = counts[name]
        if (
            n["not_covered"]
            and not (n["pass"] or n["fail"] or n["unknown"])
            and "not_covered" in report.tolerated.get(name, ())
        ):
            silent.append(name)
            continue
        flag = " (a mark)" if "fail" in report.tolerated.get(name, ()) else ""
        view.add_row(name + flag, *(str(n[outcome]) for outcome in outcomes), str(left))
    console.print(view)
    if silent:
        console.print(f"nobody was asked, or could tell: {', '.join(silent)}", style="dim")


COMMANDS = (ingest_tile,)
