"""What people read: detections, candidates, the funnel, and the story of one detection."""

import math

import pytest
from sqlalchemy import Connection
from toysky import ToySky, gates_of

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.registry import catalogs
from vascodb.pipeline.explain import explain
from vascodb.plates.footprint import multirange

ARCSEC = 1 / 3600


@pytest.fixture
def judged(toy: ToySky, cone_moc) -> tuple[ToySky, int, int]:
    """Six detections: a star, three clear (two good, one flagged), one uncovered, one blended star."""
    extraction_id = toy.extraction(10.0, 0.0, epoch_jyear=1951.5)
    toy.detections(
        extraction_id, [10.0, 10.1, 10.2, 10.3, 20.0, 10.05], [0.0] * 6, flags=[0, 0, 0, 4, 0, 2],
        fwhm_image=[4.0, 3.9, 4.1, 4.0, 4.0, 4.0],
    )  # fmt: skip
    toy.sources("gaia_dr3", [10.0, 10.05, 10.1], [1 * ARCSEC, 0.0, 40 * ARCSEC], [0.0, None, 0.0], [600.0, None, 0.0])
    toy.lookup("gaia_dr3", cone_moc(10.0, 0.0, 1.0))
    toy.match(extraction_id, "gaia_dr3")
    return toy, extraction_id, toy.judge(gates_of("vasco60"), extraction_id)


def test_the_funnel_counts_verdicts_and_what_remains(judged) -> None:
    toy, extraction_id, run_id = judged
    rows = toy.execute("SELECT * FROM api.funnel WHERE run_id = :r ORDER BY ordinal", r=run_id).all()
    assert [row.stage for row in rows] == [s.stage for s in gates_of("vasco60").stages]
    by_stage = {row.stage: row for row in rows}
    veto, flags = by_stage["gaia"], by_stage["flags"]
    # The star moved 39 arcsec since 1951: only the blended one is matched.
    assert (veto.judged, veto.passed, veto.failed, veto.unknown, veto.not_covered, veto.remaining) == (6, 4, 1, 0, 1, 4)
    assert (flags.judged, flags.passed, flags.failed, flags.remaining) == (4, 3, 1, 3)
    # The clip judges all four, but what FLAGS turned away does not come back.
    assert (by_stage["mad_clip"].judged, by_stage["mad_clip"].passed, by_stage["mad_clip"].remaining) == (4, 4, 3)
    assert by_stage["extent"].remaining == 3
    assert all(row.extraction_id == extraction_id and row.plate_id == "XE001" for row in rows)


def test_the_funnel_ends_in_the_candidates(judged) -> None:
    toy, _, run_id = judged
    last = toy.scalar("SELECT remaining FROM api.funnel WHERE run_id = :r ORDER BY ordinal DESC LIMIT 1", r=run_id)
    assert toy.candidates(run_id) == [1, 2, 3]
    assert last == 3


def test_a_run_of_an_image_without_detections_has_a_funnel_of_zeros(toy: ToySky) -> None:
    run_id = toy.judge(gates_of("vasco60"), toy.extraction())
    rows = toy.execute("SELECT judged, passed, remaining FROM api.funnel WHERE run_id = :r", r=run_id).all()
    assert [tuple(row) for row in rows] == [(0, 0, 0)] * 8
    assert toy.candidates(run_id) == []


def test_a_missing_verdict_does_not_count_as_remaining(judged) -> None:
    toy, _, run_id = judged
    toy.execute("DELETE FROM vasco.verdict WHERE stage = 'snr' AND number = 2")
    rows = toy.execute("SELECT stage, remaining FROM api.funnel WHERE run_id = :r ORDER BY ordinal", r=run_id).all()
    assert [row.remaining for row in rows] == [4, 3, 2, 2, 2, 2, 2, 2]


