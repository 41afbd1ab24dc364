"""A release becomes images, extractions, detections, states and verdicts; what it does not show stays unknown."""

from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from smallrelease import A, B, C, D, E, SmallRelease
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from toysky import ToySky

from vascodb.audits import audits, count_rows
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.migrate import initialise
from vascodb.pipeline.explain import explain
from vascodb.profiles import Profile, StageDefinition
from vascodb.releases import import_release, release_extractions

MORPH = {
    "gaia_mag_min": 12, "gaia_mag_max": 18, "match_arcsec": 3, "epoch": "catalog", "elongation_max": 1.3,
    "min_psf_stars": 5, "fwhm_ratio_max": 1.5, "spread_snr_max": 5.0,
}  # fmt: skip
SHAPE = {
    "variant": "inverted", "profile_diff_max": 0.05, "elongation_max": 1.1, "circularity_min": 0.8,
    "missing_profile": "ignore",
}  # fmt: skip


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SmallRelease().write(tmp_path_factory.mktemp("releases") / "small", compress=True)


@pytest.fixture(scope="module")
def imported(module_database: Database, small_folder: Path) -> Database:
    """A database that holds the small release; tests work in transactions that are rolled back."""
    import_release(module_database, small_folder)
    return module_database


@pytest.fixture
def toy(imported: Database) -> Iterator[ToySky]:
    with imported.connect() as connection:
        yield ToySky(connection)
        connection.rollback()


def fingerprint(database: Database) -> list[Any]:
    with database.connect() as connection:
        return list(connection.execute(text("SELECT * FROM api.fingerprint ORDER BY table_name")))


def of(toy: ToySky, src_id: str) -> dict[str, int]:
    """Extraction and number of a detection."""
    tile_id, number = src_id.split(":")
    extraction_id = toy.scalar("SELECT extraction_id FROM vasco.release_tile WHERE tile_id = :t", t=tile_id)
    return {"e": extraction_id, "n": int(number)}


def family(toy: ToySky, src_id: str, name: str) -> tuple[Any, ...]:
    row = toy.execute(
        "SELECT state, catalog, reason FROM stage.family_look(:e, :n, :f)", **of(toy, src_id), f=name
    ).one()
    return tuple(row)


def judged(toy: ToySky, *stages: StageDefinition) -> dict[str, dict[str, tuple[str, str | None]]]:
    """Outcome and reason by stage and detection, of all images of the release."""
    profile = Profile(name="p", description="p", extraction="seed", reference_stars=0, stages=stages)
    for extraction_id in release_extractions(toy.connection, "small"):
        toy.judge(profile, extraction_id)
    found: dict[str, dict[str, tuple[str, str | None]]] = {stage.stage: {} for stage in stages}
    for row in toy.execute("SELECT stage, src_id, outcome, reason FROM api.verdicts"):
        found[row.stage][row.src_id] = (row.outcome, row.reason)
    return found


def stage(name: str, step: int, function: str = "", **parameters: Any) -> StageDefinition:
    return StageDefinition(stage=name, step=step, function=function, parameters=parameters)


def test_every_tile_is_an_image_and_what_has_a_list_is_an_extraction(toy: ToySky) -> None:
    rows = toy.execute("""
        SELECT i.tile_id, i.status, t.status AS list, t.note, e.n_detections, i.plate_id
        FROM plate.image AS i
        JOIN vasco.release_tile AS t USING (image_id)
        LEFT JOIN vasco.extraction AS e USING (image_id)
    """).all()
    assert {row.status for row in rows} == {"imported"}
    assert {row.tile_id: (row.list, row.n_detections, row.plate_id) for row in rows} == {
        A: ("rows", 5, "XE001"), B: ("rows", 1, "XE002"), E: ("rows", 1, "XE003"), C: ("empty", 0, "XE001"),
        D: ("missing", None, "XE004"),
    }  # fmt: skip
    assert {row.tile_id: row.note for row in rows if row.note} == {
        C: "valid empty (no survivors)", D: "missing survivors csv"
    }  # fmt: skip
    assert len(release_extractions(toy.connection, "small")) == 4


