"""Stages that stand on look-ups: who is known, who is missed, and what nobody can tell."""

from typing import Any

import numpy as np
import pytest
from onestage import ARCSEC, QUALITY, one_stage, outcomes, red_blue, refuses, verdicts
from toysky import ToySky

from vascodb.pipeline.runs import ensure_run
from vascodb.profiles import Profile


@pytest.fixture
def asked(toy: ToySky, cone_moc) -> ToySky:
    """Five detections: two with a source of `scans` near, one without, one where it failed, one where nobody asked."""
    toy.catalog("scans", "scans")
    toy.extraction_id = toy.extraction(10.0, 0.0, radius_deg=1.5)
    toy.detections(toy.extraction_id, [10.0, 10.1, 10.2, 10.8, 11.3], [0.0] * 5)
    toy.sources("scans", [10.0, 10.1], [4.9 * ARCSEC, 5.1 * ARCSEC])
    toy.lookup("scans", cone_moc(10.0, 0.0, 0.5))
    toy.gap("scans", cone_moc(10.8, 0.0, 0.2))
    toy.match(toy.extraction_id, "scans")
    return toy


# keep_match


def test_only_what_the_catalogue_knows_is_kept(asked: ToySky) -> None:
    rows = verdicts(asked, one_stage("keep_match", family="scans"), asked.extraction_id)
    assert [row.outcome for row in rows] == ["pass", "fail", "fail", "unknown", "not_covered"]
    assert rows[0].value == pytest.approx(4.9, abs=1e-6)
    assert rows[2].value is None
    # What is turned away is turned away on the word of a complete look-up.
    complete = asked.scalar("SELECT lookup_id FROM ref.lookup WHERE complete AND kind = 'file'")
    assert [row.lookup_id for row in rows] == [None, complete, complete, None, None]
    assert rows[2].reason == "no scans source, where a complete look-up covers the position"
    assert rows[3].reason == "timeout: no answer in 60 s"
    assert rows[4].reason == "no complete scans look-up covers the position"


def test_nobody_is_turned_away_where_nobody_was_asked(toy: ToySky) -> None:
    toy.catalog("scans", "scans")
    e = toy.extraction()
    toy.detections(e, [150.0, 150.1], [20.0] * 2)
    assert outcomes(toy, one_stage("keep_match", family="scans"), e) == ["not_covered"] * 2


def test_outside_its_survey_a_catalogue_keeps_and_turns_away_nobody(toy: ToySky) -> None:
    toy.catalog("south", "scans", dec_max=0.0)
    toy.lookup("south")
    e = toy.extraction(10.0, 0.0)
    toy.detections(e, [10.0, 10.0], [0.1, -0.1])
    toy.match(e, "south")
    rows = verdicts(toy, one_stage("keep_match", family="scans"), e)
    assert [(row.outcome, row.reason) for row in rows] == [
        ("not_covered", "south: outside the survey"),
        ("fail", "no south source, where a complete look-up covers the position"),
    ]


def test_keeping_is_the_reverse_of_the_veto(asked: ToySky) -> None:
    kept = outcomes(asked, one_stage("keep_match", family="scans"), asked.extraction_id)
    vetoed = outcomes(asked, one_stage("veto", family="scans"), asked.extraction_id)
    reverse = {"pass": "fail", "fail": "pass", "unknown": "unknown", "not_covered": "not_covered"}
    assert [reverse[outcome] for outcome in kept] == vetoed


# veto_at


def at(radius_arcsec: float, epoch: str, family: str = "stars") -> Profile:
    return one_stage("veto_at", family=family, radius_arcsec=radius_arcsec, epoch=epoch)


@pytest.fixture
def stars(toy: ToySky) -> ToySky:
    """A catalogue with motions, epoch 2016, over a plate of 1952: a rim of 60 arcsec, matches within 5."""
    toy.catalog("stars", "stars", has_pm=True, epoch_jyear=2016.0)
    toy.extraction_id = toy.extraction(10.0, 0.0, epoch_jyear=1952.0)
    return toy


