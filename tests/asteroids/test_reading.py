"""Reading elements: every body with its own numbers, and nothing that makes no sense."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from vascodb.asteroids.reading import read_elements
from vascodb.errors import InputError

FIELDS = ["full_name", "H", "G", "epoch_mjd", "e", "a", "q", "i", "om", "w", "ma", "class"]
CERES = [
    "     1 Ceres (A801 AA)",
    "3.33",
    "0.12",
    "59800",
    ".08",
    "2.75",
    "2.53",
    "10.6",
    "80.3",
    "73.5",
    "334.3",
    "MBA",
]
LATE = ["       (2021 XD7)", "8", None, "59000", ".5", "40", "20", "3", "10", "20", "30", "TNO"]


def write(path: Path, rows: list[list[Any]], fields: list[str] = FIELDS, **more: Any) -> Path:
    path.write_text(json.dumps({"fields": fields, "data": rows, "count": len(rows)} | more))
    return path


def test_names_numbers_and_slopes(tmp_path: Path) -> None:
    found = read_elements(write(tmp_path / "e.json", [CERES, LATE, [" 15820 (1994 TB)", *LATE[1:]]]))
    assert list(zip(found.numbers.tolist(), found.names, strict=True)) == [
        (1, "Ceres"), (0, "2021 XD7"), (15820, "1994 TB")
    ]  # fmt: skip
    assert found.slope.tolist() == [0.12, 0.15, 0.15]
    assert found.epoch_jd.tolist() == [2459800.5, 2459000.5, 2459000.5]


def test_compressed_is_the_same_but_for_its_hash(tmp_path: Path) -> None:
    plain = write(tmp_path / "e.json", [CERES])
    packed = tmp_path / "e.json.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_elements(packed).semimajor_au.tolist() == read_elements(plain).semimajor_au.tolist()
    assert read_elements(packed).sha256 != read_elements(plain).sha256


def test_a_body_whose_orbit_is_not_complete_is_left_out_and_named(tmp_path: Path) -> None:
    without = [*LATE[:10], None, "TNO"]
    found = read_elements(write(tmp_path / "e.json", [CERES, without]))
    assert (found.names, found.left_out) == (["Ceres"], ("2021 XD7",))


def test_pluto_is_left_out(tmp_path: Path) -> None:
    pluto = ["134340 Pluto (1930 BM)", *LATE[1:]]
    found = read_elements(write(tmp_path / "e.json", [CERES, pluto]))
    assert (found.names, found.left_out) == (["Ceres"], ("Pluto",))


@pytest.mark.parametrize(
    ("rows", "fields", "more", "words"),
    [
        ([CERES], FIELDS, {"count": 2}, "says that it has 2 bodies, but there are 1"),
        ([CERES[:-1]], FIELDS, {}, "not every row"),
        ([CERES, CERES], FIELDS, {}, "1 bodies occur more than once"),
        ([], FIELDS, {}, "no body"),
        ([[*CERES[:4], "-.1", *CERES[5:]]], FIELDS, {}, "impossible orbit"),
        ([[*CERES[:5], "3", *CERES[6:]]], FIELDS, {}, "impossible orbit"),
        ([[*CERES[:7], "x", *CERES[8:]]], FIELDS, {}, "field i"),
        ([CERES], ["name", *FIELDS[1:]], {}, "fields full_name are not there"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, rows, fields, more, words) -> None:
    path = write(tmp_path / "e.json", rows, fields, **more)
    with pytest.raises(InputError, match=words):
        read_elements(path)


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps({"fields": FIELDS, "data": [CERES]}).encode())
    (tmp_path / "cut.json.gz").write_bytes(packed[:-20])
    with pytest.raises(InputError, match="not a readable file of elements"):
        read_elements(tmp_path / "cut.json.gz")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "neither JSON .* nor orbits as in MPCORB.DAT: it is empty"), (b"\x1f\x8bxx", "not a readable file"),
        (b"hello\n", "line 1 has 5 characters"), (b'[{"a": 1}]', "take MPCORB.DAT"), (b"{", "not a readable file"),
        (gzip.compress(b"a" * 999, mtime=0)[:12] + b"zz" * 9, "not a readable file"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_elements(tmp_path / "file")
