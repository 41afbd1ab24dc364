"""Time a load of a million rows from a local HATS catalogue, beside a bare COPY of the same rows.

No time is printed before the answer was checked: number of rows, every id, and the sky that is covered.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
import pyarrow as pa
from pyarrow import parquet
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from vascodb.cluster import Cluster
from vascodb.db import Database
from vascodb.loaders.partitioned.load import load_partitions
from vascodb.loaders.registry import catalog
from vascodb.loaders.store import stored_columns
from vascodb.loaders.tables import core_table
from vascodb.settings import Settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from hatsfiles import split_by_density, stars, write_hats

TYCHO = Path(__file__).resolve().parents[2] / "shared" / "data" / "benchmark" / "tycho2_positions_1871011.parquet"
GAIA = catalog("gaia_dr3")
ROWS_PER_SECOND = 150_000
PEAK_MB = 500


def main() -> int:
    """Run the benchmark, or, as a process of its own, the load alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="times each way is run, in turn; the fastest counts")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load is not None:
        print(json.dumps(load(arguments.home, arguments.load, arguments.workers)))
        return 0
    with TemporaryDirectory(prefix="vascodb-bench-") as folder:
        Path(folder).chmod(0o755)
        return compare(Path(folder), arguments.rows, arguments.rounds, arguments.workers)


def compare(folder: Path, n_rows: int, rounds: int, workers: int) -> int:
    """Load and copy in turn, check, and print; the exit status says whether the aims were reached."""
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    table = clustered(n_rows, console)
    parts = split_by_density(table, 3, most=150_000)
    hats = write_hats(parts, folder / "gaia")
    orders = sorted({order for order, _ in parts})
    console.print(
        f"{n_rows:,} rows in {len(parts)} partitions of orders {orders[0]} to {orders[-1]}, {workers} workers"
    )
    home = folder / "home"
    home.mkdir(mode=0o755)
    loads, copies = [], []
    try:
        database = Database(Settings(home=home, url=None))
        rows = stored_columns(core_table(table, {}, GAIA)).drop_columns("designation")
        for _ in range(rounds):
            with database.connect() as connection:
                connection.execute(text("TRUNCATE ref.gaia_dr3, ref.coverage"))
                connection.execute(text("DELETE FROM ref.lookup"))
            loads.append(in_process(hats, home, workers))
            check(database, table, parts)
            copies.append(bare_copy(database, rows))
        database.close()
    finally:
        Cluster(home).stop()
    best = min(loads, key=lambda run: run["seconds"])
    rate = n_rows / best["seconds"]
    shown = Table("way", "wall s", "rows/s", "peak MB", box=None, header_style="bold")
    shown.add_row(
        "load-hats: checked, moved to J1954, indexed, covered, vacuumed",
        f"{best['seconds']:.2f}", f"{rate:,.0f}", f"{best['peak_mb']:.0f}",
    )  # fmt: skip
    shown.add_row("bare COPY into an unindexed table", f"{min(copies):.2f}", f"{n_rows / min(copies):,.0f}", "")
    console.print(shown)
    every = ", ".join(f"{run['seconds']:.2f}" for run in loads)
    console.print(f"fastest of {rounds}; all loads: {every} s")
    reached = rate >= ROWS_PER_SECOND and best["peak_mb"] <= PEAK_MB
    verdict = "[green]reached" if reached else "[red]missed"
    console.print(f"aim {ROWS_PER_SECOND:,} rows/s in {PEAK_MB} MB: {verdict}")
    return 0 if reached else 1


def clustered(n_rows: int, console: Console) -> pa.Table:
    """Sources as unevenly spread as real stars are, where those are at hand."""
    rng = np.random.default_rng(20)
    if TYCHO.is_file():
        bright = parquet.read_table(TYCHO)
        ra, dec = bright["ra"].to_numpy(), bright["dec"].to_numpy()
        here = (np.abs(ra - 100) < 12) & (np.abs(dec - 30) < 8)
        pick = rng.choice(np.flatnonzero(here), n_rows)
        ra, dec = ra[pick] + rng.normal(0, 0.1, n_rows), dec[pick] + rng.normal(0, 0.1, n_rows)
    else:
        console.print(f"evenly spread sources: real ones need {TYCHO.name} in ../shared/data/benchmark")
        ra = rng.uniform(88, 112, n_rows)
        dec = np.degrees(np.arcsin(rng.uniform(np.sin(np.radians(22)), np.sin(np.radians(38)), n_rows)))
    return stars(ra, dec)


def in_process(hats: Path, home: Path, workers: int) -> dict[str, float]:
    """Load in a process of its own: seconds from the first look at the folder, and its peak memory."""
    command = [sys.executable, __file__, "--load", hats, "--home", home, "--workers", str(workers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def load(home: Path, hats: Path, workers: int) -> dict[str, float]:
    """Load everything, vacuum included."""
    database = Database(Settings(home=home, url=None))
    started = monotonic()
    done = load_partitions(database, GAIA, hats, workers=workers)
    seconds = monotonic() - started
    if done.failures:
        raise SystemExit(done.failures[0])
    # The process's own; the usage that the system counts begins with that of whoever started it.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {"seconds": seconds, "peak_mb": int(peak.split()[1]) / 1024}


def check(database: Database, table: pa.Table, parts: dict[tuple[int, int], pa.Table]) -> None:
    """Stop unless the rows are there, each once, and the covered sky is the partitions' but for their rim."""
    with database.connect() as connection:
        n_rows, sum_of_ids, n_distinct = connection.execute(
            text("SELECT count(*), sum(source_id), count(DISTINCT source_id) FROM ref.gaia_dr3")
        ).one()
        covered, first, last = connection.execute(
            text("SELECT sum(upper(hpx29) - lower(hpx29)), min(lower(hpx29)), max(upper(hpx29)) FROM ref.coverage")
        ).one()
    ids = table["source_id"].to_pylist()
    cells = [(pixel << 2 * (29 - order), (pixel + 1) << 2 * (29 - order)) for order, pixel in parts]
    whole = sum(high - low for low, high in cells)
    if (n_rows, sum_of_ids, n_distinct) != (len(ids), sum(ids), len(ids)):
        raise SystemExit(f"stored are {n_rows} rows with {n_distinct} ids, not the {len(ids)} of the catalogue")
    if not (0.9 * whole < covered < whole and first >= min(cells)[0] and last <= max(cells)[1]):
        raise SystemExit(f"covered is {covered / whole:.3f} of the partitions")


def bare_copy(database: Database, rows: pa.Table) -> float:
    """Seconds of a COPY of the rows as they are stored into a table without index, check or evidence."""
    kinds = {pa.int64(): "bigint", pa.float64(): "double precision", pa.float32(): "real"}
    columns = ", ".join(f'"{field.name}" {kinds[field.type]}' for field in rows.schema)
    with adbc.connect(database.libpq_url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS public.bare")
        cursor.execute(f"CREATE TABLE public.bare ({columns})")
        started = monotonic()
        cursor.adbc_ingest("bare", rows, mode="append", db_schema_name="public")
        return monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
