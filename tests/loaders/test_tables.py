"""Catalogue files of every format give the same rows, and bad ones a reason in one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.table import MaskedColumn, Table
from cataloguefiles import gaia_table, write
from pyarrow import parquet

from vascodb.errors import InputError
from vascodb.ids import content_id
from vascodb.loaders.registry import catalog
from vascodb.loaders.tables import (
    CORE_SCHEMA,
    BadRowError,
    DuplicateSourceError,
    MissingColumnError,
    WrongUnitError,
    core_table,
    read_sources,
)

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


# What services send goes through the same checks


def raw_gaia(n: int = 5) -> pa.Table:
    table = gaia_table(n)
    return pa.table({
        name: pa.array(np.ma.getdata(table[name]), mask=np.ma.getmaskarray(np.ma.asarray(table[name])))
        for name in table.colnames
    })  # fmt: skip


def changed(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def test_each_kind_of_fault_has_its_own_error() -> None:
    good = raw_gaia()
    assert core_table(good, {}, GAIA).num_rows == 5
    assert core_table(good[:0], {}, GAIA).num_rows == 0, "a service may say that there is nothing"
    with pytest.raises(MissingColumnError):
        core_table(good.drop_columns("dec"), {}, GAIA)
    with pytest.raises(WrongUnitError):
        core_table(good, {"pmra": "arcsec/yr"}, GAIA)
    with pytest.raises(BadRowError):
        core_table(changed(good, "ra", [1.0, 2.0, None, 4.0, 5.0]), {}, GAIA)
    with pytest.raises(BadRowError):
        core_table(changed(good, "ra", ["a", "b", "c", "d", "e"]), {}, GAIA)
    twice = changed(good, "source_id", [1, 2, 3, 2, 5])
    with pytest.raises(DuplicateSourceError):
        core_table(twice, {}, GAIA)
    assert core_table(twice, {}, GAIA, unique=False).num_rows == 5


def test_a_catalogue_without_numbers_is_known_by_its_designations() -> None:
    names = ["08512345+1148021", "08512345+1148021A", " 08512345+1148022 "]
    raw = pa.table({"2MASS": names, "RAJ2000": [132.8, 132.81, 132.82], "DEJ2000": [11.8] * 3, "Jmag": [12.0] * 3})
    table = core_table(raw, {}, catalog("twomass"))
    assert table["source_id"].to_pylist() == [content_id("source", "twomass", name.strip()) for name in names]
    assert table["designation"].to_pylist() == names
    archive = raw.rename_columns(["designation", "ra", "dec", "j_m"])
    assert core_table(archive, {}, catalog("twomass"))["source_id"].equals(table["source_id"])
    with pytest.raises(BadRowError, match="row 2 has no source id"):
        core_table(changed(raw, "2MASS", ["a", None, "b"]), {}, catalog("twomass"))
    with pytest.raises(DuplicateSourceError):
        core_table(changed(raw, "2MASS", ["a", "b", "a"]), {}, catalog("twomass"))
    with pytest.raises(MissingColumnError, match="2MASS or _2MASS or designation"):
        core_table(raw.drop_columns("2MASS"), {}, catalog("twomass"))


def test_a_catalogue_without_names_is_known_by_its_positions() -> None:
    raw = pa.table({"raj2000": [10.0, 359.9999999, 10.0], "dej2000": [5.0, -0.0000004, 5.0000001]})
    table = core_table(raw, {}, catalog("supercosmos"))
    assert table["designation"].to_pylist() == ["10.0000000+5.0000000", "359.9999999-0.0000004", "10.0000000+5.0000001"]
    assert len(set(table["source_id"].to_pylist())) == 3
    with pytest.raises(BadRowError, match="row 2"):
        core_table(changed(raw, "raj2000", [1.0, None, 2.0]), {}, catalog("supercosmos"))


@pytest.mark.parametrize("value", [-999.0, -99.999995, -0.99999995e9, 99.99, 1e20, np.nan, np.inf, None])
def test_what_stands_for_no_magnitude_is_none(value: float | None) -> None:
    raw = pa.table({"objID": [1, 2], "raMean": [1.0, 2.0], "decMean": [1.0, 2.0], "rMeanPSFMag": [value, -1.46]})
    assert core_table(raw, {}, catalog("ps1_dr2"))["mag"].to_pylist() == [None, pytest.approx(-1.46)]


def test_an_epoch_of_0_is_not_known() -> None:
    table = core_table(changed(raw_gaia(2), "ref_epoch", [0.0, 2015.5]), {}, GAIA)
    assert table["epoch_jyear"].to_pylist() == [2016.0, 2015.5]


USNO_ROWS = {
    "confirmed": (30, -40, 9, 5, 15.0, 14.0, True),
    "second epoch in red alone": (30, -40, 9, 4, None, 14.0, True),
    "second epoch in blue alone": (30, -40, 9, 4, 15.0, None, True),
    "no motion": (0, 0, 9, 5, 15.0, 14.0, True),
    "just below the limit": (149, 0, 9, 5, 15.0, 14.0, True),
    "false pairing: fast": (186, 420, 9, 5, 15.0, 14.0, False),
    "at the limit": (150, 0, 9, 5, 15.0, 14.0, False),
    "fast in both together": (110, 110, 9, 5, 15.0, 14.0, False),
    "not in the second epoch": (30, -40, 9, 5, None, None, False),
    "no magnitude but its sentinel": (30, -40, 9, 5, 0.0, 99.99, False),
    "too few plates": (30, -40, 9, 3, 15.0, 14.0, False),
    "unlikely": (30, -40, 8, 5, 15.0, 14.0, False),
    "probability unknown": (30, -40, None, 5, 15.0, 14.0, False),
    "plates unknown": (30, -40, 9, None, 15.0, 14.0, False),
    "motion unknown": (None, None, 9, 5, 15.0, 14.0, False),
}


def test_motions_of_usno_b_count_only_where_they_are_confirmed() -> None:
    names = ["pmRA", "pmDE", "muPr", "Ndet", "B2mag", "R2mag"]
    columns = dict(zip(names, zip(*(row[:6] for row in USNO_ROWS.values()), strict=True), strict=True))
    raw = pa.table({
        "USNO-B1.0": list(USNO_ROWS),
        "RAJ2000": [100.0] * len(USNO_ROWS),
        "DEJ2000": [10.0] * len(USNO_ROWS),
        **{name: pa.array(values) for name, values in columns.items()},
    })  # fmt: skip
    table = core_table(raw, {}, catalog("usnob1"))
    for row, (pmra, pmdec, _, _, _, _, believed) in zip(table.to_pylist(), USNO_ROWS.values(), strict=True):
        expected = (float(pmra), float(pmdec)) if believed and pmra is not None else (None, None)
        assert (row["pmra_masyr"], row["pmdec_masyr"]) == expected, row["designation"]
        assert row["epoch_jyear"] == 2000.0


def test_motions_of_usno_b_are_left_out_where_nothing_confirms_them() -> None:
    raw = pa.table({"id": ["0001-0000001"], "ra": [1.0], "dec": [2.0], "pmRA": [5.0], "pmDE": [5.0]})
    assert core_table(raw, {}, catalog("usnob1"))["pmra_masyr"].to_pylist() == [None]


def test_the_magnitude_of_bright_usno_b_stars_is_the_brighter_of_two() -> None:
    # R1, R2, and what the replication pipeline takes; the last ones have no magnitude, or sentinels.
    rows = [
        (14.0, 15.0, 14.0), (15.0, 14.0, 14.0), (14.5, None, 14.5), (None, 14.5, 14.5), (0.0, 15.0, 15.0),
        (99.99, 13.0, 13.0), (None, None, None), (0.0, 99.99, None),
    ]  # fmt: skip
    positions = {"RAJ2000": [100.0] * len(rows), "DEJ2000": [10.0] * len(rows)}
    names = [f"0001-{i:07d}" for i in range(len(rows))]
    first, second, expected = zip(*rows, strict=True)
    raw = pa.table({"USNO-B1.0": names, **positions, "R1mag": first, "R2mag": second})
    table = core_table(raw, {"R1mag": "mag"}, catalog("usnob1_bright"))
    assert table["mag"].to_pylist() == list(expected)
    alone = core_table(raw.drop_columns(["R1mag"]), {}, catalog("usnob1_bright"))
    assert alone["mag"].to_pylist() == [None if m is None or m in (0.0, 99.99) else m for m in second]
    with pytest.raises(WrongUnitError, match="R2mag"):
        core_table(raw, {"R2mag": "Jy"}, catalog("usnob1_bright"))
