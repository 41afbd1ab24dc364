"""Ties at raw positions, the fit of an image stored and applied, the stage that asks for it, and the table's CHECKs."""

from typing import Any

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from sqlalchemy.exc import DBAPIError, IntegrityError
from tiescenes import GAIA, exposed, frame, image_of, scene
from toysky import ToySky

from vascodb.errors import InputError
from vascodb.plates.footprint import cells
from vascodb.plates.plate_fit import fit_image
from vascodb.plates.ties import Frame, Ties
from vascodb.profiles import Profile, StageDefinition

LIMITS = {"kind": "plate_fit", "sigma_max_arcsec": 0.8, "worst_max_arcsec": 1.5, "n_min": 10, "coverage_min": 0.6}


def ties_of(toy: ToySky, extraction_id: int, *arguments: Any) -> dict[int, int | None]:
    """Source by number of detection."""
    rest = "".join(f", {a}" for a in (5.0, *arguments))
    rows = toy.execute(f"SELECT number, source_id FROM stage.tie_points({extraction_id}, '{GAIA}'{rest})")
    return {number: source_id for number, source_id in rows}


def positions(toy: ToySky, extraction_id: int) -> np.ndarray:
    rows = toy.execute(
        "SELECT ra, dec, ra_raw, dec_raw FROM vasco.detection WHERE extraction_id = :e ORDER BY number", e=extraction_id
    )
    return np.array([tuple(row) for row in rows]).T


def separation_arcsec(ra1, dec1, ra2, dec2):
    return 3600 * np.degrees(angular_separation(*map(np.radians, (ra1, dec1, ra2, dec2))))


def sky_of(place: Frame, **how: Any) -> Ties:
    """A scene with as many stars as a fit of the third degree needs, and some."""
    return scene(place, 150, **how)


# --- ties


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 20.0), (0.0, -45.0), (90.0, 89.9), (10.0, -90.0)])
def test_a_tie_is_the_nearest_star_and_a_star_is_given_once(toy, ra: float, dec: float) -> None:
    place = frame(ra, dec, half_side_deg=0.02)
    rng = np.random.default_rng(6)
    stars, ties = scene(place, 300, seed=7), scene(place, 120)
    e = image_of(toy, place)
    toy.detections(e, ties.ra_raw, ties.dec_raw)
    toy.sources(GAIA, stars.ra, stars.dec)
    far = separation_arcsec(ties.ra_raw[:, None], ties.dec_raw[:, None], stars.ra, stars.dec)
    nearest = far.argmin(axis=1)
    expected: dict[int, int | None] = dict.fromkeys(range(1, 121))
    for detection in rng.permutation(120):
        star = nearest[detection]
        rivals = np.flatnonzero(nearest == star)
        if far[detection, star] <= 5 and detection == rivals[far[rivals, star].argmin()]:
            expected[int(detection) + 1] = int(star) + 1
    shared = sum(far.min(axis=1) <= 5) - sum(star is not None for star in expected.values())
    assert shared > 0
    assert ties_of(toy, e) == expected


def test_stars_are_taken_where_they_were_when_the_plate_was_exposed(toy) -> None:
    place = frame(0.0, 60.0)
    e = image_of(toy, place)
    # Since 1952 the one moved 3.2 arcsec, the other, a fast one, 64.
    toy.sources(GAIA, [0.0, 0.1], [60.0, 60.0], [50.0, 1000.0], [0.0, 0.0])
    then = np.array([0.0 - 3.2 / 3600 / np.cos(np.radians(60)), 0.1 - 64 / 3600 / np.cos(np.radians(60))]) % 360
    toy.detections(e, then, [60.0, 60.0])
    rows = toy.execute(f"SELECT source_id, ra_deg, sep_arcsec FROM stage.tie_points({e}, '{GAIA}', 1.0)").all()
    assert [row[0] for row in rows] == [1, 2]
    assert [row[1] for row in rows] == pytest.approx(then.tolist(), abs=1e-6)
    assert max(row[2] for row in rows) < 0.05


