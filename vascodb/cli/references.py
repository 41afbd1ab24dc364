"""Verbs that bring in what others made: plate headers and reference catalogues."""

from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from vascodb.cli.options import column_names, column_option, existing_path
from vascodb.cli.plate_times import told
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.reference import load_reference
from vascodb.loaders.regions import Cone, MocRegion, Region
from vascodb.loaders.registry import catalog
from vascodb.plates.cdrom_headers import load_cdrom_headers, read_cdrom_headers
from vascodb.plates.headers import load_plates, read_plate_headers
from vascodb.plates.times import solve_plate_times
from vascodb.settings import Settings

__all__ = ["COMMANDS"]


@click.command("load-plates", epilog="Example: vascodb load-plates headers.tar.gz")
@click.argument("source", type=existing_path)
def load_plates_command(source: Path) -> None:
    """Load the headers of whole plates, or of the CD-ROMs.

    SOURCE is a JSON sidecar, a tar archive of them, a plate's FITS file, or a folder of any of these; or the file .dat
    with all headers of the CD-ROMs of 1996, an independent source of dates and times. The times of all plates are then
    found anew.
    """
    if source.suffix.lower() == ".dat":
        headers = read_cdrom_headers(source)
        with Database(Settings()).connect() as connection:
            read, new = len(headers), load_cdrom_headers(connection, headers)
            totals = solve_plate_times(connection)
    else:
        with (
            Progress(console=Console(stderr=True), transient=True) as bar,
            Database(Settings()).connect() as connection,
        ):
            task = bar.add_task("plates", total=None)
            done = load_plates(connection, read_plate_headers(source), lambda n: bar.update(task, completed=n))
            read, new = done.read, done.new
            totals = solve_plate_times(connection)
    click.echo(f"plates: {read} read, {new} new, {read - new} stored already")
    click.echo(told(totals))


@click.command("load-reference", epilog="Example: vascodb load-reference gaia_edr3 gaia.csv --cone 132.82,11.80,0.5deg")
@click.argument("name", metavar="CATALOG")
@click.argument("path", metavar="FILE", type=existing_path)
@click.option("--cone", metavar="RA,DEC,RADIUS", help="The file is complete in this cone, e.g. 132.82,11.80,0.5deg.")
@click.option("--moc", type=existing_path, metavar="FILE", help="The file is complete in this MOC (FITS, JSON, text).")
@column_option
def load_reference_command(name: str, path: Path, cone: str | None, moc: Path | None, columns: tuple[str, ...]) -> None:
    """Load a reference catalogue from a file.

    FILE (CSV, ECSV, FITS, VOTable, Parquet, or .dat of the CDS with its ReadMe) holds sources of the registered
    CATALOG. Either --cone or --moc names the sky in which you vouch that it holds all of them; only there can a
    detection be said to have no counterpart.
    """
    if (cone is None) == (moc is None):
        raise InputError("give the sky in which the file is complete: --cone RA,DEC,RADIUS or --moc FILE")
    region: Region = Cone.parse(cone) if cone is not None else MocRegion.read(moc or Path())
    definition = catalog(name)
    done = load_reference(Database(Settings()), definition, path, region, column_names(columns))
    click.echo(
        f"{done.catalog}: {done.rows_in} sources read, {done.rows_new} new; "
        f"complete in {done.covered_sqdeg:.4f} deg² ({region.description}, without a rim of "
        f"{definition.coverage_margin_arcsec:g} arcsec)"
    )


COMMANDS = (load_plates_command, load_reference_command)