def test_two_images_and_two_runs_have_funnels_of_their_own(judged) -> None:
    toy, first, run_id = judged
    second = toy.extraction(10.0, 0.0)
    toy.detections(second, [10.1], [0.0])
    toy.match(second, "gaia_dr3")
    assert toy.judge(gates_of("vasco60"), second) == run_id
    toy.judge(gates_of("default"), first)
    rows = toy.execute("SELECT run, extraction_id, judged FROM api.funnel WHERE ordinal = 1 ORDER BY 1, 2").all()
    assert [tuple(r) for r in rows] == [("default", first, 6), ("vasco60", first, 6), ("vasco60", second, 1)]
    assert toy.scalar("SELECT count(*) FROM api.candidates WHERE run = 'vasco60'") == 4


def test_detections_carry_their_name_plate_epoch_and_size_on_the_sky(judged) -> None:
    toy, extraction_id, _ = judged
    row = toy.execute("SELECT * FROM api.detections WHERE number = 3").one()
    assert (row.src_id, row.plate_id, row.epoch_jyear) == (f"tile_{extraction_id}:3", "XE001", 1951.5)
    assert row.fwhm_arcsec == pytest.approx(4.1 * 1.7, rel=1e-6)


def test_match_states_and_catalogs_sum_up(judged) -> None:
    toy, _, _ = judged
    states = toy.execute("SELECT catalog, matched, clear, unknown, not_covered FROM api.match_states").all()
    assert [tuple(row) for row in states] == [("gaia_dr3", 1, 4, 0, 1)]
    catalogs = {row.catalog: row for row in toy.execute("SELECT * FROM api.catalogs")}
    assert (catalogs["gaia_dr3"].lookups_complete, catalogs["gaia_edr3"].lookups_complete) == (1, 0)
    assert catalogs["gaia_dr3"].coverage_sqdeg == pytest.approx(3.1416, rel=0.01)
    assert catalogs["gaia_edr3"].coverage_sqdeg == 0


def test_the_whole_sky_is_41253_square_degrees(toy: ToySky) -> None:
    toy.lookup("gaia_dr3")
    area = toy.scalar("SELECT coverage_sqdeg FROM api.catalogs WHERE catalog = 'gaia_dr3'")
    assert area == pytest.approx(41252.961, abs=0.001)


def story(connection: Connection, extraction_id: int, number: int):
    (found,) = explain(connection, f"tile_{extraction_id}:{number}")
    return found


def test_the_story_of_a_star_that_moved_away(judged) -> None:
    toy, extraction_id, _ = judged
    found = story(toy.connection, extraction_id, 1)
    dr3 = next(s for s in found.sources if s["catalog"] == "gaia_dr3")
    assert (dr3["state"], dr3["source_id"], dr3["pmdec_masyr"]) == ("clear", 1, 600.0)
    assert dr3["sep_plate_epoch_arcsec"] == pytest.approx(64.5 * 0.6 - 1, abs=0.01)
    assert dr3["sep_catalog_epoch_arcsec"] == pytest.approx(1.0, abs=1e-6)
    assert dr3["covered_by"] == "toy.csv, toy"
    assert found.is_candidate == {"vasco60": True}
    assert [v["stage"] for v in found.verdicts] == [s.stage for s in gates_of("vasco60").stages]
    assert all(v["outcome"] == "pass" for v in found.verdicts)
    snr = next(v for v in found.verdicts if v["stage"] == "snr")
    assert (snr["value"], snr["parameters"]) == (50.0, {"min": 30})


def test_the_story_names_every_catalogue_also_where_nobody_looked(judged) -> None:
    toy, extraction_id, _ = judged
    found = story(toy.connection, extraction_id, 5)
    assert [s["catalog"] for s in found.sources] == sorted(catalogs())
    assert {s["state"] for s in found.sources} == {"not_covered"}
    assert {(s["source_id"], s["covered_by"], s["lookup_id"]) for s in found.sources} == {(None, None, None)}
    assert found.is_candidate == {"vasco60": False}
    assert [(v["stage"], v["outcome"]) for v in found.verdicts] == [("gaia", "not_covered")]


