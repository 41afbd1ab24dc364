"""Catalogue files of every format give the same rows, and bad ones a reason in one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from cataloguefiles import gaia_table, write
from pyarrow import parquet

from vascodb.errors import InputError
from vascodb.loaders.registry import catalog
from vascodb.loaders.tables import CORE_SCHEMA, read_sources

GAIA = catalog("gaia_dr3")
EVERY_FORMAT = ["t.csv", "t.csv.gz", "t.ecsv", "t.fits", "t.fits.gz", "t.vot", "t.xml", "t.parquet"]


@pytest.fixture(scope="module")
def expected() -> list[tuple[object, ...]]:
    rows = []
    for row in gaia_table():
        pmra, pmdec, mag = (
            None if row[name] is np.ma.masked else float(np.float32(row[name]))
            for name in ("pmra", "pmdec", "phot_g_mean_mag")
        )
        rows.append((int(row["source_id"]), float(row["ra"]), float(row["dec"]), 2016.0, pmra, pmdec, mag, None))
    return rows


@pytest.mark.parametrize("name", EVERY_FORMAT)
def test_every_format_gives_the_same_rows_to_the_last_bit(tmp_path: Path, name: str, expected) -> None:
    table = read_sources(write(gaia_table(), tmp_path / name), GAIA)
    assert table.schema == CORE_SCHEMA
    assert list(zip(*(column.to_pylist() for column in table.columns), strict=True)) == expected


def test_columns_go_by_the_archives_and_by_vizier_names(tmp_path: Path, expected) -> None:
    table = gaia_table()
    names = {"source_id": "Source", "ra": "RA_ICRS", "dec": "DE_ICRS", "pmra": "pmRA", "pmdec": "pmDE",
             "ref_epoch": "Epoch", "phot_g_mean_mag": "Gmag"}  # fmt: skip
    for old, new in names.items():
        table.rename_column(old, new)
    read = read_sources(write(table, tmp_path / "t.ecsv"), GAIA)
    assert list(zip(*(column.to_pylist() for column in read.columns), strict=True)) == expected


def test_an_override_names_a_column_that_the_registry_does_not_know(tmp_path: Path) -> None:
    table = gaia_table()
    table.rename_column("ra", "alpha")
    path = write(table, tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"no column ra or RA_ICRS \(ra\)"):
        read_sources(path, GAIA)
    assert read_sources(path, GAIA, {"ra": "alpha"}).num_rows == len(table)
    with pytest.raises(InputError, match=r"no column beta"):
        read_sources(path, GAIA, {"ra": "beta"})
    with pytest.raises(InputError, match="no core column 'right_ascension'"):
        read_sources(path, GAIA, {"right_ascension": "alpha"})


def test_columns_that_are_optional_may_be_missing_and_others_are_ignored(tmp_path: Path) -> None:
    table = gaia_table()["source_id", "ra", "dec"]
    table["parallax"] = 1.0
    read = read_sources(write(table, tmp_path / "t.parquet"), GAIA)
    assert set(read["epoch_jyear"].to_pylist()) == {2016.0}
    assert read["pmra_masyr"].null_count == read["mag"].null_count == len(table)


def test_a_missing_epoch_is_the_catalogues_own(tmp_path: Path) -> None:
    table = gaia_table(3)
    table["ref_epoch"] = MaskedColumn([2015.5, 0, 2000.0], mask=[False, True, False], unit="yr")
    assert read_sources(write(table, tmp_path / "t.ecsv"), GAIA)["epoch_jyear"].to_pylist() == [2015.5, 2016.0, 2000.0]


def test_source_ids_of_64_bits_survive(tmp_path: Path) -> None:
    table = gaia_table(2)
    table["source_id"] = np.array([2**63 - 1, 2**53 + 1])
    for name in EVERY_FORMAT:
        assert read_sources(write(table, tmp_path / name), GAIA)["source_id"].to_pylist() == [2**63 - 1, 2**53 + 1]


Change = Callable[[Table], object]


def setting(column: str, row: int, value: object) -> Change:
    def change(table: Table) -> None:
        table[column][row] = value

    return change


BAD: dict[str, tuple[Change, str]] = {
    "missing column": (lambda t: t.remove_column("dec"), r"has no column dec or DE_ICRS \(dec\); it has: source_id"),
    "no id column": (lambda t: t.remove_column("source_id"), "has no column source_id"),
    "nan ra": (setting("ra", 4, np.nan), "row 5 has no right ascension"),
    "nan dec": (setting("dec", 0, np.nan), "row 1 has no declination"),
    "ra 360": (setting("ra", 2, 360.0), r"row 3 has a right ascension outside \[0, 360\)"),
    "ra below 0": (setting("ra", 2, -0.001), "row 3 has a right ascension outside"),
    "ra infinite": (setting("ra", 2, np.inf), "row 3 has a right ascension outside"),
    "dec 90.1": (setting("dec", 9, 90.1), r"row 10 has a declination outside \[-90, 90\]"),
    "dec -91": (setting("dec", 9, -91.0), "row 10 has a declination outside"),
    "duplicate id": (lambda t: t["source_id"].__setitem__(slice(1, 3), 2**62), f"source id {2**62} occurs more"),
    "half a motion": (setting("pmra", 3, np.nan), "row 4 has only half a proper motion"),
    "fast motion": (setting("pmdec", 3, 20_000.0), "row 4 has an impossible proper motion"),
    "epoch": (setting("ref_epoch", 3, 57_000.0), "row 4 has an epoch that is no year"),
    "no rows": (lambda t: t.remove_rows(slice(None)), "has no rows; an empty file is no evidence of an empty sky"),
    "float ids": (lambda t: t.replace_column("source_id", np.arange(50) + 0.5), "source ids are floating-point"),
    "names for ids": (lambda t: t.replace_column("source_id", [f"G{i}" for i in range(50)]), "source ids are not"),
    "text for ra": (lambda t: t.replace_column("ra", ["10h 20m"] * 50), "column for ra is not numeric"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("name", ["t.csv", "t.ecsv", "t.fits", "t.vot", "t.parquet"])
def test_a_bad_table_is_refused_in_one_line_that_names_file_and_reason(tmp_path: Path, fault: str, name: str) -> None:
    change, reason = BAD[fault]
    table = gaia_table()
    change(table)
    path = write(table, tmp_path / name)
    with pytest.raises(InputError, match=reason) as caught:
        read_sources(path, GAIA)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_further_bad_rows_are_counted(tmp_path: Path) -> None:
    table = gaia_table()
    table["ra"][3:6] = 400.0
    with pytest.raises(InputError, match=r"row 4 has a right ascension outside \[0, 360\) \(and 2 more rows\)"):
        read_sources(write(table, tmp_path / "t.fits"), GAIA)


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("ra", "arcmin"), ("ra", "rad"), ("dec", "arcsec"), ("pmra", "arcsec / yr"), ("pmdec", "deg / yr"),
        ("pmra", "mas"), ("ref_epoch", "d"), ("phot_g_mean_mag", "Jy"), ("phot_g_mean_mag", "mmag"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["t.ecsv", "t.fits", "t.vot", "t.parquet"])
def test_another_unit_is_refused(tmp_path: Path, column: str, unit: str, name: str) -> None:
    table = gaia_table()
    table[column].unit = unit
    with pytest.raises(InputError, match=f"column {column} is in .*, not in .*; convert it first"):
        read_sources(write(table, tmp_path / name), GAIA)


@pytest.mark.parametrize("unit", ["mag", "Vega mag", "mag(AB)", ""])
def test_magnitudes_may_say_which(tmp_path: Path, unit: str) -> None:
    table = gaia_table()
    path = tmp_path / "t.parquet"
    table["phot_g_mean_mag"].unit = None
    write(table, path)
    stored = parquet.read_table(path)
    place = stored.schema.get_field_index("phot_g_mean_mag")
    field = stored.schema.field(place).with_metadata({"unit": unit})
    parquet.write_table(stored.cast(stored.schema.set(place, field)), path)
    assert read_sources(path, GAIA).num_rows == len(table)


@pytest.mark.parametrize("name", [*EVERY_FORMAT, "t.txt", "t"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02garbage\xff\xfe", b"a,b\n1,2,3\n", b"<html>503</html>"])
def test_a_file_that_is_no_catalogue_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_sources(path, GAIA)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


# A table in plain text does not say where it ends.
@pytest.mark.parametrize("name", [name for name in EVERY_FORMAT if name not in ("t.csv", "t.ecsv")])
@pytest.mark.parametrize("fraction", [0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused_or_has_all_its_rows(tmp_path: Path, name: str, fraction: float) -> None:
    path = write(gaia_table(), tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    try:
        assert read_sources(path, GAIA).num_rows == 50
    except InputError as error:
        assert "\n" not in str(error)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        read_sources(tmp_path / "none.csv", GAIA)
    with pytest.raises(InputError, match="no such file"):
        read_sources(tmp_path, GAIA)


def test_the_real_table_of_m67_has_all_its_sources(shared_data: Path) -> None:
    table = read_sources(shared_data / "gaia" / "gaia_edr3_M67_6179rows.csv", catalog("gaia_edr3"))
    assert table.num_rows == 6179
    assert table["pmra_masyr"].null_count == 856
