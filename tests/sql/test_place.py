"""Stages that judge by place: on the tile, on the plate, on the sky."""

import math
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from plateimages import cutout_header, plate_header, tan_keys
from sqlalchemy import Connection
from toysky import ToySky

from vascodb.plates.headers import PlateHeader, load_plates, read_plate_headers
from vascodb.plates.images import read_image
from vascodb.plates.solution import read_astrometry
from vascodb.plates.store import save_solutions, solution_row
from vascodb.profiles import Profile, StageDefinition


def judged(toy: ToySky, extraction_id: int, function: str, **parameters: Any) -> list[Any]:
    """Verdicts in the order of detections."""
    only = StageDefinition(stage="only", function=function, step=1, parameters=parameters)
    profile = Profile(name=f"toy {function}", description="", extraction="seed", reference_stars=0, stages=(only,))
    run_id = toy.judge(profile, extraction_id)
    return list(
        toy.execute(
            "SELECT outcome, value, reason FROM vasco.verdict WHERE run_id = :r AND extraction_id = :e ORDER BY number",
            r=run_id, e=extraction_id,
        )
    )  # fmt: skip


def outcomes(toy: ToySky, extraction_id: int, function: str, **parameters: Any) -> list[str]:
    return [row.outcome for row in judged(toy, extraction_id, function, **parameters)]


def on_plate(toy: ToySky, header: dict[str, Any], plate_id: str, ra: float, dec: float) -> int:
    """An extraction of an image of a plate, with the solution of its header."""
    extraction_id = toy.extraction(ra, dec)
    row = solution_row(read_astrometry(header))
    save_solutions(toy.connection, [row])
    toy.execute(
        "UPDATE plate.image SET solution_id = :s, plate_id = :p WHERE image_id = :e",
        s=row["solution_id"], p=plate_id, e=extraction_id,
    )  # fmt: skip
    return extraction_id


def load(connection: Connection, **changes: Any) -> dict[str, Any]:
    header = plate_header(**changes)
    load_plates(connection, iter([PlateHeader(Path("toy.json"), "toy", header)]))
    return header


def test_the_circle_holds_its_rim_and_judges_the_position_asked_for(toy: ToySky) -> None:
    extraction_id = toy.extraction(150.0, 20.0)
    toy.detections(extraction_id, [150.0] * 3, [20.0, 20.5 - 1e-9, 20.5 + 1e-9])
    assert outcomes(toy, extraction_id, "circle", radius_arcmin=30) == ["pass", "pass", "fail"]
    toy.execute("UPDATE vasco.detection SET dec_raw = 20.6 WHERE number = 1")
    assert outcomes(toy, extraction_id, "circle", radius_arcmin=30, position="raw") == ["fail", "pass", "fail"]
    values = [row.value for row in judged(toy, extraction_id, "circle", radius_arcmin=30)]
    assert values == pytest.approx([0, 30, 30], abs=1e-6)


@pytest.mark.parametrize(("ra", "dec"), [(0.001, 40.0), (359.999, -40.0), (10.0, 89.9), (10.0, -90.0)])
def test_the_circle_about_0h_and_the_poles(toy: ToySky, ra: float, dec: float) -> None:
    for radius, expected in ((29.99, "pass"), (30.01, "fail")):
        around = SkyCoord(ra, dec, unit="deg").directional_offset_by(np.arange(0, 360, 30) * u.deg, radius * u.arcmin)
        extraction_id = toy.extraction(ra, dec)
        toy.detections(extraction_id, around.ra.deg % 360, around.dec.deg)
        assert set(outcomes(toy, extraction_id, "circle", radius_arcmin=30)) == {expected}


def test_the_limit_of_declination_is_kept(toy: ToySky) -> None:
    extraction_id = toy.extraction(150.0, 0.0)
    toy.detections(extraction_id, [150.0] * 5, [0.0, -0.0, math.nextafter(0, -1), 89.0, -3.0])
    assert outcomes(toy, extraction_id, "scope_dec", dec_min=0) == ["pass", "pass", "fail", "pass", "fail"]
    assert outcomes(toy, extraction_id, "scope_dec", dec_min=-3) == ["pass"] * 5
    poles = toy.extraction(150.0, 90.0)
    toy.detections(poles, [0.0, 0.0], [90.0, -90.0])
    assert outcomes(toy, poles, "scope_dec", dec_min=-90) == ["pass", "pass"]
    assert judged(toy, poles, "scope_dec", dec_min=0)[1].reason == "declination = -90, not at least 0 deg"


