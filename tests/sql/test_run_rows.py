"""Rows of runs: what stages tolerate, the marks of candidates, the ledger, and which images are stale."""

from typing import Any

import pytest
from toysky import ToySky

from vascodb.pipeline.judging import judge
from vascodb.profiles import Profile, StageDefinition


def profile_of(*stages: dict[str, Any]) -> Profile:
    return Profile(
        name="toy", description="", extraction="seed", reference_stars=0,
        stages=tuple(StageDefinition(**stage) for stage in stages),
    )  # fmt: skip


def snr(step: int = 1, minimum: float = 30, **changes: Any) -> dict[str, Any]:
    return {"stage": "snr", "step": step, "parameters": {"min": minimum}} | changes


def flags(step: int = 2, **changes: Any) -> dict[str, Any]:
    return {"stage": "flags", "step": step, "parameters": {"forbidden_bits": 255}} | changes


@pytest.fixture
def three(toy: ToySky) -> int:
    """Three detections: a good one, a faint one, and one whose signal-to-noise was not measured."""
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0, 11.0, 12.0], [0.0] * 3, snr_win=[50.0, 10.0, float("nan")])
    return extraction_id


@pytest.mark.parametrize(
    ("tolerates", "candidates"),
    [((), [1]), (("fail",), [1, 2]), (("unknown",), [1, 3]), (("fail", "unknown"), [1, 2, 3]), (("not_covered",), [1])],
)
def test_what_a_stage_tolerates_goes_on(toy: ToySky, three: int, tolerates, candidates) -> None:
    run_id = toy.judge(profile_of(snr(tolerates=tolerates), flags()), three)
    assert toy.outcomes(run_id, "snr") == {1: "pass", 2: "fail", 3: "unknown"}
    assert list(toy.outcomes(run_id, "flags")) == toy.candidates(run_id) == candidates
    left = toy.execute("SELECT remaining FROM api.funnel WHERE run_id = :r ORDER BY ordinal", r=run_id).scalars().all()
    assert left == [len(candidates)] * 2


def test_a_candidate_carries_the_marks_of_what_was_tolerated_in_order(toy: ToySky, three: int) -> None:
    toy.execute("UPDATE vasco.detection SET flags = 4 WHERE number = 3")
    run_id = toy.judge(profile_of(snr(tolerates=("fail", "unknown")), flags(tolerates=("fail",))), three)
    rows = toy.execute("SELECT number, marks FROM api.candidates WHERE run_id = :r ORDER BY 1", r=run_id).all()
    assert [tuple(row) for row in rows] == [(1, None), (2, ["snr fail"]), (3, ["snr unknown", "flags fail"])]


def test_nothing_tolerates_a_missing_verdict(toy: ToySky, three: int) -> None:
    run_id = toy.judge(profile_of(snr(tolerates=("fail", "unknown", "not_covered")), flags()), three)
    assert toy.candidates(run_id) == [1, 2, 3]
    toy.execute("DELETE FROM vasco.verdict WHERE stage = 'snr' AND number = 2")
    assert toy.candidates(run_id) == [1, 3]


def test_a_pass_cannot_be_tolerated(toy: ToySky, three: int) -> None:
    run_id = toy.judge(profile_of(snr()), three)
    with pytest.raises(Exception, match="check constraint"), toy.connection.begin_nested():
        toy.execute("UPDATE vasco.run_stage SET tolerates = '{pass}' WHERE run_id = :r", r=run_id)


def test_stages_of_one_step_all_have_to_let_it_go_on_to_the_next(toy: ToySky, three: int) -> None:
    toy.execute("UPDATE vasco.detection SET flags = 4 WHERE number = 1")
    third = {"stage": "elongation", "step": 2, "parameters": {"below": 1.3}}
    run_id = toy.judge(profile_of(snr(tolerates=("fail",)), flags(step=1), third), three)
    assert toy.outcomes(run_id, "elongation") == {2: "pass"}


def test_the_ledger_has_every_image_and_stage_also_where_nothing_was_left(toy: ToySky, three: int) -> None:
    empty = toy.extraction()
    profile = profile_of(snr(minimum=100), flags())
    run_id = toy.judge(profile, three)
    toy.judge(profile, empty)
    rows = toy.execute(
        "SELECT extraction_id, stage, n_in, n_pass, n_fail, n_unknown, n_not_covered FROM vasco.run_ledger "
        "WHERE run_id = :r ORDER BY 1, stage DESC", r=run_id,
    ).all()  # fmt: skip
    assert [tuple(row) for row in rows] == [
        (three, "snr", 3, 0, 2, 1, 0), (three, "flags", 0, 0, 0, 0, 0),
        (empty, "snr", 0, 0, 0, 0, 0), (empty, "flags", 0, 0, 0, 0, 0),
    ]  # fmt: skip