def test_a_star_that_moved_is_found_at_the_plates_epoch_or_where_the_catalogue_has_it(stars: ToySky) -> None:
    # 64 years at 500 mas/yr are 32 arcsec.
    stars.detections(stars.extraction_id, [10.0, 10.0], [0.0, 32 * ARCSEC])
    stars.sources("stars", [10.0], [32 * ARCSEC], [0.0], [500.0])
    stars.lookup("stars")
    assert outcomes(stars, at(5, "plate"), stars.extraction_id) == ["fail", "pass"]
    rows = verdicts(stars, at(5, "catalog"), stars.extraction_id)
    assert [row.outcome for row in rows] == ["pass", "fail"]
    assert rows[1].reason == "stars source at 0.000 arcsec, where the catalogue has it"
    assert rows[0].lookup_id == stars.scalar("SELECT lookup_id FROM ref.lookup")


@pytest.mark.parametrize(
    ("radius", "epoch", "expected"),
    [
        (1, "plate", ["pass", "pass", "pass"]), (4, "plate", ["fail", "pass", "pass"]),
        (5, "catalog", ["fail", "pass", "pass"]), (20, "catalog", ["fail", "fail", "pass"]),
        (60, "catalog", ["fail", "fail", "fail"]),
    ],
)  # fmt: skip
def test_the_radius_is_the_stages_own(stars: ToySky, radius: float, epoch: str, expected: list[str]) -> None:
    stars.detections(stars.extraction_id, [10.0, 10.1, 10.2], [0.0] * 3)
    stars.sources("stars", [10.0, 10.1, 10.2], [3 * ARCSEC, 15 * ARCSEC, 55 * ARCSEC])
    stars.lookup("stars")
    assert outcomes(stars, at(radius, epoch), stars.extraction_id) == expected


def test_a_separation_that_is_the_radius_is_a_match(stars: ToySky) -> None:
    stars.detections(stars.extraction_id, [10.0], [0.0])
    stars.sources("stars", [10.0], [2 * ARCSEC])
    stars.lookup("stars")
    value = verdicts(stars, at(5, "catalog"), stars.extraction_id)[0].value
    assert outcomes(stars, at(value, "plate"), stars.extraction_id) == ["fail"]
    assert outcomes(stars, at(np.nextafter(value, 0), "plate"), stars.extraction_id) == ["pass"]