def test_blended_faint_and_unmeasured_detections_are_no_ties_unless_asked_for(toy) -> None:
    e = image_of(toy, frame())
    snr = [50.0, 50.0, 29.0, float("nan"), float("inf"), 30.0]
    toy.detections(e, 150 + np.arange(6) / 100, [20.0] * 6, snr_win=snr, flags=[0, 3, 0, 0, 0, 0])
    assert ties_of(toy, e) == {1: None, 6: None}
    assert set(ties_of(toy, e, 3)) == {1, 2, 6}
    assert set(ties_of(toy, e, "NULL", "NULL")) == {1, 2, 3, 4, 5, 6}


def test_best_positions_play_no_part_in_ties(toy) -> None:
    place = frame()
    e = exposed(toy, place, scene(place, 50))
    before = ties_of(toy, e)
    assert set(before.values()) == set(range(1, 51))
    toy.execute("UPDATE vasco.detection SET ra = 10, dec = -10, hpx29 = 0")
    assert ties_of(toy, e) == before


# --- the fit of an image


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 20.0), (0.0, 30.0), (0.0, 89.5)])
def test_an_accepted_fit_moves_the_best_positions_and_leaves_the_raw_ones(toy, ra: float, dec: float) -> None:
    place = frame(ra, dec)
    ties = sky_of(place)
    e = exposed(toy, place, ties)
    raw = positions(toy, e)[:2]
    done = fit_image(toy.connection, e)
    assert done.fit.accepted, done.fit.reason
    assert (done.stored, done.moved, done.changed, done.catalog) == (True, 150, True, GAIA)
    best_ra, best_dec, ra_raw, dec_raw = positions(toy, e)
    assert (np.array([ra_raw, dec_raw]) == raw).all()
    before = separation_arcsec(ra_raw, dec_raw, ties.ra, ties.dec)
    after = separation_arcsec(best_ra, best_dec, ties.ra, ties.dec)
    assert np.median(before) > 0.5
    assert np.median(after) == pytest.approx(0.118, rel=0.1)
    hpx29 = toy.execute("SELECT hpx29 FROM vasco.detection WHERE extraction_id = :e ORDER BY number", e=e).scalars()
    assert list(hpx29) == cells(best_ra, best_dec).tolist()
    stored = toy.execute("SELECT * FROM vasco.plate_fit").mappings().one()
    assert (stored["n_kept"], stored["sigma_arcsec"]) == (done.fit.n_kept, done.fit.sigma_arcsec)
    assert (stored["catalog"], stored["epoch_jyear"], stored["reason"]) == (GAIA, 1952.0, None)
    assert stored["coef_x"] == list(done.fit.solution.coef_x)
    # Of detections that are ties themselves none goes beyond, but for those that were clipped.
    assert stored["extrapolation_arcsec"] < 0.1
    moves = separation_arcsec(best_ra, best_dec, ra_raw, dec_raw)
    assert stored["largest_shift_arcsec"] == pytest.approx(moves.max(), abs=1e-6)


@pytest.mark.parametrize("kind", ["plate_fit", "wcsfix"])
def test_the_same_evidence_writes_nothing_a_second_time(toy, kind: Any) -> None:
    place = frame()
    e = exposed(toy, place, sky_of(place))
    rows = "SELECT ctid, xmin, xmax, md5(t::text) FROM {} AS t ORDER BY 1"
    first = fit_image(toy.connection, e, kind)
    before = [toy.execute(rows.format(table)).all() for table in ("vasco.plate_fit", "vasco.detection")]
    again = fit_image(toy.connection, e, kind)
    assert again.fit == first.fit
    assert (again.stored, again.moved, again.changed) == (False, 0, False)
    assert [toy.execute(rows.format(table)).all() for table in ("vasco.plate_fit", "vasco.detection")] == before


def test_a_refused_fit_puts_the_best_positions_back(toy) -> None:
    place = frame()
    e = exposed(toy, place, sky_of(place))
    fit_image(toy.connection, e)
    toy.execute(f"DELETE FROM ref.{GAIA} WHERE ra > 150")
    done = fit_image(toy.connection, e)
    assert (done.fit.accepted, done.stored, done.moved) == (False, True, 150)
    assert "worst part of the image" in done.fit.reason
    best_ra, best_dec, ra_raw, dec_raw = positions(toy, e)
    assert (best_ra == ra_raw).all()
    assert (best_dec == dec_raw).all()
    toy.execute(f"DELETE FROM ref.{GAIA}")
    assert fit_image(toy.connection, e).fit.reason == "0 ties to stars of known position, 10 needed"
    stored = toy.execute("SELECT catalog, n_ties, sigma_arcsec, coef_x FROM vasco.plate_fit").one()
    assert tuple(stored) == (None, 0, None, None)


