"""The layouts of partitioned catalogues: HATS, HiPSCat before it, and local caches of order 5.

HATS lists its partitions, of any mix of orders, in ``partition_info.csv``, and says what it is in
``hats.properties`` (IVOA note "HATS: A Standard for the Hierarchical Adaptive Tiling Scheme in the
Virtual Observatory", 2025).
A cache has a folder ``parquet/healpix_5=N`` per cell, and says how many rows there are in all.
"""

import csv
import json
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from vascodb.errors import InputError
from vascodb.loaders.partitioned.partitions import Partition, PartitionedCatalog
from vascodb.plates.footprint import ORDER

__all__ = ["open_catalog"]

_PROPERTIES = ("hats.properties", "properties", "catalog_info.json")
_SOURCES = ("object", "source", "nested")
_CACHE_ORDER = 5
_CACHE_FOLDER = re.compile(rf"healpix_{_CACHE_ORDER}=(\d+)")
# Rows of such a cache may be filed by a position of another epoch, some arcsec away; see `Partition.filed_order`.
_CACHE_FILED_ORDER = 13
_CACHE_FILED_ARCSEC = 60.0
# A bigger one takes more memory than a whole load.
_LARGEST_METADATA_BYTES = 16 * 1024**2


def open_catalog(folder: Path, published_rows: int | None = None) -> PartitionedCatalog:
    """Find out what a folder holds, without reading any partition.

    Parameters
    ----------
    folder : `~pathlib.Path`
        A HATS catalogue or collection, a HiPSCat catalogue, or a cache with ``parquet/healpix_5=N``.
    published_rows : int, optional
        Number of rows that a cache must have where it does not say so itself.

    Raises
    ------
    InputError
        If it is none of these, is no catalogue of sources, or its list of partitions is bad.
    """
    folder = folder.resolve()
    if (collection := folder / "collection.properties").is_file():
        primary = _read_properties(collection).get("hats_primary_table_url", "")
        if not primary or not (folder / primary).is_dir():
            raise InputError(f"{collection}: names no primary table that is a folder here (hats_primary_table_url)")
        folder = (folder / primary).resolve()
    for name in _PROPERTIES:
        if (folder / name).is_file():
            return _open_hats(folder, _read_properties(folder / name), name)
    for root in (folder / "parquet", folder):
        if root.is_dir() and any(_CACHE_FOLDER.fullmatch(child.name) for child in root.iterdir()):
            return _open_cache(folder, root, published_rows)
    raise InputError(
        f"{folder}: is no HATS catalogue (no hats.properties) and no cache with folders parquet/healpix_5=N"
    )