def test_footprints_hold_the_tile_at_the_meridian_and_about_a_pole(toy: ToySky) -> None:
    outside = toy.execute("""
        SELECT d.src_id FROM api.detections AS d JOIN plate.image AS i USING (image_id) JOIN vasco.detection AS v
        ON v.extraction_id = d.extraction_id AND v.number = d.number WHERE NOT i.footprint @> v.hpx29
    """).scalars()
    assert outside.all() == []
    areas = toy.execute("""
        SELECT (SELECT sum(upper(r) - lower(r)) FROM unnest(footprint) AS r)::float8 / (12 * 4.0 ^ 29) * 41252.96
        FROM plate.image
    """).scalars()
    # A square of a degree, and the cells of 3.4 arcmin along its rim.
    assert all(1.0 < area < 1.3 for area in areas)


def test_the_published_funnel_is_that_of_the_files(toy: ToySky) -> None:
    funnel = toy.execute("SELECT stage, rows_in, rows_kept, complete FROM api.published_funnel ORDER BY ordinal").all()
    assert [tuple(row) for row in funnel] == [
        ("S0", 7, 6, True), ("S0M_MORPH", 6, 5, True), ("S0S_SHAPE", 5, 4, True), ("S1_GSC", 4, 3, True),
        ("S2_SKYBOT", 3, 3, True), ("S3_SCOS", 3, 2, True), ("S4_PTF", 2, 1, True), ("S5_VSX", 1, 1, True),
        ("S6_SCOPE_DEC", 1, 1, True),
    ]  # fmt: skip
    assert toy.scalar("SELECT count(*) FROM vasco.published_verdict") == 7 + 6 + 5 + 4 + 3 + 3 + 2 + 1 + 1


def test_gaia_is_clear_only_where_the_release_had_stars_of_gaia(toy: ToySky) -> None:
    assert family(toy, f"{A}:1", "gaia") == ("clear", "gaia_dr3", None)
    state, _, reason = family(toy, f"{B}:7", "gaia")
    assert (state, "no star of Gaia on this tile" in reason) == ("unknown", True)
    state, _, reason = family(toy, f"{E}:9", "gaia")
    assert (state, "says nothing of Gaia's stars" in reason) == ("unknown", True)


def test_each_catalogue_has_its_word(toy: ToySky) -> None:
    assert family(toy, f"{A}:3", "gsc")[:2] == ("matched", "gsc242")
    assert family(toy, f"{A}:1", "gsc")[0] == "clear"
    assert family(toy, f"{A}:4", "gsc")[0] == "not_covered"
    assert family(toy, f"{A}:1", "skybot") == ("clear", "skybot", "a moving object is within 60 arcsec")
    assert family(toy, f"{A}:2", "skybot") == ("clear", "skybot", None)
    assert family(toy, f"{B}:7", "skybot")[0] == "unknown"
    assert [family(toy, f"{A}:{n}", "supercosmos")[0] for n in (1, 2)] == ["matched", "clear"]
    assert family(toy, f"{B}:7", "ptf")[0] == "matched"
    assert family(toy, f"{A}:1", "vsx")[0] == "clear"
    assert toy.scalar("SELECT count(*) FROM ref.coverage") == 0
    sep = toy.scalar("SELECT sep_arcsec FROM vasco.imported_match WHERE catalog = 'gsc242' AND state = 'matched'")
    assert sep == 2.5


def test_what_was_found_here_comes_before_and_beside_what_the_release_says(toy: ToySky) -> None:
    lookup = toy.lookup("gaia_edr3")
    insert = """
        INSERT INTO vasco.match (
            extraction_id, number, catalog, state, source_id, sep_arcsec, n_within, lookup_id, lookup_complete
        )
        VALUES (:e, :n, 'gaia_edr3', :state, :source, :sep, :within, :lookup, nullif(:lookup IS NOT NULL, false))
    """
    toy.execute(insert, **of(toy, f"{A}:1"), state="matched", source=5, sep=1.0, within=1, lookup=None)
    toy.execute(insert, **of(toy, f"{B}:7"), state="clear", source=None, sep=None, within=0, lookup=lookup)
    toy.execute(insert, **of(toy, f"{A}:2"), state="not_covered", source=None, sep=None, within=0, lookup=None)
    assert family(toy, f"{A}:1", "gaia")[:2] == ("matched", "gaia_edr3")
    assert family(toy, f"{B}:7", "gaia")[:2] == ("clear", "gaia_edr3")
    assert family(toy, f"{A}:2", "gaia")[:2] == ("clear", "gaia_dr3")


