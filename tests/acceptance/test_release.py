"""The published release of vasco60, imported and judged anew: its funnel row for row, and ours beside it."""

import csv
import gzip
import re
from datetime import datetime
from pathlib import Path

import pytest
from commandline import Vascodb

from vascodb.plates.dates import read_exposure_times

FUNNEL = [
    ("gaia", 15322), ("duplicates", 15303), ("morph", 9534), ("shape", 639), ("gsc", 585), ("skybot", 585),
    ("supercosmos", 510), ("ptf", 495), ("vsx", 495), ("scope_dec", 440), ("earth_shadow", 440),
]  # fmt: skip
FILES = {
    "duplicates": "stage_S0", "morph": "stage_S0M_MORPH", "shape": "stage_S0S_SHAPE", "gsc": "stage_S1_GSC",
    "skybot": "stage_S2_SKYBOT", "supercosmos": "stage_S3_SCOS", "ptf": "stage_S4_PTF", "vsx": "stage_S5_VSX",
    "scope_dec": "stage_S6_SCOPE_DEC",
}  # fmt: skip
WITHOUT_GAIA = "tile_RA60.859_DECp0.392:1217"
COPIES = {
    "tile_RA0.700_DECp30.807:2659", "tile_RA351.620_DECp79.807:5773", "tile_RA357.958_DECp85.742:2310",
    "tile_RA358.763_DECp73.807:6600",
}  # fmt: skip


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with gzip.open(folder / f"{name}.csv.gz", "rt", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def release(shared_data) -> Path:
    folder = shared_data / "vasco60_release_v1"
    if not folder.is_dir():
        pytest.skip("needs vasco60_release_v1 in ../shared/data")
    return folder


@pytest.fixture(scope="module")
def judged(module_vascodb: Vascodb, shared_data, release) -> Vascodb:
    """The release imported, and judged by both profiles."""
    vascodb = module_vascodb
    vascodb.ok("load-plates", shared_data / "plates/dss1red_headers_932.tar.gz")
    vascodb.ok("load-plates", shared_data / "plates/dss_cd_headers_hhh.dat")
    vascodb.ok("import-release", release, "--name", "R1")
    vascodb.ok("run", "published", "--release", "R1", "--profile", "vasco60")
    ours = vascodb.run("run", "ours", "--release", "R1", "--profile", "default", "--format", "json")
    # Some verdicts are unknown, and stop what they are about.
    assert (ours.status, ours.value["candidates"], ours.value["unknown"]) == (3, 435, 42)
    return vascodb


def test_the_published_funnel_comes_out_stage_by_stage(judged: Vascodb) -> None:
    rows = judged.ok("funnel", "published", "--format", "json").value
    assert [(row["stage"], row["remaining"]) for row in rows] == FUNNEL


@pytest.mark.parametrize("stage", FILES)
def test_every_stage_lets_through_the_very_rows_that_were_published(judged: Vascodb, release, stage: str) -> None:
    found = judged.sql(f"""
        SELECT im.tile_id || ':' || v.number
        FROM vasco.verdict AS v
        JOIN vasco.run AS r USING (run_id)
        JOIN vasco.run_stage AS s USING (run_id, stage)
        JOIN vasco.extraction AS e USING (extraction_id)
        JOIN plate.image AS im USING (image_id)
        WHERE r.run = 'published' AND v.stage = '{stage}' AND stage.goes_on(v.outcome, s.tolerates)
    """)
    published = {row["src_id"] for row in rows_of(release, FILES[stage])}
    assert {src_id for (src_id,) in found} == published
    assert len(found) == dict(FUNNEL)[stage]


def test_what_the_seed_let_pass_without_an_answer_carries_the_mark(judged: Vascodb) -> None:
    marked = judged.sql(
        "SELECT src_id, marks FROM api.candidates WHERE run = 'published' AND 'gaia unknown' = ANY (marks)"
    )
    assert [row[0] for row in marked] == [WITHOUT_GAIA]
    [[asked_in_vain]] = judged.sql(
        "SELECT count(*) FROM api.candidates WHERE run = 'published' AND 'skybot unknown' = ANY (marks)"
    )
    assert 0 < int(asked_in_vain) < 151


def test_southern_scope_is_one_parameter(judged: Vascodb) -> None:
    [[n]] = judged.sql("""
        SELECT count(*)
        FROM api.verdicts AS v
        JOIN vasco.detection AS d USING (extraction_id, number)
        WHERE v.run = 'published' AND v.stage = 'vsx' AND v.outcome = 'pass' AND d.dec >= -3
    """)
    assert n == "455"


def test_under_our_own_rules_there_are_436_sources_and_one_of_them_is_unknown(judged: Vascodb) -> None:
    rows = judged.ok("funnel", "published", "--diff", "ours", "--format", "json").value
    changed = {row["src_id"]: row for row in rows if row["candidate_before"]}
    assert set(changed) == COPIES | {WITHOUT_GAIA}
    assert {changed[src_id]["stage_after"] for src_id in COPIES} == {"duplicates"}
    assert all("duplicate of tile_" in changed[src_id]["reason_after"] for src_id in COPIES)
    lost = changed[WITHOUT_GAIA]
    assert (lost["stage_after"], lost["outcome_after"]) == ("gaia", "unknown")
    assert "no star of Gaia" in lost["reason_after"]


def test_the_tiles_without_gaia_are_17_and_nothing_on_them_is_a_candidate(judged: Vascodb) -> None:
    rows = judged.sql("""
        SELECT count(DISTINCT tile_id), bool_or(is_candidate)
        FROM api.fates
        WHERE run = 'ours' AND stage = 'gaia' AND reason LIKE '%no star of Gaia%'
    """)
    assert rows == [["17", "f"]]


def test_the_unique_sources_are_objects(judged: Vascodb) -> None:
    rows = judged.sql("SELECT run, count(*), sum(n_detections) FROM api.objects GROUP BY run ORDER BY run")
    assert rows == [["ours", "435", "435"], ["published", "436", "440"]]


def test_overflowing_dates_are_187_and_equal_the_plates_own_headers(judged: Vascodb, release) -> None:
    survivors = rows_of(release, "survivors")
    overflowing = {r["src_id"]: r["obs_date"] for r in survivors if int(re.split("[T:]", r["obs_date"])[2]) >= 60}
    assert len(overflowing) == 187
    headers = judged.sql("""
        SELECT c.src_id, t.start_utc
        FROM api.candidates AS c
        JOIN vasco.extraction AS e USING (extraction_id)
        JOIN plate.image AS im USING (image_id)
        JOIN plate.exposure_time AS t
            ON t.plate_id = im.planned_plate AND t.source = 'plate header' AND t.reading = 'literal'
        WHERE c.run = 'published' AND im.plate_id = im.planned_plate
    """)
    of_plate = {src_id: datetime.fromisoformat(start) for src_id, start in headers if src_id in overflowing}
    read = {src_id: read_exposure_times({"DATE-OBS": overflowing[src_id]}).literal_start for src_id in of_plate}
    assert len(of_plate) == 177
    assert read == of_plate


def test_survivors_in_the_earths_shadow_are_the_two_published(judged: Vascodb) -> None:
    rows = judged.sql("""
        SELECT round(value::numeric, 2) FROM api.verdicts
        WHERE run = 'published' AND stage = 'earth_shadow' AND outcome = 'fail' ORDER BY value
    """)
    assert [float(value) for (value,) in rows] == pytest.approx([5.565, 7.9438], abs=0.01)