def test_the_nearest_source_is_named_up_to_ten_arcmin_away(toy: ToySky) -> None:
    extraction_id = toy.extraction(10.0, 0.0)
    toy.detections(extraction_id, [10.0, 10.0, 10.0], [0.0, 1.0, 2.0])
    toy.sources("gaia_dr3", [10.0, 10.0, 10.0], [9 * ARCSEC, 1 + 599 * ARCSEC, 2 + 601 * ARCSEC])
    toy.match(extraction_id, "gaia_dr3")
    found = [
        next(s for s in story(toy.connection, extraction_id, n).sources if s["catalog"] == "gaia_dr3")
        for n in (1, 2, 3)
    ]
    assert [s["source_id"] for s in found] == [1, 2, None]


@pytest.mark.parametrize(
    "name", ["", "tile_1", "tile_1:", "tile_1:x", ":5", "tile_1:99", "tile_99:1", "'; DROP TABLE x; --:1"]
)
def test_what_is_no_detection_has_no_story(judged, name: str) -> None:
    toy, _, _ = judged
    with pytest.raises(InputError, match="no detection"):
        explain(toy.connection, name)


def test_two_images_of_one_tile_give_two_stories(judged) -> None:
    toy, extraction_id, _ = judged
    other = toy.extraction()
    toy.execute("UPDATE plate.image SET tile_id = :t WHERE image_id = :i", t=f"tile_{extraction_id}", i=other)
    toy.detections(other, [10.0], [0.0])
    assert len(explain(toy.connection, f"tile_{extraction_id}:1")) == 2


def status(toy: ToySky, name: str):
    return toy.execute("SELECT * FROM api.catalogs WHERE catalog = :c", c=name).one()


def test_the_status_of_a_catalogue_counts_what_went_well_and_what_did_not(toy: ToySky, cone_moc) -> None:
    name = toy.catalog("survey")
    empty = status(toy, name)
    assert (empty.sources, empty.sources_exact, empty.coverage_sqdeg, empty.gap_sqdeg) == (0, True, 0, 0)
    assert (empty.lookups_complete, empty.lookups_incomplete, empty.canaries_failed) == (0, 0, 0)
    assert (empty.newest, empty.newest_age_d, empty.oldest_age_d) == (None, None, None)

    toy.sources(name, [10.0, 10.1], [0.0, 0.0])
    old = toy.service_lookup(name, asked_at="1990-01-01 00:00+00", rows_in=7, rows_kept=5, rows_rejected=2)
    toy.execute(
        "SELECT ref.add_coverage(:c, :l, CAST(:r AS int8multirange))",
        c=name, l=old, r=multirange(cone_moc(10.0, 0.0, 1.0)),
    )  # fmt: skip
    toy.service_lookup(name)
    toy.gap(name, cone_moc(11.5, 0.0, 1.0))
    toy.service_lookup(name, complete=False, status="split", cause="overflow", error="cut")
    toy.service_lookup(name, "canary", complete=False)
    row = status(toy, name)
    assert (row.sources, row.sources_exact, row.rows_kept) == (2, True, 6)
    assert (row.lookups_complete, row.lookups_incomplete, row.canaries_failed) == (2, 1, 1)
    assert row.coverage_sqdeg == pytest.approx(math.pi, rel=0.01)
    # Two circles of one degree, one and a half degrees apart, overlap in 0.4531 deg².
    assert row.gap_sqdeg == pytest.approx(math.pi - 0.4531, rel=0.02)
    days = toy.scalar("SELECT extract(epoch FROM now() - timestamptz '1990-01-01 00:00+00') / 86400")
    assert (row.newest_age_d, row.oldest_age_d) == (0.0, pytest.approx(float(days), abs=0.1))


