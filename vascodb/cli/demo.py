"""The verb that shows the whole way of the data on a simulated plate, and keeps score."""

from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from sqlalchemy import text

from vascodb.cli.ingest import print_report
from vascodb.cli.output import Query, emit, run_query
from vascodb.cluster import Cluster
from vascodb.db import Database
from vascodb.loaders.reference import load_reference
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import catalog
from vascodb.pipeline.ingest import ingest_image
from vascodb.profiles import load_profile
from vascodb.settings import Settings
from vascodb.simulate import Score, SimulatedPlate, SimulationSpec, score, simulate_plate, write_simulation

__all__ = ["COMMANDS"]

_CANDIDATES = """
SELECT src_id, ra, dec, mag_auto, snr_win, fwhm_arcsec, elongation, spread_model
FROM api.candidates
WHERE run = :run
ORDER BY ra, dec
"""


@click.command(epilog="Example: vascodb demo --seed 2")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of the simulated plate; another seed is another sky."
)
@click.option(
    "--profile", "profile_name", default="default", show_default=True, metavar="NAME", help="Profile to judge by."
)
def demo(seed: int, profile_name: str) -> None:
    """Find vanished stars on a simulated plate, and keep score.

    Prints the funnel, the candidates, and how many of the injected sources were found, missed and falsely claimed.

    It works in a database of its own that is removed at the end; yours is not touched.
    """
    profile = load_profile(profile_name)
    console = Console(stderr=True)
    home = Settings().home
    home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home, prefix="demo-") as folder:
        demo_home = Path(folder)
        demo_home.chmod(0o755)
        try:
            with console.status("simulating a plate") as status:
                plate = simulate_plate(SimulationSpec.demo(seed=seed))
                files = write_simulation(plate, demo_home / "simulation")
                status.update("starting a database of its own")
                database = Database(Settings(home=demo_home, url=None))
                status.update("loading the reference catalogue")
                load_reference(database, catalog("gaia_edr3"), files.reference, Cone(**plate.reference.meta["cone"]))
                report = ingest_image(
                    database, files.image, profile, progress=lambda step: status.update(f"ingesting: {step}")
                )
            print_report(report)
            with database.connect() as connection:
                emit(run_query(connection, Query(_CANDIDATES, {"run": report.run}, "api.candidates")), "table", None)
                rows = connection.execute(text("SELECT ra, dec FROM api.candidates")).all()
            database.close()
        finally:
            Cluster(demo_home).stop()
        _print_score(plate, score(plate.truth, [row.ra for row in rows], [row.dec for row in rows]))


def _print_score(plate: SimulatedPlate, result: Score) -> None:
    limit = plate.truth.meta["limit_5sigma_mag"]
    required = len(result.found) + len(result.missed)
    false = {cause: n for cause, n in result.false_claims.items() if n}
    click.echo()
    click.echo(
        f"injected vanished sources half a magnitude or more above the 5-sigma limit ({limit:.2f} mag): {required}"
    )
    click.echo(f"  found            {len(result.found)}   recall {result.recall:.3f}")
    click.echo(f"  missed           {len(result.missed)}")
    click.echo(f"  found beyond it  {len(result.found_beyond)} (fainter, or blended with a star)")
    listed = ", ".join(f"{n} {cause.replace('_', ' ')}" for cause, n in false.items()) or "none"
    click.echo(f"  falsely claimed  {sum(false.values())}   precision {result.precision:.3f} ({listed})")
    moved = sum(result.false_claims[cause] for cause in ("moving_star", "high_pm"))
    click.echo(f"  of these through proper motion {moved}, outside coverage {result.false_claims['outside_coverage']}")


COMMANDS = (demo,)