def _read_properties(path: Path) -> dict[str, str]:
    try:
        content = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return {str(key): "" if value is None else str(value) for key, value in json.loads(content).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    lines = (line.partition("=") for line in content.splitlines() if not line.lstrip().startswith("#"))
    return {key.strip(): value.strip() for key, mark, value in lines if mark}


def _open_hats(folder: Path, properties: Mapping[str, str], source: str) -> PartitionedCatalog:
    kind = properties.get("dataproduct_type", properties.get("catalog_type", "object")).lower()
    if kind not in _SOURCES:
        what = "a margin cache, rows near the borders of another catalogue's partitions" if kind == "margin" else kind
        raise InputError(f"{folder}: {source} says that this is {what}, not a catalogue of sources")
    root = folder / "dataset" if (folder / "dataset").is_dir() else folder
    partitions = _hats_partitions(folder, root)
    total = properties.get("hats_nrows", properties.get("total_rows", ""))
    n_rows = int(total) if total.isdecimal() else None
    counted = [partition.n_rows for partition in partitions if partition.n_rows is not None]
    if n_rows is not None and len(counted) == len(partitions) and sum(counted) != n_rows:
        raise InputError(f"{folder}: lists {sum(counted)} rows in its partitions, but {source} says {n_rows}")
    columns = {
        core: name
        for core, keys in (("ra", ("hats_col_ra", "ra_column")), ("dec", ("hats_col_dec", "dec_column")))
        if (name := next((properties[key] for key in keys if properties.get(key)), ""))
    }
    cell_column = properties.get("hats_col_healpix", "")
    if not cell_column or properties.get("hats_col_healpix_order", str(ORDER)) != str(ORDER):
        cell_column = "_healpix_29"
    return PartitionedCatalog(folder, partitions, n_rows, columns, cell_column)


def _hats_partitions(folder: Path, root: Path) -> tuple[Partition, ...]:
    counts = _counts_of_metadata(root / "_metadata")
    listed = _listed(folder / "partition_info.csv") if (folder / "partition_info.csv").is_file() else counts
    if not listed:
        raise InputError(f"{folder}: has no list of its partitions (partition_info.csv); only that says what it covers")
    partitions = []
    for (order, pixel), n_rows in listed.items():
        place = f"Norder={order}/Dir={pixel // 10_000 * 10_000}/Npix={pixel}.parquet"
        partitions.append(
            Partition(order, pixel, root / place, counts.get((order, pixel)) if n_rows is None else n_rows)
        )
    partitions.sort(key=lambda partition: partition.cells)
    for one, next_one in pairwise(partitions):
        if one.cells[1] > next_one.cells[0]:
            raise InputError(f"{folder}: lists partitions that overlap: {one} and {next_one}")
    return tuple(partitions)


_Listed = dict[tuple[int, int], int | None]


def _listed(path: Path) -> _Listed:
    """Partitions of a ``partition_info.csv``, with their numbers of rows where it has those."""
    found: _Listed = {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            for number, row in enumerate(csv.DictReader(stream, skipinitialspace=True), start=2):
                order, pixel = int(row["Norder"]), int(row["Npix"])
                if not (0 <= order <= ORDER and 0 <= pixel < 12 * 4**order) or (order, pixel) in found:
                    raise InputError(f"{path}: line {number} lists Norder {order}, Npix {pixel}: no cell, or twice")
                found[order, pixel] = int(row["num_rows"]) if row.get("num_rows") else None
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: is no list of partitions with Norder and Npix: {error!r}") from error
    if not found:
        raise InputError(f"{path}: lists no partition")
    return found


def _counts_of_metadata(path: Path) -> _Listed:
    """Rows per partition from the catalogue's common Parquet metadata, if it has some that are not huge."""
    if not path.is_file() or path.stat().st_size > _LARGEST_METADATA_BYTES:
        return {}
    try:
        metadata = parquet.read_metadata(path)
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        named = [(group.column(0).file_path, group.num_rows) for group in groups]
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    found: _Listed = {}
    for name, n_rows in named:
        match = re.search(r"Norder=(\d+)/(?:Dir=\d+/)?Npix=(\d+)", name)
        if match is not None:
            key = int(match[1]), int(match[2])
            found[key] = (found.get(key) or 0) + n_rows
    return found


def _open_cache(folder: Path, root: Path, published_rows: int | None) -> PartitionedCatalog:
    partitions = []
    for child in root.iterdir():
        match = _CACHE_FOLDER.fullmatch(child.name)
        if match is None:
            continue
        if int(match[1]) >= 12 * 4**_CACHE_ORDER:
            raise InputError(f"{child}: there is no such HEALPix cell of order {_CACHE_ORDER}")
        partitions.append(Partition(_CACHE_ORDER, int(match[1]), child))
    return PartitionedCatalog(
        folder,
        tuple(sorted(partitions, key=lambda partition: partition.pixel)),
        n_rows=_rows_of_cache(folder, published_rows),
        filed_order=_CACHE_FILED_ORDER,
        filed_arcsec=_CACHE_FILED_ARCSEC,
    )


def _rows_of_cache(folder: Path, published_rows: int | None) -> int:
    """How many rows a whole cache has.

    Such a cache is built from other files, each of which leaves a marker and rows in many partitions,
    so an unfinished one looks like a finished one everywhere but in its number of rows.
    """
    n_rows = published_rows
    manifest = folder / "MANIFEST.json"
    if manifest.is_file():
        try:
            n_rows = max(_row_counts(json.loads(manifest.read_text(encoding="utf-8"))), default=n_rows)
        except (OSError, ValueError) as error:
            raise InputError(f"{manifest}: cannot be read: {error}") from error
    if n_rows is None:
        raise InputError(
            f"{folder}: nothing says how many rows this cache should have, so it may be unfinished; "
            'write the number as "rows" into its MANIFEST.json'
        )
    markers = sorted((folder / ".done").glob("*.done"))
    marked = sum(_marked_rows(marker) for marker in markers)
    if markers and marked != n_rows:
        raise InputError(f"{folder}: its markers count {marked} rows, but it should have {n_rows}; it is unfinished")
    return n_rows


def _row_counts(value: object) -> list[int]:
    """Whatever a manifest calls a number of rows, at any depth."""
    if isinstance(value, list):
        return [count for item in value for count in _row_counts(item)]
    if not isinstance(value, dict):
        return []
    here = [
        item
        for key, item in value.items()
        if re.search(r"(^|_)n?rows(_|$)|row_count", str(key)) and isinstance(item, int) and not isinstance(item, bool)
    ]
    return here + [count for item in value.values() for count in _row_counts(item)]


def _marked_rows(marker: Path) -> int:
    """A marker ends in the number of rows and the number of partitions that they went to."""
    try:
        return int(marker.read_text(encoding="utf-8").split()[-2])
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{marker}: does not tell a number of rows; the cache may be unfinished") from error
