"""Reading LDAC catalogues: exact values in native byte order, and refusal of anything incomplete."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from vascodb.errors import ToolError
from vascodb.extract.ldac import DETECTION_COLUMNS, PSF_COLUMNS, DetectionTable, read_ldac

N_ROWS = 40
WIDTH = {"int16": "I", "int32": "J", "float32": "E", "float64": "D"}


def values(rows: int = N_ROWS) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(3)
    return {name: rng.uniform(0, 1000, rows).astype(dtype) for name, dtype in DETECTION_COLUMNS.items()}


def write(path: Path, columns: dict[str, np.ndarray[Any, Any]], extname: str = "LDAC_OBJECTS") -> Path:
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, WIDTH[array.dtype.name], array=array) for name, array in columns.items()], name=extname
    )
    header = fits.BinTableHDU.from_columns([fits.Column("Field Header Card", "80A", array=["SIMPLE"])])
    header.name = "LDAC_IMHEAD"
    fits.HDUList([fits.PrimaryHDU(), header, table]).writeto(path)
    return path


def test_values_are_exact_and_in_native_byte_order(tmp_path: Path) -> None:
    expected = values()
    read = read_ldac(write(tmp_path / "c.ldac", expected), DETECTION_COLUMNS)
    for name, dtype in DETECTION_COLUMNS.items():
        assert read[name].dtype == dtype
        assert read[name].dtype.isnative
        assert read[name].flags.c_contiguous
        np.testing.assert_array_equal(read[name], expected[name], strict=True)


def test_columns_are_found_by_name_whatever_their_order(tmp_path: Path) -> None:
    expected = values()
    path = write(tmp_path / "c.ldac", {"VIGNETTE": np.zeros(N_ROWS, np.int16)} | dict(reversed(expected.items())))
    np.testing.assert_array_equal(read_ldac(path, DETECTION_COLUMNS)["X_IMAGE"], expected["X_IMAGE"])


def test_an_empty_catalogue_has_all_columns(tmp_path: Path) -> None:
    table = DetectionTable.from_columns(read_ldac(write(tmp_path / "c.ldac", values(0)), DETECTION_COLUMNS))
    assert len(table) == 0
    assert table.identities() == []
    assert [array.dtype for array in table.columns().values()] == list(DETECTION_COLUMNS.values())


def test_table_fields_are_the_ldac_columns_in_lower_case() -> None:
    table = DetectionTable.from_columns(values())
    assert list(table.columns()) == [name.lower() for name in DETECTION_COLUMNS]


def test_identities_tell_rows_apart_by_the_last_bit_of_the_position() -> None:
    columns = values(3)
    for array in columns.values():
        array[:] = array[0]
    columns["XWIN_IMAGE"][2] = np.nextafter(columns["XWIN_IMAGE"][0], np.inf)
    columns["NUMBER"][:] = [1, 2, 3]
    first, second, third = DetectionTable.from_columns(columns).identities()
    assert first == second != third


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    columns = values()
    del columns["SNR_WIN"]
    path = write(tmp_path / "c.ldac", columns)
    with pytest.raises(ToolError, match=r"c\.ldac: LDAC_OBJECTS has no column SNR_WIN; it has NUMBER, FLAGS"):
        read_ldac(path, DETECTION_COLUMNS)


def test_a_column_of_another_type_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "c.ldac", values() | {"XWIN_IMAGE": np.zeros(N_ROWS, np.float32)})
    with pytest.raises(ToolError, match=r"c\.ldac: column XWIN_IMAGE holds float32"):
        read_ldac(path, DETECTION_COLUMNS)


def test_a_catalogue_without_the_table_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "c.ldac", values(), extname="OTHER")
    with pytest.raises(ToolError, match=r"c\.ldac: no LDAC_OBJECTS table"):
        read_ldac(path, DETECTION_COLUMNS)


def test_no_truncation_goes_unnoticed(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.ldac", values()).read_bytes()
    row_bytes = sum(dtype.itemsize for dtype in DETECTION_COLUMNS.values())
    padding = -(N_ROWS * row_bytes) % 2880
    cut = tmp_path / "cut.ldac"
    for size in [*range(0, len(whole) - padding, 720), len(whole) - padding - 1]:
        cut.write_bytes(whole[:size])
        with pytest.raises(ToolError, match=r"cut\.ldac"):
            read_ldac(cut, DETECTION_COLUMNS)


@pytest.mark.parametrize("content", [b"", b"<html>503</html>", bytes(5760)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.ldac"
    path.write_bytes(content)
    with pytest.raises(ToolError, match=r"c\.ldac: (cannot be read|no LDAC_OBJECTS)"):
        read_ldac(path, DETECTION_COLUMNS)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot be read"):
        read_ldac(tmp_path / "none.ldac", DETECTION_COLUMNS)


def test_a_catalogue_of_another_survey_reads_by_name(shared_data: Path) -> None:
    path = shared_data / "sex" / "scamp_GAIA-DR1_1334+3754_r46.cat"
    read = read_ldac(path, {"X_WORLD": np.dtype(np.float64), "Y_WORLD": np.dtype(np.float64)})
    assert len(read["X_WORLD"]) == 4403
    # The file's name says where it lies: RA 13h34m, Dec +37°54', radius 46'.
    assert abs(np.median(read["X_WORLD"]) - 203.5) < 0.5
    assert abs(np.median(read["Y_WORLD"]) - 37.9) < 0.5
    with pytest.raises(ToolError, match="no column SPREAD_MODEL, SPREADERR_MODEL"):
        read_ldac(path, PSF_COLUMNS)
