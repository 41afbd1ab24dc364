"""STILTS on the same sky, where it is installed: `tskymatch2` and `tmatch2`, the best match of each detection."""

import os
import shutil
import subprocess
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

__all__ = ["stilts_version", "time_stilts"]


class Timing(NamedTuple):
    """CPU and wall seconds, and source (0 where there is none) and separation per detection."""

    cpu: float
    wall: float
    source_id: NDArray[np.int64]
    sep_arcsec: NDArray[np.float64]


def stilts_version() -> str | None:
    """Version of the STILTS that would be run; none where there is none."""
    if shutil.which("stilts") is None:
        return None
    said = subprocess.run(["stilts", "-version"], check=False, capture_output=True, text=True).stdout
    return next((line.split()[-1] for line in said.splitlines() if "STILTS version" in line), "of unknown version")


def time_stilts(folder: Path, sky: Any, radius_arcsec: float, delta_yr: float) -> dict[str, Timing]:
    """Match the detections with sources, each way once: moved by the task to the plate's epoch, and moved before.

    Both tables are FITS files, which STILTS maps into memory. The first of the times is that of a run that opens a
    file and does nothing.
    """
    sources, detections, out = (folder / name for name in ("sources.fits", "detections.fits", "matched.fits"))
    stars = sky.stars
    write(
        sources, source_id=stars.source_id, ra=stars.ra, dec=stars.dec, pmra=stars.pmra.astype(np.float64),
        pmdec=stars.pmdec.astype(np.float64), there_ra=sky.there_ra, there_dec=sky.there_dec,
    )  # fmt: skip
    write(detections, number=np.arange(1, len(sky.ra) + 1), ra=sky.ra, dec=sky.dec)
    nothing = np.zeros(len(sky.ra), np.int64), np.full(len(sky.ra), np.nan)
    found = {"start": Timing(*run("tpipe", f"in={detections}", "ifmt=fits", "omode=count"), *nothing)}
    moved = f"epochProp({delta_yr}, array(ra, dec, 0, NULL_pmra ? 0 : pmra, NULL_pmdec ? 0 : pmdec, 0))"
    one = ["tskymatch2", "ra1=ra", "dec1=dec", f"error={radius_arcsec}", "find=best1"]
    two = ["tmatch2", "matcher=sky", f"params={radius_arcsec}", "find=best1", "values1=ra dec"]
    ways = {
        "tskymatch2: moves the sources, matches": [*one, f"ra2={moved}[0]", f"dec2={moved}[1]"],
        "tskymatch2: sources moved before": [*one, "ra2=there_ra", "dec2=there_dec"],
        "tmatch2: sources moved before": [*two, "values2=there_ra there_dec"],
    }
    for name, (task, *options) in ways.items():
        cpu, wall = run(
            task, f"in1={detections}", f"in2={sources}", "ifmt1=fits", "ifmt2=fits", *options, "join=1and2",
            f"out={out}", "ofmt=fits",
        )  # fmt: skip
        rows = fits.getdata(out, 1)
        source_id, sep = np.zeros(len(sky.ra), np.int64), np.full(len(sky.ra), np.nan)
        source_id[rows["number"] - 1], sep[rows["number"] - 1] = rows["source_id"], rows["Separation"]
        found[name] = Timing(cpu, wall, source_id, sep)
    return found


def write(path: Path, **columns: NDArray[Any]) -> None:
    """Write a table of 64-bit columns as FITS."""
    kinds = {name: "K" if values.dtype.kind == "i" else "D" for name, values in columns.items()}
    hdu = fits.BinTableHDU.from_columns([fits.Column(name, kinds[name], array=columns[name]) for name in columns])
    hdu.writeto(path, overwrite=True)


def run(*arguments: str) -> tuple[float, float]:
    """CPU and wall seconds of a run of STILTS."""
    before, started = os.times(), monotonic()
    done = subprocess.run(["stilts", "-Xmx6g", *arguments], check=False, capture_output=True, text=True)
    after, wall = os.times(), monotonic() - started
    if done.returncode:
        raise SystemExit(f"stilts {arguments[0]}: {done.stderr.strip()}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return cpu, wall
