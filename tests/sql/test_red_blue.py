"""What is on the red plate only: compared with the blue ones, as far as these can tell."""

from typing import Any

import numpy as np
import pytest
from onestage import ARCSEC, QUALITY, outcomes, red_blue, refuses, verdicts
from toysky import ToySky

from vascodb.pipeline.runs import add_images, ensure_run
from vascodb.plates.footprint import multirange
from vascodb.profiles import Profile


def blue_image(toy: ToySky, footprint: str, ra: float, dec: float, plate_id: str = "XO001") -> int:
    """An image of a blue plate with that footprint, extracted; without detections."""
    e = toy.extraction(ra, dec)
    toy.execute(
        "UPDATE plate.image SET band = 'blue', plate_id = :p, footprint = CAST(:f AS int8multirange) "
        "WHERE image_id = :i",
        p=plate_id, f=footprint, i=e,
    )  # fmt: skip
    return e


@pytest.fixture
def two_colours(toy: ToySky, cone_moc):
    """Three red detections, the second with a blue counterpart, the third beyond the blue image."""
    red = toy.extraction(10.0, 0.0, radius_deg=1.0)
    toy.detections(red, [10.0, 10.1, 10.9], [0.0] * 3)
    toy.blue = blue_image(toy, multirange(cone_moc(10.0, 0.0, 0.5)), 10.0, 0.0)
    toy.detections(toy.blue, [10.1], [2 * ARCSEC], **QUALITY)
    toy.extraction_id = red
    return toy


def test_what_is_red_only_passes_where_a_blue_image_covers_it(two_colours: ToySky) -> None:
    rows = verdicts(two_colours, red_blue(), two_colours.extraction_id)
    assert [(row.outcome, row.value) for row in rows] == [("pass", 0.0), ("fail", 1.0), ("not_covered", None)]
    assert rows[1].reason == f"tile_{two_colours.blue}:1 on XO001 at 2.000 arcsec"
    assert rows[2].reason == "no extracted blue image covers the position"


def test_blue_detections_are_no_candidates(two_colours: ToySky) -> None:
    rows = verdicts(two_colours, red_blue(), two_colours.blue)
    assert [(row.outcome, row.reason) for row in rows] == [("not_covered", "the image is not of a red plate")]


def test_without_any_blue_image_nothing_can_be_said(toy: ToySky) -> None:
    e = toy.extraction(10.0, 0.0)
    toy.detections(e, [10.0, 10.0], [0.0, 1 * ARCSEC])
    assert outcomes(toy, red_blue(), e) == ["not_covered"] * 2


@pytest.mark.parametrize(
    "change",
    ["UPDATE plate.image SET status = 'refused', status_reason = 'toy'", "UPDATE plate.image SET band = 'other'",
     "UPDATE plate.image SET plate_id = 'XO002'", "DELETE FROM vasco.detection"],
)  # fmt: skip
def test_an_image_that_is_not_a_sound_blue_one_of_the_field_covers_nothing(two_colours: ToySky, change: str) -> None:
    key = "extraction_id" if change.startswith("DELETE") else "image_id"
    two_colours.execute(f"{change} WHERE {key} = :b", b=two_colours.blue)
    assert outcomes(two_colours, red_blue(), two_colours.extraction_id) == ["not_covered"] * 3
    expected = ["pass", "fail", "not_covered"] if "XO002" in change else ["not_covered"] * 3
    assert outcomes(two_colours, red_blue(field="any"), two_colours.extraction_id) == expected


def test_the_edge_of_a_blue_image_covers_nothing_but_its_detections_count(toy: ToySky, cone_moc) -> None:
    red = toy.extraction(10.0, 0.0, radius_deg=1.0)
    toy.extraction_id = red
    # Cells of the toy's footprints are 13 arcsec wide.
    offsets = np.array([-100, -75, -45, -20, 20]) * ARCSEC
    toy.detections(red, [10.0] * 6, [*(0.5 + offsets), 0.51])
    blue = blue_image(toy, multirange(cone_moc(10.0, 0.0, 0.5)), 10.0, 0.0)
    toy.detections(blue, [10.0], [0.51], **QUALITY)
    assert outcomes(toy, red_blue(), red) == ["pass", "pass", "not_covered", "not_covered", "not_covered", "fail"]
    assert outcomes(toy, red_blue(edge=5), red)[2:] == ["pass", "pass", "not_covered", "fail"]


