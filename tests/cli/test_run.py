"""The verbs run and funnel: their options, their output, and what they refuse."""

import csv
import json

import pytest
from commandline import Vascodb, assert_one_line

CONE = "132.85,11.8,15arcmin"
TILE = "tile_RA132.850_DECp11.800"


@pytest.fixture(scope="module")
def judged(module_vascodb: Vascodb, small_simulation) -> Vascodb:
    """An ingested tile, and a run of it."""
    module_vascodb.ok("load-reference", "gaia_edr3", small_simulation.reference, "--cone", CONE)
    module_vascodb.ok("ingest-tile", "--fits", small_simulation.image)
    module_vascodb.ok("run", "survey", "--all")
    return module_vascodb


def test_a_run_finds_what_ingesting_found(judged: Vascodb) -> None:
    standing = judged.ok("candidates", "default", "--format", "json").value
    assert len(standing) > 2
    assert [c["src_id"] for c in judged.ok("candidates", "survey", "--format", "json").value] == [
        c["src_id"] for c in standing
    ]


def test_a_run_that_has_nothing_to_do_says_so(judged: Vascodb) -> None:
    report = judged.ok("run", "survey", "--format", "json").value
    assert (report["images"], report["joined"], report["judged"], report["written"]) == (1, 0, 0, 0)
    out = judged.ok("run", "survey").out
    assert "survey: 1 images, 0 new, 0 judged now" in out
    assert "candidates" in out


def test_another_value_of_a_parameter_is_another_run(judged: Vascodb) -> None:
    strict = judged.ok("run", "strict", "--all", "--set", "snr.min=100000", "--format", "json").value
    assert (strict["run"], strict["candidates"]) == ("strict", 0)
    assert_one_line(judged.run("run", "strict", "--set", "snr.min=10"), "snr.min was 100000, not 10", "another name")
    assert_one_line(judged.run("run", "strict", "--profile", "vasco60"), "profile default, not vasco60")
    # Without --profile and --set it goes on by its own rules.
    assert judged.ok("run", "strict", "--format", "json").value["candidates"] == 0


def test_the_funnel_adds_up_by_stage_plate_and_tile(judged: Vascodb) -> None:
    by_stage = judged.ok("funnel", "survey", "--format", "json").value
    assert [row["ordinal"] for row in by_stage] == list(range(1, len(by_stage) + 1))
    for row in by_stage:
        assert row["judged"] == row["passed"] + row["failed"] + row["unknown"] + row["not_covered"]
    for by in ("plate", "tile"):
        rows = judged.ok("funnel", "survey", "--by", by, "--format", "json").value
        assert [row["remaining"] for row in rows] == [row["remaining"] for row in by_stage]
        assert {row["plate_id"] for row in rows} == {"XE999"}


def test_the_difference_of_two_runs_names_stages_and_reasons(judged: Vascodb, tmp_path) -> None:
    judged.ok("run", "strict", "--all", "--set", "snr.min=100000")
    path = tmp_path / "diff.csv"
    judged.ok("funnel", "survey", "--diff", "strict", "--format", "csv", "-o", path)
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    candidates = [row for row in rows if row["candidate_before"] == "True"]
    assert len(candidates) == len(judged.ok("candidates", "survey", "--format", "json").value)
    assert {(row["stage_after"], row["outcome_after"]) for row in candidates} == {("snr", "fail")}
    assert all("not above 100000" in row["reason_after"] for row in candidates)


def test_names_may_come_from_a_file(judged: Vascodb, tmp_path) -> None:
    names = tmp_path / "tiles.txt"
    names.write_text(f"{TILE}\n")
    assert judged.ok("run", "listed", "--tiles", f"@{names}", "--format", "json").value["images"] == 1
    assert_one_line(judged.run("run", "listed", "--tiles", "@none.txt"), "none.txt", "list of names")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "new"], ["run 'new' has no images yet"]),
        (["run", "new", "--tiles", "tile_RA1.000_DECp1.000"], ["no image of tile tile_RA1.000_DECp1.000 is ingested"]),
        (["run", "new", "--plates", "XE001"], ["no image of plate XE001"]),
        (["run", "new", "--all", "--profile", "nonsense"], ["unknown profile 'nonsense'"]),
        (["run", "new", "--all", "--set", "snr.min"], ["--set snr.min", "STAGE.PARAMETER=VALUE"]),
        (["run", "new", "--all", "--set", "snr.max=1"], ["stage snr has no parameter 'max'", "min"]),
        (["run", "new", "--all", "--set", "nothing.min=1"], ["has no stage 'nothing'"]),
        (["run", "new", "--all", "--set", "snr.min=many"], ["the profile has 10 there"]),
        (["run", "new", "--all", "--from-stage", "nothing"], ["--from-stage nothing", "the stages are gaia"]),
        (["run", "new", "--plan", "none.csv"], ["none.csv"]),
        (["funnel", "new"], ["no run 'new'", "survey"]),
        (["funnel", "survey", "--diff", "new"], ["no run 'new'"]),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_no_run(judged: Vascodb, arguments, words) -> None:
    assert_one_line(judged.run(*arguments), *words)
    assert judged.sql("SELECT count(*) FROM vasco.run WHERE run = 'new'") == [["0"]]


def test_the_sql_of_a_funnel_runs_in_psql(judged: Vascodb) -> None:
    for arguments in (
        ["funnel", "survey"],
        ["funnel", "survey", "--diff", "strict"],
        ["funnel", "survey", "--by", "tile"],
    ):
        judged.ok("run", "strict", "--all", "--set", "snr.min=100000")
        printed = judged.ok(*arguments, "--sql").out
        out = judged.ok("psql", "-XqtA", "-v", "ON_ERROR_STOP=1", stdin=printed).out
        rows = judged.ok(*arguments, "--format", "json").value
        assert len(out.splitlines()) == len(rows)


def test_json_is_one_document(judged: Vascodb) -> None:
    assert set(json.loads(judged.ok("run", "survey", "--format", "json").out)) >= {
        "run",
        "images",
        "seconds",
        "warnings",
    }