def test_nothing_found_at_an_epoch_that_nobody_knows_means_nothing(toy: ToySky) -> None:
    toy.lookup("gaia_dr3")
    toy.sources("gaia_dr3", [190.25], [88.75])
    # A is dated by the release, B is not.
    assert toy.match(of(toy, f"{B}:7")["e"], "gaia_dr3")["unknown"] == 1
    assert toy.execute("SELECT reason, lookup_id FROM vasco.match WHERE state = 'unknown'").one() == (
        "the date of the image is not known", None
    )  # fmt: skip
    assert toy.match(of(toy, f"{A}:1")["e"], "gaia_dr3")["clear"] == 5


def test_stages_judge_a_release_as_any_images(toy: ToySky) -> None:
    found = judged(
        toy,
        stage("gaia", 1, "veto", family="gaia"), stage("s0", 1, "published", label="S0"),
        stage("morph", 2, **MORPH), stage("published_morph", 2, "published", label="S0M_MORPH"),
        stage("shape", 3, **SHAPE), stage("gsc", 4, "veto", family="gsc"), stage("skybot", 5, "veto", family="skybot"),
        stage("gsc_published", 5, "published", label="S1_GSC"),
    )  # fmt: skip
    outcomes = {
        name: {i.split("DEC")[1]: outcome for i, (outcome, _) in of_it.items()} for name, of_it in found.items()
    }
    a = [f"p10.000:{n}" for n in range(1, 6)]
    assert outcomes["gaia"] == dict.fromkeys(a, "pass") | {"p88.500:7": "unknown", "p10.000:9": "unknown"}
    assert outcomes["s0"] == dict.fromkeys([*a, "p88.500:7"], "pass") | {"p10.000:9": "fail"}
    assert outcomes["morph"] == dict.fromkeys([a[0], a[1], a[2], a[4]], "pass") | {a[3]: "fail"}
    assert outcomes["published_morph"] == outcomes["morph"]
    assert found["published_morph"][f"{A}:4"][1] == "the release: fwhm_ratio=2.000>1.5;spread_snr=20.0>5.0"
    # A:5 could not be measured. The elongations equal the limit, and the release did not reject them for it.
    assert outcomes["shape"] == dict.fromkeys(a[:3], "pass") | {a[4]: "unknown"}
    assert outcomes["gsc"] == {a[0]: "pass", a[1]: "pass", a[2]: "fail"}
    assert found["gsc"][f"{A}:3"][1] == "gsc242 source at 2.500 arcsec"
    assert outcomes["skybot"] == {a[0]: "pass", a[1]: "pass"}
    assert outcomes["gsc_published"] == {a[0]: "pass", a[1]: "pass"}
    assert {name for name, audit in audits().items() if count_rows(toy.connection, audit)} == set()
    candidates = toy.execute("SELECT src_id FROM api.candidates ORDER BY 1").scalars().all()
    assert candidates == [f"{A}:1", f"{A}:2"]


def test_what_a_release_did_not_judge_is_not_covered(toy: ToySky) -> None:
    found = judged(toy, stage("ptf", 1, "published", label="S4_PTF"), stage("p", 1, "veto", family="ptf"))
    assert found["ptf"][f"{A}:1"] == ("pass", None)
    assert found["ptf"][f"{B}:7"] == ("fail", "the release dropped it in S4_PTF")
    assert found["ptf"][f"{A}:4"] == ("not_covered", "no release has a verdict of its stage S4_PTF on it")
    # A counterpart whose place is not published.
    assert found["p"][f"{B}:7"] == ("fail", "ptf_objects source")