def test_recorded_but_not_applied_best_positions_are_the_raw_ones(toy) -> None:
    place = frame()
    e = exposed(toy, place, sky_of(place))
    assert fit_image(toy.connection, e, apply=False).moved == 0
    assert fit_image(toy.connection, e).moved == 150
    back = fit_image(toy.connection, e, apply=False)
    assert (back.fit.accepted, back.stored, back.moved) == (True, False, 150)


def test_a_correction_that_runs_away_where_there_are_no_ties_is_refused(toy) -> None:
    place = frame()
    e = exposed(toy, place, sky_of(place))
    # Far outside of the image, as a damaged detection may be.
    toy.detections(e, [152.5], [20.0], first=151)
    done = fit_image(toy.connection, e)
    assert not done.fit.accepted
    assert done.fit.reason.startswith("a correction of ")
    assert done.moved == 0
    beyond = fit_image(toy.connection, e, parameters={"shift_max_arcsec": 1000})
    assert beyond.fit.reason.startswith("corrections go ")
    assert beyond.fit.extrapolation_arcsec == pytest.approx(beyond.fit.largest_shift_arcsec, abs=2.0)
    assert beyond.moved == 0
    assert fit_image(toy.connection, e, parameters={"shift_max_arcsec": 1000, "extrapolation_max_arcsec": 1000}).moved


def test_a_wcsfix_is_recorded_and_moves_nothing(toy) -> None:
    place = frame()
    ties = sky_of(place)
    e = exposed(toy, place, ties, flags=3, snr_win=10.0)
    done = fit_image(toy.connection, e, "wcsfix")
    assert (done.fit.accepted, done.fit.n_ties, done.moved) == (True, 150, 0)
    assert toy.execute("SELECT kind, degree, unit_deg, tangent_ra FROM vasco.plate_fit").one() == ("wcsfix", 2, 1, 150)
    assert (positions(toy, e)[:2] == positions(toy, e)[2:]).all()


@pytest.mark.parametrize("ra", [150.0, 0.0])
def test_the_positions_of_a_wcsfix_can_be_read_in_sql(toy, ra: float) -> None:
    place = frame(ra, 40.0)
    e = exposed(toy, place, sky_of(place))
    read = f"SELECT ra_corr, dec_corr FROM api.wcsfix_positions({e}) ORDER BY number"
    assert toy.execute(read).all() == []
    found = fit_image(toy.connection, e, "wcsfix").fit
    expected = np.array(found.solution.correct(*positions(toy, e)[2:])).T
    values = np.array([tuple(row) for row in toy.execute(read)])
    # A unit of the tenth decimal, where the eleventh is 5.
    assert np.abs(values - expected).max() < 1.5e-10
    assert (values == expected).mean() > 0.9
    assert ((values[:, 0] >= 0) & (values[:, 0] < 360)).all()


def test_a_wcsfix_looks_farther_for_stars_where_it_found_none(toy) -> None:
    place = frame()
    e = exposed(toy, place, scene(place, 40, distortion=lambda x, y: (9.0 + 0 * x, 0 * y)))
    found = fit_image(toy.connection, e, "wcsfix").fit
    assert (found.accepted, found.radius_arcsec, found.n_ties, found.solution.degree) == (True, 15.0, 40, 1)


def test_of_a_family_the_catalogue_with_more_ties_is_taken(toy) -> None:
    place = frame()
    ties = sky_of(place)
    e = exposed(toy, place, ties)
    toy.sources("gaia_edr3", ties.ra[:70], ties.dec[:70])
    assert fit_image(toy.connection, e).catalog == GAIA
    toy.execute(f"DELETE FROM ref.{GAIA} WHERE source_id > 50")
    done = fit_image(toy.connection, e)
    assert (done.catalog, done.fit.n_ties) == ("gaia_edr3", 70)


