"""The verb that brings in whole surveys from local partitioned catalogues."""

from pathlib import Path
from time import monotonic

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import text

from vascodb.cli.options import column_names, column_option, existing_path
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.partitioned.load import load_partitions
from vascodb.loaders.partitioned.partition_load import PartitionLoad
from vascodb.loaders.regions import Cone, MocRegion, Region
from vascodb.loaders.registry import catalog
from vascodb.settings import Settings

__all__ = ["COMMANDS"]

_MOST_FAILURES_SHOWN = 20
_SKY_SQDEG = 41252.96125


@click.command("load-hats", epilog="Example: vascodb load-hats gaia_dr3 /data/hats/gaia_dr3 --cone 132.82,11.80,3deg")
@click.argument("name", metavar="CATALOG")
@click.argument("folder", type=existing_path)
@click.option("--cone", metavar="RA,DEC,RADIUS", help="Load only what covers this cone, e.g. 132.82,11.80,3deg.")
@click.option("--moc", type=existing_path, metavar="FILE", help="Load only what covers this MOC (FITS, JSON, text).")
@click.option(
    "--workers", type=click.IntRange(1, 8), default=2, show_default=True, help="Partitions that are loaded at once."
)
@column_option
def load_hats_command(
    name: str, folder: Path, cone: str | None, moc: Path | None, workers: int, columns: tuple[str, ...]
) -> None:
    """Load a reference catalogue from local HEALPix partitions.

    FOLDER holds CATALOG as HATS, as HiPSCat, or as a cache with folders parquet/healpix_5=N. Partitions that are loaded
    already are left out, so a load that was interrupted goes on where it was, and several may share the work.
    """
    if cone is not None and moc is not None:
        raise InputError("give --cone or --moc, not both")
    region: Region | None = Cone.parse(cone) if cone is not None else None if moc is None else MocRegion.read(moc)
    database = Database(Settings())
    started = monotonic()
    with _Bar() as bar:
        done = load_partitions(database, catalog(name), folder, region, column_names(columns), workers, bar.advance)
    seconds = monotonic() - started
    click.echo(
        f"{done.catalog}: {done.n_loaded} of {done.n_wanted} partitions loaded now ({done.n_listed} in the catalogue), "
        f"{done.rows_in} rows read, {done.rows_new} sources new, {done.rows_in / seconds:,.0f} rows/s; "
        f"complete in {_covered_sqdeg(database, name):.4f} deg² in all"
    )
    for line in done.failures[:_MOST_FAILURES_SHOWN]:
        click.echo(f"vascodb: {line}", err=True)
    if done.failures:
        raise InputError(
            f"{len(done.failures)} of {done.n_wanted} partitions failed and cover nothing; "
            "mend them and run the same command again"
        )


def _covered_sqdeg(database: Database, catalog_name: str) -> float:
    statement = text("""
        SELECT coalesce(sum(upper(hpx29) - lower(hpx29)), 0)::float8 / (12 * 4.0 ^ 29)
        FROM ref.coverage
        WHERE catalog = :catalog
    """)
    with database.connect() as connection:
        return _SKY_SQDEG * float(connection.execute(statement, {"catalog": catalog_name}).scalar_one())


class _Bar:
    """Partitions done, with the rows that came from them."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("partitions"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rows]:,} rows"),
            TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("partitions", total=None, rows=0)
        self._rows = 0

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, n_wanted: int, outcome: PartitionLoad) -> None:
        """Count one more partition."""
        self._rows += outcome.rows_in
        self._bar.update(self._task, total=n_wanted, advance=1, rows=self._rows)


COMMANDS = (load_hats_command,)
