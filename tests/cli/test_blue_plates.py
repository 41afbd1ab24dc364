"""A blue plate on the command line: taken when asked for, judged by nobody."""

import json
from pathlib import Path

import pytest
from astropy.io import fits
from commandline import Vascodb, assert_one_line


@pytest.fixture
def blue(small_simulation, tmp_path: Path) -> Path:
    path = tmp_path / "blue.fits"
    with fits.open(small_simulation.image) as hdus:
        hdus[0].header["SURVEY"], hdus[0].header["REGION"] = "POSSI-O", "XO" + hdus[0].header["REGION"][2:]
        hdus.writeto(path)
    return path


def test_a_blue_plate_is_reported_as_such_and_joins_no_run(vascodb: Vascodb, blue: Path) -> None:
    refused = vascodb.run("ingest-tile", "--fits", blue)
    assert_one_line(refused, "not a POSS-I red plate")
    shown = vascodb.run("ingest-tile", "--band", "blue", "--fits", blue)
    assert shown.status == 0
    assert "blue: to be compared with, judged by no run" in shown.out
    assert "candidates" not in shown.out
    again = vascodb.run("ingest-tile", "--band", "blue", "--fits", blue, "--format", "json")
    report = json.loads(again.out)
    assert (report["run"], report["candidates"], report["gates"]) == (None, 0, {})
    assert report["detections"] > 20
    nothing = vascodb.run("run", "survey", "--plates", report["plate_id"])
    assert_one_line(nothing, f"plate {report['plate_id']} is blue: it is there to be compared with")


def test_a_red_plate_is_not_taken_for_a_blue_one(vascodb: Vascodb, small_simulation) -> None:
    refused = vascodb.run("ingest-tile", "--band", "blue", "--fits", small_simulation.image)
    assert_one_line(refused, "not a POSS-I blue plate")