def test_gates_on_what_was_not_published_are_unknown(toy: ToySky) -> None:
    found = judged(
        toy, stage("flags", 1, forbidden_bits=65535), stage("snr", 1, min=30), stage("spread_model", 1, min=-0.002),
        stage("extent", 1, delta_below=2, delta_fraction=0, min=1), stage("elongation", 1, below=1.3),
        stage("mad_clip", 1, quantities=["fwhm_image"], population="stars", k=5, min_population=5, stars_per_bin=50),
        stage("fwhm", 1, above=2, below=7, unit="arcsec"), stage("fwhm_px", 1, "fwhm", above=2, below=7, unit="px"),
    )  # fmt: skip
    outcomes = {name: {outcome for outcome, _ in of_it.values()} for name, of_it in found.items()}
    for name in ("flags", "snr", "extent", "mad_clip", "fwhm"):
        assert outcomes[name] == {"unknown"}, name
    assert found["spread_model"][f"{A}:1"][0] == "pass"
    assert found["spread_model"][f"{B}:7"] == ("unknown", "SPREAD_MODEL was not measured")
    assert (found["elongation"][f"{A}:1"][0], found["elongation"][f"{A}:4"][0]) == ("pass", "unknown")
    assert (found["fwhm_px"][f"{A}:1"][0], found["fwhm_px"][f"{B}:7"][0]) == ("pass", "unknown")


def test_measures_are_stored_as_published(toy: ToySky) -> None:
    row = toy.execute(
        "SELECT * FROM vasco.morph_measure WHERE extraction_id = :e AND number = :n", **of(toy, f"{A}:4")
    ).one()
    assert (row.fwhm_ratio, row.spread_snr, row.psf_fwhm_median, row.n_stars) == (2.0, 20.0, 2.8, 100)
    row = toy.execute(
        "SELECT * FROM vasco.morph_measure WHERE extraction_id = :e AND number = :n", **of(toy, f"{B}:7")
    ).one()
    assert (row.fwhm_ratio, row.n_stars) == (None, 0)
    row = toy.execute(
        "SELECT * FROM vasco.shape_measure WHERE extraction_id = :e AND number = :n", **of(toy, f"{A}:5")
    ).one()
    assert (row.variant, row.failure, row.circularity) == ("inverted", "cutout is off the image", None)
    row = toy.execute(
        "SELECT * FROM vasco.shape_measure WHERE extraction_id = :e AND number = :n", **of(toy, f"{A}:1")
    ).one()
    assert (row.profile_diff, row.area_px, row.n_neighbours, row.confidence) == (0.02, 12.0, 9, "low")
    row = toy.execute(
        "SELECT * FROM vasco.detection WHERE extraction_id = :e AND number = :n", **of(toy, f"{A}:1")
    ).one()
    assert (row.fwhm_image, row.elongation, row.snr_win) == (pytest.approx(3.5), pytest.approx(1.1), None)
    metrics = toy.scalar(
        "SELECT metrics FROM vasco.published_verdict WHERE stage = 'S2_SKYBOT' AND extraction_id = :e AND number = :n",
        **of(toy, f"{A}:1"),
    )
    assert metrics == {
        "has_skybot_match": False,
        "wide_skybot_match": True,
        "matched_count": 1,
        "best_sep_arcsec": 31.5,
    }


def test_an_imported_detection_can_be_explained(toy: ToySky) -> None:
    [story] = explain(toy.connection, f"{A}:1")
    said = {source["catalog"]: (source["state"], source["reason"]) for source in story.sources}
    assert said["gsc242"] == ("clear", "by stage_S1_GSC_flags.csv")
    assert said["skybot"] == ("clear", "by stage_S2_SKYBOT_flags.csv: a moving object is within 60 arcsec")
    assert said["usnob1"][0] == "not_covered"


def refuse(toy: ToySky, sql: str, **values: Any) -> None:
    with pytest.raises(IntegrityError, match=r"check constraint|foreign key|not-null"), toy.connection.begin_nested():
        toy.execute(sql, **values)


