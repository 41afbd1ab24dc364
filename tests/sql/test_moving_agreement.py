"""Two sources of moving objects: together they turn away, and where they contradict each other nobody knows."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError
from toysky import ToySky

from vascodb.pipeline.runs import ensure_run
from vascodb.profiles import Profile, StageDefinition, load_profile

ARCSEC = 1 / 3600
NAMES = {"skybot": "skybot", "asteroids": "asteroids_offline"}
KORONIS = {"number": 158, "name": "Koronis", "mag": 14.0}

Body = Mapping[str, Any]


def at(east_arcsec: float, body: Body = KORONIS, **columns: Any) -> dict[str, Any]:
    """A body that far east of the detection, which is at 10 deg on the equator."""
    return {"ra": (10 + east_arcsec * ARCSEC) % 360, "dec": 0.0, **body, **columns}


@pytest.fixture
def sky(toy: ToySky) -> ToySky:
    """One detection at 10 deg on the equator, on an image that was exposed for an hour."""
    toy.extraction_id = toy.extraction(10.0, 0.0)
    toy.execute("UPDATE plate.image SET exposure_minutes = 60")
    toy.detections(toy.extraction_id, [10.0], [0.0])
    return toy


def skybot(toy: ToySky, *bodies: Body, radius_deg: float = 0.5, **columns: Any) -> int:
    return toy.moving_look("skybot", toy.extraction_id, 10.0, 0.0, radius_deg, bodies, **columns)


def offline(
    toy: ToySky, *bodies: Body, numbers: str = "{[1,1000)}", names: tuple[str, ...] = (), radius_deg: float = 0.5
) -> int:
    """What was predicted from a file that has the bodies of some numbers and names."""
    file_id = toy.service_lookup("asteroids_offline", "file")
    lookup_id = toy.moving_look("asteroids_offline", toy.extraction_id, 10.0, 0.0, radius_deg, bodies)
    for identity, parameters in (
        (file_id, {"numbers": numbers, "designations": list(names)}), (lookup_id, {"bodies_lookup_id": file_id}),
    ):  # fmt: skip
        toy.execute(
            "UPDATE ref.lookup SET kind = 'file', parameters = CAST(:p AS jsonb) WHERE lookup_id = :i",
            p=json.dumps(parameters), i=identity,
        )  # fmt: skip
    return lookup_id


def profile() -> Profile:
    """The two stages as the default profile has them."""
    stages = [s for s in load_profile("default").stages if s.stage in ("skybot", "asteroids")]
    return Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=tuple(stages))


def verdicts(toy: ToySky) -> dict[str, tuple[str, str | None]]:
    """Outcome and reason by stage."""
    run_id = toy.judge(profile(), toy.extraction_id)
    rows = toy.execute("SELECT stage, outcome, reason FROM vasco.verdict WHERE run_id = :r AND number = 1", r=run_id)
    return {row.stage: (row.outcome, row.reason) for row in rows}


def outcomes(toy: ToySky) -> tuple[str, str]:
    """Of the stages skybot and asteroids."""
    found = verdicts(toy)
    return found["skybot"][0], found["asteroids"][0]


def agreement(toy: ToySky) -> list[tuple[str, str, float | None]]:
    rows = toy.execute("SELECT name, state, apart_arcsec FROM api.moving_agreement ORDER BY name, state")
    return [(r.name, r.state, r.apart_arcsec and round(r.apart_arcsec, 3)) for r in rows]


def test_what_both_predict_there_is_turned_away_and_it_is_said_that_they_agree(sky: ToySky) -> None:
    skybot(sky, at(1.0))
    offline(sky, at(1.5))
    assert verdicts(sky) == {
        "skybot": ("fail", "Koronis was predicted to pass at 1.000 arcsec; asteroids has it 0.500 arcsec from there"),
        "asteroids": ("fail", "Koronis was predicted to pass at 1.500 arcsec; skybot has it 0.500 arcsec from there"),
    }
    assert agreement(sky) == [("Koronis", "agree", 0.5)]


@pytest.mark.parametrize("names", list(NAMES))
def test_where_one_has_it_and_the_other_has_it_elsewhere_nobody_knows(sky: ToySky, names: str) -> None:
    here, there = [at(1.0)], [at(80.0)]
    skybot(sky, *(here if names == "skybot" else there))
    offline(sky, *(here if names == "asteroids" else there))
    other = "asteroids" if names == "skybot" else "skybot"
    found = verdicts(sky)
    assert found[names] == (
        "unknown",
        f"Koronis was predicted to pass at 1.000 arcsec (by {names} at 10.00028 +0.00000); "
        f"{other} has it at 10.02222 +0.00000, 79.000 arcsec from there",
    )
    assert found[other] == ("pass", None)
    assert agreement(sky) == [("Koronis", "apart", 79.0)]
    # Neither an asteroid nor a candidate.
    assert sky.scalar("SELECT count(*) FROM api.candidates") == 0
    assert sky.scalar("SELECT n_unknown FROM vasco.run_ledger WHERE stage = :s", s=names) == 1


def test_where_the_file_knows_it_and_has_it_nowhere_near_nobody_knows(sky: ToySky) -> None:
    skybot(sky, at(1.0))
    offline(sky)
    found = verdicts(sky)
    assert found["skybot"][0] == "unknown"
    assert (found["skybot"][1] or "").endswith("; asteroids knows it and has it nowhere near")
    assert agreement(sky) == [("Koronis", "missing", None)]


def test_where_skybot_should_know_it_and_has_it_nowhere_near_nobody_knows(sky: ToySky) -> None:
    skybot(sky)
    offline(sky, at(1.0))
    found = verdicts(sky)
    assert (found["skybot"], found["asteroids"][0]) == (("pass", None), "unknown")
    assert (found["asteroids"][1] or "").endswith("; skybot knows it and has it nowhere near")
    assert agreement(sky) == [("Koronis", "missing", None)]


@pytest.mark.parametrize(
    ("body", "has_a_say"),
    [
        ({"number": 999, "name": "Zachia", "mag": 16.0}, True),
        ({"number": 1000, "name": "Piazzia", "mag": 16.0}, False),
        ({"name": "2021 XD7", "mag": 20.0}, True), ({"name": "2021 XD8", "mag": 20.0}, False),
        ({"number": 499_999, "name": "2021 XD7", "mag": 20.0}, True), ({"name": "Mars", "mag": 0.0}, False),
    ],
)  # fmt: skip
def test_a_file_has_no_say_about_bodies_that_it_does_not_know(sky: ToySky, body: Body, has_a_say: bool) -> None:
    skybot(sky, at(1.0, body))
    offline(sky, names=("2021 XD7",))
    assert outcomes(sky) == ("unknown" if has_a_say else "fail", "pass")
    assert agreement(sky) == [(body["name"], "missing" if has_a_say else "not known", None)]


@pytest.mark.parametrize(
    ("body", "has_a_say"),
    [
        ({"number": 158, "mag": 22.0}, True), ({"number": 158, "mag": 22.1}, False), ({"number": 158}, False),
        ({"mag": 18.0}, False),
    ],
)  # fmt: skip
def test_skybot_has_no_say_about_bodies_too_faint_for_it_or_without_a_number(sky, body, has_a_say) -> None:
    skybot(sky)
    offline(sky, at(1.0, {"name": "toy", **body}))
    assert outcomes(sky) == ("pass", "unknown" if has_a_say else "fail")
    assert agreement(sky) == [("toy", "missing" if has_a_say else "not known", None)]


def test_predictions_without_a_list_of_the_files_bodies_contradict_nobody(sky: ToySky) -> None:
    skybot(sky, at(1.0))
    lookup_id = offline(sky)
    sky.execute("UPDATE ref.lookup SET parameters = '{}' WHERE lookup_id = :i", i=lookup_id)
    assert outcomes(sky) == ("fail", "pass")


def test_a_failed_look_up_of_one_leaves_the_word_to_the_other(sky: ToySky) -> None:
    skybot(sky, complete=False)
    offline(sky, at(1.0))
    assert verdicts(sky) == {
        "skybot": ("unknown", "timeout: no answer in 60 s"),
        "asteroids": ("fail", "Koronis was predicted to pass at 1.000 arcsec; asking skybot failed"),
    }
    assert agreement(sky) == [("Koronis", "failed", None)]


@pytest.mark.parametrize("names", list(NAMES))
def test_if_only_one_was_asked_its_word_counts(sky: ToySky, names: str) -> None:
    (skybot if names == "skybot" else offline)(sky, at(1.0))
    other = "asteroids" if names == "skybot" else "skybot"
    assert verdicts(sky) == {
        names: ("fail", f"Koronis was predicted to pass at 1.000 arcsec; {other} was not asked"),
        other: ("not_covered", f"no complete {other} look-up for the image covers 35 arcsec about the position"),
    }
    assert agreement(sky) == [("Koronis", "not asked", None)]


def test_if_nobody_was_asked_nothing_is_known(sky: ToySky) -> None:
    assert outcomes(sky) == ("not_covered", "not_covered")
    assert agreement(sky) == []


def test_what_lies_beyond_the_others_look_up_is_not_contradicted_by_it(sky: ToySky) -> None:
    skybot(sky, at(1.0))
    # Five arcsec of the rim are searched for the body.
    offline(sky, radius_deg=5.9 * ARCSEC)
    assert outcomes(sky)[0] == "fail"
    offline(sky, radius_deg=6.1 * ARCSEC)
    # The middle of the cone is one arcsec from the body.
    assert outcomes(sky)[0] == "unknown"


def test_without_a_time_that_can_be_trusted_neither_counts(sky: ToySky) -> None:
    skybot(sky, at(1.0))
    offline(sky, at(80.0))
    sky.execute(
        "INSERT INTO plate.exposure_time (plate_id, source, reading, time_quality, evidence) "
        "VALUES ('XE001', 'solution', 'corrected', 'conflicting', 'they disagree')"
    )
    reason = "the time of the exposure is conflicting: they disagree"
    assert verdicts(sky) == {"skybot": ("unknown", reason), "asteroids": ("unknown", reason)}
    assert agreement(sky) == []


@pytest.mark.parametrize("change", ["epoch_jd = epoch_jd + 1", "observer = '500'"])
def test_predictions_for_another_time_or_place_are_not_compared(sky: ToySky, change: str) -> None:
    skybot(sky, at(1.0))
    offline(sky, at(900.0))
    assert outcomes(sky)[0] == "unknown"
    sky.execute(f"UPDATE ref.moving_look SET {change} WHERE catalog = 'asteroids_offline'")
    assert outcomes(sky)[0] == "fail"
    assert agreement(sky) == [("Koronis", "not asked", None)] * 2


@pytest.mark.parametrize(
    ("apart", "errors", "expected"),
    [
        (4.9, (None, None), "agree"), (5.1, (None, None), "apart"), (10.9, (2.0, None), "agree"),
        (11.1, (2.0, None), "apart"), (19.9, (3.0, 4.0), "agree"), (20.1, (3.0, 4.0), "apart"),
        (34.9, (50.0, 0.0), "agree"), (35.1, (50.0, 0.0), "apart"),
    ],
)  # fmt: skip
def test_they_agree_within_five_arcsec_and_three_times_their_uncertainties(sky, apart, errors, expected) -> None:
    skybot(sky, at(0.0, error_arcsec=errors[0]))
    offline(sky, at(apart, error_arcsec=errors[1]))
    assert agreement(sky) == [("Koronis", expected, apart)]


def test_they_agree_if_both_put_it_on_the_detection_from_two_sides(sky: ToySky) -> None:
    skybot(sky, at(-4.0))
    offline(sky, at(4.0))
    assert agreement(sky) == [("Koronis", "apart", 8.0)]
    assert outcomes(sky) == ("fail", "fail")


def test_another_body_that_is_not_in_dispute_turns_it_away_all_the_same(sky: ToySky) -> None:
    other = at(3.0, {"number": 2, "name": "Pallas", "mag": 9.0})
    skybot(sky, at(1.0), other)
    offline(sky, at(80.0), other)
    assert verdicts(sky)["skybot"][1] == (
        "Pallas was predicted to pass at 3.000 arcsec; asteroids has it 0.000 arcsec from there"
    )
    assert outcomes(sky) == ("fail", "fail")


@pytest.mark.parametrize(
    ("theirs", "ours", "same"),
    [
        ({"number": 24537, "name": "2001 CB35"}, {"number": 24537, "name": "Toy"}, True),
        ({"name": "2001 CB35"}, {"number": 24537, "name": "2001 cb35"}, True),
        ({"number": 24537, "name": "Toy"}, {"number": 24538, "name": "Toy"}, False),
        ({"name": "2001 CB35"}, {"name": "2001 CB36"}, False),
    ],
)
def test_bodies_are_the_same_by_number_or_else_by_name(sky: ToySky, theirs: Body, ours: Body, same: bool) -> None:
    skybot(sky, at(1.0, theirs))
    offline(sky, at(1.0, ours), numbers="{}")
    assert [state for _, state, _ in agreement(sky)] == (["agree"] if same else ["not known", "not known"])


def test_of_several_predictions_of_the_other_the_nearest_counts(sky: ToySky) -> None:
    skybot(sky, at(1.0))
    offline(sky, at(80.0))
    offline(sky, at(2.0))
    assert agreement(sky) == [("Koronis", "agree", 1.0)]
    assert outcomes(sky) == ("fail", "fail")


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.9999, -70.0), (77.0, 89.9995)])
def test_it_is_the_same_at_0h_and_at_the_pole(toy: ToySky, ra: float, dec: float) -> None:
    e = toy.extraction_id = toy.extraction(ra, dec)
    toy.detections(e, [ra], [dec])
    places = [
        toy.execute("SELECT * FROM sky.offset_position(:ra, :dec, :s, :pa)", ra=ra, dec=dec, s=s, pa=pa).one()
        for s, pa in ((2.0, 90.0), (2.0, 270.0), (60.0, 90.0))
    ]
    east, west, far = ({**KORONIS, "ra": p.ra_deg, "dec": p.dec_deg} for p in places)
    toy.moving_look("skybot", e, ra, dec, 0.5, [east])
    toy.moving_look("asteroids_offline", e, ra, dec, 0.5, [west])
    assert agreement(toy) == [("Koronis", "agree", 4.0)]
    assert outcomes(toy) == ("fail", "fail")
    toy.execute(
        "UPDATE ref.moving_object AS o SET ra = :ra, dec = :dec FROM ref.moving_look AS l "
        "WHERE l.lookup_id = o.lookup_id AND l.catalog = 'skybot'", ra=far["ra"], dec=far["dec"],
    )  # fmt: skip
    assert agreement(toy) == [("Koronis", "apart", 62.0)]
    assert outcomes(toy) == ("pass", "unknown")


def test_stages_without_another_family_to_hear_do_as_they_did(sky: ToySky) -> None:
    skybot(sky, at(1.0))
    offline(sky, at(80.0))
    stage = StageDefinition(
        stage="skybot", function="moving", step=1, parameters={"family": "skybot", "radius_arcsec": 5}
    )
    alone = Profile(name="alone", description="", extraction="seed", reference_stars=0, stages=(stage,))
    run_id = sky.judge(alone, sky.extraction_id)
    rows = sky.execute("SELECT outcome, reason FROM vasco.verdict WHERE run_id = :r", r=run_id).all()
    assert [tuple(row) for row in rows] == [("fail", "Koronis was predicted to pass at 1.000 arcsec")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"against": "skybot"}, "the family skybot cannot be heard against itself"),
        ({"against": "none"}, "no registered catalogue is of the family none"),
        ({"against": "gaia"}, "the family gaia is not of moving objects"),
        ({"against": "asteroids", "agree_arcsec": 0}, "agree_arcsec must be above 0"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(sky: ToySky, change: dict[str, Any], words: str) -> None:
    parameters = {"family": "skybot", "radius_arcsec": 5, **change}
    stage = StageDefinition(stage="skybot", function="moving", step=1, parameters=parameters)
    alone = Profile(name="alone", description="", extraction="seed", reference_stars=0, stages=(stage,))
    with pytest.raises(DBAPIError, match=words), sky.connection.begin_nested():
        run_id = ensure_run(sky.connection, alone)
        sky.judge(alone, sky.extraction_id)
        assert run_id
