"""The verb export: what it writes, what it says, and what it refuses."""

from pathlib import Path

import pytest
from commandline import Vascodb, assert_one_line
from smallrelease import SmallRelease


@pytest.fixture(scope="module")
def judged(module_vascodb: Vascodb, tmp_path_factory: pytest.TempPathFactory) -> Vascodb:
    """A database with a run of the small release."""
    folder = SmallRelease().write(tmp_path_factory.mktemp("releases") / "small")
    module_vascodb.ok("import-release", folder)
    module_vascodb.run("run", "X1", "--profile", "vasco60", "--release", "small")
    return module_vascodb


def test_a_run_is_written_and_the_files_are_listed(judged: Vascodb, tmp_path: Path) -> None:
    outcome = judged.ok("export", "X1", tmp_path / "run")
    lines = outcome.out.splitlines()
    assert lines[-1] == f"{len(lines) - 1} files in {tmp_path / 'run'}"
    assert "stage_S0.csv 7 rows" in [" ".join(line.split()) for line in lines]
    on_disk = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").glob("**/*") if path.is_file()}
    assert on_disk == {line.split()[0] for line in lines[:-1]}
    assert {
        "source_extractor_final_filtered.csv", "source_extractor_final_filtered__dedup.csv", "stage_S0.csv",
        "upload_positional.csv", "tile_manifest.csv", "RUN_SUMMARY.txt", "stages/stage_S3_SCOS.csv",
        "stages/stage_S3_SCOS_flags.csv", "stages/stage_S3_SCOS_ledger.json", "report/survivors.csv",
        "report/funnel.json", "report/funnel.txt", "report/tile_coverage.csv", "report/survivors_earthshadow.csv",
    } <= on_disk  # fmt: skip
    assert (tmp_path / "run" / "RUN_SUMMARY.txt").read_text().startswith(f"run_dir: {tmp_path / 'run'}\n")


def test_as_json_with_outcomes_and_by_force(judged: Vascodb, tmp_path: Path) -> None:
    judged.ok("export", "X1", tmp_path / "run")
    files = judged.ok("export", "X1", tmp_path / "run", "--force", "--with-outcome", "--format", "json").value
    rows = {file["name"]: file["rows"] for file in files}
    assert rows["stages/stage_S0M_MORPH_flags.csv"] == 7
    assert rows["RUN_SUMMARY.txt"] is None
    flags = (tmp_path / "run" / "stages" / "stage_S0M_MORPH_flags.csv").read_text().splitlines()
    assert flags[0].endswith(",source_chunk,outcome")


def test_the_export_can_be_imported(judged: Vascodb, tmp_path: Path) -> None:
    judged.ok("export", "X1", tmp_path / "again")
    report = judged.ok("import-release", tmp_path / "again", "--format", "json").value
    assert (report["detections"], report["tiles"], report["tiles_missing"]) == (7, 5, 1)


def test_what_cannot_be_written_is_one_line(judged: Vascodb, tmp_path: Path) -> None:
    assert_one_line(judged.run("export", "other", tmp_path / "run"), "no run 'other'", "X1")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").touch()
    assert_one_line(judged.run("export", "X1", tmp_path / "full"), str(tmp_path / "full"), "--force")
    assert_one_line(judged.run("export", "X1", tmp_path / "full", "--force"), "is no export of a run")
    (tmp_path / "file").touch()
    assert_one_line(judged.run("export", "X1", tmp_path / "file" / "run"), str(tmp_path / "file"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]