def test_distance_from_the_centre_of_the_plate(toy: ToySky) -> None:
    load(toy.connection)
    ra, dec = toy.execute("SELECT ra, dec FROM plate.plate").one()
    extraction_id = on_plate(toy, cutout_header(), "XE901", ra, dec)
    toy.detections(extraction_id, [ra] * 3, [dec, dec + 2 - 1e-9, dec + 2 + 1e-9])
    rows = judged(toy, extraction_id, "plate_centre", radius_deg=2)
    assert [row.outcome for row in rows] == ["pass", "pass", "fail"]
    assert [row.value for row in rows] == pytest.approx([0, 2, 2], abs=1e-6)


def test_a_plate_that_is_not_on_record_leaves_its_places_unknown(toy: ToySky) -> None:
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [150.0], [20.0])
    for stage, parameters in (
        ("plate_centre", {"radius_deg": 2}),
        ("edge", {"unit": "px", "min": 200, "min_fraction": 0.02}),
    ):
        (row,) = judged(toy, extraction_id, stage, **parameters)
        assert (row.outcome, row.value, row.reason) == ("unknown", None, "plate XE001 is not on record")


@pytest.mark.parametrize(
    "header",
    [
        plate_header(), plate_header(PLTDECSN="-"), plate_header(PLTRAH=0, PLTRAM=0, PLTRAS=0.5),
        plate_header(PLTDECD=89, PLTDECM=58, PLTDECS=0.0), plate_header(AMDX13=1e-10, AMDY12=-2e-7),
        cutout_header(x=300, y=13000), tan_keys(30.5, 0.001, 89.9) | {"NAXIS1": 60, "NAXIS2": 60},
    ],
    ids=["plate", "south", "meridian", "pole", "all terms", "cutout", "tan"],
)  # fmt: skip
def test_pixels_of_a_position_are_those_of_the_solution(toy: ToySky, header: dict[str, Any]) -> None:
    """`vascodb.plates` is the oracle, itself tested against WCSLIB."""
    rng = np.random.default_rng(3)
    astrometry = read_astrometry(header)
    x, y = rng.uniform(-500, header["NAXIS1"] + 500, 100), rng.uniform(-500, header["NAXIS2"] + 500, 100)
    ra, dec = astrometry.solution.pixel_to_sky(x, y)
    row = solution_row(astrometry)
    save_solutions(toy.connection, [row])
    got = toy.execute(
        "SELECT p.x, p.y "
        "FROM unnest(CAST(:ra AS float8[]), CAST(:dec AS float8[])) WITH ORDINALITY AS q (ra, dec, k) "
        "CROSS JOIN LATERAL sky.pixel_at(:id, q.ra, q.dec) AS p ORDER BY q.k",
        ra=ra.tolist(), dec=dec.tolist(), id=row["solution_id"],
    )  # fmt: skip
    assert np.abs(np.array([tuple(r) for r in got]) - np.stack([x, y], axis=1)).max() < 2e-3


def test_the_far_side_of_the_sky_is_on_no_plate(toy: ToySky) -> None:
    row = solution_row(read_astrometry(plate_header()))
    save_solutions(toy.connection, [row])
    for ra, dec in ((322.0, -24.0), (142.0, -60.0), (142.0, 80.0)):
        found = toy.execute("SELECT p.* FROM sky.pixel_at(:id, :ra, :dec) AS p", ra=ra, dec=dec, id=row["solution_id"])
        assert all(abs(p.x) > 14000 or abs(p.y) > 14000 for p in found)


