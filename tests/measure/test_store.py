"""From the image file to the verdict."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from toysky import ToySky

from vascodb.errors import InputError
from vascodb.measure import ShapeReport, measure_shapes, store
from vascodb.measure.shape import measure_direct
from vascodb.pipeline.judging import judge
from vascodb.profiles import Profile, StageDefinition
from vascodb.simulate import SimulationSpec, simulate_plate, write_simulation

from .stars import star_grid

DIRECT: dict[str, Any] = {
    "variant": "direct", "profile_sigmas": 2.5, "circularity_sigmas": 5, "min_neighbours": 8, "min_area_px": 8,
    "circularity_sigma_min": 0.03,
}  # fmt: skip
SEED: dict[str, Any] = {
    "variant": "inverted", "profile_diff_max": 0.05, "elongation_max": 1.1, "circularity_min": 0.8,
    "missing_profile": "ignore",
}  # fmt: skip
UNBLENDED = StageDefinition(stage="flags", step=1, parameters={"forbidden_bits": 255})


def profile(parameters: dict[str, Any], *earlier: StageDefinition) -> Profile:
    stage = StageDefinition(stage="shape", step=2, parameters=parameters)
    return Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=(*earlier, stage))


def measured(toy: ToySky, parameters: dict[str, Any], e: int, *earlier: StageDefinition) -> tuple[int, ShapeReport]:
    """Judge, measure what the stage asks for, judge again."""
    run_id = toy.judge(profile(parameters, *earlier), e)
    report = measure_shapes(toy.connection, run_id, "shape", parameters, [e])
    judge(toy.connection, run_id, e)
    return run_id, report


def reasons(toy: ToySky, run_id: int) -> set[str]:
    return set(
        toy.execute("SELECT reason FROM vasco.verdict WHERE run_id = :r AND stage = 'shape'", r=run_id).scalars()
    )


@pytest.mark.parametrize("rule", [DIRECT, SEED], ids=["direct", "inverted"])
def test_stars_pass_and_are_measured_once(toy: ToySky, recorded, rule: dict[str, Any]) -> None:
    e, _ = recorded(*star_grid(25))
    run_id, report = measured(toy, rule, e)
    assert report == ShapeReport(25, 0, ())
    assert Counter(toy.outcomes(run_id, "shape").values())["pass"] >= 24
    assert measure_shapes(toy.connection, run_id, "shape", rule) == ShapeReport(0, 0, ())


def test_positions_are_fits_pixels_and_rows_say_what_was_measured(toy: ToySky, recorded) -> None:
    image, stars = star_grid(25)
    e, _ = recorded(image, stars)
    measured(toy, DIRECT, e)
    row = toy.execute("SELECT * FROM vasco.shape_measure WHERE number = 13").mappings().one()
    [expected] = measure_direct(image, stars, [12])
    assert row["profile_diff"] == pytest.approx(expected.profile_diff, rel=1e-3)
    assert row["profile_log_sigma"] == pytest.approx(expected.profile_log_sigma, rel=1e-3)
    assert 0.94 < row["circularity"] <= 1
    assert row["area_px"] == pytest.approx(np.pi * 2 * np.log(2) * 1.3**2, rel=0.1)
    assert (row["n_neighbours"], row["confidence"], row["failure"]) == (24, "low", None)
    assert row["elongation"] == pytest.approx(1.05)


def test_only_what_the_earlier_stages_pass_is_measured(toy: ToySky, recorded) -> None:
    e, _ = recorded(*star_grid(9), flags=[0, 1] * 4 + [0])
    _, report = measured(toy, DIRECT, e, UNBLENDED)
    assert report.measured == 5
    assert toy.execute("SELECT number FROM vasco.shape_measure ORDER BY 1").scalars().all() == [1, 3, 5, 7, 9]


def test_without_neighbours_the_direct_stage_does_not_know(toy: ToySky, recorded) -> None:
    e, _ = recorded(*star_grid(4))
    run_id, _ = measured(toy, DIRECT, e)
    assert reasons(toy, run_id) == {"3 known stars of like flux on the image, 8 are needed"}


def test_a_missing_file_is_unknown_until_it_is_back(toy: ToySky, recorded) -> None:
    e, path = recorded(*star_grid(16))
    hidden = path.rename(path.with_suffix(".away"))
    run_id, report = measured(toy, DIRECT, e)
    assert report == ShapeReport(0, 16, (f"the image file {path.name} cannot be read: No such file or directory",))
    assert set(toy.outcomes(run_id, "shape").values()) == {"unknown"}
    assert reasons(toy, run_id) == set(report.failures)
    hidden.rename(path)
    _, report = measured(toy, DIRECT, e)
    assert report == ShapeReport(16, 0, ())
    assert set(toy.outcomes(run_id, "shape").values()) == {"pass"}


def test_a_changed_file_is_unknown_and_other_images_are_measured(toy: ToySky, recorded) -> None:
    e, path = recorded(*star_grid(16))
    other, _ = recorded(*star_grid(16, noise=29.0))
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    run_id = toy.judge(profile(DIRECT), e)
    toy.judge(profile(DIRECT), other)
    report = measure_shapes(toy.connection, run_id, "shape", DIRECT)
    assert report == ShapeReport(16, 16, (f"the image file {path.name} has changed since it was extracted",))
    assert toy.execute(
        "SELECT DISTINCT extraction_id FROM vasco.shape_measure WHERE failure IS NULL"
    ).scalars().all() == [other]


def test_without_the_packages_it_is_unknown(toy: ToySky, recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    e, _ = recorded(*star_grid(4))
    monkeypatch.setattr(store, "find_spec", lambda name: None if name == "cv2" else sys.modules.get(name, name))
    run_id, report = measured(toy, DIRECT, e)
    assert report.failures == ("not installed: opencv-python-headless; install vascodb[shape]",)
    assert reasons(toy, run_id) == set(report.failures)


def test_nothing_to_measure_reads_no_file(toy: ToySky) -> None:
    e = toy.extraction()
    assert measured(toy, DIRECT, e)[1] == ShapeReport(0, 0, ())


def test_a_variant_that_is_none_is_refused(toy: ToySky) -> None:
    with pytest.raises(InputError, match="variant must be inverted or direct, not 'sideways'"):
        measure_shapes(toy.connection, 1, "shape", {"variant": "sideways"})


def share(outcomes: dict[int, str], numbers: list[int], outcome: str) -> float:
    """Part of some detections with an outcome, of those that could be judged."""
    found = Counter(outcomes[n] for n in numbers)
    return found[outcome] / (found["pass"] + found["fail"])


def test_simulated_defects_fail_and_vanished_stars_pass(toy: ToySky, extracted, tmp_path: Path) -> None:
    plate = simulate_plate(
        SimulationSpec(seed=3, size_arcmin=18.0, n_stars=1000, n_vanished=25, n_defects=60, psf_fwhm_arcsec=3.6)
    )
    stars = plate.reference
    e = extracted(
        write_simulation(plate, tmp_path).image,
        {"ra": stars["ra"], "dec": stars["dec"], "pmra": stars["pmra"].filled(np.nan),
         "pmdec": stars["pmdec"].filled(np.nan)},
    )  # fmt: skip
    veto = StageDefinition(stage="gaia", function="veto", step=1, parameters={"family": "gaia"})
    run_id, _ = measured(toy, DIRECT, e, veto)
    outcomes = toy.outcomes(run_id, "shape")
    where = {n: (ra, dec) for n, ra, dec in toy.execute("SELECT number, ra, dec FROM vasco.detection")}

    def near(kind: str) -> list[int]:
        truth = plate.truth[plate.truth["kind"] == kind]
        reach = truth["extent_arcsec"] if kind == "defect" else np.full(len(truth), 2.5)
        cos_dec = np.cos(np.radians(plate.spec.dec_deg))
        return [
            n
            for n in outcomes
            if np.any(np.hypot((truth["ra"] - where[n][0]) * cos_dec, truth["dec"] - where[n][1]) * 3600 < reach)
        ]

    vanished, defects = near("vanished"), near("defect")
    assert min(len(vanished), len(defects)) > 20
    assert share(outcomes, vanished, "pass") >= 0.95
    assert share(outcomes, defects, "fail") >= 0.9
    assert sum(outcomes[n] == "pass" for n in defects) <= 0.05 * len(defects)


@pytest.mark.slow
def test_known_stars_of_m67_pass(toy: ToySky, extracted, shared_data: Path) -> None:
    gaia = Table.read(shared_data / "gaia/gaia_edr3_M67_6179rows.csv", format="ascii.csv")
    e = extracted(
        shared_data / "tiles/POSS1-E_XE486_M67_30arcmin.fits",
        {"ra": gaia["ra"], "dec": gaia["dec"], "pmra": np.ma.filled(gaia["pmra"].astype(float), np.nan),
         "pmdec": np.ma.filled(gaia["pmdec"].astype(float), np.nan)},
    )  # fmt: skip
    run_id, report = measured(toy, DIRECT, e, UNBLENDED)
    known = toy.execute("SELECT number FROM vasco.match JOIN vasco.detection AS d USING (extraction_id, number) "
                        "WHERE state = 'matched' AND d.flags = 0").scalars().all()  # fmt: skip
    outcomes = toy.outcomes(run_id, "shape")
    assert (report.failed, len(known)) == (0, 1022)
    assert share(outcomes, known, "pass") >= 0.97
    assert sum(outcomes[n] == "unknown" for n in known) <= 0.03 * len(known)
