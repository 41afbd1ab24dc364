"""What a folder holds: HATS of every age and local caches are known, all else is refused in one line."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from hatsfiles import partition_path, scattered, split_by_density, write_cache, write_hats
from pyarrow import parquet

from vascodb.errors import InputError
from vascodb.loaders.partitioned.layouts import open_catalog
from vascodb.loaders.partitioned.partitions import check_total

STARS = scattered(900, (150.0, 41.8), 6.0)
PARTS = split_by_density(STARS, 3, 200)


@pytest.fixture
def hats(tmp_path: Path) -> Path:
    """A catalogue of mixed orders."""
    assert len({order for order, _ in PARTS}) > 1
    return write_hats(PARTS, tmp_path / "gaia")


def test_a_catalogue_is_its_list_of_partitions(hats: Path) -> None:
    catalog = open_catalog(hats)
    assert {(p.order, p.pixel): p.n_rows for p in catalog.partitions} == {k: v.num_rows for k, v in PARTS.items()}
    assert all(p.files() == [partition_path(hats, p.order, p.pixel)] for p in catalog.partitions)
    assert [p.cells for p in catalog.partitions] == sorted(p.cells for p in catalog.partitions)
    assert (catalog.n_rows, catalog.position_columns) == (900, {"ra": "ra", "dec": "dec"})
    assert catalog.endpoint(catalog.partitions[0]).startswith("gaia/dataset/Norder=")


def test_the_properties_of_older_releases_are_read(hats: Path) -> None:
    (hats / "hats.properties").rename(hats / "properties")
    assert open_catalog(hats).n_rows == 900


def test_a_hipscat_catalogue_is_read(hats: Path) -> None:
    (hats / "hats.properties").unlink()
    info = {"catalog_name": "gaia", "catalog_type": "object", "total_rows": 900, "ra_column": "RA", "dec_column": "DE"}
    (hats / "catalog_info.json").write_text(json.dumps(info | {"epoch": "J2000"}))
    for child in list((hats / "dataset").iterdir()):
        child.rename(hats / child.name)
    (hats / "dataset").rmdir()
    catalog = open_catalog(hats)
    assert (catalog.n_rows, catalog.position_columns) == (900, {"ra": "RA", "dec": "DE"})
    assert all(p.files() for p in catalog.partitions)


def test_a_collection_is_its_primary_table(tmp_path: Path) -> None:
    write_hats(PARTS, tmp_path / "all" / "gaia")
    write_hats(PARTS, tmp_path / "all" / "gaia_margin", properties={"dataproduct_type": "margin"})
    (tmp_path / "all" / "collection.properties").write_text("#HATS\nobs_collection=all\nhats_primary_table_url=gaia\n")
    assert open_catalog(tmp_path / "all").name == "gaia"
    (tmp_path / "all" / "collection.properties").write_text("hats_primary_table_url=https://example.org/gaia\n")
    with pytest.raises(InputError, match="no primary table that is a folder here"):
        open_catalog(tmp_path / "all")


def test_a_partition_may_be_a_folder_of_files(hats: Path) -> None:
    (order, pixel), part = next(iter(PARTS.items()))
    path = partition_path(hats, order, pixel)
    path.unlink()
    folder = path.with_suffix("")
    folder.mkdir()
    parquet.write_table(part.slice(0, 5), folder / "part1.parquet")
    parquet.write_table(part.slice(5), folder / "part0.parquet")
    (folder / "_metadata").write_bytes(b"not ours")
    found = next(p for p in open_catalog(hats).partitions if (p.order, p.pixel) == (order, pixel))
    assert [file.name for file in found.files()] == ["part0.parquet", "part1.parquet"]


def common_metadata(hats: Path) -> None:
    collected = []
    for path in sorted((hats / "dataset").rglob("*.parquet")):
        metadata = parquet.read_metadata(path)
        metadata.set_file_path(path.relative_to(hats / "dataset").as_posix())
        collected.append(metadata)
    parquet.write_metadata(STARS.schema, hats / "dataset" / "_metadata", metadata_collector=collected)


def test_rows_are_counted_by_the_common_metadata_where_the_list_does_not(tmp_path: Path) -> None:
    hats = write_hats(PARTS, tmp_path / "gaia", counts=False)
    assert {p.n_rows for p in open_catalog(hats).partitions} == {None}
    common_metadata(hats)
    assert {(p.order, p.pixel): p.n_rows for p in open_catalog(hats).partitions} == {
        key: part.num_rows for key, part in PARTS.items()
    }
    (hats / "partition_info.csv").unlink()
    assert len(open_catalog(hats).partitions) == len(PARTS)


def test_without_counts_the_total_is_compared(tmp_path: Path) -> None:
    hats = write_hats(PARTS, tmp_path / "gaia", counts=False)
    check_total(open_catalog(hats))
    path = partition_path(hats, *next(iter(PARTS)))
    parquet.write_table(parquet.read_table(path).slice(3), path)
    with pytest.raises(InputError, match="its files hold 897 rows, not the 900"):
        check_total(open_catalog(hats))
    # What is missing is told of by whoever reads it.
    path.unlink()
    check_total(open_catalog(hats))


REFUSED = {
    "a margin cache": ("dataproduct_type=margin", "is a margin cache"),
    "an association": ("dataproduct_type=association", "this is association, not a catalogue"),
    "an index": ("dataproduct_type=index", "this is index"),
    "a map": ("dataproduct_type=map", "this is map"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_catalogue_of_sources_is_refused(hats: Path, what: str) -> None:
    entry, reason = REFUSED[what]
    (hats / "hats.properties").write_text(f"{entry}\nhats_nrows=900\n")
    with pytest.raises(InputError, match=reason) as caught:
        open_catalog(hats)
    assert "\n" not in str(caught.value)


BAD_LISTS = {
    "twice": ("Norder,Npix\n3,5\n3,5\n", "line 3 lists Norder 3, Npix 5: no cell, or twice"),
    "one in another": ("Norder,Npix\n3,5\n5,90\n", "overlap: healpix order 3 pixel 5 and healpix order 5 pixel 90"),
    "no such cell": ("Norder,Npix\n3,768\n", "no cell"),
    "a negative cell": ("Norder,Npix\n3,-1\n", "no cell"),
    "no such order": ("Norder,Npix\n30,1\n", "no cell"),
    "no numbers": ("Norder,Npix\nthree,1\n", "is no list of partitions"),
    "other columns": ("order,pix\n3,1\n", "is no list of partitions with Norder and Npix"),
    "cut off": ("Norder,Npix\n3,1\n3", "is no list of partitions"),
    "nothing": ("", "lists no partition"),
    "header only": ("Norder,Npix\n", "lists no partition"),
    "another total": (
        "Norder,Npix,num_rows\n3,1,50\n",
        "lists 50 rows in its partitions, but hats.properties says 900",
    ),
}


@pytest.mark.parametrize("fault", BAD_LISTS)
def test_a_bad_list_of_partitions_is_refused(hats: Path, fault: str) -> None:
    content, reason = BAD_LISTS[fault]
    (hats / "partition_info.csv").write_text(content)
    with pytest.raises(InputError, match=reason) as caught:
        open_catalog(hats)
    assert "\n" not in str(caught.value)


def test_without_a_list_nothing_says_what_is_covered(hats: Path) -> None:
    (hats / "partition_info.csv").unlink()
    with pytest.raises(InputError, match="no list of its partitions"):
        open_catalog(hats)


def test_damaged_properties_are_refused(hats: Path) -> None:
    (hats / "hats.properties").unlink()
    (hats / "catalog_info.json").write_bytes(b"{\xff")
    with pytest.raises(InputError, match=r"catalog_info.json: cannot be read"):
        open_catalog(hats)


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_another_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no HATS catalogue .* and no cache"):
        open_catalog(tmp_path / name)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A finished cache."""
    return write_cache(STARS, tmp_path / "cache")