def test_only_imported_images_and_detections_may_lack_what_was_never_seen(toy: ToySky) -> None:
    own = toy.extraction()
    for column in ("sha256", "file_name", "size_bytes", "naxis1", "naxis2", "header", "path"):
        refuse(toy, f"UPDATE plate.image SET {column} = NULL WHERE image_id = :i", i=own)
    for column in ("tile_id", "plate_id", "ra", "dec", "radius_deg", "footprint", "release_id"):
        refuse(toy, f"UPDATE plate.image SET {column} = NULL WHERE status = 'imported'")
    refuse(toy, "UPDATE plate.image SET release_id = (SELECT release_id FROM vasco.release) WHERE image_id = :i", i=own)
    toy.detections(own, [10.0], [10.0])
    for column in ("ra_raw", "snr_win", "flags", "xmax_image", "elongation"):
        refuse(toy, f"UPDATE vasco.detection SET {column} = NULL WHERE extraction_id = :e", e=own)


def test_clear_stands_on_a_complete_lookup_in_a_release_as_anywhere(toy: ToySky) -> None:
    clear = "WHERE catalog = 'gsc242' AND state = 'clear'"
    refuse(toy, f"UPDATE vasco.imported_match SET lookup_id = NULL, lookup_complete = NULL {clear}")
    refuse(toy, f"UPDATE vasco.imported_match SET lookup_complete = false {clear}")
    refuse(toy, "UPDATE ref.lookup SET complete = false WHERE kind = 'import' AND catalog = 'gsc242'")
    refuse(toy, "UPDATE vasco.imported_match SET reason = NULL WHERE state = 'unknown'")
    toy.lookup("gaia_dr3")
    refuse(toy, "UPDATE ref.lookup SET catalog = NULL WHERE kind = 'file'")


def test_look_ups_of_releases_do_not_count_as_look_ups_of_the_catalogue(toy: ToySky) -> None:
    row = toy.execute("SELECT * FROM api.catalogs WHERE catalog = 'gsc242'").one()
    assert (row.lookups_complete, row.lookups_incomplete, row.newest) == (0, 0, None)
    gaia = toy.execute(
        "SELECT rows_in, rows_kept, rows_rejected, complete FROM api.lookups WHERE catalog = 'gaia_dr3'"
    ).one()
    assert tuple(gaia) == (6, 5, 1, True)


def test_the_same_folder_again_writes_nothing(imported: Database, small_folder: Path, tmp_path: Path) -> None:
    before = fingerprint(imported)
    assert not import_release(imported, small_folder).new
    # Nor does the same release in other clothes.
    plain = SmallRelease().write(tmp_path / "small", place=lambda name: "run/stages" if "stage" in name else "run")
    assert not import_release(imported, plain).new
    assert fingerprint(imported) == before


def test_another_release_under_the_name_and_the_release_under_another_name_are_refused(
    imported: Database, small_folder: Path, tmp_path: Path
) -> None:
    other = SmallRelease()
    other.replace("stage_S1_GSC_flags.csv", "2.5", "2.6")
    other.files.pop("survivors.csv")
    other.table("primary_plate_flags.csv", ["src_id", "det_plate"], [])
    with pytest.raises(
        InputError,
        match=r"another release is stored as 'small': stage_S1_GSC_flags\.csv differ, primary_plate_flags\.csv are new "
        r"here, survivors\.csv are missing here; import this one under another --name",
    ):
        import_release(imported, other.write(tmp_path / "small"))
    with pytest.raises(InputError, match="this release is stored already, as 'small'"):
        import_release(imported, small_folder, "large")
    with imported.connect() as connection, pytest.raises(InputError, match="no release 'large'; imported are: small"):
        release_extractions(connection, "large")