def test_distance_from_the_edge_by_the_place_of_the_image_on_the_scan(toy: ToySky) -> None:
    load(toy.connection)
    header = cutout_header(x=100, y=7000)
    extraction_id = on_plate(toy, header, "XE901", 150.0, 20.0)
    # The scan is 14000 by 13999; the positions are none of the plate's: the pixels alone are looked at.
    x, y = np.array([100.0, 179.999, 180.0, 13900.0, 7000.0, 7000.0]), np.array([0.0, 0, 0, 0, -6999.0, 6999.0])
    toy.detections(extraction_id, [150.0] * 6, [20.0] * 6, xwin_image=x, ywin_image=y)
    rows = judged(toy, extraction_id, "edge", unit="px", min=200, min_fraction=0.02)
    assert [row.value for row in rows] == pytest.approx([199, 278.999, 279, 0, 0, 0])
    assert {row.outcome for row in rows} == {"fail"}
    rows = judged(toy, extraction_id, "edge", unit="px", min=200, min_fraction=0)
    assert [row.outcome for row in rows] == ["fail", "pass", "pass", "fail", "fail", "fail"]
    rows = judged(toy, extraction_id, "edge", unit="arcsec", min=60, min_fraction=0)
    scale = read_astrometry(header).scale_arcsec_px
    assert [row.value for row in rows] == pytest.approx([scale * v for v in (199, 278.999, 279, 0, 0, 0)], rel=1e-6)


def test_an_image_with_another_solution_is_placed_by_the_sky(toy: ToySky) -> None:
    header = load(toy.connection)
    x, y = np.array([50.0, 7000.0, 13990.0, 7000.0, -20.0]), np.array([7000.0, 100.0, 7000.0, 7000.0, 7000.0])
    ra, dec = read_astrometry(header).solution.pixel_to_sky(x, y)
    extraction_id = on_plate(toy, tan_keys(30.5, float(ra[0]), float(dec[0])), "XE901", float(ra[0]), float(dec[0]))
    toy.detections(extraction_id, ra, dec)
    rows = judged(toy, extraction_id, "edge", unit="px", min=99, min_fraction=0)
    assert [row.value for row in rows] == pytest.approx([49, 99, 10, 6999, -21], abs=1e-3)
    assert [row.outcome for row in rows][2:] == ["fail", "pass", "fail"]
    toy.detections(extraction_id, [322.0], [-24.0], first=6)
    assert judged(toy, extraction_id, "edge", unit="px", min=99, min_fraction=0)[5].outcome == "unknown"


def test_both_ways_to_the_edge_agree_on_a_real_image(toy: ToySky, shared_data: Path) -> None:
    """M67: its place on the scan and its place on the sky are within the two pixels that headers differ by."""
    image = read_image(shared_data / "tiles" / "POSS1-E_XE486_M67_30arcmin.fits")
    headers = read_plate_headers(shared_data / "plates" / "dss1red_headers_932.tar.gz")
    load_plates(toy.connection, (h for h in headers if h.header["REGION"] == "XE486"))
    x, y = np.meshgrid(np.linspace(1, 1059, 6), np.linspace(1, 1059, 6))
    ra, dec = image.astrometry.solution.pixel_to_sky(x.ravel(), y.ravel())
    by_place = on_plate(toy, image.header, "XE486", 132.8, 11.8)
    by_sky = on_plate(toy, tan_keys(1.0, 132.8, 11.8), "XE486", 132.8, 11.8)
    for extraction_id in (by_place, by_sky):
        toy.detections(extraction_id, ra, dec, xwin_image=x.ravel(), ywin_image=y.ravel())
    first, second = (
        np.array([row.value for row in judged(toy, e, "edge", unit="px", min=0, min_fraction=0)])
        for e in (by_place, by_sky)
    )
    assert np.abs(first - second).max() < 2
    assert (first > 280).all()


def test_a_position_that_is_not_a_number_has_no_distance_from_the_edge(toy: ToySky) -> None:
    load(toy.connection)
    extraction_id = on_plate(toy, cutout_header(), "XE901", 150.0, 20.0)
    toy.detections(extraction_id, [150.0], [20.0], xwin_image=math.nan)
    (row,) = judged(toy, extraction_id, "edge", unit="px", min=1, min_fraction=0)
    assert (row.outcome, row.value) == ("unknown", None)