def stale(toy: ToySky, run_id: int) -> list[int]:
    rows = toy.execute("SELECT extraction_id FROM stage.stale_images(:r) ORDER BY 1", r=run_id)
    return list(rows.scalars())


def test_an_image_is_stale_until_every_stage_has_judged_it(toy: ToySky, three: int) -> None:
    profile = profile_of(snr(), flags())
    run_id = toy.judge(profile, three)
    assert stale(toy, run_id) == []
    new = toy.extraction()
    toy.execute("INSERT INTO vasco.run_image VALUES (:r, :e)", r=run_id, e=new)
    assert stale(toy, run_id) == [new]
    toy.execute("SELECT * FROM stage.apply(:r, 'snr')", r=run_id)
    assert stale(toy, run_id) == [new]
    toy.execute("SELECT * FROM stage.apply(:r, 'flags')", r=run_id)
    assert stale(toy, run_id) == []


def test_a_changed_match_makes_an_image_stale_and_an_unchanged_one_does_not(toy: ToySky, three: int) -> None:
    toy.lookup("gaia_dr3")
    toy.match(three, "gaia_dr3")
    profile = profile_of({"stage": "gaia", "function": "veto", "step": 1, "parameters": {"family": "gaia"}})
    run_id = toy.judge(profile, three)
    toy.match(three, "gaia_dr3")
    assert stale(toy, run_id) == []
    toy.sources("gaia_dr3", [10.0], [0.0])
    toy.match(three, "gaia_dr3")
    assert stale(toy, run_id) == [three]
    judge(toy.connection, run_id, three)
    assert stale(toy, run_id) == []


def test_changed_sql_of_a_stage_makes_all_its_images_stale(toy: ToySky, three: int) -> None:
    run_id = toy.judge(profile_of(snr()), three)
    toy.execute("UPDATE meta.sql_object SET sha256 = 'new' WHERE path = 'stages/snr.sql'")
    assert stale(toy, run_id) == [three]


def test_the_fate_of_a_detection_is_the_first_stage_that_stopped_it(toy: ToySky, three: int) -> None:
    toy.execute("UPDATE vasco.detection SET flags = 4 WHERE number IN (1, 3)")
    run_id = toy.judge(profile_of(snr(tolerates=("unknown",)), flags()), three)
    rows = toy.execute("SELECT * FROM api.fates WHERE run_id = :r ORDER BY number", r=run_id).all()
    assert [(row.number, row.is_candidate, row.stage, row.outcome) for row in rows] == [
        (1, False, "flags", "fail"), (2, False, "snr", "fail"), (3, False, "flags", "fail"),
    ]  # fmt: skip
    assert rows[1].reason == "SNR_WIN = 10, not above 30"
    assert [row.marks for row in rows] == [None, None, ["snr unknown"]]


def test_the_difference_of_two_runs_is_every_other_fate_with_its_reasons(toy: ToySky, three: int) -> None:
    toy.judge(profile_of(snr(), flags()), three)
    toy.judge(profile_of(snr(minimum=5), flags()).model_copy(update={"name": "other"}), three)
    rows = toy.execute("SELECT * FROM api.run_diff('toy', 'other')").all()
    assert [(r.number, r.candidate_before, r.stage_before, r.candidate_after, r.stage_after) for r in rows] == [
        (2, False, "snr", True, None)
    ]
    assert rows[0].reason_before == "SNR_WIN = 10, not above 30"
    assert toy.execute("SELECT * FROM api.run_diff('toy', 'toy')").all() == []


def test_an_image_that_only_one_run_judged_is_in_their_difference(toy: ToySky, three: int) -> None:
    toy.judge(profile_of(snr()), three)
    toy.judge(profile_of(snr()).model_copy(update={"name": "other"}), toy.extraction())
    rows = toy.execute("SELECT * FROM api.run_diff('toy', 'other')").all()
    assert [(r.number, r.candidate_before, r.candidate_after) for r in rows] == [
        (1, True, None), (2, False, None), (3, False, None)
    ]  # fmt: skip
