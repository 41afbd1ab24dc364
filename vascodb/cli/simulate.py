"""The verb that simulates a plate with a known truth."""

from pathlib import Path

import astropy.units as u
import click
from rich.console import Console

from vascodb.cli.options import AngleType, existing_path
from vascodb.loaders.regions import Cone
from vascodb.simulate import SimulationSpec, simulate_plate, write_simulation

__all__ = ["COMMANDS"]


@click.command(epilog="Example: vascodb simulate simulated --seed 7 --size 15arcmin")
@click.argument("folder", type=existing_path)
@click.option(
    "--preset", type=click.Choice(["demo", "dense", "plate"]), default="demo", show_default=True,
    help="A tile of 20 arcmin; a crowded one of 60 arcmin; a whole plate of 14000 x 13999 pixels.",
)  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same files.")
@click.option(
    "--ra", type=click.FloatRange(0, 360, max_open=True), metavar="DEG", help="Right ascension of the centre."
)
@click.option("--dec", type=click.FloatRange(-90, 90), metavar="DEG", help="Declination of the centre.")
@click.option("--size", type=AngleType(u.arcmin), help="Side of the image, such as 10arcmin; not for a whole plate.")
@click.option(
    "--stars", type=click.IntRange(min=1), help="Number of stars down to a magnitude below the plate's limit."
)
@click.option("--vanished", type=click.IntRange(min=0), help="Number of injected vanished sources.")
@click.option("--high-pm", type=click.IntRange(min=0), help="Number of injected stars with 0.1 to 3 arcsec/yr.")
def simulate(
    folder: Path,
    preset: str,
    seed: int,
    ra: float | None,
    dec: float | None,
    size: float | None,
    stars: int | None,
    vanished: int | None,
    high_pm: int | None,
) -> None:
    """Simulate a plate with a known truth.

    Writes the image, the reference catalogue of the same sky at J2016.0, and the truth table into FOLDER. Options
    change the preset.
    """
    given = {
        "ra_deg": ra,
        "dec_deg": dec,
        "size_arcmin": size,
        "n_stars": stars,
        "n_vanished": vanished,
        "n_high_pm": high_pm,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    presets = {"demo": SimulationSpec.demo, "dense": SimulationSpec.dense, "plate": SimulationSpec.plate}
    with Console(stderr=True).status(f"simulating a {preset} image"):
        plate = simulate_plate(presets[preset](seed=seed, **changes))
        files = write_simulation(plate, folder)
    cone = Cone(**plate.reference.meta["cone"])
    click.echo(f"image      {files.image}")
    click.echo(f"reference  {files.reference}")
    click.echo(f"truth      {files.truth}")
    click.echo(f"load it:   vascodb load-reference gaia_edr3 {files.reference} --cone {cone}")
    click.echo(f"then:      vascodb ingest-tile --fits {files.image}")


COMMANDS = (simulate,)