def test_up_to_a_million_sources_are_counted_and_more_are_estimated(database: Database) -> None:
    with database.connect() as connection:
        toy = ToySky(connection)
        toy.execute("""
            INSERT INTO ref.gaia_dr3 (source_id, ra, dec, ra_j1954, dec_j1954, epoch_jyear)
            VALUES (1, 10, 10, 10, 10, 2016);
            DROP INDEX ref.gaia_dr3_sky, ref.gaia_dr3_fast, ref.gaia_dr3_source_id;
            INSERT INTO ref.gaia_dr3 (source_id, ra, dec, ra_j1954, dec_j1954, epoch_jyear)
            SELECT 1 + n, 10, 10, 10, 10, 2016 FROM generate_series(1, 999999) AS n
        """)
        assert (status(toy, "gaia_dr3").sources, status(toy, "gaia_dr3").sources_exact) == (1_000_000, True)
        toy.execute("INSERT INTO ref.gaia_dr3 SELECT * FROM ref.gaia_dr3 LIMIT 200000")
        assert (status(toy, "gaia_dr3").sources, status(toy, "gaia_dr3").sources_exact) == (1_000_001, False)
        toy.execute("ANALYZE ref.gaia_dr3")
        row = status(toy, "gaia_dr3")
        assert (row.sources, row.sources_exact) == (pytest.approx(1_200_000, rel=0.05), False)
        connection.rollback()


def test_objects_that_move_are_counted_once_however_often_they_were_predicted(toy: ToySky) -> None:
    name, image_id = toy.catalog("asteroids", moving=True), toy.extraction()
    for _ in range(2):
        toy.moving_look(name, image_id, 10.0, 0.0, 1.0, [{"ra": 10.0, "dec": 0.0}, {"ra": 10.1, "dec": 0.0}])
    assert status(toy, name).sources == 2


def test_lookups_are_listed_newest_first_with_their_evidence(toy: ToySky) -> None:
    first = toy.service_lookup("gaia_dr3", "canary", asked_at="1990-01-02 00:00+00")
    second = toy.service_lookup(
        "gaia_dr3",
        canary_id=first,
        asked_at="1990-01-03 00:00+00",
        seconds=1.5,
        http_status=200,
        region="cone 1,2,3deg",
    )
    toy.execute("DELETE FROM ref.lookup WHERE lookup_id NOT IN (:a, :b)", a=first, b=second)
    failed = toy.service_lookup("gaia_dr3", complete=False, asked_at="1990-01-04 00:00+00")
    rows = toy.execute("SELECT * FROM api.lookups").all()
    assert [row.lookup_id for row in rows] == [failed, second, first]
    assert (rows[0].complete, rows[0].cause, rows[0].error) == (False, "timeout", "no answer in 60 s")
    assert (rows[1].canary_id, rows[1].seconds, rows[1].http_status, rows[1].region) == (
        first,
        1.5,
        200,
        "cone 1,2,3deg",
    )
    assert rows[2].age_d - rows[1].age_d == pytest.approx(1.0, abs=0.11)


def test_gaps_are_listed_with_what_is_left_of_them(toy: ToySky, cone_moc) -> None:
    older = toy.gap("gaia_dr3", cone_moc(10.0, 0.0, 1.0), cause="http", error="503")
    newer = toy.gap("gaia_dr3", cone_moc(50.0, 0.0, 0.5))
    gone = toy.gap("gaia_edr3", cone_moc(10.0, 0.0, 0.5))
    toy.lookup("gaia_edr3", cone_moc(10.0, 0.0, 1.0))
    toy.lookup("gaia_dr3", cone_moc(10.0, 0.0, 0.5))
    rows = {row.lookup_id: row for row in toy.execute("SELECT * FROM api.gaps")}
    assert set(rows) == {older, newer}
    assert gone not in rows
    assert (rows[older].catalog, rows[older].cause, rows[older].error) == ("gaia_dr3", "http", "503")
    assert rows[older].gap_sqdeg == pytest.approx(math.pi * 0.75, rel=0.02)
    assert rows[newer].gap_sqdeg == pytest.approx(math.pi * 0.25, rel=0.02)


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        ("1990-01-02", None, True), (None, "1990-01-02", False), ("1990-01-02", "1990-01-01", True),
        ("1990-01-02", "1990-01-03", False),
    ],
)  # fmt: skip
def test_an_address_is_good_if_it_answered_well_last(toy: ToySky, good, bad, expected) -> None:
    toy.execute(
        "INSERT INTO ref.endpoint VALUES ('toy', 'http://toy', :good, :bad, :cause)",
        good=good, bad=bad, cause=bad and "timeout",
    )  # fmt: skip
    assert toy.execute("SELECT service, endpoint, good FROM api.endpoints").all() == [("toy", "http://toy", expected)]


