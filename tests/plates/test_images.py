"""What an image says it shows; damaged files are tested on the command line, in test_bad_images."""

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from plateimages import cutout_header, image_file, wcslib

from vascodb.errors import InputError
from vascodb.ids import file_sha256
from vascodb.plates.images import band_of, header_to_dict, read_image, survey_of


@pytest.mark.parametrize(
    ("survey", "region", "expected", "band"),
    [
        ("POSSI-E", "XE486", "POSSI-E", "red"), (None, "XE486", "POSSI-E", "red"), ("", "XO486", "POSSI-O", "blue"),
        ("SERC-J", "S134", "SERC-J", "other"), (None, "S134", None, "other"), (None, None, None, "other"),
        ("SERC-ER", "XE486", "SERC-ER", "other"), (" POSSI-E ", None, "POSSI-E", "red"),
    ],
)  # fmt: skip
def test_the_survey_is_what_the_header_says_or_its_region(survey, region, expected, band) -> None:
    header = {key: value for key, value in {"SURVEY": survey, "REGION": region}.items() if value is not None}
    assert survey_of(header) == expected
    assert band_of(expected) == band


def test_an_image_knows_its_file_plate_place_and_time(tmp_path: Path) -> None:
    header = cutout_header(size=60)
    path = image_file(tmp_path / "cutout.fits", header)
    image = read_image(path)
    assert (image.naxis1, image.naxis2, image.plate_id, image.survey) == (60, 60, "XE901", "POSSI-E")
    assert image.refusal is None
    assert image.sha256 == file_sha256(path)
    centre = SkyCoord(*wcslib(header).wcs_pix2world(30.5, 30.5, 1), unit="deg")
    assert SkyCoord(*image.centre, unit="deg").separation(centre).arcsec < 1e-6
    corners = SkyCoord(*image.corners, unit="deg")
    assert np.allclose(corners.separation(centre).arcsec, 30 * np.sqrt(2) * 1.699, rtol=2e-3)
    assert image.times.quality == "conflicting"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SURVEY": "SERC-J", "REGION": "S134"}, r"not a POSS-I red plate \(POSSI-E\): SERC-J, region S134"),
        ({"SURVEY": None, "REGION": "XO486"}, "POSSI-O, region XO486"),
        ({"SURVEY": None, "REGION": "Q1"}, "unknown survey, region Q1"),
    ],
)
def test_another_survey_is_no_fault_of_the_file_but_refused(tmp_path: Path, changes, reason) -> None:
    image = read_image(image_file(tmp_path / "x.fits", cutout_header(**changes)))
    assert image.refusal is not None
    assert re.search(reason, image.refusal)


def test_a_gzipped_image_is_the_same_image_in_another_file(tmp_path: Path) -> None:
    plain = read_image(image_file(tmp_path / "x.fits", cutout_header()))
    packed = read_image(image_file(tmp_path / "x.fits.gz", cutout_header()))
    assert packed.header == plain.header
    assert packed.sha256 != plain.sha256


def test_pixels_may_be_scaled(tmp_path: Path) -> None:
    header = cutout_header(size=60, BZERO=32768.0, BSCALE=2.0, BLANK=-32768)
    assert read_image(image_file(tmp_path / "x.fits", header)).refusal is None


@pytest.mark.parametrize(("survey", "band"), [("POSSI-E", "red"), ("POSSI-O", "blue")])
def test_an_image_is_a_plate_of_one_band(tmp_path: Path, survey: str, band: str) -> None:
    image = read_image(image_file(tmp_path / "x.fits", cutout_header(SURVEY=survey)))
    assert image.refusal_as(band) is None
    other = "blue" if band == "red" else "red"
    assert image.refusal_as(other).startswith(f"not a POSS-I {other} plate")


def test_a_header_is_plain_values() -> None:
    header = fits.Header([("A", 1), ("B", 1.5), ("C", True), ("D", "text"), ("E", None)])
    header["COMMENT"] = "first"
    header["COMMENT"] = "second"
    header["HISTORY"] = "once"
    assert header_to_dict(header) == {
        "A": 1, "B": 1.5, "C": True, "D": "text", "E": None, "COMMENT": "first\nsecond", "HISTORY": "once"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["none.fits", "folder"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=name):
        read_image(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "plate_id", "survey", "refused"),
    [
        ("POSS1-E_XE486_M67_30arcmin.fits", "XE486", "POSSI-E", False),
        ("POSS1-E_XE410_midas_wcstest_10arcmin.fits", "XE410", "POSSI-E", False),
        ("POSS1-E_XE582_HD219829_4arcmin_MASTheader_badtime.fits", "XE582", "POSSI-E", False),
        ("DSS2_SERC-ER_ER768_HorseHead_15arcmin.fits", "ER768", "SERC-ER", True),
        ("SERC-J_S134_ProximaCen_astropy.fits.gz", "S134", None, True),
    ],
)
def test_real_images_say_what_they_show(shared_data: Path, name: str, plate_id, survey, refused) -> None:
    image = read_image(shared_data / "tiles" / name)
    assert (image.plate_id, image.survey, image.refusal is not None) == (plate_id, survey, refused)
