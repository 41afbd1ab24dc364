"""What people read: detections, candidates, the funnel, and the story of one detection."""

import pytest
from sqlalchemy import Connection
from toysky import ToySky

from vascodb.errors import InputError
from vascodb.pipeline.explain import explain
from vascodb.profiles import load_profile

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
    return toy, extraction_id, toy.judge(load_profile("vasco60"), extraction_id)


def test_the_funnel_counts_verdicts_and_what_remains(judged) -> None:
    toy, extraction_id, run_id = judged
    rows = toy.execute("SELECT * FROM api.funnel WHERE run_id = :r ORDER BY ordinal", r=run_id).all()
    assert [row.stage for row in rows] == [s.stage for s in load_profile("vasco60").stages]
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
    run_id = toy.judge(load_profile("vasco60"), toy.extraction())
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
    assert toy.judge(load_profile("vasco60"), second) == run_id
    toy.judge(load_profile("default"), first)
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
    assert [v["stage"] for v in found.verdicts] == [s.stage for s in load_profile("vasco60").stages]
    assert all(v["outcome"] == "pass" for v in found.verdicts)
    snr = next(v for v in found.verdicts if v["stage"] == "snr")
    assert (snr["value"], snr["parameters"]) == (50.0, {"min": 30})


def test_the_story_names_every_catalogue_also_where_nobody_looked(judged) -> None:
    toy, extraction_id, _ = judged
    found = story(toy.connection, extraction_id, 5)
    assert [s["catalog"] for s in found.sources] == ["gaia_dr3", "gaia_edr3"]
    assert [s["state"] for s in found.sources] == ["not_covered", "not_covered"]
    assert [(s["source_id"], s["covered_by"], s["lookup_id"]) for s in found.sources] == [(None, None, None)] * 2
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
