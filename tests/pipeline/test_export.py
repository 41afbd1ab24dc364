"""A run as a folder of the seeds: which stage goes into which file, what the files say, and whole or not at all."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from astropy.time import Time
from smallrelease import A, B, C, D, E, SmallRelease
from sqlalchemy import Connection, text
from toysky import ToySky

import vascodb.exports.folder
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.exports import export_run
from vascodb.exports.formats import degrees, six_digits
from vascodb.exports.labels import RunStage, lay_out
from vascodb.pipeline.running import Runner
from vascodb.pipeline.selection import Selected
from vascodb.profiles import Profile, StageDefinition, load_profile
from vascodb.releases import import_release, release_extractions
from vascodb.releases.reading import read_release

STAGES = (
    "S0M_MORPH", "S0S_SHAPE", "S1_GSC", "S2_SKYBOT", "S3_SCOS", "S4_PTF", "S5_VSX", "S6_SCOPE_DEC",
)  # fmt: skip


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def names(path: Path) -> list[str]:
    return [row["src_id"] for row in rows(path)]


class TestLayout:
    """Which stage goes into which file."""

    @staticmethod
    def stage(name: str, step: int, function: str = "", tolerates=(), **parameters) -> RunStage:
        return RunStage(step, name, step, function or name, parameters, tolerates, (), None, False, None)

    def test_the_release_s_profile_has_the_files_of_the_seeds(self) -> None:
        stages = [
            self.stage(s.stage, s.step, s.function_name, s.tolerates, **s.parameters)
            for s in load_profile("vasco60_release").stages
        ]
        layout = lay_out(stages)
        assert [stage.name for stage in layout.stages] == [*STAGES, "S7_EARTH_SHADOW"]
        assert [stage.stage for stage in layout.before] == ["gaia"]
        assert layout.duplicates == stages[1]
        assert [stage.inputs for stage in layout.stages[:2]] == [("stage_S0.csv",), ("stage_S0M_MORPH.csv",)]

    def test_gates_before_duplicates_have_no_files_and_others_behind_have(self) -> None:
        layout = lay_out([
            self.stage("gaia", 1, "veto", family="gaia"), self.stage("snr", 2), self.stage("duplicates", 3),
            self.stage("halo", 4), self.stage("gsc", 4, "veto", family="gsc"), self.stage("flags", 5),
        ])  # fmt: skip
        assert [stage.stage for stage in layout.before] == ["gaia", "snr"]
        assert [stage.name for stage in layout.stages] == ["S7_HALO", "S1_GSC", "S8_FLAGS"]
        assert layout.stages[2].inputs == ("stage_S7_HALO.csv", "stage_S1_GSC.csv")

    def test_duplicates_that_come_late_or_with_others_are_a_stage_of_their_own(self) -> None:
        late = lay_out([self.stage("morph", 1), self.stage("duplicates", 2)])
        beside = lay_out([self.stage("duplicates", 1), self.stage("morph", 1)])
        flagged = lay_out([self.stage("duplicates", 1, "", ("fail",)), self.stage("morph", 1)])
        for layout in (late, beside, flagged):
            assert layout.duplicates is None
            assert {stage.name for stage in layout.stages} == {"S0M_MORPH", "S7_DUPLICATES"}

    def test_a_second_stage_of_a_kind_and_one_that_only_flags_have_names_of_their_own(self) -> None:
        layout = lay_out([
            self.stage("gsc", 1, "veto", family="gsc"), self.stage("near", 2, "veto_at", family="gsc"),
            self.stage("wide", 3, "moving", ("fail",), family="skybot"),
            self.stage("scos", 4, "keep_match", family="supercosmos"), self.stage("odd", 5, "keep_match", family="ptf"),
            self.stage("shape", 6, "published", label="S4S_SHAPE"),
        ])  # fmt: skip
        assert [stage.name for stage in layout.stages] == [
            "S1_GSC", "S7_NEAR", "S8_WIDE", "S3_SCOS", "S9_ODD", "S4S_SHAPE",
        ]  # fmt: skip
        assert layout.stages[3].inputs == ("stage_S7_NEAR.csv",)

    def test_a_run_of_gates_alone_has_none(self) -> None:
        layout = lay_out([self.stage("snr", 1), self.stage("flags", 2)])
        assert (layout.duplicates, layout.stages, len(layout.before)) == (None, (), 2)


@pytest.mark.parametrize(
    ("value", "decimals", "published", "text"),
    [
        (0.0055970160, None, False, "0.005597016"), (1e-7, None, False, "0.0000001"), (25.0, None, False, "25.0"),
        (108.43438111014419, None, True, "108.43438111014419"), (108.43438111014419, None, False, "108.4343811101"),
        (359.99999999999, None, False, "0.0"), (359.9999999999999, 12, False, "0.000000000000"),
        (-0.1665161790318692, 12, True, "-0.166516179032"), (84.8245396156, 12, False, "84.824539615600"),
    ],
)  # fmt: skip
def test_positions_are_written_as_the_seeds_write_them(value, decimals, published, text) -> None:
    assert degrees(value, decimals, published=published) == text


def test_measurements_have_six_digits() -> None:
    assert [six_digits(x) for x in (2.966180, -2.22151e-5, 10.5, 8.0, 134567.8, None, float("nan"))] == [
        "2.96618", "-2.22151e-05", "10.5", "8", "134568", "", "",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def small(module_database: Database, tmp_path_factory: pytest.TempPathFactory) -> tuple[Database, Path]:
    """The small release, judged by its own rules as run X1; its folder."""
    folder = SmallRelease().write(tmp_path_factory.mktemp("releases") / "small")
    import_release(module_database, folder)
    with module_database.connect() as connection:
        images = tuple(release_extractions(connection, "small"))
    # Its duplicate is on another planned plate.
    profile = load_profile("vasco60_release").setting(("duplicates.within=any",))
    Runner(module_database, profile).run("X1", Selected(images))
    return module_database, folder


@pytest.fixture(scope="module")
def exported(small: tuple[Database, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "new" / "run"
    export_run(small[0], "X1", folder)
    return folder


class TestSmallRelease:
    """What was published comes back."""

    def test_lists(self, small, exported) -> None:
        for name in (
            "source_extractor_final_filtered.csv",
            "source_extractor_final_filtered__dedup.csv",
            "stage_S0.csv",
        ):
            ours, theirs = rows(exported / name), rows(small[1] / name)
            for row in (*ours, *theirs):
                row |= {"ra": float(row["ra"]), "dec": float(row["dec"])}
            assert sorted(ours, key=lambda r: r["src_id"]) == sorted(theirs, key=lambda r: r["src_id"])
            # Tiles by their names as text, numbers as numbers.
            assert [row["src_id"] for row in ours][-1] == f"{B}:7"

    def test_the_manifest_has_the_release_s_folders(self, small, exported) -> None:
        ours, theirs = (
            {row["tile_id"]: row["tile_path"] for row in rows(folder / "tile_manifest.csv")}
            for folder in (exported, small[1])
        )
        assert ours == theirs
        assert ours[D] == f"data/tiles/{D}"

    def test_the_funnel_begins_where_the_release_s_does_if_all_of_it_is_there(self, small, exported, tmp_path) -> None:
        assert "  pass2 unfiltered (veto_start_rows)  :     12,345\n" in (exported / "RUN_SUMMARY.txt").read_text()
        first = json.loads((exported / "report" / "funnel.json").read_text())["funnel"][0]
        assert first["runs"] == {"X1": 12345}
        database = small[0]
        with database.connect() as connection:
            part = tuple(release_extractions(connection, "small"))[1:]
        Runner(database, load_profile("vasco60_release")).run("part", Selected(part))
        export_run(database, "part", tmp_path / "part")
        first = json.loads((tmp_path / "part" / "report" / "funnel.json").read_text())["funnel"][0]
        assert first["runs"] == {"part": None}

    @pytest.mark.parametrize("stage", STAGES)
    def test_flags_and_what_was_kept(self, small, exported, stage: str) -> None:
        ours, theirs = (
            {row["src_id"]: row for row in rows(base / f"stage_{stage}_flags.csv")}
            for base in (exported / "stages", small[1])
        )
        assert ours.keys() == theirs.keys()
        for src_id, row in theirs.items():
            for name, value in row.items():
                try:
                    assert float(ours[src_id][name]) == pytest.approx(float(value)), (src_id, name)
                except ValueError:
                    assert ours[src_id][name] == value, (src_id, name)
        assert set(names(exported / "stages" / f"stage_{stage}.csv")) == set(names(small[1] / f"stage_{stage}.csv"))

    def test_the_export_is_a_release_that_can_be_read(self, exported) -> None:
        release = read_release(exported)
        assert [stage.label for stage in release.stages] == [*STAGES, "S7_EARTH_SHADOW"]
        assert {tile.tile_id: tile.status for tile in release.tiles} == {
            A: "rows", B: "rows", E: "rows", C: "empty", D: "missing",
        }  # fmt: skip
        assert all(stage.doubt is None for stage in release.stages)

    def test_survivors_and_their_shadow(self, exported) -> None:
        (survivor,) = rows(exported / "report" / "survivors.csv")
        assert survivor == {
            "src_id": f"{A}:1", "tile_id": A, "ra": "0.200000000000", "dec": "10.100000000000", "plate_id": "XE001",
            "obs_date": "1953-01-10T23:65:00", "run_id": "X1",
        }  # fmt: skip
        # No plate is loaded, so no time of exposure is on record.
        (shadow,) = rows(exported / "report" / "survivors_earthshadow.csv")
        assert shadow == survivor | dict.fromkeys(
            ("obs_date_used", "time_adjusted", "shadow_dist_deg", "in_earth_shadow"), ""
        )

    def test_files_have_the_line_ends_of_the_seeds(self, exported) -> None:
        for path in exported.glob("**/*.csv"):
            content = path.read_bytes()
            assert content.endswith(b"\n")
            with_return = 0 if "SKYBOT" in path.name else content.count(b"\n")
            assert content.count(b"\r\n") == with_return, path.name
        ledger = (exported / "stages" / "stage_S1_GSC_ledger.json").read_text()
        assert ledger.startswith('{\n  "experimental": true,\n  "run_dir": ')
        assert ledger.endswith("}")

    def test_the_same_run_is_the_same_bytes(self, small, exported, tmp_path) -> None:
        again = tmp_path / "run"
        export_run(small[0], "X1", again)
        for path in (p for p in exported.glob("**/*") if p.is_file()):
            other = (again / path.relative_to(exported)).read_text()
            assert other.replace(str(again), str(exported)) == path.read_text(), path.name

    def test_outcomes_are_told_where_asked_for(self, small, exported, tmp_path) -> None:
        folder = tmp_path / "run"
        export_run(small[0], "X1", folder, with_outcome=True)
        plain, full = (
            rows(base / "stages" / "stage_S0M_MORPH_flags.csv") for base in (exported, folder)
        )  # fmt: skip
        assert [{k: v for k, v in row.items() if k != "outcome"} for row in full] == plain
        assert list(full[0])[-1] == "outcome"
        assert {row["src_id"]: row["outcome"] for row in full}[f"{B}:7"] == "unknown"
        ledger = json.loads((folder / "stages" / "stage_S0M_MORPH_ledger.json").read_text())
        assert ledger["outcomes"] == {"fail": 1, "pass": 4, "unknown": 1}
        assert f"{B}:7" in names(folder / "stages" / "stage_S0M_MORPH.csv")
        own = rows(folder / "stages" / "stage_S7_EARTH_SHADOW_flags.csv")
        assert list(own[0]) == ["src_id", "ra", "dec", "outcome", "value", "reason"]
        assert own[0]["outcome"] == "unknown"

    def test_uploads_come_in_chunks(self, small, exported, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not list(exported.glob("*_chunk_*"))
        monkeypatch.setattr(vascodb.exports.folder, "_CHUNK", 4)
        export_run(small[0], "X1", tmp_path / "run")
        chunks = [names(tmp_path / "run" / f"upload_positional_chunk_{n:07d}.csv") for n in (1, 2)]
        assert [len(chunk) for chunk in chunks] == [4, 2]
        assert chunks[0] + chunks[1] == names(tmp_path / "run" / "upload_positional.csv")

    def test_the_release_s_own_verdicts_keep_its_columns(self, small, tmp_path) -> None:
        database, folder = small
        stages = tuple(
            StageDefinition(stage=label.lower(), function="published", step=step, parameters={"label": label})
            for step, label in enumerate(("S0", "S0M_MORPH", "S0S_SHAPE", "S1_GSC", "S3_SCOS"), start=1)
        )
        profile = Profile(name="p", description="", extraction="imported", reference_stars=0, stages=stages)
        with database.connect() as connection:
            images = tuple(release_extractions(connection, "small"))
        Runner(database, profile).run("published", Selected(images))
        export_run(database, "published", tmp_path / "run")
        assert len(names(tmp_path / "run" / "stage_S0.csv")) == 6
        for label in ("S0M_MORPH", "S0S_SHAPE", "S1_GSC", "S3_SCOS"):
            ours = {row["src_id"]: row for row in rows(tmp_path / "run" / "stages" / f"stage_{label}_flags.csv")}
            theirs = {row["src_id"]: row for row in rows(folder / f"stage_{label}_flags.csv")}
            # No stage that is left out here dropped anything.
            assert ours.keys() == theirs.keys()
            for name in (
                "reject_flag",
                "reject_reason",
                "shape_failed",
                "has_gsc_match",
                "matched_count",
                "gsc2_id",
                "failure_reason",
            ):
                assert [r.get(name) for r in ours.values()] == [theirs[i].get(name) for i in ours], name


class TestWholeOrNotAtAll:
    """A folder is replaced by a whole one, or left as it is."""

    def test_what_is_there_is_refused_unless_it_is_an_export_and_force_is_meant(self, small, tmp_path) -> None:
        database = small[0]
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.tex").write_text("all of it")
        (tmp_path / "file").write_text("")
        (tmp_path / "empty").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "empty")
        for name, force in (("mine", False), ("mine", True), ("file", True), ("link", True)):
            with pytest.raises(InputError, match=str(tmp_path / name)):
                export_run(database, "X1", tmp_path / name, force=force)
        assert (tmp_path / "mine" / "thesis.tex").read_text() == "all of it"
        export_run(database, "X1", tmp_path / "empty")
        (tmp_path / "empty" / "stale.csv").write_text("")
        with pytest.raises(InputError, match="--force"):
            export_run(database, "X1", tmp_path / "empty")
        export_run(database, "X1", tmp_path / "empty", force=True)
        assert not (tmp_path / "empty" / "stale.csv").exists()
        assert {path.name for path in tmp_path.iterdir()} == {"mine", "file", "empty", "link"}

    @pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_nothing_half_written_stays(self, small, tmp_path, monkeypatch: pytest.MonkeyPatch, fault) -> None:
        database, before = small[0], tmp_path / "before"
        export_run(database, "X1", before)
        (before / "mark").touch()

        def fail(*_: object) -> None:
            raise fault

        monkeypatch.setattr(vascodb.exports.folder, "write_report", fail)
        expected = InputError if isinstance(fault, OSError) else KeyboardInterrupt
        for folder in (tmp_path / "fresh", before):
            with pytest.raises(expected):
                export_run(database, "X1", folder, force=True)
        assert {path.name for path in tmp_path.iterdir()} == {"before"}
        assert (before / "mark").exists()

    def test_unknown_and_unfinished_runs_are_refused(self, small, tmp_path) -> None:
        database = small[0]
        with pytest.raises(InputError, match=r"no run 'other'; there are: .*X1"):
            export_run(database, "other", tmp_path / "run")
        with database.connect() as connection:
            connection.execute(text("UPDATE vasco.extraction SET revision = revision + 1"))
        try:
            with pytest.raises(InputError, match="'X1' is not finished: 4 of its images"):
                export_run(database, "X1", tmp_path / "run")
        finally:
            with database.connect() as connection:
                connection.execute(text("UPDATE vasco.extraction SET revision = revision - 1"))
        assert not (tmp_path / "run").exists()


Judge = Callable[..., Path]


class TestOwnImages:
    """Images of our own, whose look-ups are at hand or failed."""

    @pytest.fixture
    def judge(self, database: Database, tmp_path: Path) -> Judge:
        def run(prepare: Callable[[ToySky], None], *stages: StageDefinition) -> Path:
            with database.connect() as connection:
                toy = ToySky(connection)
                toy.extraction(150.0, 20.0)
                toy.detections(1, [150.01, 150.05, 150.123456789012], [20.0, 20.0, 19.9])
                prepare(toy)
                toy.execute("UPDATE plate.image SET planned_plate = 'XE007', date_obs_raw = '1952-01-02T03:04:05'")
                toy.execute("UPDATE vasco.extraction SET n_detections = 3000000")
                images = tuple(connection.scalars(text("SELECT extraction_id FROM vasco.extraction")))
            profile = Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=stages)
            Runner(database, profile).run("toy", Selected(images))
            export_run(database, "toy", tmp_path / "run")
            return tmp_path / "run"

        return run

    def test_a_failed_look_up_is_no_match_in_the_flags_and_goes_on_where_tolerated(self, judge: Judge) -> None:
        gsc = {"function": "veto", "parameters": {"family": "gsc"}, "tolerates": ("unknown", "not_covered")}

        def prepare(toy: ToySky) -> None:
            toy.sources("gsc242", [150.01 + 1.2345678 / 3600], [20.0])
            toy.execute("UPDATE ref.gsc242 SET designation = 'NBMI051145'")
            toy.gap("gsc242")

        folder = judge(prepare, StageDefinition(stage="gsc", step=1, **gsc))
        assert names(folder / "stages" / "stage_S1_GSC.csv") == ["tile_1:2", "tile_1:3"]
        flags = rows(folder / "stages" / "stage_S1_GSC_flags.csv")
        assert [row["has_gsc_match"] for row in flags] == ["1", "0", "0"]
        assert [row["gsc2_id"] for row in flags] == ["NBMI051145", "", ""]
        assert float(flags[0]["best_sep_arcsec"]) == pytest.approx(1.160, abs=1e-3)
        assert flags[2]["ra"] == "150.123456789"
        assert {row["source_chunk"] for row in flags} == {"stage_S0.csv"}
        assert not (folder / "source_extractor_final_filtered__dedup.csv").exists()
        (tile,) = rows(folder / "tile_manifest.csv")
        assert (tile["plate_id"], tile["tile_path"], tile["rows_emitted_to_S0"]) == ("XE007", "/toy.fits", "3")
        ledger = json.loads((folder / "stages" / "stage_S1_GSC_ledger.json").read_text())
        assert (ledger["cdstable"], ledger["radius_arcsec"]) == ("I/353/gsc242", 5.0)
        assert "R1" not in (funnel := (folder / "report" / "funnel.txt").read_text())
        assert "toy    3.00M  3 (-99.9%)  |  2 (-33.3%)\n" in funnel
        assert "3,000,000" in (folder / "RUN_SUMMARY.txt").read_text()

    @pytest.mark.parametrize(("epoch", "name"), [("plate", "then"), ("catalog", "now")])
    def test_the_counterpart_that_is_named_is_the_one_at_the_epoch_of_the_stage(
        self, judge: Judge, epoch: str, name: str
    ) -> None:
        def prepare(toy: ToySky) -> None:
            # One was there in 1952 and has moved 4 arcsec north since; the other has not.
            toy.sources("gsc242", [150.01, 150.01], [20.0 + 4 / 3600, 20.0 + 1 / 3600], [0, 0], [4000 / 64, 0])
            toy.execute("UPDATE ref.gsc242 SET designation = CASE source_id WHEN 1 THEN 'then' ELSE 'now' END")
            toy.lookup("gsc242")

        stage = StageDefinition(
            stage="gsc", function="veto_at", step=1, parameters={"family": "gsc", "radius_arcsec": 5, "epoch": epoch}
        )
        flags = rows(judge(prepare, stage) / "stages" / "stage_S1_GSC_flags.csv")
        assert [row["gsc2_id"] for row in flags] == [name, "", ""]

    def test_objects_that_pass_by_are_wide_matches_and_those_on_it_are_dropped(self, judge: Judge) -> None:
        def prepare(toy: ToySky) -> None:
            near = {"ra": 150.01, "dec": 20.0 + 2 / 3600}
            by = {"ra": 150.123456789012, "dec": 19.9 - 30 / 3600}
            toy.moving_look("skybot", 1, 150.0, 20.0, 1.0, [near, by])

        skybot = {"function": "moving", "parameters": {"family": "skybot", "radius_arcsec": 5}}
        folder = judge(prepare, StageDefinition(stage="skybot", step=1, **skybot))
        flags = rows(folder / "stages" / "stage_S2_SKYBOT_flags.csv")
        assert [(r["has_skybot_match"], r["wide_skybot_match"], r["matched_count"]) for r in flags] == [
            ("True", "True", "1"), ("False", "False", "0"), ("False", "True", "1"),
        ]  # fmt: skip
        assert [r["best_sep_arcsec"] and round(float(r["best_sep_arcsec"]), 2) for r in flags] == [2.0, "", 30.0]
        asked = Time(2434000, format="jd", scale="tai").to_datetime().isoformat() + "+00:00"
        assert {r["epoch_used"] for r in flags} == {asked}
        totals = json.loads((folder / "stages" / "stage_S2_SKYBOT_ledger.json").read_text())["totals"]
        assert totals == {"input_rows": 3, "matched_strict": 1, "matched_wide": 2, "kept_rows": 2}

    def test_what_only_a_scan_shows_is_dropped_and_parts_are_counted(self, judge: Judge) -> None:
        def prepare(toy: ToySky) -> None:
            toy.sources(
                "supercosmos", [150.01, 150.01 + 1 / 3600, 150.123456789012], [20.0, 20.0, 19.9], epoch_jyear=1952
            )
            toy.lookup("supercosmos")

        scos = {"function": "keep_match", "parameters": {"family": "supercosmos"}}
        folder = judge(
            prepare,
            StageDefinition(stage="supercosmos", step=1, **scos),
            StageDefinition(stage="scope_dec", step=2, parameters={"dec_min": 19.95}),
        )
        flags = rows(folder / "stages" / "stage_S3_SCOS_flags.csv")
        assert [(r["has_supercosmos_match"], r["matched_count"], r["source_part"]) for r in flags] == [
            ("1", "2", "part_0001"), ("0", "0", "part_0001"), ("1", "1", "part_0001"),
        ]  # fmt: skip
        assert flags[2]["ra"] == "150.123456789012"
        scope = rows(folder / "stages" / "stage_S6_SCOPE_DEC_flags.csv")
        assert [(r["dec_value"], r["reject_reason"], r["is_rejected"]) for r in scope] == [
            ("20.000000", "", "0"), ("19.900000", "dec_below_scope", "1"),
        ]  # fmt: skip
        ledger = json.loads((folder / "stages" / "stage_S6_SCOPE_DEC_ledger.json").read_text())
        assert ledger["input_glob"] == "stages/stage_S3_SCOS.csv"
        assert ledger["rejected_by_reason"] == {"dec_below_scope": 1}
        assert "XE007            1           1        1.00" in (folder / "RUN_SUMMARY.txt").read_text()

    def test_two_images_of_a_tile_are_refused(self, judge: Judge) -> None:
        def prepare(toy: ToySky) -> None:
            toy.extraction(150.0, 20.0)
            toy.execute("UPDATE plate.image SET tile_id = 'tile_1'")

        with pytest.raises(InputError, match="two images of tile_1"):
            judge(prepare, StageDefinition(stage="snr", step=1, parameters={"min": 30}))


def test_files_of_a_run_of_gates_are_its_candidates(database: Database, tmp_path: Path) -> None:
    connection: Connection
    with database.connect() as connection:
        toy = ToySky(connection)
        toy.extraction(0.0, 20.0)
        toy.detections(1, [359.9999999999999, 0.2], [20.0, 20.0], snr_win=[40, 20])
    snr = StageDefinition(stage="snr", step=1, parameters={"min": 30})
    profile = Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=(snr,))
    Runner(database, profile).run("toy", Selected((1,)))
    written = export_run(database, "toy", tmp_path / "run")
    assert {file.name for file in written if file.rows == 1} == {
        "source_extractor_final_filtered.csv", "stage_S0.csv", "upload_positional.csv", "tile_manifest.csv",
        "report/survivors.csv", "report/tile_coverage.csv",
    }  # fmt: skip
    assert rows(tmp_path / "run" / "upload_positional.csv") == [{"src_id": "tile_1:1", "ra": "0.0", "dec": "20.0"}]
    assert "dedup_enabled: False" in (tmp_path / "run" / "RUN_SUMMARY.txt").read_text()
