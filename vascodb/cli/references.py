"""Verbs that bring in what others made: plate headers and reference catalogues."""

from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from vascodb.cli.options import existing_path
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.reference import load_reference
from vascodb.loaders.regions import Cone, MocRegion, Region
from vascodb.loaders.registry import catalog
from vascodb.plates.headers import load_plates, read_plate_headers
from vascodb.settings import Settings

__all__ = ["COMMANDS"]


@click.command("load-plates", epilog="Example: vascodb load-plates headers.tar.gz")
@click.argument("source", type=existing_path)
def load_plates_command(source: Path) -> None:
    """Load the headers of whole plates.

    SOURCE is a JSON sidecar, a tar archive of them, a plate's FITS file, or a folder of any of these.
    """
    with Progress(console=Console(stderr=True), transient=True) as bar, Database(Settings()).connect() as connection:
        task = bar.add_task("plates", total=None)
        done = load_plates(connection, read_plate_headers(source), lambda n: bar.update(task, completed=n))
    click.echo(f"plates: {done.read} read, {done.new} new, {done.read - done.new} stored already")


@click.command("load-reference", epilog="Example: vascodb load-reference gaia_edr3 gaia.csv --cone 132.82,11.80,0.5deg")
@click.argument("name", metavar="CATALOG")
@click.argument("path", metavar="FILE", type=existing_path)
@click.option("--cone", metavar="RA,DEC,RADIUS", help="The file is complete in this cone, e.g. 132.82,11.80,0.5deg.")
@click.option("--moc", type=existing_path, metavar="FILE", help="The file is complete in this MOC (FITS, JSON, text).")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="CORE=NAME",
    help="Name that the file has for a core column, e.g. ra=RAJ2000; may be repeated.",
)
def load_reference_command(name: str, path: Path, cone: str | None, moc: Path | None, columns: tuple[str, ...]) -> None:
    """Load a reference catalogue from a file.

    FILE (CSV, ECSV, FITS, VOTable or Parquet) holds sources of the registered CATALOG. Either --cone or --moc names
    the sky in which you vouch that it holds all of them; only there can a detection be said to have no counterpart.
    """
    if (cone is None) == (moc is None):
        raise InputError("give the sky in which the file is complete: --cone RA,DEC,RADIUS or --moc FILE")
    region: Region = Cone.parse(cone) if cone is not None else MocRegion.read(moc or Path())
    pairs = [column.partition("=") for column in columns]
    if bad := [pair[0] for pair in pairs if not (pair[0] and pair[2])]:
        raise InputError(f"--column {bad[0]}: write CORE=NAME, such as ra=RAJ2000")
    definition = catalog(name)
    done = load_reference(Database(Settings()), definition, path, region, {core: own for core, _, own in pairs})
    click.echo(
        f"{done.catalog}: {done.rows_in} sources read, {done.rows_new} new; "
        f"complete in {done.covered_sqdeg:.4f} deg² ({region.description}, without a rim of "
        f"{definition.coverage_margin_arcsec:g} arcsec)"
    )


COMMANDS = (load_plates_command, load_reference_command)
