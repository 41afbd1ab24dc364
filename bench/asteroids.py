"""Asteroids in lists of candidates: at the corrected times of the plates, and as controls some days off.

Usage: python bench/asteroids.py ELEMENTS LIST [LIST ...]

ELEMENTS is a file of elements of JPL's Small-Body Database. A LIST is a folder of a published release: stage_S0.csv.gz,
and primary_plate_flags.csv.gz (det_plate) or source_extractor_final_filtered.csv.gz (plate_id). Plates and their times
are taken from the database in use; see docs/plate-times.md. All matches are written to LIST_asteroids.csv.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import text

from vascodb.asteroids import Elements, Planets, read_elements
from vascodb.asteroids.predict import Exposures, Passages, predict
from vascodb.db import Database
from vascodb.plates.dates import julian_day
from vascodb.settings import Settings

OFFSETS_D = (-2, -1, 0, 1, 2)
FAINTEST_V = 19.0
RADIUS_ARCSEC = 10.0
ARCSEC = np.degrees(1.0) * 3600.0

_PLATES = """
SELECT
    p.plate_id, p.ra, p.dec, p.exposure_minutes, t.mid_epoch_jyear,
    sqrt(p.naxis1 ^ 2 + p.naxis2 ^ 2) * p.scale_arcsec_px / 7200 AS radius_deg
FROM plate.plate AS p
JOIN plate.exposure_time AS t USING (plate_id)
WHERE t.source = 'solution' AND t.reading = 'corrected' AND t.mid_utc IS NOT NULL
ORDER BY p.plate_id
"""


def read_list(folder: Path) -> pd.DataFrame:
    """Candidates of a release with the plate on which each was found: src_id, ra, dec, plate."""
    stars = pd.read_csv(folder / "stage_S0.csv.gz", usecols=["src_id", "ra", "dec"])
    flags, column = folder / "primary_plate_flags.csv.gz", "det_plate"
    if not flags.exists():
        flags, column = folder / "source_extractor_final_filtered.csv.gz", "plate_id"
    plates = pd.read_csv(flags, usecols=["src_id", column]).rename(columns={column: "plate"}).drop_duplicates("src_id")
    return stars.merge(plates, on="src_id", how="left", validate="one_to_one")


def matches(passages: Passages, elements: Elements, minutes: float, found: pd.DataFrame) -> pd.DataFrame:
    """Candidates within the radius of a trail; residuals from the trail's middle, along the motion and across it."""
    t = passages.trails
    bright = np.flatnonzero(t.mag < FAINTEST_V)
    rows = []
    ra, dec = np.radians(found["ra"].to_numpy()), np.radians(found["dec"].to_numpy())
    for i in bright:
        ra0, dec0 = np.radians(t.ra_deg[i]), np.radians(t.dec_deg[i])
        cos_distance = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(ra - ra0)
        xi = ARCSEC * np.cos(dec) * np.sin(ra - ra0) / cos_distance
        eta = ARCSEC * (np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(ra - ra0)) / cos_distance
        rate = np.hypot(t.rate_ra_arcsec_h[i], t.rate_dec_arcsec_h[i])
        east, north = t.rate_ra_arcsec_h[i] / rate, t.rate_dec_arcsec_h[i] / rate
        along, across = xi * east + eta * north, eta * east - xi * north
        beyond = np.maximum(np.abs(along) - rate * minutes / 120.0, 0.0)
        for k in np.flatnonzero((np.hypot(beyond, across) <= RADIUS_ARCSEC) & (cos_distance > 0)):
            body = passages.bodies[i]
            rows.append({
                "src_id": found["src_id"].iloc[k], "number": elements.numbers[body], "name": elements.names[body],
                "mag": t.mag[i], "rate": rate, "along": along[k], "across": across[k],
            })  # fmt: skip
    return pd.DataFrame(rows)


def scatter(values: NDArray[np.float64]) -> str:
    """Median and robust scatter."""
    if len(values) == 0:
        return "-"
    middle = np.median(values)
    return f"{middle:+.2f} ± {1.4826 * np.median(np.abs(values - middle)):.2f}"


def main(elements_path: Path, folders: list[Path]) -> None:
    """Print the table of matches by day, those at the corrected times, and what it took."""
    began = time.monotonic()
    with Database(Settings()).connect() as connection:
        plates = pd.DataFrame(connection.execute(text(_PLATES)).mappings().all())
    elements, planets = read_elements(elements_path), Planets()
    lists = {folder.name: read_list(folder) for folder in folders}
    by_plate = {name: dict(list(found.groupby("plate"))) for name, found in lists.items()}
    timed = set(plates["plate_id"])
    for name, found in lists.items():
        without = ~found["plate"].isin(timed)
        print(
            f"{name}: {len(found)} candidates on {found['plate'].nunique()} plates, "
            f"{without.sum()} on plates without a time"
        )
    n, days = len(plates), len(OFFSETS_D)
    mid_jd = np.array([julian_day(year) for year in plates["mid_epoch_jyear"]])
    exposures = Exposures(
        *(np.tile(plates[c].to_numpy(dtype=np.float64), days) for c in ("ra", "dec", "radius_deg")),
        (mid_jd[None, :] + np.array(OFFSETS_D)[:, None]).ravel(),
        np.tile(plates["exposure_minutes"].to_numpy(dtype=np.float64), days),
    )  # fmt: skip
    results: dict[str, list[pd.DataFrame]] = {name: [] for name in lists}
    n_over = 0
    for passages in predict(elements, planets, exposures):
        offset, plate = OFFSETS_D[passages.exposure // n], plates.iloc[passages.exposure % n]
        n_over += len(passages.bodies) if offset == 0 else 0
        for name in lists:
            if plate["plate_id"] in by_plate[name]:
                rows = matches(passages, elements, plate["exposure_minutes"], by_plate[name][plate["plate_id"]])
                results[name].append(rows.assign(offset=offset, plate=plate["plate_id"]))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{n} plates x {days} days x {len(elements)} bodies: {time.monotonic() - began:.0f} s, {peak_mb:.0f} MiB; "
        f"{n_over} bodies over plates at the corrected times"
    )
    for name, parts in results.items():
        table = pd.concat([part for part in parts if "name" in part], ignore_index=True)
        table.to_csv(f"{name}_asteroids.csv", index=False)
        print(f"\n{name}: candidates within {RADIUS_ARCSEC:g} arcsec of a trail, V < {FAINTEST_V:g}")
        print(
            "| days off | matches | bodies | plates | along (arcsec) | across (arcsec) |\n"
            "| --- | --- | --- | --- | --- | --- |"
        )
        for offset in OFFSETS_D:
            at = table[table["offset"] == offset]
            print(
                f"| {offset:+d} | {len(at)} | {at['name'].nunique()} | {at['plate'].nunique()} "
                f"| {scatter(at['along'].to_numpy())} | {scatter(at['across'].to_numpy())} |"
            )
        found = table[table["offset"] == 0].sort_values("mag")
        print(found.drop(columns="offset").to_string(index=False, float_format="%.2f"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(each) for each in sys.argv[2:]])
