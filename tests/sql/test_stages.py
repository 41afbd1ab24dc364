"""Every gate at its edges, and what a run makes of all of them."""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from toysky import ToySky, gates_of

from vascodb.pipeline.judging import judge
from vascodb.pipeline.runs import ensure_run
from vascodb.profiles import Profile, StageDefinition

NAN = math.nan
F32 = 1e-6


def one_stage(function: str, **parameters: Any) -> Profile:
    """A profile of a single stage."""
    stage = StageDefinition(stage="only", function=function, step=1, parameters=parameters)
    return Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=(stage,))


def outcome(toy: ToySky, profile: Profile, **columns: Any) -> str:
    """What the profile's only stage says of one detection."""
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0], [10.0], **columns)
    run_id = toy.judge(profile, extraction_id)
    return toy.outcomes(run_id, "only")[1] if extraction_id == 1 else _latest(toy, run_id, extraction_id)


def _latest(toy: ToySky, run_id: int, extraction_id: int) -> str:
    return str(
        toy.scalar(
            "SELECT outcome FROM vasco.verdict WHERE run_id = :r AND extraction_id = :e", r=run_id, e=extraction_id
        )
    )


SEED_GATES = {s.stage: s for s in gates_of("vasco60").stages}


def seed_gate(name: str) -> Profile:
    """One of the seeds' gates alone."""
    return one_stage(SEED_GATES[name].function_name, **SEED_GATES[name].parameters)


@pytest.mark.parametrize(
    ("gate", "columns", "expected"),
    [
        ("flags", {"flags": 0}, "pass"),
        ("flags", {"flags": 1}, "fail"),
        ("flags", {"flags": 128}, "fail"),
        ("snr", {"snr_win": 30.0}, "fail"),
        ("snr", {"snr_win": 30.00001}, "pass"),
        ("snr", {"snr_win": NAN}, "unknown"),
        ("snr", {"snr_win": -5.0}, "fail"),
        ("spread_model", {"spread_model": -0.0019}, "pass"),
        ("spread_model", {"spread_model": -0.002}, "fail"),
        ("spread_model", {"spread_model": -0.0021}, "fail"),
        ("spread_model", {"spread_model": 1.0}, "pass"),
        ("spread_model", {"spread_model": None, "spreaderr_model": None}, "unknown"),
        ("spread_model", {"spread_model": NAN}, "unknown"),
        ("fwhm", {"fwhm_image": 2.0}, "fail"),
        ("fwhm", {"fwhm_image": 2.0 + F32}, "pass"),
        ("fwhm", {"fwhm_image": 7.0}, "fail"),
        ("fwhm", {"fwhm_image": 7.0 - F32}, "pass"),
        ("fwhm", {"fwhm_image": 0.0}, "fail"),
        ("fwhm", {"fwhm_image": NAN}, "unknown"),
        ("elongation", {"elongation": 1.29999}, "pass"),
        ("elongation", {"elongation": 1.3}, "fail"),
        ("elongation", {"elongation": 1.3001}, "fail"),
        ("elongation", {"elongation": NAN}, "unknown"),
        ("extent", {"xmin_image": 10, "xmax_image": 15, "ymin_image": 10, "ymax_image": 16}, "pass"),
        ("extent", {"xmin_image": 10, "xmax_image": 15, "ymin_image": 10, "ymax_image": 17}, "fail"),
        ("extent", {"xmin_image": 10, "xmax_image": 12, "ymin_image": 10, "ymax_image": 12}, "pass"),
        ("extent", {"xmin_image": 10, "xmax_image": 11, "ymin_image": 10, "ymax_image": 12}, "fail"),
        ("extent", {"xmin_image": 10, "xmax_image": 12, "ymin_image": 10, "ymax_image": 11}, "fail"),
    ],
)
def test_seed_thresholds_are_exclusive_and_nan_is_never_a_pass(toy: ToySky, gate, columns, expected) -> None:
    assert outcome(toy, seed_gate(gate), **columns) == expected


def test_a_threshold_that_a_float4_can_hold_is_exclusive_to_the_last_bit(toy: ToySky) -> None:
    gate = one_stage("elongation", below=1.25)
    assert outcome(toy, gate, elongation=1.25) == "fail"
    assert outcome(toy, gate, elongation=1.2499999) == "pass"


def test_flags_look_only_at_the_forbidden_bits(toy: ToySky) -> None:
    gate = one_stage("flags", forbidden_bits=252)
    assert [outcome(toy, gate, flags=f) for f in (0, 1, 2, 3, 4, 7, 8, 16, 128)] == ["pass"] * 4 + ["fail"] * 5


