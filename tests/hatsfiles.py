"""Partitioned catalogues on disk, as HATS releases and local caches have them, from one table of sources."""

import json
from collections.abc import Callable
from pathlib import Path

import astropy.units as u
import numpy as np
import pyarrow as pa
from astropy.coordinates import Latitude, Longitude
from cdshealpix.nested import lonlat_to_healpix
from cdshealpix.ring import lonlat_to_healpix as lonlat_to_ring
from numpy.typing import NDArray
from pyarrow import parquet

Filing = Callable[[NDArray[np.float64], NDArray[np.float64], int], NDArray[np.int64]]


def stars(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], seed: int = 0) -> pa.Table:
    """Sources with the columns that Gaia DR3 has in HATS; some without motion or magnitude."""
    rng = np.random.default_rng(seed)
    n = len(ra_deg)
    cell = nested(ra_deg, dec_deg, 29)
    no_motion = rng.random(n) < 0.1
    columns = {
        "_healpix_29": cell,
        # As Gaia's own numbers: the cell of order 12 and a running number; other numbers for other seeds.
        "source_id": (cell >> 34 << 35) + (np.arange(n) << 4) + seed % 16,
        "ra": ra_deg,
        "dec": dec_deg,
        "pmra": pa.array(rng.normal(0, 8, n), mask=no_motion),
        "pmdec": pa.array(rng.normal(0, 8, n), mask=no_motion),
        "phot_g_mean_mag": pa.array(rng.uniform(8, 21, n).astype(np.float32), mask=rng.random(n) < 0.02),
        "ref_epoch": np.full(n, 2016.0),
        "parallax": rng.normal(0, 1, n),
    }
    return pa.table(columns).sort_by("_healpix_29")


def scattered(n: int, centre: tuple[float, float], radius_deg: float, seed: int = 0) -> pa.Table:
    """Sources evenly in a circle."""
    rng = np.random.default_rng(seed)
    ra0, dec0 = np.radians(centre)
    distance = np.arccos(1 - rng.random(n) * (1 - np.cos(np.radians(radius_deg))))
    angle = rng.random(n) * 2 * np.pi
    sin_dec = np.sin(dec0) * np.cos(distance) + np.cos(dec0) * np.sin(distance) * np.cos(angle)
    ra = ra0 + np.arctan2(np.sin(angle) * np.sin(distance) * np.cos(dec0), np.cos(distance) - np.sin(dec0) * sin_dec)
    return stars(np.degrees(ra) % 360.0 % 360.0, np.degrees(np.arcsin(sin_dec)), seed)


def nested(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], order: int) -> NDArray[np.int64]:
    """HEALPix cells, nested."""
    return np.asarray(lonlat_to_healpix(Longitude(ra_deg, u.deg), Latitude(dec_deg, u.deg), order), dtype=np.int64)


def ring(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], order: int) -> NDArray[np.int64]:
    """HEALPix cells in the ring scheme, which no partition may be numbered by."""
    return np.asarray(lonlat_to_ring(Longitude(ra_deg, u.deg), Latitude(dec_deg, u.deg), 2**order), dtype=np.int64)


def split_by_density(table: pa.Table, order: int, most: int, deepest: int = 9) -> dict[tuple[int, int], pa.Table]:
    """Rows by cell, beginning at an order; cells with too many rows are divided further."""
    cell = table["_healpix_29"].to_numpy()
    parts: dict[tuple[int, int], pa.Table] = {}
    for pixel in np.unique(cell >> 2 * (29 - order)):
        part = table.filter(pa.array(cell >> 2 * (29 - order) == pixel))
        if part.num_rows > most and order < deepest:
            parts |= split_by_density(part, order + 1, most, deepest)
        else:
            parts[order, int(pixel)] = part
    return parts


def partition_path(folder: Path, order: int, pixel: int) -> Path:
    """Where HATS has a partition's file."""
    return folder / "dataset" / f"Norder={order}" / f"Dir={pixel // 10000 * 10000}" / f"Npix={pixel}.parquet"


def write_hats(
    parts: dict[tuple[int, int], pa.Table],
    folder: Path,
    *,
    counts: bool = True,
    properties: dict[str, str] | None = None,
    row_group_size: int | None = None,
) -> Path:
    """A HATS catalogue with these partitions."""
    for (order, pixel), part in parts.items():
        path = partition_path(folder, order, pixel)
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(part, path, row_group_size=row_group_size, compression="zstd")
    lines = ["Norder,Npix,num_rows" if counts else "Norder,Npix"]
    lines += [f"{order},{pixel}" + f",{part.num_rows}" * counts for (order, pixel), part in sorted(parts.items())]
    (folder / "partition_info.csv").write_text("\n".join(lines) + "\n")
    n_rows = sum(part.num_rows for part in parts.values())
    entries = {
        "obs_collection": folder.name, "dataproduct_type": "object", "hats_nrows": str(n_rows), "hats_col_ra": "ra",
        "hats_col_dec": "dec", "hats_col_healpix": "_healpix_29", "hats_col_healpix_order": "29",
    } | (properties or {})  # fmt: skip
    text = "#HATS catalog\n" + "".join(f"{key}={value}\n" for key, value in entries.items())
    (folder / "hats.properties").write_text(text)
    return folder


def write_cache(table: pa.Table, folder: Path, filing: Filing = nested, n_files: int = 2) -> Path:
    """A local cache of order 5, built from some files, each of which left a marker."""
    columns = ["source_id", "ra", "dec", "pmra", "pmdec", "phot_g_mean_mag"]
    (folder / ".done").mkdir(parents=True)
    for number in range(n_files):
        part = table.select(columns).take(pa.array(np.arange(number, table.num_rows, n_files)))
        pixels = filing(part["ra"].to_numpy(), part["dec"].to_numpy(), 5)
        for pixel in np.unique(pixels):
            path = folder / "parquet" / f"healpix_5={pixel}" / f"source_{number}-part-0.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(part.filter(pa.array(pixels == pixel)), path, compression="zstd")
        marker = f"0123456789abcdef  {part.num_rows}  {len(np.unique(pixels))}\n"
        (folder / ".done" / f"source_{number}.csv.gz.done").write_text(marker)
    (folder / "MANIFEST.json").write_text(json.dumps({"source": "test", "dataset": {"rows": table.num_rows}}))
    return folder
