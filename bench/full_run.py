"""Time a whole run of a profile over 100,000 and over 1,000,000 detections, stage by stage; `make bench`.

The images are made up: of 20,000 detections each, 97 of 100 with a star of Gaia's at the plate's epoch. No time is
printed before the run's survivors of the veto and of the gates were counted a second way, in numpy.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import astropy.units as u
import numpy as np
import pyarrow as pa
from astropy.coordinates import Latitude, Longitude, SkyCoord
from mocpy import MOC
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from vascodb.bulk import loading, staged
from vascodb.cluster import Cluster
from vascodb.db import Database
from vascodb.pipeline.running import Runner, RunReport
from vascodb.pipeline.selection import Selected
from vascodb.plates.footprint import cells, multirange
from vascodb.profiles import load_profile
from vascodb.settings import Settings

PER_IMAGE = 20_000
SIDE_DEG = 1.0
UNMATCHED = 0.03
EPOCH_JYEAR = 1954.0
CIRCLE_ARCMIN = 30.0
FLAT = 0.30


@dataclass(frozen=True)
class Image:
    """The detections of one made-up image, and which of them have a star."""

    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    has_star: NDArray[np.bool_]
    snr: NDArray[np.float32]
    flags: NDArray[np.int16]
    in_circle: NDArray[np.bool_]


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="vasco60")
    parser.add_argument("--detections", type=int, nargs="+", default=[100_000, 1_000_000])
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    reports: dict[int, RunReport] = {}
    with TemporaryDirectory(prefix="vascodb-bench-") as folder:
        Path(folder).chmod(0o755)
        for n in arguments.detections:
            home = Path(folder) / str(n)
            try:
                reports[n] = run(home, n, arguments.profile)
            finally:
                Cluster(home).stop()
    print_reports(console, arguments.profile, reports)
    return 0


def run(home: Path, n_detections: int, profile_name: str) -> RunReport:
    """Make a survey of that many detections, run the profile over it, and check what it found."""
    database = Database(Settings(home=home, url=None))
    images = [made_up(number) for number in range(1, n_detections // PER_IMAGE + 1)]
    with loading(database) as connection:
        for number, image in enumerate(images, start=1):
            store(database, connection, number, image)
        cover_everything(connection)
    with database.autocommit() as connection:
        connection.execute(text("VACUUM (ANALYZE) vasco.detection, ref.gaia_dr3"))
    profile = load_profile(profile_name)
    report = Runner(database, profile).run("bench", Selected(tuple(range(1, len(images) + 1))))
    check(database, images)
    database.close()
    return report


def made_up(number: int) -> Image:
    """One image of one degree, along a row of them near the equator."""
    rng = np.random.default_rng(number)
    centre_ra, centre_dec = centre_of(number)
    ra = centre_ra + rng.uniform(-SIDE_DEG / 2, SIDE_DEG / 2, PER_IMAGE)
    dec = centre_dec + rng.uniform(-SIDE_DEG / 2, SIDE_DEG / 2, PER_IMAGE)
    snr = rng.lognormal(4.0, 0.8, PER_IMAGE).astype(np.float32)
    flags = np.where(rng.random(PER_IMAGE) < 0.2, 2, 0).astype(np.int16)
    centre = SkyCoord(centre_ra, centre_dec, unit="deg")
    in_circle = centre.separation(SkyCoord(ra, dec, unit="deg")).arcmin <= CIRCLE_ARCMIN
    return Image(ra % 360, dec, rng.random(PER_IMAGE) >= UNMATCHED, snr, flags, in_circle)


def centre_of(number: int) -> tuple[float, float]:
    """Middle of an image, degrees."""
    return (2.0 * number) % 360, 4.0 * (number // 180)


def store(database: Database, connection, number: int, image: Image) -> None:
    """Put an image, its detections and its stars into the tables."""
    centre = centre_of(number)
    area = MOC.from_cone(
        Longitude(centre[0], u.deg), Latitude(centre[1], u.deg), radius=0.75 * SIDE_DEG * u.deg, max_depth=9
    )
    connection.execute(
        text("""
            INSERT INTO plate.solution (solution_id, kind, tangent_ra, tangent_dec, crpix1, crpix2, cd)
            VALUES (:id, 'tan', :ra, :dec, 1, 1, '{-1,0,0,1}');
            INSERT INTO plate.tile VALUES ('tile_' || :id, :ra, :dec, 60);
            INSERT INTO plate.image (
                image_id, sha256, file_name, size_bytes, status, plate_id, survey, band, tile_id, naxis1, naxis2, ra,
                dec, radius_deg, footprint, scale_arcsec_px, wcs_kind, wcs_available, solution_id, epoch_jyear,
                time_quality, header, path
            )
            VALUES (
                :id, 'bench ' || :id, 'bench.fits', 1, 'ok', 'XE001', 'POSSI-E', 'red', 'tile_' || :id, 2119, 2119,
                :ra, :dec, 0.75, CAST(:footprint AS int8multirange), 1.7, 'tan', '{tan}', :id, :epoch, 'single', '{}',
                'bench'
            );
            INSERT INTO vasco.extraction (
                extraction_id, image_id, config_name, config_sha256, sextractor_version, psfex_version, n_detections,
                tool_warnings
            )
            VALUES (:id, :id, 'seed', 'bench', '0', '0', :n, '{}')
        """),
        {"id": number, "ra": centre[0], "dec": centre[1], "epoch": EPOCH_JYEAR, "footprint": multirange(area),
         "n": len(image.ra_deg)},
    )  # fmt: skip
    table = pa.table(
        {
            "number": np.arange(1, len(image.ra_deg) + 1, dtype=np.int32), "ra": image.ra_deg, "dec": image.dec_deg,
            "hpx29": cells(image.ra_deg, image.dec_deg), "snr_win": image.snr, "flags": image.flags,
            "has_star": image.has_star.astype(np.int16),
        }
    )  # fmt: skip
    with staged(database, connection, table, "bench") as staging:
        connection.execute(
            text(f"""
                INSERT INTO vasco.detection (
                    extraction_id, number, ra, dec, ra_raw, dec_raw, xwin_image, ywin_image, hpx29, x_image, y_image,
                    elongation, ellipticity, fwhm_image, flux_auto, mag_auto, flux_aper, class_star, snr_win,
                    spread_model, spreaderr_model, flags, xmin_image, xmax_image, ymin_image, ymax_image
                )
                SELECT :id, number, ra, dec, ra, dec, 100, 100, hpx29, 100, 100, 1.1, 0.1, 3.5, 1e5, -12.5, 9e4, 0.9,
                    snr_win, 0.0, 0.001, flags, 96, 104, 96, 104
                FROM {staging}
                ORDER BY q3c_ang2ipix(ra, dec);
                INSERT INTO ref.gaia_dr3 (source_id, ra, dec, ra_j1954, dec_j1954, epoch_jyear, mag)
                SELECT :id * 1000000::bigint + number, ra, dec, ra, dec, 2016, 15
                FROM {staging}
                WHERE has_star = 1
                ORDER BY q3c_ang2ipix(ra, dec);
            """),
            {"id": number},
        )


def cover_everything(connection) -> None:
    """A complete look-up of the whole sky."""
    connection.execute(
        text("""
            INSERT INTO ref.lookup (
                lookup_id, catalog, kind, endpoint, parameters, region, status, rows_in, rows_kept, rows_rejected,
                overflow, complete, response_sha256
            )
            VALUES (1, 'gaia_dr3', 'file', 'bench', '{}', 'all', 'ok', 1, 1, 0, false, true, 'bench');
            SELECT ref.add_coverage('gaia_dr3', 1, CAST(:all AS int8multirange))
        """),
        {"all": f"{{[0,{12 * 4**29})}}"},
    )


def check(database: Database, images: list[Image]) -> None:
    """What the veto and the first two gates leave is what numpy says."""
    # Isolated, or with a star of another within five arcseconds: counted by brute force per image.
    clear = passed = 0
    for image in images:
        alone = image.has_star | near_a_star(image)
        clear += int((~alone).sum())
        passed += int((~alone & image.in_circle & (image.flags == 0) & (image.snr > 30)).sum())
    with database.connect() as connection:
        found = connection.execute(
            text("""
                SELECT
                    (SELECT sum(passed) FROM api.funnel WHERE run = 'bench' AND stage = 'gaia') AS clear,
                    (
                        SELECT count(*)
                        FROM vasco.verdict AS f
                        JOIN vasco.verdict AS s USING (run_id, extraction_id, number)
                        WHERE f.stage = 'flags' AND s.stage = 'snr' AND f.outcome = 'pass' AND s.outcome = 'pass'
                        -- What is outside the seeds' circle is not judged by them.
                    ) AS passed
            """)
        ).one()
    if (found.clear, found.passed) != (clear, passed):
        raise SystemExit(f"the run found {found.clear} and {found.passed}, numpy {clear} and {passed}")


def near_a_star(image: Image) -> NDArray[np.bool_]:
    """Whether a star of another detection lies within five arcseconds."""
    from scipy.spatial import cKDTree  # noqa: PLC0415

    vectors = np.stack(
        [
            np.cos(np.radians(image.dec_deg)) * np.cos(np.radians(image.ra_deg)),
            np.cos(np.radians(image.dec_deg)) * np.sin(np.radians(image.ra_deg)),
            np.sin(np.radians(image.dec_deg)),
        ],
        axis=1,
    )
    distance, _ = cKDTree(vectors[image.has_star]).query(vectors, distance_upper_bound=1e-3)
    return np.asarray(distance <= 2 * np.sin(np.radians(5 / 3600) / 2))


def print_reports(console: Console, profile: str, reports: dict[int, RunReport]) -> None:
    """Seconds per stage, and whether they grow with the detections."""
    table = Table(
        "stage", *(f"{n:,} detections, s" for n in reports), "µs each", "ratio", box=None, header_style="bold"
    )
    stages = list(next(iter(reports.values())).seconds)
    small, large = min(reports), max(reports)
    for stage in [*stages, "all"]:
        seconds = [sum(r.seconds.values()) if stage == "all" else r.seconds[stage] for r in reports.values()]
        each = 1e6 * seconds[-1] / large
        ratio = (seconds[-1] / large) / max(seconds[0] / small, 1e-9)
        table.add_row(stage, *(f"{s:.2f}" for s in seconds), f"{each:.2f}", f"{ratio:.2f}" if small != large else "")
    console.print(f"\n[bold]a run of {profile}[/]: candidates {', '.join(str(r.candidates) for r in reports.values())}")
    console.print(table)
    if small != large:
        totals = {n: sum(r.seconds.values()) / n for n, r in reports.items()}
        ratio = totals[large] / totals[small]
        verdict = "[green]reached" if ratio <= 1 + FLAT else "[red]missed"
        console.print(f"time per detection grows by {ratio:.2f} (aim: at most {1 + FLAT:g}: {verdict}[/])")


if __name__ == "__main__":
    sys.exit(main())