def test_fwhm_in_arcsec_goes_by_the_plates_own_scale(toy: ToySky) -> None:
    gate = one_stage("fwhm", unit="arcsec", above=2.5, below=5.0)
    for scale, expected in ((1.7, "fail"), (1.01, "pass"), (0.5, "fail")):
        extraction_id = toy.extraction(scale_arcsec_px=scale)
        toy.detections(extraction_id, [10.0], [10.0], fwhm_image=4.0)
        assert _latest(toy, toy.judge(gate, extraction_id), extraction_id) == expected


def test_extent_allows_a_fraction_of_the_larger_side(toy: ToySky) -> None:
    gate = one_stage("extent", delta_below=2, delta_fraction=0.25, min=1)
    box = {"xmin_image": 0, "ymin_image": 0, "xmax_image": 40}
    assert outcome(toy, gate, **box, ymax_image=30) == "pass"
    assert outcome(toy, gate, **box, ymax_image=29) == "fail"


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(snr=st.floats(width=32, allow_infinity=False), spread=st.none() | st.floats(width=32, allow_infinity=False))
def test_a_gate_passes_exactly_what_its_rule_says(connection: Connection, snr: float, spread: float | None) -> None:
    with connection.begin_nested() as savepoint:
        toy = ToySky(connection)
        got = [
            outcome(toy, one_stage("snr", min=30), snr_win=snr),
            outcome(toy, one_stage("spread_model", min=-0.002), spread_model=spread,
                    spreaderr_model=None if spread is None else 0.0),
        ]  # fmt: skip
        savepoint.rollback()

    def rule(value: float | None, limit: float) -> str:
        return "unknown" if value is None or math.isnan(value) else "pass" if value > limit else "fail"

    assert got == [rule(snr, 30), rule(spread, -0.002)]


def test_every_failure_says_the_value_and_the_rule(toy: ToySky) -> None:
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0], [10.0], snr_win=29.5)
    run_id = toy.judge(seed_gate("snr"), extraction_id)
    row = toy.execute("SELECT value, reason FROM vasco.verdict WHERE run_id = :r", r=run_id).one()
    assert row.value == 29.5
    assert row.reason == "SNR_WIN = 29.5, not above 30"


def clip(**changes: Any) -> Profile:
    """The seeds' clip of everything, in one bin."""
    parameters = SEED_GATES["mad_clip"].parameters | {"of_stages": []} | changes
    return one_stage("mad_clip", **parameters)


def clipped(toy: ToySky, profile: Profile, fwhm: list[float], elongation: Any = 1.1) -> dict[int, str]:
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10 + i / 100 for i in range(len(fwhm))], [10.0] * len(fwhm), fwhm_image=fwhm,
                   elongation=elongation)  # fmt: skip
    return toy.outcomes(toy.judge(profile, extraction_id), "only")


def test_the_clip_is_at_two_robust_sigmas_about_the_median_inclusive(toy: ToySky) -> None:
    # Median 4, MAD 1: the window is 4 +- 2.9652.
    fwhm = [2.0, 3.0, 4.0, 5.0, 6.0, 6.96, 6.97, 1.04, 1.03]
    got = clipped(toy, clip(), fwhm)
    window = toy.execute("SELECT * FROM vasco.clip_window WHERE quantity = 'fwhm_image'").one()
    assert (window.median, window.n) == (4.0, 9)
    assert window.lower == pytest.approx(4 - 2 * 1.4826 * window.mad)
    assert window.upper == pytest.approx(4 + 2 * 1.4826 * window.mad)
    inside = {i: "pass" if window.lower <= x <= window.upper else "fail" for i, x in enumerate(fwhm, start=1)}
    assert got == inside


def test_a_population_without_spread_clips_nothing(toy: ToySky) -> None:
    assert set(clipped(toy, clip(), [4.0, 4.0, 4.0, 4.0, 9.0]).values()) == {"pass"}
    row = toy.execute("SELECT mad, lower, upper FROM vasco.clip_window WHERE quantity = 'fwhm_image'").one()
    assert tuple(row) == (0.0, None, None)


def test_one_detection_is_its_own_population_and_is_not_clipped(toy: ToySky) -> None:
    assert clipped(toy, clip(), [4.0]) == {1: "pass"}


def test_a_population_below_the_smallest_clips_nothing(toy: ToySky) -> None:
    fwhm = [3.0, 4.0, 5.0, 50.0]
    assert clipped(toy, clip(min_population=5), fwhm) == dict.fromkeys(range(1, 5), "pass")
    assert toy.scalar("SELECT count(*) FROM vasco.clip_window WHERE lower IS NOT NULL") == 0