def test_a_cache_is_its_folders(cache: Path) -> None:
    catalog = open_catalog(cache)
    check_total(catalog)
    assert {p.order for p in catalog.partitions} == {5}
    assert sum(parquet.read_metadata(file).num_rows for p in catalog.partitions for file in p.files()) == 900
    # A row may be filed by its position at another epoch; all of that is left out of what is covered.
    assert 0 < catalog.filed_arcsec <= 60


@pytest.mark.parametrize("told", ["manifest", "registry"])
def test_an_unfinished_cache_is_refused_by_its_number_of_rows(cache: Path, told: str) -> None:
    (cache / ".done" / "source_1.csv.gz.done").unlink()
    if told == "registry":
        (cache / "MANIFEST.json").unlink()
    with pytest.raises(InputError, match="its markers count 450 rows, but it should have 900; it is unfinished"):
        open_catalog(cache, published_rows=None if told == "manifest" else 900)


def test_a_cache_that_lacks_files_is_refused_by_its_number_of_rows(cache: Path) -> None:
    shutil.rmtree(next((cache / "parquet").iterdir()))
    with pytest.raises(InputError, match=r"its files hold .* rows, not the 900"):
        check_total(open_catalog(cache))


def test_a_cache_that_nothing_counts_is_refused(cache: Path) -> None:
    (cache / "MANIFEST.json").write_text(json.dumps({"columns": ["rows"], "source": 900}))
    with pytest.raises(InputError, match="nothing says how many rows"):
        open_catalog(cache)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("MANIFEST.json", "{", "MANIFEST.json: cannot be read"),
        (".done/source_0.csv.gz.done", "", "does not tell a number of rows"),
        ("parquet/healpix_5=12288/x", "", "no such HEALPix cell of order 5"),
    ],
)
def test_a_damaged_cache_is_refused(cache: Path, file: str, content: str, reason: str) -> None:
    (cache / file).parent.mkdir(exist_ok=True)
    (cache / file).write_text(content)
    with pytest.raises(InputError, match=reason) as caught:
        open_catalog(cache)
    assert "\n" not in str(caught.value)


def test_the_table_of_sources_is_as_gaias() -> None:
    """The writer of these tests puts rows where HATS does."""
    assert STARS.schema.field("source_id").type == pa.int64()
    assert (STARS["_healpix_29"].to_numpy()[1:] >= STARS["_healpix_29"].to_numpy()[:-1]).all()
