"""The releases as published: their own counts, and what they do not show."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from vascodb.db import Database
from vascodb.pipeline.runs import ensure_run
from vascodb.plates.headers import load_plates, read_plate_headers
from vascodb.profiles import Profile, StageDefinition
from vascodb.releases import ImportReport, import_release, release_extractions

# Counted from the files by hand; the release's own documentation has the same.
FUNNEL = {
    "S0": (15322, 15303), "S0M_MORPH": (15303, 9534), "S0S_SHAPE": (9534, 639), "S1_GSC": (639, 585),
    "S2_SKYBOT": (585, 585), "S3_SCOS": (585, 510), "S4_PTF": (510, 495), "S5_VSX": (495, 495),
    "S6_SCOPE_DEC": (495, 440),
}  # fmt: skip
WITHOUT_GAIA = {
    f"tile_RA{name}" for name in (
        "108.855_DECm0.262", "139.966_DECp10.391", "186.857_DECm1.801", "200.859_DECm1.764", "212.859_DECp0.307",
        "236.740_DECp10.535", "241.710_DECp11.607", "241.710_DECp12.607", "254.910_DECp27.780", "258.668_DECp11.844",
        "278.709_DECp12.096", "280.897_DECp32.143", "32.859_DECm0.307", "351.626_DECp31.799", "352.790_DECp32.799",
        "60.859_DECp0.392", "8.858_DECp1.801",
    )
}  # fmt: skip
SURVIVOR_WITHOUT_GAIA = "tile_RA60.859_DECp0.392:1217"


@pytest.fixture(scope="module")
def vasco60(module_database: Database, shared_data: Path) -> tuple[Database, ImportReport]:
    with module_database.connect() as connection:
        load_plates(connection, read_plate_headers(shared_data / "plates" / "dss1red_headers_932.tar.gz"))
    return module_database, import_release(module_database, shared_data / "vasco60_release_v1")


@pytest.fixture
def connection(vasco60: tuple[Database, ImportReport]) -> Iterator[Connection]:
    with vasco60[0].connect() as connection:
        yield connection
        connection.rollback()


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def counts(connection: Connection, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(text(sql), values)]


def test_the_counts_of_vasco60_are_its_own(vasco60) -> None:
    report = vasco60[1]
    assert (report.tiles, report.tiles_with_rows, report.tiles_empty, report.tiles_missing) == (9566, 6555, 103, 2908)
    assert (report.detections, report.run_tag) == (15322, "run-R1-20260424_150522")
    assert {stage["stage"]: (stage["in"], stage["kept"]) for stage in report.stages} == FUNNEL


def test_every_detection_is_where_the_release_has_it(connection: Connection, shared_data: Path) -> None:
    listed = rows(shared_data / "vasco60_release_v1" / "source_extractor_final_filtered.csv.gz")
    stored = {src_id: (ra, dec) for src_id, ra, dec in counts(connection, "SELECT src_id, ra, dec FROM api.detections")}
    assert stored == {row["src_id"]: (float(row["ra"]), float(row["dec"])) for row in listed}


def test_every_verdict_is_the_one_published(connection: Connection, shared_data: Path) -> None:
    folder = shared_data / "vasco60_release_v1"
    for stage in FUNNEL:
        kept = {row["src_id"] for row in rows(folder / f"stage_{stage}.csv.gz")}
        stored = counts(
            connection,
            "SELECT d.src_id FROM vasco.published_verdict AS v JOIN api.detections AS d USING (extraction_id, number) "
            "WHERE v.stage = :stage AND NOT v.rejected",
            stage=stage,
        )
        assert {src_id for (src_id,) in stored} == kept
        assert len(kept) == FUNNEL[stage][1]


def test_37_kept_rows_of_17_tiles_are_unknown_in_gaia(connection: Connection, vasco60) -> None:
    found = counts(
        connection,
        """
        SELECT d.tile_id, d.src_id
        FROM vasco.imported_match AS m
        JOIN api.detections AS d USING (extraction_id, number)
        JOIN vasco.published_verdict AS v USING (extraction_id, number)
        WHERE m.catalog = 'gaia_dr3' AND m.state = 'unknown' AND v.stage = 'S0M_MORPH' AND NOT v.rejected
        """,
    )
    assert {tile for tile, _ in found} == WITHOUT_GAIA
    assert len(found) == 37
    assert SURVIVOR_WITHOUT_GAIA in {src_id for _, src_id in found}
    # Five more are duplicates on tiles of which no other row went into MORPH.
    assert (vasco60[1].tiles_without_gaia, vasco60[1].detections_without_gaia) == (17, 42)


def test_the_states_of_the_other_catalogues_are_those_of_the_flags(connection: Connection) -> None:
    found = counts(connection, "SELECT catalog, state::text, count(*) FROM vasco.imported_match GROUP BY 1, 2")
    assert {(catalog, state): n for catalog, state, n in found if catalog != "gaia_dr3"} == {
        ("gsc242", "matched"): 54, ("gsc242", "clear"): 585, ("supercosmos", "matched"): 510,
        ("supercosmos", "clear"): 75, ("ptf_objects", "matched"): 15, ("ptf_objects", "clear"): 495,
        ("vsx", "clear"): 495, ("skybot", "clear"): 434, ("skybot", "unknown"): 151,
    }  # fmt: skip
    wide = "SELECT count(*) FROM vasco.published_verdict WHERE metrics ->> 'wide_skybot_match' = 'true'"
    assert connection.scalar(text(wide)) == 11


def test_14_survivors_are_on_another_plate_than_planned(connection: Connection, vasco60) -> None:
    # The other three show XE217, whose date is that of XE864 as well.
    assert (vasco60[1].tiles_dated, vasco60[1].plates_resolved) == (417, 414)
    found = counts(
        connection,
        """
        SELECT d.plate_id <> i.planned_plate, count(*)
        FROM vasco.published_verdict AS v
        JOIN api.detections AS d USING (extraction_id, number)
        JOIN plate.image AS i USING (image_id)
        JOIN vasco.release_tile AS t USING (image_id)
        WHERE v.stage = 'S6_SCOPE_DEC' AND NOT v.rejected AND t.plate_source = 'date'
        GROUP BY 1
        """,
    )
    assert dict(found)[True] == 14


def test_measures_are_the_published_numbers(connection: Connection, shared_data: Path) -> None:
    folder = shared_data / "vasco60_release_v1"
    for table, name, columns in (
        ("morph_measure", "stage_S0M_MORPH_flags", {"fwhm_ratio": "fwhm_ratio", "spread_snr": "spread_snr"}),
        ("shape_measure", "stage_S0S_SHAPE_flags", {"profile_diff": "profile_diff", "circularity": "circularity"}),
    ):
        published = {row["src_id"]: row for row in rows(folder / f"{name}.csv.gz")}
        stored = counts(
            connection,
            f"SELECT d.src_id, {', '.join(f'm.{c}' for c in columns)} "
            f"FROM vasco.{table} AS m JOIN api.detections AS d USING (extraction_id, number)",
        )
        assert len(stored) == len(published)
        for src_id, *values in stored:
            expected = [float(published[src_id][c]) if published[src_id][c] else None for c in columns.values()]
            assert values == expected


def test_stages_of_ours_judge_the_release_as_it_judged_itself(connection: Connection) -> None:
    morph = {
        "gaia_mag_min": 12, "gaia_mag_max": 18, "match_arcsec": 3, "epoch": "catalog", "elongation_max": 1.3,
        "min_psf_stars": 5, "fwhm_ratio_max": 1.5, "spread_snr_max": 5.0,
    }  # fmt: skip
    shape = {
        "variant": "inverted", "profile_diff_max": 0.05, "elongation_max": 1.1, "circularity_min": 0.8,
        "missing_profile": "ignore",
    }  # fmt: skip
    stages = [
        ("s0", 1, "published", {"label": "S0"}), ("morph", 2, "", morph), ("shape", 3, "", shape),
        ("gaia", 3, "veto", {"family": "gaia"}), ("gsc", 3, "veto", {"family": "gsc"}),
        ("shape_published", 3, "published", {"label": "S0S_SHAPE"}),
    ]  # fmt: skip
    profile = Profile(
        name="again", description="again", extraction="seed", reference_stars=0,
        stages=tuple(StageDefinition(stage=s, step=n, function=f, parameters=p) for s, n, f, p in stages),
    )  # fmt: skip
    run_id = ensure_run(connection, profile)
    extractions = release_extractions(connection, "vasco60_release_v1")
    assert len(extractions) == 9566 - 2908
    connection.execute(
        text("INSERT INTO vasco.run_image SELECT :run_id, unnest(CAST(:ids AS bigint[]))"),
        {"run_id": run_id, "ids": extractions},
    )
    for stage in profile.stages:
        # Thousands of images in one transaction: the planner must know what the stages before wrote.
        connection.execute(text("ANALYZE vasco.verdict, vasco.run_image"))
        connection.execute(text("SELECT stage.apply(:run_id, :stage)"), {"run_id": run_id, "stage": stage.stage})
    found = counts(connection, "SELECT stage, outcome::text, count(*) FROM vasco.verdict GROUP BY 1, 2")
    outcomes = {(stage, outcome): n for stage, outcome, n in found}
    assert (outcomes["s0", "pass"], outcomes["s0", "fail"]) == (15303, 19)
    # The release kept the 37 that it could not judge.
    assert (outcomes["morph", "pass"], outcomes["morph", "unknown"], outcomes["morph", "fail"]) == (9497, 37, 5769)
    # Of the 639 that it kept in SHAPE three are among them; the others are the same ones.
    assert outcomes["shape", "pass"] == outcomes["shape_published", "pass"] == 636
    other = """
        SELECT count(*) FROM vasco.verdict AS a JOIN vasco.verdict AS b USING (run_id, extraction_id, number)
        WHERE a.stage = 'shape' AND b.stage = 'shape_published' AND (a.outcome = 'pass') <> (b.outcome = 'pass')
    """
    assert connection.scalar(text(other)) == 0
    assert (outcomes["gaia", "pass"], outcomes["gsc", "pass"] + outcomes["gsc", "fail"]) == (9497, 636)
