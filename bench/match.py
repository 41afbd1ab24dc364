"""Time the nearest match at the plate's epoch beside astropy's KD-tree and STILTS, on the same data in one run.

The sky grows with the number of sources, 8000 in a square degree, and the detections lie all over it. Each of the
others is also asked the easier question, with sources that were moved to the plate's epoch before. No time is printed
before all gave the same sources and separations.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, text

from vascodb.cluster import Cluster
from vascodb.db import Database
from vascodb.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from kdtree import ALONE, SAME, WITH_TREE, AstropyMatch, time_astropy
from manystars import (
    CATALOG_EPOCH,
    Stars,
    angles,
    clumps,
    copying,
    detections_of,
    put_detections,
    put_stars,
    scatter,
    stars_at,
)
from stilts import stilts_version, time_stilts
from toysky import ToySky

Floats = NDArray[np.float64]
EPOCH, RADIUS_ARCSEC = 1952.0, 5.0
PLACE, SOURCES_PER_SQDEG = (132.8, 11.8), 8000
# The third is a whole plate beside Gaia.
SIZES = ((100_000, 100_000), (1_000_000, 100_000), (2_000_000, 300_000), (10_000_000, 100_000))
AIM_US, AIM_STILTS, AIM_FLAT = 4.0, 8.0, 0.3


class Sky(NamedTuple):
    """Sources at their catalogue's epoch and at the plate's, and detections, in degrees."""

    stars: Stars
    there_ra: Floats
    there_dec: Floats
    ra: Floats
    dec: Floats
    radius_deg: float


class Way(NamedTuple):
    """One way to match: CPU and wall seconds of one warm round, and source and separation per detection."""

    cpu: float
    wall: float
    source_id: NDArray[np.int64]
    sep_arcsec: Floats


def main() -> int:
    """Run the benchmark; the exit status says whether the answers agreed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--size", type=size, nargs="+", default=SIZES, metavar="SOURCES:DETECTIONS", dest="sizes",
        help="default: " + " ".join(f"{rows}:{detections}" for rows, detections in SIZES),
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each way, in turn; the median counts")
    parser.add_argument("--clustered", action="store_true", help="half of the sources in clusters")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    version = stilts_version()
    console.print("STILTS is left out: it is not installed" if version is None else f"STILTS {version}")
    with TemporaryDirectory(prefix="vascodb-bench-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        home.mkdir(mode=0o755)
        try:
            database = Database(Settings(home=home, url=None))
            spread = clumps if arguments.clustered else scatter
            figures = []
            for n_rows, n_detections in arguments.sizes:
                sky = make_sky(n_rows, n_detections, spread)
                figures.append(compare(console, database, sky, arguments.rounds, Path(folder), version is not None))
            database.close()
        finally:
            Cluster(home).stop()
    spread_of = max(figures) / min(figures) - 1
    verdict = "[green]reached" if max(figures) <= (1 + AIM_FLAT) / (1 - AIM_FLAT) * min(figures) else "[red]missed"
    console.print(
        f"\nslowest over fastest number of sources: + {spread_of:.0%} (aim within ± {AIM_FLAT:.0%}: {verdict}[/])"
    )
    return 0


def size(words: str) -> tuple[int, int]:
    """Numbers of sources and detections from the command line."""
    n_rows, _, n_detections = words.partition(":")
    return int(n_rows), int(n_detections)


def make_sky(n_rows: int, n_detections: int, spread: Callable[..., tuple[Floats, Floats]]) -> Sky:
    """A round piece of sky with as many sources; detections where they were, numbered as SExtractor does, in rows."""
    rng = np.random.default_rng(n_rows)
    radius_deg = float(np.degrees(np.arccos(1 - n_rows / SOURCES_PER_SQDEG * np.radians(1) ** 2 / (2 * np.pi))))
    stars = stars_at(rng, *spread(rng, n_rows, PLACE, radius_deg), fast=0.0005)
    ra, dec = detections_of(rng, stars, n_detections, EPOCH, 0.7)
    rows = np.argsort(dec)
    return Sky(stars, *angles(stars.vectors_at(EPOCH)), ra[rows], dec[rows], radius_deg)


def compare(console: Console, database: Database, sky: Sky, rounds: int, folder: Path, with_stilts: bool) -> float:
    """Load, match each way in turn, check, and print; returns our µs per detection."""
    n = len(sky.ra)
    name = f"sky_{len(sky.stars)}"
    extraction_id, load_seconds = load(database, sky, name)
    console.print(
        f"\n[bold]{len(sky.stars):,} sources, {n:,} detections[/], {sky.radius_deg:.1f}° about the middle; "
        f"loaded, indexed and vacuumed in {load_seconds:.1f} s"
    )
    ours, theirs = [], defaultdict(list)
    with database.connect() as connection:
        for _ in range(rounds):
            # The others leave nothing of ours in the processor's cache; the first question fetches it anew.
            match_here(connection, extraction_id, name, n)
            ours.append(match_here(connection, extraction_id, name, n))
            for label, way in time_astropy(sky, CATALOG_EPOCH, EPOCH).items():
                theirs[label].append(nearest(sky, way))
                # Astropy's motion accounts for the time that light takes, too.
                agree(label, ours[-1], theirs[label][-1], 1e-7 if label == SAME else 1e-9)
    if with_stilts:
        runs = time_stilts(folder, sky, RADIUS_ARCSEC, EPOCH - CATALOG_EPOCH)
        start = runs.pop("start")
        for label, run in runs.items():
            theirs[f"STILTS {label}"].append(Way(*run))
            agree(f"STILTS {label}", ours[-1], Way(*run))
    spent = {label: [median(way[i] for way in ways) / n * 1e6 for i in (0, 1)] for label, ways in theirs.items()}
    if with_stilts:
        spent["STILTS: of that its start"] = [seconds / n * 1e6 for seconds in (start.cpu, start.wall)]
    cpu, wall = (median(way[i] for way in ours) / n * 1e6 for i in (0, 1))
    print_ways(console, cpu, wall, spent)
    return cpu


def print_ways(console: Console, our_cpu: float, our_wall: float, spent: Mapping[str, Sequence[float]]) -> None:
    """Print µs of CPU and wall time per detection, ours first, and which aims are reached."""
    table = Table("way", "µs CPU/det", "µs wall/det", "ours is faster by", box=None, header_style="bold")
    table.add_row("vascodb: at the plate's epoch, warm", f"{our_cpu:.2f}", f"{our_wall:.2f}")
    for label, (cpu, wall) in spent.items():
        table.add_row(label, f"{cpu:.2f}", f"{wall:.2f}", f"{cpu / our_cpu:.2f} ×")
    console.print(table)
    aims = {f"≤ {AIM_US:g} µs": our_cpu <= AIM_US}
    aims |= {label: our_cpu <= spent[label][0] for label in (SAME, WITH_TREE, ALONE)}
    aims |= {
        f"{AIM_STILTS:g} × {label}": cpu >= AIM_STILTS * our_cpu
        for label, (cpu, _) in spent.items() if label.startswith("STILTS t")
    }  # fmt: skip
    for aim, yes in aims.items():
        console.print(f"{'[green]reached' if yes else '[red]missed '}[/] {aim}")


def load(database: Database, sky: Sky, name: str) -> tuple[int, float]:
    """Store the sky; the extraction's id, and seconds."""
    started = monotonic()
    with copying(database) as connection:
        ToySky(connection).catalog(name)
        put_stars(connection, name, sky.stars)
        extraction_id = put_detections(connection, sky.ra, sky.dec, EPOCH, *PLACE, sky.radius_deg)
    with database.autocommit() as connection:
        connection.execute(text(f"VACUUM (FREEZE, ANALYZE) ref.{name}"))
        connection.execute(text("VACUUM (FREEZE, ANALYZE) vasco.detection"))
    return extraction_id, monotonic() - started


def match_here(connection: Connection, extraction_id: int, name: str, n: int) -> Way:
    """Match in the database, the result left in a temporary table: the server's CPU seconds, wall seconds."""
    server = connection.scalar(text("SELECT pg_backend_pid()"))
    connection.execute(text("DROP TABLE IF EXISTS pg_temp.found"))
    cpu, started = cpu_of(server), monotonic()
    connection.execute(
        text("CREATE TEMPORARY TABLE found AS SELECT * FROM sky.nearest_at_epoch(:e, :name, :r)"),
        {"e": extraction_id, "name": name, "r": RADIUS_ARCSEC},
    )
    wall, cpu = monotonic() - started, cpu_of(server) - cpu
    rows = connection.execute(text("SELECT number, source_id, sep_arcsec FROM pg_temp.found")).all()
    number, source_id, sep = (np.array(column) for column in zip(*rows, strict=True))
    return Way(cpu, wall, *by_detection(n, number - 1, source_id, sep))


def cpu_of(process_id: int) -> float:
    """CPU seconds of a process so far, as the system counts them; wall seconds where it does not tell."""
    stat = Path(f"/proc/{process_id}/stat")
    if not stat.is_file():
        return monotonic()
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def nearest(sky: Sky, way: AstropyMatch) -> Way:
    """The counterparts within the radius; a KD-tree names the nearest source however far it is."""
    near = np.flatnonzero(way.sep_arcsec <= RADIUS_ARCSEC)
    source_id = sky.stars.source_id[way.index[near]]
    return Way(way.cpu, way.wall, *by_detection(len(way.index), near, source_id, way.sep_arcsec[near]))


def by_detection(
    n: int, place: NDArray[np.int64], source_id: NDArray[np.int64], sep_arcsec: Floats
) -> tuple[NDArray[np.int64], Floats]:
    """Source and separation of each detection; 0 and NaN where there is none."""
    ids, seps = np.zeros(n, np.int64), np.full(n, np.nan)
    ids[place], seps[place] = source_id, sep_arcsec
    return ids, seps


def agree(name: str, ours: Way, theirs: Way, limit_arcsec: float = 1e-9) -> None:
    """Stop unless the sources are the same and the separations are within a limit."""
    different = np.count_nonzero(ours.source_id != theirs.source_id)
    if different:
        raise SystemExit(f"{name}: another source for {different} detections")
    found = ours.source_id != 0
    worst = np.abs(ours.sep_arcsec - theirs.sep_arcsec)[found].max()
    if worst > limit_arcsec:
        raise SystemExit(f"{name}: separations differ by up to {worst:.2g} arcsec")


if __name__ == "__main__":
    sys.exit(main())