def test_an_image_without_detections_makes_no_window_and_no_verdict(toy: ToySky) -> None:
    assert clipped(toy, clip(), []) == {}
    assert toy.scalar("SELECT count(*) FROM vasco.clip_window") == 0


def test_nan_neither_enters_the_population_nor_passes(toy: ToySky) -> None:
    got = clipped(toy, clip(), [3.0, 4.0, 5.0, NAN], elongation=[1.1, 1.2, NAN, 1.3])
    assert got == {1: "pass", 2: "pass", 3: "unknown", 4: "unknown"}
    windows = toy.execute("SELECT quantity, n, median FROM vasco.clip_window ORDER BY 1").all()
    assert [(w.quantity, w.n, round(w.median, 6)) for w in windows] == [("elongation", 3, 1.2), ("fwhm_image", 3, 4.0)]


def test_the_worse_of_two_quantities_decides(toy: ToySky) -> None:
    elongation = [1.10, 1.12, 1.14, 1.16, 1.18, 1.14, 1.90]
    fwhm = [3.8, 3.9, 4.0, 4.1, 4.2, 9.0, 4.0]
    got = clipped(toy, clip(), fwhm, elongation)
    assert [number for number, o in got.items() if o == "fail"] == [6, 7]


def test_the_clips_population_is_what_the_named_stages_pass(toy: ToySky) -> None:
    profile = gates_of("vasco60")
    extraction_id = toy.extraction()
    # Without the two that FLAGS and SNR turn away the spread is small, and the last one is clipped.
    toy.detections(
        extraction_id, [10 + i / 100 for i in range(8)], [10.0] * 8, fwhm_image=[3.9, 4, 4.1, 4, 4.2, 2.1, 6.9, 5.5],
        flags=[0, 0, 0, 0, 0, 2, 0, 0], snr_win=[50, 50, 50, 50, 50, 50, 9, 50],
    )  # fmt: skip
    toy.lookup("gaia_dr3")
    toy.match(extraction_id, "gaia_dr3")
    run_id = toy.judge(profile, extraction_id)
    assert toy.scalar("SELECT n FROM vasco.clip_window WHERE quantity = 'fwhm_image'") == 6
    assert toy.outcomes(run_id, "mad_clip")[8] == "fail"
    assert toy.candidates(run_id) == [1, 2, 3, 4, 5]


def test_stars_of_like_brightness_make_the_window_and_a_veto_fault_cannot_move_it(toy: ToySky, cone_moc) -> None:
    stage = next(s for s in gates_of("default").stages if s.stage == "mad_clip")
    profile = one_stage("mad_clip", **stage.parameters | {"stars_per_bin": 20, "min_population": 10})
    extraction_id = toy.extraction()
    n = 60
    # Bright stars are wide, faint ones narrow; each bin scatters by 0.1.
    magnitudes = [-20 + i * 0.1 for i in range(n)]
    fwhm = [(12.0 if i < 20 else 8.0 if i < 40 else 4.0) + 0.1 * (i % 3 - 1) for i in range(n)]
    ra = [10 + i / 100 for i in range(n)]
    toy.detections(extraction_id, ra, [10.0] * n, mag_auto=magnitudes, fwhm_image=fwhm)
    toy.sources("gaia_dr3", ra, [10.0] * n)
    toy.detections(
        extraction_id, [20.0, 20.1, 20.2, 20.3, 20.4], [10.0] * 5, first=n + 1,
        mag_auto=[-25.0, -19.5, -15.0, -15.0, -5.0], fwhm_image=[12.0, 4.0, 12.0, 4.0, 4.0],
    )  # fmt: skip
    toy.match(extraction_id, "gaia_dr3")
    run_id = toy.judge(profile, extraction_id)
    windows = toy.execute("SELECT * FROM vasco.clip_window WHERE quantity = 'fwhm_image' ORDER BY bin").all()
    assert [(w.bin, w.n, round(w.median, 4)) for w in windows] == [(1, 20, 12.0), (2, 20, 8.0), (3, 20, 4.0)]
    assert (windows[0].mag_min, windows[-1].mag_max) == (None, None)
    assert [w.mag_max for w in windows[:-1]] == [w.mag_min for w in windows[1:]]
    got = toy.outcomes(run_id, "only")
    assert [got[number] for number in range(n + 1, n + 6)] == ["pass", "fail", "fail", "pass", "pass"]


