"""Plans are read whole or not at all, tiles are where their names say, and cones hold them to the corners."""

from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from hypothesis import given
from hypothesis import strategies as st

from vascodb.errors import InputError
from vascodb.plates.plan import PlanTile, half_diagonal_deg, read_plan, survey_named, tile_centre
from vascodb.plates.tangent import plane_to_sky
from vascodb.plates.tiles import tile_name

HEADER = "plate_id,plate_tile_idx,tile_id,ra_deg,dec_deg,size_arcmin,survey"
FIRST = "XE002,0,tile_RA2.001_DECp82.807,2.001000,82.807000,60,dss1-red"
SECOND = "XE002,1,tile_RA2.001_DECp83.807,2.001000,83.807000,60,dss1-red"


def plan_of(tmp_path: Path, *rows: str, header: str = HEADER, end: str = "\n") -> Path:
    path = tmp_path / "plan.csv"
    path.write_bytes("".join(line + end for line in (header, *rows)).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_row_is_a_tile(tmp_path: Path, end: str) -> None:
    assert read_plan(plan_of(tmp_path, FIRST, SECOND, end=end)) == [
        PlanTile("XE002", 0, "tile_RA2.001_DECp82.807", 2.001, 82.807, 60.0, "poss1_red"),
        PlanTile("XE002", 1, "tile_RA2.001_DECp83.807", 2.001, 83.807, 60.0, "poss1_red"),
    ]


def test_columns_may_come_in_any_order_and_with_others(tmp_path: Path) -> None:
    names, fields = HEADER.split(","), FIRST.split(",")
    path = plan_of(tmp_path, ",".join(["mine", *reversed(fields)]), header=",".join(["note", *reversed(names)]))
    assert read_plan(path) == read_plan(plan_of(tmp_path, FIRST))


def test_the_published_plan_is_read_whole(shared_data: Path) -> None:
    tiles = read_plan(shared_data / "plates" / "tiles_poss1e_ps1_first300.csv")
    assert len(tiles) == 300
    assert {(tile.size_arcmin, tile.survey) for tile in tiles} == {(60.0, "poss1_red")}
    assert len({tile.plate_id for tile in tiles}) > 10


def broken(column: str, value: str) -> str:
    fields = dict(zip(HEADER.split(","), SECOND.split(","), strict=True)) | {column: value}
    return ",".join(fields.values())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("plate_id", ""), ("plate_tile_idx", "-1"), ("plate_tile_idx", "1.5"), ("plate_tile_idx", "one"),
        ("plate_tile_idx", "0"), ("tile_id", ""), ("tile_id", "tile_RA2.001_DECp82.807"),
        ("tile_id", "tile_RA002.001_DECp83.807"), ("tile_id", "tile_RA361.000_DECp83.807"),
        ("tile_id", "tile_RA2.001_DECm0.000"), ("ra_deg", "nan"), ("ra_deg", "inf"), ("ra_deg", ""),
        ("ra_deg", "360"), ("ra_deg", "-2.001"), ("ra_deg", "2_0"), ("ra_deg", "2.002"), ("ra_deg", "0.0"),
        ("dec_deg", "90.5"), ("dec_deg", "83,807"), ("dec_deg", "-83.807"), ("size_arcmin", "0"),
        ("size_arcmin", "-60"), ("size_arcmin", "1e4"), ("size_arcmin", "60arcmin"), ("survey", "dss1-r"),
        ("survey", "dss2-red"), ("survey", ""),
    ],
)  # fmt: skip
def test_a_wrong_row_is_named_and_nothing_is_used(tmp_path: Path, column: str, value: str) -> None:
    path = plan_of(tmp_path, FIRST, broken(column, value))
    with pytest.raises(InputError) as caught:
        read_plan(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: row 3, column ")
    assert "\n" not in message
    # A tile that is elsewhere may be named so wrongly or placed so wrongly.
    assert f"column {column}: " in message or "is not where" in message or "fields instead of" in message


def test_a_file_cut_at_any_byte_is_never_taken_for_another_plan(tmp_path: Path) -> None:
    whole = plan_of(tmp_path, FIRST, SECOND)
    content, tiles = whole.read_bytes(), read_plan(whole)
    for n_bytes in range(len(content)):
        whole.write_bytes(content[:n_bytes])
        try:
            read = read_plan(whole)
        except InputError:
            continue
        # A cut between two lines cannot be seen in a CSV file; what is read is right.
        assert read == tiles[: len(read)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is missing"), (HEADER.encode(), "has no rows"), (b"\x1f\x8b\x08\x00\xff\xfe", "UTF-8"),
        (f"{HEADER},tile_id\n".encode(), "occurs twice"), (f'{HEADER}\n"XE002'.encode(), "is not a CSV file"),
        (f"{HEADER}\n{FIRST},\n".encode(), "8 fields instead of 7"), (b"tile_id;ra_deg\n1;2\n", "plate_id: is missing"),
    ],
)  # fmt: skip
def test_what_is_no_plan_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "plan.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_plan(path)


def test_a_plan_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.csv: cannot be read"):
        read_plan(tmp_path / "nowhere.csv")


@given(st.floats(0, 360, exclude_max=True), st.floats(-90, 90))
def test_a_tile_is_where_its_name_says(ra: float, dec: float) -> None:
    named_ra, named_dec = tile_centre(tile_name(ra, dec))
    assert 0 <= named_ra < 360
    assert abs((named_ra - ra + 180) % 360 - 180) <= 0.0005 + 1e-9
    assert abs(named_dec - dec) <= 0.0005 + 1e-9


@pytest.mark.parametrize("name", ["", "tile", "XE486", "tile_RA0.000", "tile_RA-1.000_DECp0.000", "0.000_0.000"])
def test_a_tile_without_a_centre_is_an_error_and_not_the_origin(name: str) -> None:
    with pytest.raises(InputError, match="is not the name of a tile"):
        tile_centre(name)


def test_surveys_have_one_name_each_here() -> None:
    assert {survey_named(name) for name in ("dss1-red", "POSS1-E", "poss1_red")} == {"poss1_red"}
    assert {survey_named(name) for name in ("dss1-blue", "poss1-o", "poss1_blue")} == {"poss1_blue"}
    with pytest.raises(InputError, match="unknown survey"):
        survey_named("poss2ukstu_red")


CENTRES = [(0.0, 0.0), (359.9999, 41.81), (0.0001, -41.81), (123.4, 89.9), (10.0, 90.0), (77.0, -90.0), (200.0, -89.6)]


@pytest.mark.parametrize(("ra", "dec"), CENTRES)
@pytest.mark.parametrize("size_arcmin", [1.0, 60.0, 390.0])
def test_a_cone_holds_the_whole_square_and_hardly_more(ra: float, dec: float, size_arcmin: float) -> None:
    # By the projection, a point at a time: the middle of a side is half a size away.
    side_arcsec = np.degrees(np.tan(np.radians(size_arcmin / 120))) * 3600
    xi, eta = (v.ravel() for v in np.meshgrid(*[np.linspace(-side_arcsec, side_arcsec, 61)] * 2))
    distance = np.degrees(angular_separation(*np.radians([ra, dec]), *np.radians(plane_to_sky(xi, eta, ra, dec))))
    radius = half_diagonal_deg(size_arcmin)
    assert distance.max() <= radius + 1e-12
    assert distance.max() == pytest.approx(radius, abs=1e-9)


def test_a_square_of_sixty_arcmin_has_its_corners_at_42_arcmin() -> None:
    assert half_diagonal_deg(60.0) * 60 == pytest.approx(42.425, abs=0.002)