def test_a_date_that_is_one_plates_alone_tells_the_plate(database: Database, tmp_path: Path, add_plate) -> None:
    folder = SmallRelease().write(tmp_path / "small")
    add_plate(database, "XE903", "1953-01-10T23:64:00")
    report = import_release(database, folder)
    assert (report.tiles_dated, report.plates_resolved, report.plates_loaded) == (1, 0, 1)
    # The very same moment, written otherwise.
    add_plate(database, "XE901", "1953-01-11T00:05:00")
    report = import_release(database, folder)
    assert (report.new, report.plates_resolved, report.plates_resolved_now) == (False, 1, 1)
    with database.connect() as connection:
        row = connection.execute(
            text("SELECT plate_id, planned_plate, epoch_jyear FROM plate.image WHERE tile_id = :t"), {"t": A}
        ).one()
        plate = connection.scalar(text("SELECT epoch_jyear FROM plate.plate WHERE plate_id = 'XE901'"))
    assert tuple(row) == ("XE901", "XE001", plate)
    # What is told stays told.
    add_plate(database, "XE902", "1953-01-10T23:65:00")
    report = import_release(database, folder)
    assert (report.plates_resolved, report.plates_resolved_now) == (1, 0)


def test_a_date_that_two_plates_share_tells_nothing(database: Database, tmp_path: Path, add_plate) -> None:
    for region in ("XE901", "XE902"):
        add_plate(database, region, "1953-01-10T23:65:00")
    report = import_release(database, SmallRelease().write(tmp_path / "small"))
    assert (report.plates_resolved, report.tiles_dated) == (0, 1)


def test_plates_that_the_release_names_date_its_images(database: Database, tmp_path: Path, add_plate) -> None:
    small = SmallRelease()
    small.table("primary_plate_flags.csv", ["src_id", "det_plate"], [[f"{B}:7", "XE002"]])
    folder = small.write(tmp_path / "small")
    import_release(database, folder)
    add_plate(database, "XE002", "1952-03-04T07:50:00")
    import_release(database, folder)
    with database.connect() as connection:
        epochs = dict(connection.execute(text("SELECT tile_id, epoch_jyear FROM plate.image")).all())
    assert {tile for tile, epoch in epochs.items() if epoch is not None} == {A, B}
    assert epochs[B] == pytest.approx(1952.17, abs=0.01)


def test_what_an_earlier_version_left_out_is_told_when_it_is_imported_again(database: Database, tmp_path: Path) -> None:
    folder = SmallRelease().write(tmp_path / "small")
    import_release(database, folder)
    whole = fingerprint(database)
    said = "SELECT parameters FROM vasco.release_stage WHERE stage = 'S0'"
    with database.connect() as connection:
        assert connection.scalar(text(said)) == {"tiles_root": "data/tiles", "veto_start_rows": 12345}
        connection.execute(text("UPDATE vasco.release_stage SET parameters = '{}' WHERE stage = 'S0'"))
        connection.execute(text("UPDATE ref.lookup SET parameters = '{}' WHERE region LIKE '%: stage S0'"))
    assert fingerprint(database) != whole
    import_release(database, folder)
    assert fingerprint(database) == whole


def state_of(connection: Connection, catalog: str) -> dict[str, str]:
    rows = connection.execute(
        text("""
            SELECT d.src_id, m.state || coalesce(': ' || m.reason, '')
            FROM vasco.imported_match AS m JOIN api.detections AS d USING (extraction_id, number) WHERE m.catalog = :c
        """),
        {"c": catalog},
    )
    return {src_id: state for src_id, state in rows}