def test_an_image_without_detections_has_no_fit(toy) -> None:
    done = fit_image(toy.connection, image_of(toy, frame()))
    assert (done.fit.accepted, done.fit.n_eligible, done.moved) == (False, 0, 0)


@pytest.mark.parametrize(
    ("kind", "parameters"), [("plate_fit", {"sigma": 1}), ("plate_fit", {"coverage_min": 2}), ("wcsfix", {"n_min": 0})]
)
def test_a_wrong_parameter_is_named(toy, kind: Any, parameters: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{kind}, parameter {next(iter(parameters))}: "):
        fit_image(toy.connection, 1, kind, parameters)


def test_stars_beyond_the_radius_of_matching_come_within_it(toy) -> None:
    """Raw positions 4.6 arcsec off, and one detection farther than 5 arcsec from its star."""
    place = frame()
    ties = sky_of(place, noise_arcsec=0.1, distortion=lambda x, y: (4.6 + 0 * x, 0 * y))
    e = exposed(toy, place, ties)
    toy.execute("UPDATE vasco.detection SET ra_raw = ra_raw + 1.0 / 3600, ra = ra_raw + 1.0 / 3600 WHERE number = 7")
    assert toy.match(e, GAIA)["clear"] == 1
    done = fit_image(toy.connection, e)
    assert (done.fit.accepted, done.fit.n_ties, done.moved) == (True, 149, 150)
    assert done.fit.offset_arcsec == pytest.approx((-4.6, 0.0), abs=0.02)
    assert toy.match(e, GAIA)["matched"] == 150


# --- the stage and the view


def run_of(toy: ToySky, extraction_ids: list[int], **limits: Any) -> int:
    stage = StageDefinition(stage="astrometry", function="plate_fit", step=1, parameters=LIMITS | limits)
    profile = Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=(stage,))
    return [toy.judge(profile, e) for e in extraction_ids][-1]


def verdicts(toy: ToySky, run_id: int) -> dict[int, tuple[str, float | None, str | None]]:
    """The verdict of each image, which is that of each of its detections."""
    rows = toy.execute(
        "SELECT DISTINCT extraction_id, outcome, value, reason FROM vasco.verdict WHERE run_id = :r", r=run_id
    ).all()
    assert len({row[0] for row in rows}) == len(rows)
    return {e: (outcome, value, reason) for e, outcome, value, reason in rows}


def test_a_detection_passes_where_its_image_was_compared_with_stars_and_found_good(toy) -> None:
    place = frame()
    good = exposed(toy, place, sky_of(place))
    fit_image(toy.connection, good)
    refused = exposed_elsewhere(toy)
    fit_image(toy.connection, refused)
    never = exposed_elsewhere(toy)
    found = verdicts(toy, run_of(toy, [good, refused, never]))
    sigma = toy.scalar("SELECT sigma_arcsec FROM vasco.plate_fit WHERE extraction_id = :e", e=good)
    assert found == {
        good: ("pass", sigma, None),
        refused: ("unknown", None, "0 ties to stars of known position, 10 needed"),
        never: ("unknown", None, "no plate_fit was made of the image"),
    }
    # The kind that is asked for counts.
    found = verdicts(toy, run_of(toy, [good], kind="wcsfix"))
    assert found[good] == ("unknown", None, "no wcsfix was made of the image")


def exposed_elsewhere(toy: ToySky) -> int:
    """An image where no star is known, with one detection."""
    e = image_of(toy, frame(10.0, -30.0))
    toy.detections(e, [10.0], [-30.0])
    return e


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        ({"sigma_max_arcsec": 0.05}, "residuals of 0.09 arcsec, not up to 0.05"),
        ({"worst_max_arcsec": 0.05}, "arcsec in the worst part of the image, not up to 0.05"),
        ({"n_min": 1000}, "ties, not at least 1000"),
        ({"coverage_min": 1.1}, "ties in 1.00 of the image, not in 1.1"),
        ({"sigma_max_arcsec": None}, "residuals of"),
        ({"worst_max_arcsec": None}, "worst part"),
        ({"n_min": None}, "ties, not at least"),
        ({"coverage_min": None}, "of the image, not in"),
    ],
)
def test_beyond_a_limit_of_the_stage_or_without_one_nothing_is_known(toy, limits, word: str) -> None:
    place = frame()
    e = exposed(toy, place, sky_of(place))
    fit_image(toy.connection, e)
    outcome, _, reason = verdicts(toy, run_of(toy, [e], **limits))[e]
    assert outcome == "unknown"
    assert word in str(reason)