def veto_states(toy: ToySky, cone_moc) -> tuple[int, int]:
    """Detections 1 to 4: matched, clear, unknown, not covered."""
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0, 10.1, 10.2, 20.0], [0.0] * 4)
    toy.sources("gaia_dr3", [10.0], [0.0])
    lookup_id = toy.lookup("gaia_dr3", cone_moc(10.1, 0.0, 0.05))
    toy.match(extraction_id, "gaia_dr3")
    toy.execute("UPDATE vasco.match SET state = 'unknown', reason = 'timed out' WHERE number = 3")
    return extraction_id, lookup_id


def test_the_veto_passes_only_what_a_complete_lookup_left_clear(toy: ToySky, cone_moc) -> None:
    extraction_id, lookup_id = veto_states(toy, cone_moc)
    run_id = toy.judge(gates_of("vasco60"), extraction_id)
    assert toy.outcomes(run_id, "gaia") == {1: "fail", 2: "pass", 3: "unknown", 4: "not_covered"}
    rows = toy.execute("SELECT reason, lookup_id FROM vasco.verdict WHERE stage = 'gaia' ORDER BY number").all()
    assert [row.lookup_id for row in rows] == [None, lookup_id, None, None]
    assert rows[0].reason.startswith("gaia_dr3 source at 0.000 arcsec")
    assert rows[2].reason == "timed out"
    assert rows[3].reason == "no complete gaia look-up covers the position"


def test_gates_judge_only_what_every_veto_passed(toy: ToySky, cone_moc) -> None:
    extraction_id, _ = veto_states(toy, cone_moc)
    run_id = toy.judge(gates_of("vasco60"), extraction_id)
    for gate in gates_of("vasco60").gates:
        assert toy.outcomes(run_id, gate) == {2: "pass"}
    assert toy.candidates(run_id) == [2]


def test_a_detection_without_any_match_row_is_not_covered(toy: ToySky) -> None:
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0], [0.0])
    run_id = toy.judge(gates_of("vasco60"), extraction_id)
    assert toy.outcomes(run_id, "gaia") == {1: "not_covered"}
    assert toy.candidates(run_id) == []


def test_a_missing_verdict_is_never_a_candidate(toy: ToySky) -> None:
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0, 11.0], [0.0, 0.0])
    toy.lookup("gaia_dr3")
    toy.match(extraction_id, "gaia_dr3")
    profile = gates_of("vasco60")
    run_id = toy.judge(profile, extraction_id)
    assert toy.candidates(run_id) == [1, 2]
    for stage in profile.stages:
        with toy.connection.begin_nested() as savepoint:
            toy.execute("DELETE FROM vasco.verdict WHERE stage = :s AND number = 1", s=stage.stage)
            assert toy.candidates(run_id) == [2], stage.stage
            savepoint.rollback()


def test_judging_again_writes_nothing_and_new_references_change_the_verdicts(toy: ToySky) -> None:
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0, 11.0, 12.0], [0.0] * 3, fwhm_image=[3.8, 4.0, 4.1])
    toy.lookup("gaia_dr3")
    toy.match(extraction_id, "gaia_dr3")
    profile = gates_of("vasco60")
    run_id = toy.judge(profile, extraction_id)
    assert judge(toy.connection, run_id, extraction_id) == 0
    assert toy.candidates(run_id) == [1, 2, 3]
    toy.sources("gaia_dr3", [12.0], [0.0])
    toy.match(extraction_id, "gaia_dr3")
    # One verdict of the veto changes, seven of the gates go, and the clip's values of the two others move.
    assert judge(toy.connection, run_id, extraction_id) == 1 + 7 + 2
    assert toy.outcomes(run_id, "gaia") == {1: "pass", 2: "pass", 3: "fail"}
    assert toy.outcomes(run_id, "extent") == {1: "pass", 2: "pass"}
    assert toy.scalar("SELECT n FROM vasco.clip_window WHERE quantity = 'fwhm_image'") == 2
    assert judge(toy.connection, run_id, extraction_id) == 0