@pytest.mark.parametrize(("separation", "expected"), [(4.999, "fail"), (5.001, "pass")])
@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.9999, 60.0), (123.0, 89.9999), (45.0, -90.0)])
def test_counterparts_are_found_everywhere_on_the_sky(toy: ToySky, cone_moc, ra, dec, separation, expected) -> None:
    red = toy.extraction(ra, dec)
    toy.detections(red, [ra], [dec])
    blue = blue_image(toy, multirange(cone_moc(ra, dec, 0.3)), ra, dec)
    there = toy.execute("SELECT * FROM sky.offset_position(:ra, :dec, :s, 250)", ra=ra, dec=dec, s=separation).one()
    toy.detections(blue, [there.ra_deg], [there.dec_deg], **QUALITY)
    assert outcomes(toy, red_blue(), red) == [expected]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"flags": 2}, "pass"), ({"spread_model": -0.02}, "pass"), ({"spread_model": -0.0199}, "fail"),
        ({"fwhm_image": 1.99}, "pass"), ({"fwhm_image": 2.0}, "fail"), ({"fwhm_image": 7.0}, "fail"),
        ({"fwhm_image": 7.01}, "pass"), ({"elongation": 1.4}, "pass"), ({"elongation": 1.3999}, "fail"),
        ({"snr_win": 29.99}, "pass"), ({"snr_win": 30.0}, "fail"),
        ({"xmin_image": 0, "xmax_image": 1, "ymin_image": 0, "ymax_image": 2}, "pass"),
        ({"xmin_image": 0, "xmax_image": 2, "ymin_image": 0, "ymax_image": 4}, "fail"),
        ({"xmin_image": 0, "xmax_image": 2, "ymin_image": 0, "ymax_image": 5}, "pass"),
        ({"spread_model": None, "spreaderr_model": None}, "unknown"), ({"spread_model": np.nan}, "unknown"),
        ({"fwhm_image": np.nan}, "unknown"), ({"snr_win": np.nan}, "unknown"), ({"elongation": np.nan}, "unknown"),
        # What is missing does not matter where something else decides.
        ({"spread_model": None, "spreaderr_model": None, "flags": 4}, "pass"),
    ],
    ids=str,
)  # fmt: skip
def test_only_blue_detections_of_quality_count(two_colours: ToySky, columns, expected: str) -> None:
    two_colours.execute("DELETE FROM vasco.detection WHERE extraction_id = :b", b=two_colours.blue)
    two_colours.detections(two_colours.blue, [10.1], [0.0], **QUALITY | columns)
    e = two_colours.extraction_id
    row = verdicts(two_colours, red_blue(), e)[1]
    assert row.outcome == expected
    assert row.value == {"pass": 0.0, "fail": 1.0, "unknown": None}[expected]
    assert outcomes(two_colours, red_blue("any"), e)[1] == "fail"
    # One of quality beside it decides.
    two_colours.detections(two_colours.blue, [10.1], [3 * ARCSEC], first=2, **QUALITY)
    assert outcomes(two_colours, red_blue(), e)[1] == "fail"


UNMEASURED = "(spread_model, spreaderr_model) = (NULL, NULL)"


def unmeasured(toy: ToySky, profile: Profile, extraction_id: int) -> list[tuple[int, int]]:
    """Image and number of what has to be measured before the stage can judge."""
    run_id = ensure_run(toy.connection, profile)
    add_images(toy.connection, run_id, [extraction_id])
    rows = toy.execute("SELECT * FROM stage.blue_unmeasured(:r, :s)", r=run_id, s=profile.stages[0].stage)
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ({}, True), ({"flags": 4}, False), ({"snr_win": 29.0}, False), ({"fwhm_image": 1.9}, False),
        ({"snr_win": np.nan}, True), ({"spread_model": -0.5, "spreaderr_model": 0.1}, False),
    ],
    ids=str,
)  # fmt: skip
def test_only_blue_detections_that_spread_model_decides_about_are_measured(
    two_colours: ToySky, columns, wanted: bool
) -> None:
    bare = QUALITY | {"spread_model": None, "spreaderr_model": None}
    e, blue = two_colours.extraction_id, two_colours.blue
    # The first is far from all red ones, the second has what it needs.
    two_colours.detections(blue, [10.05, 10.0], [0.0, 4 * ARCSEC], first=2, **QUALITY)
    two_colours.execute(f"UPDATE vasco.detection SET {UNMEASURED} WHERE extraction_id = :b AND number = 2", b=blue)
    two_colours.detections(blue, [10.1], [-3 * ARCSEC], first=4, **bare | columns)
    assert unmeasured(two_colours, red_blue(), e) == ([(blue, 4)] if wanted else [])
    assert unmeasured(two_colours, red_blue("any"), e) == []
    assert unmeasured(two_colours, red_blue(radius=2), e) == []


def test_nothing_is_measured_on_blue_plates_of_other_fields(two_colours: ToySky) -> None:
    two_colours.execute(
        f"UPDATE vasco.detection SET {UNMEASURED} WHERE extraction_id = :b",
        b=two_colours.blue,
    )
    two_colours.execute("UPDATE plate.image SET plate_id = 'XO002' WHERE image_id = :b", b=two_colours.blue)
    assert unmeasured(two_colours, red_blue(), two_colours.extraction_id) == []
    assert unmeasured(two_colours, red_blue(field="any"), two_colours.extraction_id) == [(two_colours.blue, 1)]
    # A blue image itself has none to be compared with.
    assert unmeasured(two_colours, red_blue(field="any"), two_colours.blue) == [(two_colours.blue, 1)]


@pytest.mark.parametrize(
    "parameters", [{"counterparts": "some"}, {"field": "next"}, {"radius": 0}, {"radius": 61}], ids=str
)
def test_red_blue_needs_all_its_parameters(two_colours: ToySky, parameters: dict[str, Any]) -> None:
    refuses(two_colours, red_blue(**parameters), two_colours.extraction_id, "it needs radius_arcsec")
