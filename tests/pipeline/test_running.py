"""Runs by name: images join, only what is stale is judged, and the rules never change."""

import pytest
from tiescenes import exposed, frame, known, scene
from toysky import ToySky, gates_of

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.pipeline.matching import fit_positions, match_image
from vascodb.pipeline.running import Runner, RunReport
from vascodb.pipeline.selection import Selected, Selection, select_images

PROFILE = gates_of("vasco60")


class Survey:
    """A database of toy images that are committed."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def toy(self, connection) -> ToySky:
        toy = ToySky(connection)
        highest = connection.exec_driver_sql("SELECT coalesce(max(image_id), 0) FROM plate.image").scalar()
        lookups = connection.exec_driver_sql("SELECT coalesce(max(lookup_id), 0) FROM ref.lookup").scalar()
        for _ in range(max(highest, lookups)):
            next(toy._ids)
        return toy

    def image(self, ra: float, **columns) -> int:
        """One image with three detections; returns its extraction."""
        with self.database.connect() as connection:
            toy = self.toy(connection)
            extraction_id = toy.extraction(ra, 0.0)
            toy.detections(
                extraction_id, [ra, ra + 0.1, ra + 0.2], [0.0] * 3, **({"fwhm_image": [3.9, 4, 4.1]} | columns)
            )
            toy.execute("UPDATE vasco.extraction SET n_detections = 3, config_name = 'seed'")
        return extraction_id

    def gaia(self, *ra: float) -> None:
        with self.database.connect() as connection:
            toy = self.toy(connection)
            toy.sources("gaia_dr3", ra, [0.0] * len(ra), source_id=[int(1000 * x) for x in ra])
            toy.lookup("gaia_dr3")

    def run(self, name: str = "survey", *images: int, profile=PROFILE, from_stage: str | None = None) -> RunReport:
        return Runner(self.database, profile).run(name, Selected(images), from_stage)

    def select(self, **selection) -> tuple[int, ...]:
        with self.database.connect() as connection:
            return select_images(connection, Selection(**selection), "seed").extraction_ids

    def rows(self, sql: str) -> list[tuple]:
        with self.database.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]


@pytest.fixture
def survey(database: Database) -> Survey:
    return Survey(database)


def test_a_run_matches_and_judges_and_again_has_nothing_to_do(survey: Survey) -> None:
    first = survey.image(10.0)
    survey.gaia(10.1)
    report = survey.run("survey", first)
    assert (report.images, report.joined, report.judged, report.candidates) == (1, 1, 1, 2)
    assert report.written == 3 + 2 * 7
    assert list(report.seconds) == ["match", *(stage.stage for stage in PROFILE.stages)]
    again = survey.run("survey")
    assert (again.images, again.joined, again.judged, again.written, again.candidates) == (1, 0, 0, 0, 2)


def test_new_images_join_and_only_they_are_judged(survey: Survey) -> None:
    survey.gaia(50.0)
    first = survey.image(10.0)
    survey.run("survey", first)
    before = survey.rows("SELECT xmin FROM vasco.verdict ORDER BY stage, number")
    second = survey.image(20.0)
    report = survey.run("survey", second)
    assert (report.images, report.joined, report.judged, report.candidates) == (2, 1, 1, 6)
    assert survey.rows(f"SELECT xmin FROM vasco.verdict WHERE extraction_id = {first} ORDER BY stage, number") == before


def test_references_that_came_since_are_matched_and_their_images_judged_again(survey: Survey) -> None:
    first, second = survey.image(10.0), survey.image(20.0)
    survey.gaia(10.0)
    assert survey.run("survey", first, second).candidates == 5
    with survey.database.connect() as connection:
        survey.toy(connection).sources("gaia_dr3", [20.0], [0.0], source_id=[7])
    report = survey.run("survey")
    assert (report.judged, report.candidates) == (1, 4)


def test_gaia_that_comes_later_ties_positions_as_if_it_had_been_there_from_the_start(
    database: Database, temporary_database, template_database: str
) -> None:
    place = frame()
    ties = scene(place, 150)

    def ingested(into: Database, *, with_stars: bool) -> int:
        with into.connect() as connection:
            toy = ToySky(connection)
            extraction_id = exposed(toy, place, ties, with_stars=with_stars, fwhm_image=4.0)
            toy.execute("UPDATE vasco.extraction SET n_detections = 150, config_name = 'seed'")
            # As an ingest does.
            fit_positions(connection, extraction_id)
            match_image(connection, extraction_id, PROFILE.families)
        return extraction_id

    def state(of: Database) -> dict[str, str]:
        with of.connect() as connection:
            rows = connection.exec_driver_sql("SELECT table_name, fingerprint FROM meta.fingerprint()")
            return {name: fingerprint for name, fingerprint in rows}

    image = ingested(database, with_stars=False)
    first = Runner(database, PROFILE).run("survey", Selected((image,)))
    assert (first.tied, first.candidates) == (0, 0)
    with database.connect() as connection:
        toy = ToySky(connection)
        next(toy._ids)
        known(toy, ties)
    late = Runner(database, PROFILE).run("survey", Selected(()))
    assert (late.tied, late.judged) == (1, 1)
    again = Runner(database, PROFILE).run("survey", Selected(()))
    assert (again.tied, again.judged, again.written) == (0, 0, 0)
    with temporary_database(template_database) as other:
        early = Runner(other, PROFILE).run("survey", Selected((ingested(other, with_stars=True),)))
        assert (early.tied, early.candidates) == (0, late.candidates)
        assert state(database) == state(other)
    with database.connect() as connection:
        moved = connection.exec_driver_sql("SELECT count(*) FROM vasco.detection WHERE ra <> ra_raw").scalar()
        assert moved == 150


def test_an_image_that_was_matched_before_runs_tied_positions_is_tied_now(database: Database) -> None:
    place = frame()
    with database.connect() as connection:
        toy = ToySky(connection)
        image = exposed(toy, place, scene(place, 150), with_stars=False)
        toy.execute("UPDATE vasco.extraction SET n_detections = 150, config_name = 'seed'")
        fit_positions(connection, image)
        known(toy, scene(place, 150))
        match_image(connection, image, PROFILE.families)
    assert Runner(database, PROFILE).run("survey", Selected((image,))).tied == 1


def test_from_a_stage_on_everything_is_judged_again(survey: Survey) -> None:
    first = survey.image(10.0)
    survey.gaia(50.0)
    survey.run("survey", first)
    with survey.database.connect() as connection:
        connection.exec_driver_sql("UPDATE vasco.detection SET snr_win = 1 WHERE number = 2")
    assert survey.run("survey").written == 0
    report = survey.run("survey", from_stage="snr")
    assert (report.judged, report.candidates) == (1, 2)
    assert "flags" not in report.seconds
    assert "snr" in report.seconds


def test_a_run_keeps_its_rules(survey: Survey) -> None:
    first = survey.image(10.0)
    survey.run("survey", first)
    with pytest.raises(InputError, match=r"run 'survey' was made with other parameters \(snr.min was 30, not 20\)"):
        survey.run("survey", first, profile=PROFILE.setting(["snr.min=20"]))
    with pytest.raises(InputError, match="profile vasco60, not default"):
        survey.run("survey", first, profile=gates_of("default"))
    other = survey.run("other", first, profile=PROFILE.setting(["snr.min=20"]))
    assert other.run == "other"
    assert survey.rows("SELECT run FROM vasco.run ORDER BY 1") == [("other",), ("survey",)]


def test_a_run_without_images_is_refused_and_not_made(survey: Survey) -> None:
    with pytest.raises(InputError, match="run 'survey' has no images yet; say which"):
        survey.run("survey")
    assert survey.rows("SELECT * FROM vasco.run") == []


def test_an_unknown_stage_to_begin_with_is_refused(survey: Survey) -> None:
    with pytest.raises(InputError, match="--from-stage sn: the stages are gaia, flags, snr"):
        survey.run("survey", survey.image(10.0), from_stage="sn")


def test_where_nobody_looked_nothing_is_a_candidate_but_all_is_on_the_ledger(survey: Survey) -> None:
    report = survey.run("survey", survey.image(10.0))
    assert (report.candidates, report.unknown) == (0, 0)
    assert survey.rows("SELECT n_in, n_not_covered FROM vasco.run_ledger WHERE stage = 'gaia'") == [(3, 3)]


def test_a_failed_lookup_is_counted_as_unknown(survey: Survey) -> None:
    first = survey.image(10.0)
    with survey.database.connect() as connection:
        survey.toy(connection).gap("gaia_dr3")
    report = survey.run("survey", first)
    assert (report.candidates, report.unknown) == (0, 3)


def test_many_images_are_judged_in_parts(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vascodb.pipeline.judging._DETECTIONS_AT_ONCE", 5)
    survey.gaia(50.0)
    images = [survey.image(10.0 + i) for i in range(5)]
    assert survey.run("survey", *images).candidates == 15
    assert len(survey.rows("SELECT DISTINCT judged_at FROM vasco.run_ledger WHERE stage = 'snr'")) > 1


def test_images_are_selected_by_tile_plate_or_all_of_them(survey: Survey) -> None:
    first, second = survey.image(10.0), survey.image(20.0)
    with survey.database.connect() as connection:
        connection.exec_driver_sql(f"UPDATE plate.image SET plate_id = 'XE002' WHERE image_id = {second}")
    assert survey.select(everything=True) == (first, second)
    assert survey.select(tiles=[f"tile_{first}"]) == (first,)
    assert survey.select(plates=["XE002"]) == (second,)
    assert survey.select(plates=["XE002"], tiles=[f"tile_{first}"]) == (first, second)


def test_the_newest_extraction_of_an_image_is_taken(survey: Survey) -> None:
    first = survey.image(10.0)
    with survey.database.connect() as connection:
        connection.exec_driver_sql("UPDATE vasco.extraction SET extracted_at = '1990-01-01'")
        connection.exec_driver_sql(f"""
            INSERT INTO vasco.extraction (
                extraction_id, image_id, config_name, config_sha256, sextractor_version, psfex_version, n_detections,
                tool_warnings
            ) VALUES (99, {first}, 'seed', 'x', '9', '9', 0, '{{}}'), (98, {first}, 'other', 'x', '9', '9', 0, '{{}}')
        """)
    assert survey.select(everything=True) == (99,)


@pytest.mark.parametrize(("selection", "message"), [
    ({"tiles": ["tile_9"]}, "no image of tile tile_9 is ingested"),
    ({"plates": ["XE9"] * 2}, "no image of plate XE9 is ingested"),
    ({"tiles": [f"t{i}" for i in range(7)]}, "tile t0, t1, t2, t3, t4 and 2 more is ingested"),
])  # fmt: skip
def test_what_is_named_and_not_there_is_an_error(survey: Survey, selection, message) -> None:
    survey.image(10.0)
    with pytest.raises(InputError, match=message):
        survey.select(**selection)