def test_the_story_tells_the_failed_look_up_and_when(toy: ToySky, cone_moc) -> None:
    e = toy.extraction(10.0, 0.0)
    toy.detections(e, [10.0, 10.4], [0.0, 0.0])
    toy.lookup("gaia_dr3", cone_moc(10.0, 0.0, 0.2))
    failed = toy.gap(
        "gaia_dr3", cone_moc(10.0, 0.0, 1.0), cause="http", error="503\nbusy", asked_at="1990-01-02 00:00+00"
    )
    toy.match(e, "gaia_dr3")
    clear, unknown = (
        next(s for s in story(toy.connection, e, n).sources if s["catalog"] == "gaia_dr3") for n in (1, 2)
    )
    assert (clear["state"], clear["covered_by"], clear["failure"]) == ("clear", "toy.csv, toy", None)
    assert clear["covered_at"] == toy.scalar(
        "SELECT asked_at FROM ref.lookup WHERE lookup_id = :l", l=clear["lookup_id"]
    )
    assert (unknown["state"], unknown["reason"], unknown["failure"]) == ("unknown", "http: 503 busy", "http: 503 busy")
    assert (unknown["covered_by"], unknown["failed_lookup_id"]) == (None, failed)
    assert unknown["failed_at"].isoformat() == "1990-01-02T00:00:00+00:00"


def test_the_story_tells_what_passed_by(toy: ToySky) -> None:
    name = toy.catalog("asteroids", moving=True, match_radius_arcsec=5.0)
    e = toy.extraction(10.0, 0.0)
    toy.execute("UPDATE plate.image SET exposure_minutes = 60")
    toy.detections(e, [10.0, 11.0], [0.0, 0.0])
    objects = [
        {"ra": 10.0, "dec": 50 * ARCSEC, "name": "wide", "mag": 18.5, "class": "MB"},
        {"ra": 10.0, "dec": 70 * ARCSEC, "name": "beyond"},
        {"ra": 10 + 20 * ARCSEC, "dec": 0.0, "name": "trailing", "rate_ra_arcsec_h": 36.0},
    ]
    lookup_id = toy.moving_look(name, e, 10.0, 0.0, 0.5, objects)
    toy.moving_look(name, e, 11.0, 0.0, 0.3, complete=False)
    toy.match(e, name)
    found = story(toy.connection, e, 1)
    assert [(m["name"], round(m["sep_arcsec"], 3), round(m["trail_arcsec"], 3)) for m in found.moving] == [
        ("trailing", 2.0, 36.0), ("wide", 50.0, 0.0)
    ]  # fmt: skip
    source = next(s for s in found.sources if s["catalog"] == name)
    assert (source["state"], source["name"], source["lookup_id"]) == ("matched", "trailing", lookup_id)
    assert (round(source["sep_plate_epoch_arcsec"], 3), round(source["sep_catalog_epoch_arcsec"], 3)) == (2.0, 20.0)
    other = story(toy.connection, e, 2)
    source = next(s for s in other.sources if s["catalog"] == name)
    assert (source["state"], source["failure"], other.moving) == ("unknown", "timeout: no answer in 60 s", [])