def test_what_needs_measuring_is_what_a_stage_is_going_to_judge_and_the_sample(toy: ToySky, cone_moc) -> None:
    e = toy.extraction()
    toy.detections(e, [10.0, 10.1, 10.2, 10.3, 20.0], [0.0] * 5, spread_model=None, spreaderr_model=None)
    toy.sources("gaia_dr3", [10.0, 10.1], [0.0, 0.0], mag=[15, 8])
    toy.lookup("gaia_dr3", cone_moc(10.0, 0.0, 1.0))
    toy.match(e, "gaia_dr3")
    run_id = toy.judge(gates_of("vasco60"), e)
    targets = "SELECT number, purpose FROM stage.unmeasured(:r, 'spread_model', :e, :n)"
    assert [tuple(row) for row in toy.execute(targets, r=run_id, e=e, n=200)] == [
        (1, "reference"), (3, "candidate"), (4, "candidate")
    ]  # fmt: skip
    assert [row.number for row in toy.execute(targets, r=run_id, e=e, n=0)] == [3, 4]
    toy.execute("UPDATE vasco.detection SET spread_model = 0, spreaderr_model = 0 WHERE number IN (1, 3)")
    assert [tuple(row) for row in toy.execute(targets, r=run_id, e=e, n=None)] == [(4, "candidate")]


def test_when_all_of_a_population_goes_its_windows_go_too(toy: ToySky) -> None:
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0], [0.0])
    toy.lookup("gaia_dr3")
    toy.match(extraction_id, "gaia_dr3")
    run_id = toy.judge(gates_of("vasco60"), extraction_id)
    assert toy.scalar("SELECT count(*) FROM vasco.clip_window") == 2
    toy.sources("gaia_dr3", [10.0], [0.0])
    toy.match(extraction_id, "gaia_dr3")
    judge(toy.connection, run_id, extraction_id)
    assert toy.scalar("SELECT count(*) FROM vasco.clip_window") == 0
    assert toy.scalar("SELECT count(*) FROM vasco.verdict") == 1


def test_one_image_is_judged_without_touching_another(toy: ToySky) -> None:
    toy.lookup("gaia_dr3")
    profile = gates_of("vasco60")
    first, second = toy.extraction(), toy.extraction()
    for e in (first, second):
        toy.detections(e, [10.0, 11.0], [0.0, 0.0], fwhm_image=[4.0, 4.0])
        toy.match(e, "gaia_dr3")
        run_id = toy.judge(profile, e)
    toy.execute("UPDATE vasco.detection SET flags = 4")
    judge(toy.connection, run_id, first)
    rows = toy.execute(
        "SELECT extraction_id, outcome FROM vasco.verdict WHERE stage = 'flags' ORDER BY 1, number"
    ).all()
    assert [tuple(r) for r in rows] == [(first, "fail")] * 2 + [(second, "pass")] * 2
    written = sum(
        toy.scalar("SELECT coalesce(sum(n_written), 0) FROM stage.apply(:r, :s)", r=run_id, s=s.stage)
        for s in profile.stages
    )
    assert written == 2
    assert toy.candidates(run_id) == []


def test_two_profiles_stand_side_by_side(toy: ToySky) -> None:
    extraction_id = toy.extraction()
    # Blended, bright and round: only the default profile takes it.
    toy.detections(extraction_id, [10.0, 11.0], [0.0, 0.0], flags=[2, 0], snr_win=[100.0, 31.0])
    toy.lookup("gaia_dr3")
    toy.match(extraction_id, "gaia_dr3")
    seed, own = (toy.judge(gates_of(name), extraction_id) for name in ("vasco60", "default"))
    assert (toy.candidates(seed), toy.candidates(own)) == ([2], [1, 2])
    rows = toy.execute("SELECT run, src_id FROM api.candidates ORDER BY 1, 2").all()
    assert [tuple(r) for r in rows] == [("default", "tile_1:1"), ("default", "tile_1:2"), ("vasco60", "tile_1:2")]


def test_a_profile_with_other_parameters_is_another_run_with_a_name_of_its_own(toy: ToySky) -> None:
    profile = seed_gate("snr")
    changed = one_stage("snr", min=31)
    first, again, other = (ensure_run(toy.connection, p) for p in (profile, profile, changed))
    assert first == again != other
    names = toy.execute("SELECT run_id, run FROM vasco.run ORDER BY started_at, run").all()
    assert {row.run_id: row.run for row in names} == {first: "toy", other: f"toy@{other:016x}"}


def test_a_stage_that_does_not_exist_is_an_error_and_writes_nothing(toy: ToySky) -> None:
    extraction_id = toy.extraction()
    run_id = ensure_run(toy.connection, seed_gate("snr"))
    toy.execute("INSERT INTO vasco.run_image VALUES (:r, :e)", r=run_id, e=extraction_id)
    with pytest.raises(Exception, match="query returned no rows"), toy.connection.begin_nested():
        toy.execute("SELECT * FROM stage.apply(:r, 'no_such_stage')", r=run_id)