def test_a_look_up_that_nothing_shows_to_be_whole_leaves_nothing_clear(database: Database, tmp_path: Path) -> None:
    small = SmallRelease()
    small.files.pop("stage_S1_GSC_ledger.json")
    small.replace("stage_S4_PTF_ledger.json", '"http_status": 200', '"http_status": 503')
    for name in ("stage_S0M_MORPH.csv", "stage_S0M_MORPH_ledger.json", "stage_S5_VSX.csv", "stage_S5_VSX_ledger.json"):
        small.files.pop(name)
    import_release(database, small.write(tmp_path / "small"))
    with database.connect() as connection:
        gsc, ptf = state_of(connection, "gsc242"), state_of(connection, "ptf_objects")
        assert gsc[f"{A}:3"] == "matched"
        assert {gsc[f"{A}:{n}"] for n in (1, 2)} == {"unknown: no ledger says that the look-up of S1_GSC was whole"}
        assert ptf == {
            f"{A}:1": "unknown: S4_PTF: part_0001 was answered with HTTP status 503", f"{B}:7": "matched"
        }  # fmt: skip
        assert "may be a part of itself" in state_of(connection, "gaia_dr3")[f"{A}:1"]
        toy = ToySky(connection)
        found = judged(toy, stage("vsx", 1, "published", label="S5_VSX"), stage("gsc", 1, "published", label="S1_GSC"))
        assert found["vsx"][f"{A}:1"] == (
            "unknown",
            "nothing in the release shows that stage_S5_VSX_flags.csv is whole",
        )
        assert found["gsc"][f"{A}:1"][0] == "pass"
        connection.rollback()


def test_without_morph_nothing_shows_that_gaia_was_there(database: Database, tmp_path: Path) -> None:
    small = SmallRelease()
    for name in [name for name in small.files if name.startswith("stage_S") and name != "stage_S0.csv"]:
        small.files.pop(name)
    report = import_release(database, small.write(tmp_path / "small"))
    assert (report.detections, report.detections_without_gaia) == (7, 7)
    with database.connect() as connection:
        assert set(state_of(connection, "gaia_dr3").values()) == {
            "unknown: the release does not show that it had Gaia's stars of this tile"
        }


def test_an_import_that_fails_leaves_nothing(database: Database, tmp_path: Path, monkeypatch) -> None:
    before = fingerprint(database)
    monkeypatch.setattr("vascodb.releases.importing.MATCHES", "SELECT 1 / 0 FROM {staging}")
    with pytest.raises(Exception, match="division by zero"):
        import_release(database, SmallRelease().write(tmp_path / "small"))
    assert fingerprint(database) == before
    with database.connect() as connection:
        assert (
            connection.scalar(text("SELECT count(*) FROM pg_class WHERE relnamespace = 'staging'::regnamespace")) == 0
        )


def test_a_step_down_takes_what_was_imported_and_leaves_the_rest(database: Database, tmp_path: Path) -> None:
    import_release(database, SmallRelease().write(tmp_path / "small"))
    with database.connect() as connection:
        toy = ToySky(connection)
        own = toy.extraction()
        toy.detections(own, [10.0], [10.0])
        judged(toy, stage("gaia", 1, "veto", family="gaia"), stage("s0", 2, "published", label="S0"))
        with as_file(files("vascodb.migrations")) as folder:
            config = Config()
            config.set_main_option("script_location", str(folder))
            config.attributes["connection"] = connection
            command.downgrade(config, "0002")
        assert connection.execute(text("SELECT extraction_id FROM vasco.detection")).scalars().all() == [own]
        assert connection.scalar(text("SELECT count(*) FROM ref.lookup")) == 0
        initialise(connection)
    assert import_release(database, tmp_path / "small").new


def test_the_command_reports_what_came_in(vascodb, small_folder: Path, tmp_path: Path) -> None:
    printed = vascodb.ok("import-release", small_folder).out
    for words in (
        "small (run run-X1-20260101_000000): imported", "5 tiles: 3 with survivors, 1 without, 1 whose list",
        "7 detections", "S0S_SHAPE", "2 detections were not shown", "0 of 1 dated", "load-plates",
    ):  # fmt: skip
        assert words in printed
    report = vascodb.ok("import-release", small_folder, "--format", "json").value
    assert (report["new"], report["tiles_missing"], report["stages"][1]) == (
        False, 1, {"stage": "S0M_MORPH", "in": 6, "kept": 5}
    )  # fmt: skip
    assert "S0S_SHAPE" not in vascodb.ok("explain", f"{A}:1").out
    refused = vascodb.run("import-release", tmp_path)
    assert (refused.status, refused.err) == (
        1, f"vascodb: {tmp_path}: there is no tile_manifest.csv in it; give the folder of one release or run\n"
    )  # fmt: skip
