"""Fixed-width files by the ReadMe beside them: as astropy reads them, and no cut-off file looks whole."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import ascii as astropy_ascii
from astropy.table import MaskedColumn

from vascodb.errors import InputError
from vascodb.loaders.cds_file import read_cds_file, read_columns
from vascodb.loaders.registry import catalog
from vascodb.loaders.tables import read_sources

README = """\
B/vsx               A made-up index of variable stars             (Nobody, 2026)
================================================================================

File Summary:
--------------------------------------------------------------------------------
 FileName   Lrecl  Records   Explanations
--------------------------------------------------------------------------------
ReadMe         80        .   This file
vsx.dat        86   {n_rows:6d}   Variable stars
refs.dat       27       12   Sources of these stars
--------------------------------------------------------------------------------

Byte-by-byte Description of file: vsx.dat
--------------------------------------------------------------------------------
   Bytes Format Units   Label    Explanations
--------------------------------------------------------------------------------
   1-  8  I8    ---     OID      Number of the star, which may take
                                  up to eight digits (1)
  10- 39  A30   ---     Name     Name of the star
      41  I1    ---     V        [0,3] Flag (2)
  43- 51  F9.5  deg     RAdeg    Right ascension (J2000)
  53- 61  F9.5  deg     DEdeg    Declination (J2000)
      63  A1    ---   l_max      Limit flag on max
  64- 69  F6.3  mag     max      ? Magnitude at maximum
  71- 77  F7.3  d       Epoch    ?=999.999 Epoch of maximum
  79- 86  E8.2  ---     Odds     [0/1] Odds that it is one
--------------------------------------------------------------------------------
Note (1): it is made up.
--------------------------------------------------------------------------------

Byte-by-byte Description of file: refs.dat
--------------------------------------------------------------------------------
   Bytes Format Units   Label    Explanations
--------------------------------------------------------------------------------
   1-  7  I7    ---     OID      Number of the star
--------------------------------------------------------------------------------
"""
NAMES = ("OID", "Name", "V", "RAdeg", "DEdeg", "l_max", "max", "Epoch", "Odds")


def lines(n: int) -> list[str]:
    rng = np.random.default_rng(6)
    made = []
    for number in range(n):
        mag = " " * 6 if number % 5 == 0 else f"{rng.uniform(3, 19):6.3f}"
        epoch = "999.999" if number % 3 == 0 else f"{rng.uniform(0, 500):7.3f}"
        made.append(
            f"{number * 97_001 + 1:8d} {'V' + str(number) + ' Cep':30s} {rng.integers(4)} {rng.uniform(0, 360):9.5f} "
            f"{rng.uniform(-90, 90):+9.5f} {'>' if number % 7 == 0 else ' '}{mag} {epoch} {rng.random():8.2E}"
        )
    return made


@pytest.fixture
def vsx(tmp_path: Path) -> Path:
    """A file of 200 lines and its ReadMe."""
    (tmp_path / "ReadMe").write_text(README.format(n_rows=200))
    path = tmp_path / "vsx.dat"
    path.write_text("\n".join(lines(200)) + "\n")
    return path


def test_columns_are_those_that_astropy_reads(vsx: Path) -> None:
    table, units = read_cds_file(vsx, NAMES)
    expected = astropy_ascii.read(vsx, format="cds", readme=str(vsx.with_name("ReadMe")))
    assert tuple(table.column_names) == NAMES
    assert units == {"RAdeg": "deg", "DEdeg": "deg", "max": "mag", "Epoch": "d"}
    for name in NAMES:
        column = MaskedColumn(expected[name])
        assert table[name].to_pylist() == column.tolist()
    assert table["max"].null_count == 40
    assert table["Epoch"].null_count == 67


@pytest.mark.parametrize("at_once", [40, 86, 87, 1000])
def test_lines_are_whole_wherever_the_file_is_divided(vsx: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    whole, _ = read_cds_file(vsx, NAMES)
    monkeypatch.setattr("vascodb.loaders.cds_file._BYTES_AT_ONCE", at_once)
    assert read_cds_file(vsx, NAMES)[0].to_pydict() == whole.to_pydict()


def test_a_compressed_file_is_read_too(vsx: Path) -> None:
    whole, _ = read_cds_file(vsx, ["OID"])
    packed = vsx.with_name("vsx.dat.gz")
    packed.write_bytes(gzip.compress(vsx.read_bytes()))
    assert read_cds_file(packed, ["OID"])[0] == whole


def test_lines_without_their_trailing_blanks_are_read(vsx: Path) -> None:
    short = [line[:62] for line in lines(200)]
    vsx.write_text("\n".join(short) + "\n")
    table, _ = read_cds_file(vsx, ["DEdeg", "max"])
    assert table["max"].null_count == 200
    assert table["DEdeg"].null_count == 0


def test_it_is_a_catalogue_like_any_other(vsx: Path) -> None:
    table = read_sources(vsx, catalog("vsx"))
    assert table.num_rows == 200
    assert table["designation"][3].as_py() == "V3 Cep"
    assert table["source_id"].to_pylist() == [number * 97_001 + 1 for number in range(200)]
    assert table["mag"].null_count == 40


def test_bytes_are_those_of_the_readme_and_not_of_another_version(vsx: Path) -> None:
    readme = vsx.with_name("ReadMe")
    readme.write_text(readme.read_text().replace("43- 51", "44- 51"))
    columns = {column.label: (column.first, column.last) for column in read_columns(readme, "vsx.dat")}
    assert columns["RAdeg"] == (44, 51)
    assert columns["V"] == (41, 41)
    assert [column.label for column in read_columns(readme, "refs.dat")] == ["OID"]


def no_readme(path: Path) -> None:
    path.with_name("ReadMe").unlink()


def another_readme(path: Path) -> None:
    readme = path.with_name("ReadMe")
    readme.write_text(readme.read_text().replace("vsx.dat", "vsx2.dat"))


def cut_off(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-5]))


def cut_within_a_line(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-27])


def cut_packing(path: Path) -> None:
    content = gzip.compress(path.read_bytes())
    path.rename(path.with_name("vsx.dat.gz")).write_bytes(content[: len(content) // 2])


def uncounted(path: Path) -> None:
    readme = path.with_name("ReadMe")
    readme.write_text(readme.read_text().replace("   200 ", "     . "))


def undescribed(path: Path) -> None:
    readme = path.with_name("ReadMe")
    readme.write_text(readme.read_text().split("Bytes Format")[0])


def letters(path: Path) -> None:
    path.write_text(path.read_text()[:43] + "twelve" + path.read_text()[49:])


def other_columns(path: Path) -> None:
    readme = path.with_name("ReadMe")
    readme.write_text(readme.read_text().replace("OID", "ID ").replace("RAdeg", "RAh  "))


FAULTS = {
    no_readme: "needs the file ReadMe of its catalogue beside it",
    another_readme: "does not describe a file vsx.dat",
    cut_off: "has 195 lines, but its ReadMe says 200",
    cut_within_a_line: "its last line is not whole",
    cut_packing: "cannot be read as dat",
    uncounted: "does not say how many records vsx.dat has",
    undescribed: "the description of vsx.dat has no columns",
    letters: "column RAdeg: .*twelve",
    other_columns: "has no column OID",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_bad_file_is_refused_in_one_line(vsx: Path, fault) -> None:
    fault(vsx)
    (path,) = vsx.parent.glob("vsx.dat*")
    with pytest.raises(InputError, match=FAULTS[fault]) as caught:
        read_sources(path, catalog("vsx"))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
