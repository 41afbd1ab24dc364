"""A release is read whole, or one line says what is wrong with it."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from smallrelease import A, B, C, D, E, SmallRelease

from vascodb.errors import InputError
from vascodb.releases.reading import Release, read_release


@pytest.fixture
def small() -> SmallRelease:
    return SmallRelease()


def read(small: SmallRelease, folder: Path) -> Release:
    return read_release(small.write(folder))


def test_all_of_a_release_is_read(small, tmp_path) -> None:
    release = read(small, tmp_path)
    assert release.run_tag == "run-X1-20260101_000000"
    assert {tile.tile_id: tile.status for tile in release.tiles} == {
        A: "rows", B: "rows", E: "rows", C: "empty", D: "missing"
    }  # fmt: skip
    assert release.detections.src_ids.to_pylist()[-1] == f"{E}:9"
    assert release.detections.in_s0.tolist() == [True] * 6 + [False]
    funnel = [(stage.label, stage.flags.n_rows, stage.n_kept) for stage in release.stages]
    assert funnel == [
        ("S0M_MORPH", 6, 5), ("S0S_SHAPE", 5, 4), ("S1_GSC", 4, 3), ("S2_SKYBOT", 3, 3), ("S3_SCOS", 3, 2),
        ("S4_PTF", 2, 1), ("S5_VSX", 1, 1), ("S6_SCOPE_DEC", 1, 1),
    ]  # fmt: skip
    assert all(stage.doubt is None for stage in release.stages)
    assert release.rows["survivors.csv"] == (2, 1, 1)
    assert all(kept + rejected == n for n, kept, rejected in release.rows.values())


def test_tiles_know_their_centres_dates_and_stars(small, tmp_path) -> None:
    tiles = {tile.tile_id: tile for tile in read(small, tmp_path).tiles}
    assert (tiles[C].ra_deg, tiles[C].dec_deg) == (274.586, 0.0)
    assert (tiles[D].ra_deg, tiles[D].dec_deg) == (10.0, -20.0)
    # 65 minutes after 23 h are on the next day.
    assert tiles[A].obs_start == datetime(1953, 1, 11, 0, 5, tzinfo=UTC)
    assert {tile.tile_id: tile.psf_stars for tile in tiles.values()} == {A: 100, B: 0, C: None, D: None, E: None}
    assert tiles[D].note == "missing survivors csv"


def test_files_are_found_at_any_depth_plain_or_compressed(small, tmp_path) -> None:
    def place(name: str) -> str:
        if name == "survivors.csv":
            return "report"
        return "run/stages" if name.startswith("stage_S") and name != "stage_S0.csv" else "run"

    plain = read(small, tmp_path / "plain")
    deep = read_release(small.write(tmp_path / "deep", compress=True, place=place))
    assert [(file.name, file.sha256) for file in deep.files] == [(file.name, file.sha256) for file in plain.files]
    assert [stage.label for stage in deep.stages] == [stage.label for stage in plain.stages]
    assert deep.tiles == plain.tiles


def test_a_list_of_candidates_and_a_manifest_are_enough(small, tmp_path) -> None:
    small.files = {name: small.files[name] for name in ("stage_S0.csv", "tile_manifest.csv")}
    release = read(small, tmp_path)
    assert (len(release.detections.number), release.stages, release.run_tag) == (6, [], None)
    assert release.detections.doubt is not None


def test_a_stage_without_rows_is_a_stage(small, tmp_path) -> None:
    small.stage("S6_SCOPE_DEC", [], ["is_rejected"], {}, [0])
    assert read(small, tmp_path).stages[-1].n_kept == 0


def test_a_stage_that_is_not_known_is_told_by_what_it_kept(small, tmp_path) -> None:
    small.table(
        "stage_S7_NEW_flags.csv", ["src_id", "ra", "dec", "x"], [[f"{A}:1", 0.2, 10.1, 5], [f"{A}:2", 359.9, 10.2, 6]]
    )
    small.table("stage_S7_NEW.csv", ["src_id"], [[f"{A}:2"]])
    stage = next(stage for stage in read(small, tmp_path).stages if stage.label == "S7_NEW")
    assert stage.rejected.tolist() == [True, False]
    del small.files["stage_S7_NEW.csv"]
    with pytest.raises(InputError, match=r"stage_S7_NEW_flags\.csv: nothing says what was kept"):
        read(small, tmp_path / "again")


def test_a_file_that_nothing_confirms_is_in_doubt(small, tmp_path) -> None:
    del small.files["stage_S1_GSC.csv"], small.files["stage_S1_GSC_ledger.json"]
    stage = next(stage for stage in read(small, tmp_path).stages if stage.kind == "GSC")
    assert "may be a part" in str(stage.doubt)


def test_a_checksum_of_the_release_itself_is_held_against_its_files(small, tmp_path) -> None:
    folder = small.write(tmp_path, compress=True)
    good = hashlib.sha256(small.files["stage_S0.csv"].encode()).hexdigest()
    sums = folder / "SHA256SUMS.uncompressed"
    sums.write_text(f"# of contents\n{good}  stage_S0.csv\n")
    read_release(folder)
    sums.write_text(f"{good[::-1]}  stage_S0.csv\n")
    with pytest.raises(InputError, match=r"stage_S0\.csv\.gz: is not the file that SHA256SUMS\.uncompressed lists"):
        read_release(folder)
    sums.unlink()
    (folder / "SHA256SUMS").write_text(f"{good}  stage_S0.csv.gz\n")
    with pytest.raises(InputError, match="is not the file that SHA256SUMS lists"):
        read_release(folder)


FAULTS = {
    "no manifest": (lambda s: s.files.pop("tile_manifest.csv"), r"there is no tile_manifest\.csv in it"),
    "no list": (lambda s: s.files.pop("stage_S0.csv"), r"there is no stage_S0\.csv in it"),
    "no flags": (
        lambda s: s.files.pop("stage_S4_PTF_flags.csv"),
        r"there is stage_S4_PTF\.csv, but not stage_S4_PTF_flags",
    ),
    "column missing": (
        lambda s: s.replace("stage_S0M_MORPH_flags.csv", "reject_flag", "rejected"),
        r"stage_S0M_MORPH_flags\.csv: row 1, column reject_flag: is missing",
    ),
    "column twice": (
        lambda s: s.replace("stage_S0.csv", "object_id", "tile_id"),
        r"stage_S0\.csv: row 1, column tile_id: comes twice"
    ),
    "row cut": (
        lambda s: s.files.update({"stage_S0.csv": s.files["stage_S0.csv"].rpartition(",")[0] + "\n"}),
        r"stage_S0\.csv: row 7: has 4 fields instead of 5",
    ),
    "end cut": (
        lambda s: s.files.update({"stage_S0.csv": s.files["stage_S0.csv"][:-5]}), r"stage_S0\.csv: row 7: does not end"
    ),
    "rows cut": (
        lambda s: s.files.update({"stage_S0.csv": s.files["stage_S0.csv"].rsplit("\n", 2)[0] + "\n"}),
        r"RUN_SUMMARY\.txt: final_rows_for_stage_and_uploads is 6, but stage_S0\.csv has 5 rows; is the file cut",
    ),
    "fewer before than after": (
        lambda s: s.replace("RUN_SUMMARY.txt", "12,345", "6"),
        r"RUN_SUMMARY\.txt: veto_start_rows is 6, but 7 detections were left of them",
    ),
    "tiles cut": (
        lambda s: s.files.update({"tile_manifest.csv": s.files["tile_manifest.csv"].rsplit("\n", 2)[0] + "\n"}),
        r"tiles_scanned is 5, but tile_manifest\.csv has 4 rows",
    ),
    "detection twice": (
        lambda s: s.replace("stage_S0.csv", f"{A}:2,{A},2,", f"{A}:1,{A},1,"),
        r"stage_S0\.csv: row 3, column src_id: tile_RA0\.100_DECp10\.000:1 was in row 2 already",
    ),
    "tile twice": (
        lambda s: s.replace("tile_manifest.csv", f"\n{B}", f"\n{A}"),
        r"tile_manifest\.csv: row 3, column tile_id: .* row 2"
    ),
    "tile unknown": (
        lambda s: s.replace("tile_manifest.csv", B, "tile_RA1.000_DECp1.000"),
        r"final_filtered\.csv: row 7, column tile_id: 'tile_RA200\.000_DECp88\.500' is not in tile_manifest\.csv",
    ),
    "tile of another kind": (
        lambda s: s.replace("tile_manifest.csv", D, "tile-RA10.000-DEC-20.000"),
        r"tile_manifest\.csv: row 6, column tile_id: 'tile-RA10\.000-DEC-20\.000' is not the name of a tile",
    ),
    "name unlike": (
        lambda s: s.replace("source_extractor_final_filtered.csv", f"{A}:1,{A},1", f"{A}:1,{A},6"),
        r"row 2, column src_id: .* is not tile_id:object_id",
    ),
    "no number": (
        lambda s: s.replace("source_extractor_final_filtered.csv", ",10.1000000000,XE001", ",ten,XE001"),
        r"row 2, column dec: 'ten' is not a number from -90 to 90",
    ),
    "beyond the pole": (
        lambda s: s.replace("source_extractor_final_filtered.csv", ",88.7500000000", ",98.75"),
        r"row 7, column dec: '98\.75' is not a number from -90 to 90",
    ),
    "nan": (
        lambda s: s.replace("source_extractor_final_filtered.csv", ",88.7500000000", ",nan"),
        r"row 7, column dec: 'nan'"
    ),
    "ra 360": (
        lambda s: s.replace("source_extractor_final_filtered.csv", "359.9000000000", "360"), r"row 3, column ra: '360'"
    ),
    "manifest disagrees": (
        lambda s: s.replace("tile_manifest.csv", "XE001,5,5", "XE001,5,4"),
        r"tile_manifest\.csv: row 2, column rows_emitted_to_S0: 4 rows of .*, but .*final_filtered\.csv has 5",
    ),
    "stage of others": (
        lambda s: s.replace("stage_S1_GSC_flags.csv", f"{A}:1", f"{A}:8"),
        r"stage_S1_GSC_flags\.csv: row 2, column src_id: .*:8' is no detection of this release",
    ),
    "stage elsewhere": (
        lambda s: s.replace("stage_S1_GSC_flags.csv", "10.1000000000", "10.1000010000"),
        r"stage_S1_GSC_flags\.csv: row 2, column src_id: .* is not where the list of detections has it",
    ),
    "stage twice": (
        lambda s: s.replace("stage_S1_GSC_flags.csv", f"{A}:2", f"{A}:1"),
        r"stage_S1_GSC_flags\.csv: row 3.* was in row 2"
    ),
    "flag": (
        lambda s: s.replace("stage_S4_PTF_flags.csv", ",10.1000000000,0", ",10.1000000000,2"),
        r"stage_S4_PTF_flags\.csv: row 2, column has_ptf_match_ngood: '2' is neither 1 nor 0",
    ),
    "kept disagrees": (
        lambda s: s.replace("stage_S1_GSC_flags.csv", "10.1000000000,0,", "10.1000000000,1,"),
        r"stage_S1_GSC_flags\.csv: row 2, column src_id: .* by this file or by stage_S1_GSC\.csv, but not by both",
    ),
    "kept a stranger": (
        lambda s: s.replace("stage_S1_GSC.csv", f"{A}:1", f"{A}:4"),
        r"stage_S1_GSC\.csv: row 2, column src_id: .*:4' is not in stage_S1_GSC_flags\.csv",
    ),
    "ledger disagrees": (
        lambda s: s.replace("stage_S1_GSC_ledger.json", '"input_rows": 4', '"input_rows": 5'),
        r"stage_S1_GSC_ledger\.json: totals\.input_rows is 5, but stage_S1_GSC_flags\.csv has 4",
    ),
    "ledger wide disagrees": (
        lambda s: s.replace("stage_S2_SKYBOT_ledger.json", '"input_rows"', '"matched_wide": 2, "input_rows"'),
        r"stage_S2_SKYBOT_ledger\.json: totals\.matched_wide is 2, but .* has 1",
    ),
    "ledger cut": (
        lambda s: s.files.update({"stage_S1_GSC_ledger.json": s.files["stage_S1_GSC_ledger.json"][:-9]}),
        r"stage_S1_GSC_ledger\.json: is not JSON",
    ),
    "ledger empty": (
        lambda s: s.files.update({"stage_S1_GSC_ledger.json": "{}"}), r"stage_S1_GSC_ledger\.json: has no totals"
    ),
    "other catalogue": (
        lambda s: s.replace("stage_S1_GSC_ledger.json", "I/353/gsc242", "I/305/out"),
        r"I/305/out was asked; known is I/353"
    ),
    "no date": (
        lambda s: s.replace("survivors.csv", "1953-01-10", "1953-13-10"),
        r"survivors\.csv: row 2, column obs_date: .*1953-13-10"
    ),
    "two dates": (
        lambda s: s.files.update({
            "survivors.csv": s.files["survivors.csv"] + f"{A}:2,{A},359.9,10.2,XE001,1953-01-10T23:66:00,X1\n"
        }),
        r"survivors\.csv: row 4, column obs_date: .*23:66:00', but the tile was exposed at 1953-01-10T23:65:00",
    ),
    "two counts of stars": (
        lambda s: s.replace("stage_S0M_MORPH_flags.csv", ",100,0,", ",99,0,"),
        r"row 3, column psf_star_count: 100 is not"
    ),
    "other plates": (
        lambda s: s.table("primary_plate_flags.csv", ["src_id", "det_plate"], [[f"{A}:1", "XE009"]]),
        r"primary_plate_flags\.csv: row 2, column det_plate: XE009, but tile_manifest\.csv has the tile on XE001",
    ),
    "duplicates disagree": (
        lambda s: s.replace("source_extractor_final_filtered__dedup.csv", f"{A}:1", f"{A}:8"),
        r"final_filtered__dedup\.csv: lists other detections than stage_S0\.csv",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), FAULTS.values(), ids=list(FAULTS))
def test_a_fault_is_one_line_with_file_row_and_what(small, tmp_path, spoil, message: str) -> None:
    spoil(small)
    with pytest.raises(InputError, match=message) as caught:
        read(small, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-9], lambda b: b[:40] + b"\0" + b[41:], lambda b: b[4:]], ids=["cut", "bits", "head"]
)
def test_a_damaged_archive_is_one_line(small, tmp_path, spoil) -> None:
    folder = small.write(tmp_path, compress=True)
    path = folder / "stage_S0.csv.gz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=r"stage_S0\.csv\.gz: is damaged or cut") as caught:
        read_release(folder)
    assert "\n" not in str(caught.value)


def test_two_runs_side_by_side_are_refused(small, tmp_path) -> None:
    small.write(tmp_path / "run-R1")
    small.write(tmp_path / "copy", compress=True)
    read_release(tmp_path)
    (tmp_path / "run-R1" / "stage_S0.csv").write_text("src_id\n")
    with pytest.raises(
        InputError, match=r"stage_S0\.csv is there twice with different contents .* import one run at a time"
    ):
        read_release(tmp_path)


def test_where_every_detection_is_on_the_planned_plate_the_plan_is_the_plate(small, tmp_path) -> None:
    ids = [line.split(",")[0] for line in small.files["source_extractor_final_filtered.csv"].splitlines()[1:]]
    plates = {A: "XE001", B: "XE002", E: "XE003"}
    small.table("primary_plate_flags.csv", ["src_id", "det_plate"], [[i, plates[i.split(":")[0]]] for i in ids])
    assert {t.tile_id: t.stated_plate for t in read(small, tmp_path / "all").tiles} == plates | {C: "XE001", D: "XE004"}
    small.table("primary_plate_flags.csv", ["src_id", "det_plate"], [[f"{A}:1", "XE001"]])
    some = {t.tile_id: t.stated_plate for t in read(small, tmp_path / "some").tiles}
    assert some == dict.fromkeys([A, B, C, D, E]) | {A: "XE001"}


def test_a_folder_that_is_none_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_release(tmp_path / "nowhere")


def test_positions_keep_every_digit(small, tmp_path) -> None:
    release = read(small, tmp_path)
    assert np.array_equal(release.detections.ra_deg[:2], [0.2, 359.9])
    assert release.detections.dec_deg[5] == 88.75