@pytest.mark.parametrize(
    ("radius", "epoch", "family"), [(5.001, "plate", "stars"), (60.001, "catalog", "stars"), (6.001, "plate", "fixed")]
)
def test_a_radius_that_look_ups_do_not_vouch_for_is_refused(stars: ToySky, radius, epoch, family) -> None:
    stars.catalog("fixed", "fixed", coverage_margin_arcsec=6.0)
    stars.detections(stars.extraction_id, [10.0], [0.0])
    stars.lookup("stars")
    stars.lookup("fixed")
    words = f"radius {radius} arcsec .* look-ups of {family} vouch"
    refuses(stars, at(radius, epoch, family), stars.extraction_id, words)
    assert outcomes(stars, at(radius - 0.001, epoch, family), stars.extraction_id) == ["pass"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"family": "none", "radius_arcsec": 5, "epoch": "plate"}, "no registered catalogue is of the family none"),
        ({"family": "skybot", "radius_arcsec": 5, "epoch": "plate"}, "the family skybot is of moving objects"),
        ({"family": "stars", "radius_arcsec": 5, "epoch": "J2000"}, "epoch is J2000"),
        ({"family": "stars", "radius_arcsec": 5}, "epoch is null"),
        ({"family": "stars", "radius_arcsec": 0, "epoch": "plate"}, "radius 0"),
        ({"family": "stars", "epoch": "plate"}, "radius null"),
        ({"radius_arcsec": 5, "epoch": "plate"}, "family null"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(stars: ToySky, parameters: dict[str, Any], words: str) -> None:
    stars.detections(stars.extraction_id, [10.0], [0.0])
    refuses(stars, one_stage("veto_at", **parameters), stars.extraction_id, words)


@pytest.mark.parametrize("epoch", ["plate", "catalog"])
def test_it_passes_only_where_a_complete_look_up_covers(asked: ToySky, epoch: str) -> None:
    rows = verdicts(asked, at(5, epoch, "scans"), asked.extraction_id)
    assert [row.outcome for row in rows] == ["fail", "pass", "pass", "unknown", "not_covered"]
    vetoed = verdicts(asked, one_stage("veto", family="scans"), asked.extraction_id)
    assert [(row.outcome, row.lookup_id) for row in rows] == [(row.outcome, row.lookup_id) for row in vetoed]
    assert rows[3].reason == vetoed[3].reason
    assert rows[4].reason == vetoed[4].reason


def test_of_a_family_any_counterpart_counts_and_any_coverage(toy: ToySky, cone_moc) -> None:
    for name in ("first", "second"):
        toy.catalog(name, "pair", dec_min=-0.5)
    e = toy.extraction(10.0, 0.0)
    toy.detections(e, [10.0, 10.1, 10.2, 10.3], [0.0, 0.0, 0.0, -0.6])
    toy.sources("second", [10.0], [1 * ARCSEC])
    toy.lookup("first", cone_moc(10.0, 0.0, 0.15))
    toy.gap("second")
    rows = verdicts(toy, at(5, "plate", "pair"), e)
    assert [row.outcome for row in rows] == ["fail", "pass", "unknown", "not_covered"]
    assert rows[3].reason == "first: outside the survey"


# ps1_southern_cut


def test_the_south_is_cut_and_the_rest_vetoed(toy: ToySky) -> None:
    toy.catalog("pan", "pan", dec_min=-0.5)
    toy.lookup("pan")
    e = toy.extraction(10.0, 0.0)
    toy.detections(e, [10.0] * 4, [0.1, 0.0, -0.1, -0.6])
    toy.sources("pan", [10.0], [0.1])
    toy.match(e, "pan")
    rows = verdicts(toy, one_stage("ps1_southern_cut", family="pan", dec_from=0), e)
    assert [row.outcome for row in rows] == ["fail", "pass", "fail", "fail"]
    assert [row.reason for row in rows] == [
        "pan source at 0.000 arcsec", None, "declination -0.10000, not from 0", "declination -0.60000, not from 0"
    ]  # fmt: skip
    assert [row.value for row in rows] == [pytest.approx(0, abs=1e-9), None, None, None]
    # Without a cut in its way the south is what it is: not covered.
    assert outcomes(toy, one_stage("ps1_southern_cut", family="pan", dec_from=-90), e)[2:] == ["pass", "not_covered"]


# moving


def passing(radius_arcsec: float = 5.0, **parameters: Any) -> Profile:
    return one_stage("moving", family="rocks", radius_arcsec=radius_arcsec, **parameters)


@pytest.fixture
def exposed(toy: ToySky) -> ToySky:
    """An image exposed for an hour, and a catalogue of moving objects with a rim of 90 arcsec."""
    toy.catalog("rocks", "rocks", moving=True, coverage_margin_arcsec=90.0)
    toy.extraction_id = toy.extraction(10.0, 0.0)
    toy.execute("UPDATE plate.image SET exposure_minutes = 60")
    return toy


ROCK = {"ra": 10.0, "dec": 0.0, "rate_ra_arcsec_h": 30.0, "error_arcsec": 3.0}


@pytest.mark.parametrize(
    ("parameters", "reach"),
    [
        ({}, 5.0), ({"radius_arcsec": 60.0}, 60.0), ({"error_sigmas": 3, "error_max_arcsec": 20}, 14.0),
        ({"error_sigmas": 3, "error_max_arcsec": 4}, 9.0), ({"error_sigmas": 3}, 5.0), ({"error_max_arcsec": 20}, 5.0),
    ],
)  # fmt: skip
def test_the_search_is_about_the_trail_and_as_wide_as_told(exposed: ToySky, parameters, reach) -> None:
    # Half the trail is 15 arcsec to the east and to the west.
    inside, outside = reach - 0.01, reach + 0.01
    ra = [10 + (15 + inside) * ARCSEC, 10 + (15 + outside) * ARCSEC, 10.0, 10.0]
    exposed.detections(exposed.extraction_id, ra, [0.0, 0.0, inside * ARCSEC, outside * ARCSEC])
    exposed.moving_look("rocks", exposed.extraction_id, 10.0, 0.0, 0.5, [ROCK])
    rows = verdicts(exposed, passing(**parameters), exposed.extraction_id)
    assert [row.outcome for row in rows] == ["fail", "pass", "fail", "pass"]
    assert rows[0].value == pytest.approx(inside, abs=1e-4)
    assert rows[0].reason == f"object 1 was predicted to pass at {rows[0].value:.3f} arcsec"
    assert rows[1].lookup_id == exposed.scalar("SELECT lookup_id FROM ref.moving_look")


def test_an_object_without_an_uncertainty_is_where_it_was_predicted(exposed: ToySky) -> None:
    exposed.detections(exposed.extraction_id, [10.0, 10.0], [4.9 * ARCSEC, 5.1 * ARCSEC])
    exposed.moving_look("rocks", exposed.extraction_id, 10.0, 0.0, 0.5, [{"ra": 10.0, "dec": 0.0}])
    profile = passing(error_sigmas=3, error_max_arcsec=60)
    assert outcomes(exposed, profile, exposed.extraction_id) == ["fail", "pass"]


@pytest.mark.parametrize(("radius", "error_max", "rim"), [(5, 0, 90), (3, 0, 90), (60, 0, 145), (5, 20, 110)])
def test_who_searches_farther_has_less_of_a_look_up(exposed: ToySky, radius, error_max, rim) -> None:
    edge = 0.5 - rim * ARCSEC
    exposed.detections(exposed.extraction_id, [10.0] * 2, [edge - 0.1 * ARCSEC, edge + 0.1 * ARCSEC])
    exposed.moving_look("rocks", exposed.extraction_id, 10.0, 0.0, 0.5)
    rows = verdicts(exposed, passing(radius, error_max_arcsec=error_max), exposed.extraction_id)
    assert [row.outcome for row in rows] == ["pass", "not_covered"]
    reach = radius + error_max
    assert rows[1].reason == f"no complete rocks look-up for the image covers {reach} arcsec about the position"


def test_only_whole_look_ups_for_this_very_image_clear(exposed: ToySky) -> None:
    e = exposed.extraction_id
    exposed.detections(e, [10.0, 10.2], [0.0, 0.0])
    other = exposed.extraction(10.0, 0.0)
    exposed.lookup("rocks")
    exposed.moving_look("rocks", other, 10.0, 0.0, 0.5, [ROCK])
    assert outcomes(exposed, passing(), e) == ["not_covered"] * 2
    exposed.moving_look("rocks", e, 10.0, 0.0, 0.5, complete=False)
    rows = verdicts(exposed, passing(), e)
    assert [(row.outcome, row.reason) for row in rows] == [("unknown", "timeout: no answer in 60 s")] * 2
    exposed.moving_look("rocks", e, 10.0, 0.0, 0.1, [ROCK])
    assert outcomes(exposed, passing(), e) == ["fail", "unknown"]
    # An object found in a look-up that covers nothing is an object all the same.
    exposed.moving_look("rocks", e, 10.2, 0.0, 0.01, [{"ra": 10.2, "dec": 0.0}])
    assert outcomes(exposed, passing(), e) == ["fail", "fail"]


def test_with_the_catalogues_own_radius_it_is_the_veto(exposed: ToySky) -> None:
    rng = np.random.default_rng(8)
    e, n = exposed.extraction_id, 300
    exposed.detections(e, 10 + rng.uniform(-0.1, 0.1, n), rng.uniform(-0.1, 0.1, n))
    places = rng.uniform(-0.1, 0.1, (80, 2))
    objects = [{"ra": float(10 + x), "dec": float(y), "rate_dec_arcsec_h": 60.0} for x, y in places]
    exposed.moving_look("rocks", e, 10.0, 0.0, 0.1, objects)
    exposed.match(e, "rocks")
    moving = verdicts(exposed, passing(), e)
    vetoed = verdicts(exposed, one_stage("veto", family="rocks"), e)
    assert [(r.outcome, r.value, r.lookup_id) for r in moving] == [(r.outcome, r.value, r.lookup_id) for r in vetoed]
    assert {row.outcome for row in moving} == {"fail", "pass", "not_covered"}


@pytest.mark.parametrize(
    ("reading", "instant", "expected"),
    [
        ("literal", "start", "fail"), ("literal", "mid", "not_covered"), ("corrected", "mid", "pass"),
        ("decimal_hours", "start", "unknown"),
    ],
)  # fmt: skip
def test_look_ups_count_for_the_time_that_the_profile_goes_by(exposed: ToySky, reading, instant, expected) -> None:
    exposed.detections(exposed.extraction_id, [10.0], [0.0])
    for source, name, start in (
        ("plate header", "literal", "1951-11-28 12:12+00"), ("solution", "corrected", "1951-11-29 12:07+00")
    ):  # fmt: skip
        exposed.execute(
            """
            INSERT INTO plate.exposure_time (
                plate_id, source, reading, start_utc, mid_utc, uncertainty_minutes, time_quality, evidence
            )
            VALUES (
                'XE001', :source, :reading, :start, CAST(:start AS timestamptz) + interval '25 min', 0.5, 'single', ''
            )
            """,
            source=source, reading=name, start=start,
        )  # fmt: skip
    literally = exposed.moving_look("rocks", exposed.extraction_id, 10.0, 0.0, 0.5, [ROCK])
    truly = exposed.moving_look("rocks", exposed.extraction_id, 10.0, 0.0, 0.5)
    for lookup_id, moment in ((literally, "1951-11-28 12:12+00"), (truly, "1951-11-29 12:32+00")):
        exposed.execute(
            "UPDATE ref.moving_look SET epoch_jd = 2440587.5 + extract(epoch FROM CAST(:t AS timestamptz)) / 86400 "
            "WHERE lookup_id = :i", t=moment, i=lookup_id,
        )  # fmt: skip
    rows = verdicts(exposed, passing(reading=reading, instant=instant), exposed.extraction_id)
    assert rows[0].outcome == expected
    if expected == "unknown":
        assert rows[0].reason == "no decimal_hours time of exposure is known"


def test_a_time_that_means_nothing_is_refused(exposed: ToySky) -> None:
    exposed.detections(exposed.extraction_id, [10.0], [0.0])
    refuses(exposed, passing(reading="true"), exposed.extraction_id, "reading is literal, decimal_hours or corrected")
    refuses(exposed, passing(instant="end"), exposed.extraction_id, "instant start or mid")
    literally = passing(reading="literal", against="skybot")
    refuses(exposed, literally, exposed.extraction_id, "compared for the corrected middle of the exposure only")


def test_stars_are_no_moving_objects(exposed: ToySky) -> None:
    exposed.detections(exposed.extraction_id, [10.0], [0.0])
    profile = one_stage("moving", family="gaia", radius_arcsec=5)
    refuses(exposed, profile, exposed.extraction_id, "the family gaia is not of moving objects")
    refuses(exposed, passing(0), exposed.extraction_id, "radius_arcsec must be above 0")


# All of them


STAGES = [
    one_stage("keep_match", family="scans"), at(5, "plate", "scans"), at(5, "catalog", "scans"),
    one_stage("ps1_southern_cut", family="scans", dec_from=0), passing(), red_blue(field="any"),
]  # fmt: skip


@pytest.mark.parametrize("profile", STAGES, ids=lambda profile: profile.stages[0].function_name)
def test_images_judged_one_by_one_are_as_judged_together_and_again_the_same(toy: ToySky, cone_moc, profile) -> None:
    rng = np.random.default_rng(9)
    toy.catalog("scans", "scans")
    toy.catalog("rocks", "rocks", moving=True, coverage_margin_arcsec=90.0)
    images = [toy.extraction(10.0 + k / 5, 0.0) for k in range(3)]
    for e in images:
        toy.detections(e, 10 + e / 5 + rng.uniform(-0.3, 0.3, 40), rng.uniform(-0.3, 0.3, 40), **QUALITY)
        toy.moving_look("rocks", e, 10.0 + e / 5, 0.0, 0.2, [{"ra": 10.0 + e / 5, "dec": 0.0, "rate_ra_arcsec_h": 900}])
    toy.execute("UPDATE plate.image SET band = 'blue' WHERE image_id = :i", i=images[2])
    toy.sources("scans", 10 + rng.uniform(-0.3, 0.9, 4000), rng.uniform(-0.3, 0.3, 4000))
    toy.lookup("scans", cone_moc(10.2, 0.0, 0.3))
    toy.gap("scans", cone_moc(10.6, 0.0, 0.2))
    run_id = ensure_run(toy.connection, profile)
    for e in images:
        toy.match(e, "scans")
        toy.execute("INSERT INTO vasco.run_image VALUES (:r, :e)", r=run_id, e=e)
    apply = "SELECT count(*) FROM stage.apply(:r, 'only', CAST(:ids AS bigint[]))"
    rows = "SELECT * FROM vasco.verdict ORDER BY extraction_id, number"
    toy.scalar(apply, r=run_id, ids=None)
    together = toy.execute(rows).all()
    assert len(together) == 120
    assert len({row.outcome for row in together}) > 1
    for e in images:
        toy.scalar(apply, r=run_id, ids=[e])
    assert toy.execute(rows).all() == together
    toy.execute("DELETE FROM vasco.verdict")
    for e in images:
        toy.scalar(apply, r=run_id, ids=[e])
    assert toy.execute(rows).all() == together
