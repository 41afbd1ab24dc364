"""Tile names are those of the published plan."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vascodb.plates.tiles import tile_name


@pytest.mark.parametrize(
    ("ra", "dec", "name"),
    [
        (132.824, 11.801, "tile_RA132.824_DECp11.801"), (0.0, 0.0, "tile_RA0.000_DECp0.000"),
        (5.5, -3.25, "tile_RA5.500_DECm3.250"), (359.9999, 10.0, "tile_RA0.000_DECp10.000"),
        (-0.25, -90.0, "tile_RA359.750_DECm90.000"), (10.0, -0.0001, "tile_RA10.000_DECp0.000"),
        (360.0, 90.0, "tile_RA0.000_DECp90.000"),
    ],
)  # fmt: skip
def test_a_name_has_three_decimals_and_a_letter_for_the_sign(ra: float, dec: float, name: str) -> None:
    assert tile_name(ra, dec) == name


@given(st.floats(-360, 720), st.floats(-90, 90))
def test_a_name_says_where_its_tile_is(ra: float, dec: float) -> None:
    match = re.fullmatch(r"tile_RA(\d{1,3}\.\d{3})_DEC([pm])(\d{1,2}\.\d{3})", tile_name(ra, dec))
    assert match
    assert 0 <= float(match[1]) < 360
    assert float(match[3]) * (-1 if match[2] == "m" else 1) == pytest.approx(dec, abs=5.1e-4)
    assert abs((float(match[1]) - ra + 180) % 360 - 180) < 5.1e-4


def test_the_published_plan_names_its_tiles_so(shared_data: Path) -> None:
    with (shared_data / "plates" / "tiles_poss1e_ps1_first300.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) >= 299
    for row in rows:
        ra, dec = (float(row[next(k for k in row if k.lower().startswith(c))]) for c in ("ra", "dec"))
        assert tile_name(ra, dec) == row["tile_id"]
