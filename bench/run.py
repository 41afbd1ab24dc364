"""Time the veto-first way against the seeds' way on the same tiles, in one run; `make bench`.

No time is printed before both ways gave the same candidates.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from vascodb.cluster import Cluster
from vascodb.db import Database
from vascodb.loaders.reference import load_reference
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import catalog
from vascodb.pipeline.ingest import ingest_image
from vascodb.profiles import load_profile
from vascodb.settings import Settings
from vascodb.simulate import SimulationSpec, simulate_plate, write_simulation

sys.path.insert(0, str(Path(__file__).parent))
from seed_way import candidates_the_seed_way

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
M67_IMAGE = SHARED / "tiles" / "POSS1-E_XE486_M67_30arcmin.fits"
M67_REFERENCE = SHARED / "gaia" / "gaia_edr3_M67_6179rows.csv"
M67_CONE = "132.8242,11.8010,0.50deg"
BARS = {"M67": 2.0, "dense": 6.0}


def main() -> int:
    """Run the whole benchmark, or, as a process of its own, one way on one tile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="times each way is run, in turn; the fastest counts")
    parser.add_argument("--narrow", action="store_true", help="also a dense tile with a PSF below 3 px (slow)")
    parser.add_argument("--way", choices=["seed", "veto-first"], help=argparse.SUPPRESS)
    parser.add_argument("--image", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--reference", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way == "seed":
        with TemporaryDirectory() as folder:
            print(json.dumps(candidates_the_seed_way(arguments.image, arguments.reference, Path(folder))))
        return 0
    if arguments.way == "veto-first":
        print(json.dumps(veto_first(arguments.image, arguments.home)))
        return 0
    with TemporaryDirectory(prefix="vascodb-bench-") as folder:
        Path(folder).chmod(0o755)
        return compare_all(Path(folder), arguments.rounds, narrow=arguments.narrow)


def compare_all(folder: Path, rounds: int, *, narrow: bool) -> int:
    """Compare both ways on every tile; the exit status says whether candidates agreed."""
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    tiles: dict[str, tuple[Path, Path, Cone]] = {}
    if M67_IMAGE.is_file() and M67_REFERENCE.is_file():
        tiles["M67"] = (M67_IMAGE, M67_REFERENCE, Cone.parse(M67_CONE))
    else:
        console.print(f"M67 is left out: it needs {M67_IMAGE.name} and {M67_REFERENCE.name} in ../shared/data")
    specs = {"dense": SimulationSpec.dense()}
    if narrow:
        specs["dense, narrow PSF"] = SimulationSpec.dense(psf_fwhm_arcsec=2.7)
    for name, spec in specs.items():
        plate = simulate_plate(spec)
        files = write_simulation(plate, folder / name)
        limit = plate.truth.meta["limit_5sigma_mag"]
        n_stars = sum(1 for mag in plate.truth["mag"] if mag < limit)
        console.print(f"{name}: a simulated 60 arcmin tile with {n_stars} injected sources above the plate limit")
        tiles[name] = (files.image, files.reference, Cone(**plate.reference.meta["cone"]))
    agreed = True
    for name, (image, reference, cone) in tiles.items():
        agreed &= compare(console, name, image, reference, cone, folder, rounds)
    return 0 if agreed else 1


def compare(console: Console, name: str, image: Path, reference: Path, cone: Cone, folder: Path, rounds: int) -> bool:
    """Compare both ways on one tile and print the parts."""
    seed_runs, veto_runs = [], []
    for number in range(rounds):
        home = folder / f"{name}-{number}"
        database = Database(Settings(home=home, url=None))
        load_reference(database, catalog("gaia_edr3"), reference, cone)
        database.close()
        try:
            seed_runs.append(in_process("--way", "seed", "--image", image, "--reference", reference))
            veto_runs.append(in_process("--way", "veto-first", "--image", image, "--home", home))
        finally:
            Cluster(home).stop()
    seed = min(seed_runs, key=lambda run: run["seconds"]["total"])
    veto = min(veto_runs, key=lambda run: run["seconds"]["total"])
    if any(run["candidates"] != seed["candidates"] for run in seed_runs + veto_runs):
        console.print(f"[red]{name}: the two ways disagree: {seed['candidates']} and {veto['candidates']}[/]")
        return False
    ratio = seed["seconds"]["total"] / veto["seconds"]["total"]
    console.print(
        f"\n[bold]{name}[/]: {seed['detections']} detections, {seed['unmatched']} without a Gaia source, "
        f"{len(seed['candidates'])} candidates, the same both ways"
    )
    console.print(f"PSFEx: {seed['psf_stars']} stars, FWHM {seed['psf_fwhm_px']:.2f} px; fastest of {rounds} runs each")
    table = Table("way", "wall s", "peak MB", "parts (s)", box=None, header_style="bold")
    for way, run in (("seed: full pass 2, KD-tree", seed), ("vascodb: veto first", veto)):
        parts = ", ".join(f"{part} {value:.2f}" for part, value in run["seconds"].items() if part != "total")
        table.add_row(way, f"{run['seconds']['total']:.2f}", f"{run['peak_mb']:.0f}", parts)
    console.print(table)
    bar = BARS.get(name)
    verdict = "no aim" if bar is None else f"aim {bar:g}: {'[green]reached' if ratio >= bar else '[red]missed'}[/]"
    console.print(f"{ratio:.2f} times as fast ({verdict})")
    return True


def in_process(*arguments: object) -> dict[str, Any]:
    """Run one way in a process of its own; its seconds, candidates and peak memory."""
    command = [sys.executable, __file__, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    result: dict[str, Any] = json.loads(output)
    result["seconds"].setdefault("total", sum(result["seconds"].values()))
    result["peak_mb"] = usage.ru_maxrss / 1024
    return result


def veto_first(image: Path, home: Path) -> dict[str, Any]:
    """What passes the veto and the gates of vasco60's profile, by way of the database."""
    database = Database(Settings(home=home, url=None))
    report = ingest_image(database, image, load_profile("vasco60"))
    with database.connect() as connection:
        # What the stage behind the gates judges is what all of them let through.
        rows = connection.exec_driver_sql("SELECT number FROM vasco.verdict WHERE stage = 'spike' ORDER BY number")
        numbers = [row.number for row in rows]
    return {
        "candidates": numbers,
        "detections": report.detections,
        "measured": report.measured,
        "seconds": dict(report.seconds),
    }


if __name__ == "__main__":
    sys.exit(main())