def test_a_wcsfix_with_large_residuals_is_unknown_to_the_stage(toy) -> None:
    place = frame()
    e = exposed(toy, place, sky_of(place, noise_arcsec=1.5))
    assert fit_image(toy.connection, e, "wcsfix").fit.accepted
    outcome, _, reason = verdicts(toy, run_of(toy, [e], kind="wcsfix"))[e]
    assert outcome == "unknown"
    assert "in the worst part of the image" in str(reason)


def test_judged_for_one_image_or_for_all_the_verdicts_are_the_same(toy) -> None:
    place = frame()
    good = exposed(toy, place, scene(place, 60))
    fit_image(toy.connection, good)
    other = exposed_elsewhere(toy)
    run_id = run_of(toy, [good, other])
    params = "(SELECT parameters FROM vasco.run_stage LIMIT 1)"
    judged = "SELECT * FROM stage.plate_fit({}, 'astrometry', {}, {}) ORDER BY 1, 2"
    everything = toy.execute(judged.format(run_id, params, "NULL")).all()
    one = toy.execute(judged.format(run_id, params, f"'{{{good}}}'")).all()
    assert one == [row for row in everything if row[0] == good]
    assert len(everything) == 61


def test_the_view_lists_the_worst_image_first(toy) -> None:
    for ra, noise in ((20.0, 0.1), (40.0, 0.6), (60.0, 0.3)):
        place = frame(ra)
        ties = sky_of(place, noise_arcsec=noise)
        e = image_of(toy, place)
        toy.detections(e, ties.ra_raw, ties.dec_raw, xwin_image=ties.x, ywin_image=ties.y)
        toy.sources(GAIA, ties.ra, ties.dec, source_id=range(1000 * e, 1000 * e + 150))
        fit_image(toy.connection, e)
    fit_image(toy.connection, exposed_elsewhere(toy))
    rows = toy.execute("SELECT tile_id, accepted, worst_cell_arcsec FROM api.plate_fits").all()
    assert [row[0] for row in rows] == ["tile_4", "tile_2", "tile_3", "tile_1"]
    assert [row[1] for row in rows] == [False, True, True, True]
    assert rows[1][2] > rows[2][2] > rows[3][2]


# --- what the table refuses


@pytest.mark.parametrize(
    "change",
    [
        "sigma_arcsec = NULL", "catalog = NULL", "coverage = NULL", "n_kept = 0", "coef_x = NULL", "degree = 2",
        "worst_cell_arcsec = 'NaN'", "sigma_arcsec = 'Infinity'", "largest_shift_arcsec = 'NaN'",
        "extrapolation_arcsec = NULL", "coverage = 1.1",
        "coverage = 'NaN'", "coef_y[2] = 'NaN'", "coef_y[2] = NULL", "accepted = false", "n_ties = n_kept - 1",
        "kind = 'other'",
    ],
)  # fmt: skip
def test_an_accepted_fit_has_all_of_its_numbers_and_a_refused_one_its_reason(toy, change: str) -> None:
    place = frame()
    e = exposed(toy, place, scene(place, 120))
    assert fit_image(toy.connection, e).fit.accepted
    with pytest.raises(IntegrityError, match="check constraint"), toy.connection.begin_nested():
        toy.execute(f"UPDATE vasco.plate_fit SET {change}")


def test_a_catalogue_that_there_is_not_cannot_be_tied_to(toy) -> None:
    with pytest.raises(DBAPIError, match="does not exist"), toy.connection.begin_nested():
        toy.execute("SELECT * FROM stage.tie_points(:e, 'no_such', 5.0)", e=image_of(toy, frame()))
