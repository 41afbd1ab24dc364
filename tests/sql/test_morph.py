"""MORPH: medians of reference stars, the rule, and the published verdicts of a release."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from release import read_release, roundings
from sqlalchemy import Connection
from toysky import ToySky

from vascodb.profiles import Profile, StageDefinition

SEED_RULE: dict[str, Any] = {
    "gaia_mag_min": 12, "gaia_mag_max": 18, "match_arcsec": 3, "elongation_max": 1.3, "epoch": "catalog",
    "sample": None, "min_psf_stars": 5, "fwhm_ratio_max": 1.5, "spread_snr_max": 5,
}  # fmt: skip
ARCSEC = 1 / 3600
PUBLISHED = ("fwhm_ratio", "spread_snr", "psf_fwhm_median", "psf_spread_median", "psf_star_count")


def morph(**changes: Any) -> Profile:
    """A profile of MORPH alone."""
    stage = StageDefinition(stage="morph", step=1, parameters=SEED_RULE | changes)
    return Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=(stage,))


def verdicts(toy: ToySky, run_id: int) -> dict[int, tuple[str, float | None, str | None]]:
    rows = toy.execute("SELECT number, outcome, value, reason FROM vasco.verdict WHERE run_id = :r", r=run_id)
    return {number: (outcome, value, reason) for number, outcome, value, reason in rows}


def statistics(toy: ToySky) -> list[tuple[Any, ...]]:
    rows = toy.execute("SELECT n_known, n_stars, fwhm_median_px, spread_median FROM vasco.psf_statistics ORDER BY 1, 2")
    return [tuple(row) for row in rows]


def image_with_stars(toy: ToySky, n: int, **columns: Any) -> int:
    """Stars of G = 15 numbered from 1, each with its own FWHM and SPREAD_MODEL, with their Gaia sources."""
    extraction_id = toy.extraction()
    ra, dec = 150 + 0.01 * np.arange(n), np.full(n, 20.0)
    values = {
        "fwhm_image": 2.0 + 0.25 * np.arange(n),
        "spread_model": 0.001 * np.arange(n),
        "elongation": 1.1,
    } | columns
    toy.detections(extraction_id, ra, dec, **values)
    toy.sources("gaia_edr3", ra, dec)
    return extraction_id


def test_medians_are_of_the_stars_and_judge_them(toy: ToySky) -> None:
    e = image_with_stars(toy, 7)
    toy.detections(e, [150.5, 150.51], [20.0, 20.0], first=101, fwhm_image=[4.125, 4.126], spread_model=0.0)
    found = verdicts(toy, toy.judge(morph(), e))
    assert statistics(toy) == [(7, 7, 2.75, pytest.approx(0.003))]
    assert found[101] == ("pass", pytest.approx(1.0), None)
    assert found[102] == ("fail", pytest.approx(4.126 / 2.75 / 1.5), "fwhm_ratio=1.500>1.5")


def test_the_reason_is_in_the_seeds_words(toy: ToySky) -> None:
    e = image_with_stars(toy, 5, fwhm_image=2.76842, spread_model=0.00531387)
    toy.detections(
        e, [150.5], [20.0], first=101, fwhm_image=5.16941, spread_model=0.0149173, spreaderr_model=0.000647205
    )
    outcome, value, reason = verdicts(toy, toy.judge(morph(), e))[101]
    assert (outcome, reason) == ("fail", "fwhm_ratio=1.867>1.5;spread_snr=14.8>5.0")
    assert value == pytest.approx(14.8383 / 5, rel=1e-5)


@pytest.mark.parametrize(
    "fault",
    [
        {"flags": 1},
        {"elongation": 1.3},
        {"spread_model": None, "spreaderr_model": None},
        {"spread_model": math.nan},
        {"fwhm_image": math.nan},
    ],
    ids=str,
)
def test_what_is_no_measured_round_star_is_no_reference(toy: ToySky, fault: dict[str, Any]) -> None:
    e = image_with_stars(toy, 5)
    toy.detections(e, [150.5], [20.0], first=101, **fault)
    toy.sources("gaia_edr3", [150.5], [20.0], source_id=[101])
    toy.judge(morph(), e)
    assert [row[1:] for row in statistics(toy)] == [(5, 2.5, pytest.approx(0.002))]


@pytest.mark.parametrize(("mag", "counts"), [(12.0, False), (12.1, True), (17.9, True), (18.0, False)])
def test_the_limits_of_brightness_are_exclusive(toy: ToySky, mag: float, counts: bool) -> None:
    e = toy.extraction()
    toy.detections(e, [150.0], [20.0])
    toy.sources("gaia_edr3", [150.0], [20.0], mag=mag)
    toy.judge(morph(), e)
    assert statistics(toy)[0][1] == counts


@pytest.mark.parametrize(("n", "outcome"), [(4, "unknown"), (5, "pass")])
def test_too_few_stars_are_no_measure(toy: ToySky, n: int, outcome: str) -> None:
    e = image_with_stars(toy, n, fwhm_image=3.0)
    toy.detections(e, [150.5], [20.0], first=101, fwhm_image=3.0)
    found = verdicts(toy, toy.judge(morph(), e))[101]
    assert found[0] == outcome
    if outcome == "unknown":
        assert found[2] == "psf_insufficient: 4 reference stars are measured, of 4 there are; 5 are needed"


def test_what_was_not_measured_is_unknown_unless_the_rest_fails(toy: ToySky) -> None:
    e = image_with_stars(toy, 5, fwhm_image=3.0, spread_model=0.0)
    toy.detections(e, [150.5, 150.51], [20.0, 20.0], first=101, fwhm_image=[3.0, 6.0], spread_model=None,
                   spreaderr_model=None)  # fmt: skip
    toy.detections(e, [150.6, 150.61, 150.62], [20.0, 20.0, 20.0], first=103, fwhm_image=[math.nan, math.nan, 3.0],
                   spread_model=[0.0, 1.0, math.nan])  # fmt: skip
    toy.detections(e, [150.7], [20.0], first=106, fwhm_image=3.0, spread_model=0.5, spreaderr_model=0.0)
    found = verdicts(toy, toy.judge(morph(), e))
    assert {n: found[n][0] for n in range(101, 107)} == {
        101: "unknown", 102: "fail", 103: "unknown", 104: "fail", 105: "unknown", 106: "unknown",
    }  # fmt: skip
    assert (found[101][2], found[103][2]) == ("SPREAD_MODEL was not measured", "FWHM was not measured")


def test_at_the_catalogues_epoch_a_moving_star_is_lost_and_at_the_plates_found(toy: ToySky) -> None:
    """50 mas/yr for 64 years are 3.2 arcsec."""
    e = toy.extraction(epoch_jyear=1952.0)
    n = 6
    ra, dec = 150 + 0.01 * np.arange(n), np.full(n, 20.0)
    motion = np.array([0, 0, 0, 0, 50, 500.0])
    toy.detections(e, ra, dec)
    toy.sources("gaia_edr3", ra, dec + motion * 0.064 * ARCSEC, pmra=np.zeros(n), pmdec=motion)
    toy.lookup("gaia_edr3")
    toy.match(e, "gaia_edr3")
    toy.judge(morph(), e)
    toy.judge(morph(epoch="plate"), e)
    assert [row[0] for row in statistics(toy)] == [4, 6]


@pytest.mark.parametrize("centre", [(0.0, 0.0), (359.99, 89.9), (10.0, -89.99), (150.0, 20.0)])
def test_near_at_the_catalogues_epoch_is_what_all_pairs_say(toy: ToySky, centre: tuple[float, float]) -> None:
    rng = np.random.default_rng(5)
    n = 60
    e = toy.extraction(*centre, radius_deg=0.3)
    cos_dec = math.cos(math.radians(centre[1]))
    ra = (centre[0] + rng.uniform(-0.05, 0.05, n) / cos_dec) % 360
    dec = np.clip(centre[1] + rng.uniform(-0.05, 0.05, n), -89.999, 89.999)
    toy.detections(e, ra, dec)
    star_ra = (ra + rng.normal(0, 3 * ARCSEC, n) / np.cos(np.radians(dec))) % 360
    star_dec = np.clip(dec + rng.normal(0, 3 * ARCSEC, n), -89.999, 89.999)
    speed = rng.choice([0.0, 60.0, 3000.0], n)
    mag = rng.uniform(11, 19, n)
    toy.sources("gaia_edr3", star_ra, star_dec, pmra=speed, pmdec=-speed, mag=mag.tolist())
    found = toy.execute("SELECT number FROM sky.near_at_catalog_epoch(:e, 'gaia_edr3', 3, 12, 18)", e=e).scalars()

    def unit(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        a, d = np.radians(ra), np.radians(dec)
        return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)

    chord = np.linalg.norm(unit(ra, dec)[:, None] - unit(star_ra, star_dec)[None], axis=-1)
    near = (2 * np.degrees(np.arcsin(chord / 2)) <= 3 * ARCSEC) & ((mag > 12) & (mag < 18))
    assert 5 < near.any(axis=1).sum() < n
    assert sorted(found) == (np.flatnonzero(near.any(axis=1)) + 1).tolist()


def test_a_sample_does_not_depend_on_what_else_was_measured(toy: ToySky) -> None:
    e = image_with_stars(toy, 12)
    toy.lookup("gaia_edr3")
    toy.match(e, "gaia_edr3")
    sample = toy.execute("SELECT number FROM stage.reference_stars(:e, 6)", e=e).scalars().all()
    toy.execute(
        "UPDATE vasco.detection SET spread_model = NULL, spreaderr_model = NULL WHERE number <> ALL (:s)", s=sample
    )
    for _ in ("the sample alone is measured", "another one is"):
        toy.judge(morph(sample=6, epoch="plate"), e)
        [(n_known, n_stars, *medians)] = statistics(toy)
        assert (n_known, n_stars) == (6, 6)
        assert medians == pytest.approx([np.median(2 + 0.25 * (np.array(sample) - 1)), medians[1]])
        toy.execute("UPDATE vasco.detection SET spread_model = 0.5, spreaderr_model = 0.1 WHERE spread_model IS NULL")


def test_nothing_is_written_twice_and_changes_are(toy: ToySky) -> None:
    e = image_with_stars(toy, 6)
    run_id = toy.judge(morph(), e)
    place = "SELECT ctid::text FROM vasco.psf_statistics"
    before = toy.scalar(place)
    assert toy.execute("SELECT * FROM stage.apply(:r, 'morph')", r=run_id).all() == []
    assert toy.scalar(place) == before
    toy.execute("UPDATE vasco.detection SET fwhm_image = 3")
    toy.scalar("SELECT stage.apply(:r, 'morph')", r=run_id)
    assert statistics(toy)[0][2] == 3.0


def test_an_image_without_gaia_is_unknown(toy: ToySky) -> None:
    e = toy.extraction()
    toy.detections(e, [150.0], [20.0])
    found = verdicts(toy, toy.judge(morph(), e))
    assert found == {
        1: ("unknown", None, "psf_insufficient: 0 reference stars are measured, of 0 there are; 5 are needed")
    }


def test_one_image_is_judged_as_all_are(toy: ToySky) -> None:
    first = image_with_stars(toy, 5)
    second = toy.extraction(150.0, 30.0)
    toy.detections(second, [150.0], [30.0])
    profile = morph()
    run_id = toy.judge(profile, first)
    toy.judge(profile, second)
    assert toy.execute("SELECT * FROM stage.apply(:r, 'morph')", r=run_id).all() == []


def test_an_epoch_that_is_none_is_refused(toy: ToySky) -> None:
    e = image_with_stars(toy, 5)
    with pytest.raises(Exception, match="epoch must be plate or catalog, not 1950"):
        toy.judge(morph(epoch="1950"), e)


def test_all_published_verdicts_of_the_release_come_out(toy: ToySky, shared_data: Path) -> None:
    rows = read_release(shared_data, "stage_S0M_MORPH_flags")
    e = toy.extraction()
    n = len(rows)
    toy.execute("SET LOCAL session_replication_role = replica")
    toy.detections(e, 150 + 1e-5 * np.arange(n), np.full(n, 20.0))
    columns = {name: [float(row[name]) if row[name] else None for row in rows] for name in PUBLISHED}
    toy.execute(
        """
        INSERT INTO vasco.morph_measure
        SELECT :e, row_number() OVER (), * FROM unnest(
            CAST(:fwhm_ratio AS float8[]), CAST(:spread_snr AS float8[]), CAST(:psf_fwhm_median AS float8[]),
            CAST(:psf_spread_median AS float8[]), CAST(:psf_star_count AS integer[])
        )
        """,
        e=e, **columns,
    )  # fmt: skip
    found = verdicts(toy, toy.judge(morph(), e))
    assert len(found) == n == 15_303
    rejected = {number for number, (outcome, _, _) in found.items() if outcome == "fail"}
    assert rejected == {number for number, row in enumerate(rows, 1) if row["reject_flag"] == "1"}
    assert n - len(rejected) == 9_534
    assert Counter(outcome for outcome, _, _ in found.values()) == {"pass": 9_497, "unknown": 37, "fail": 5_769}

    reasons = toy.execute(
        "SELECT number, stage.morph_reject_reason(fwhm_ratio, spread_snr, n_stars, CAST(:p AS jsonb)) "
        "FROM vasco.morph_measure ORDER BY number",
        p='{"min_psf_stars": 5, "fwhm_ratio_max": 1.5, "spread_snr_max": 5}',
    )
    different = [(rows[k - 1], reason or "") for k, reason in reasons if (reason or "") != rows[k - 1]["reject_reason"]]
    # Twenty of the printed numbers end in a 5 that the rounding to three decimals or one stands on.
    assert len(different) == 20
    for row, reason in different:
        for ours, theirs in zip(reason.split(";"), row["reject_reason"].split(";"), strict=True):
            name, _, printed = theirs.partition("=")
            assert ours.partition("=")[0] == name
            assert printed.partition(">")[0] in roundings(row[name], 3 if name == "fwhm_ratio" else 1)


def test_published_measures_need_no_medians_of_ours(toy: ToySky) -> None:
    e = image_with_stars(toy, 6)
    toy.execute("INSERT INTO vasco.morph_measure SELECT extraction_id, number, 1.0, 0.0, 3, 0, 9 FROM vasco.detection")
    found = verdicts(toy, toy.judge(morph(), e))
    assert {outcome for outcome, _, _ in found.values()} == {"pass"}
    assert statistics(toy) == []


def test_what_a_measure_may_be(connection: Connection) -> None:
    toy = ToySky(connection)
    e = toy.extraction()
    toy.detections(e, [150.0], [20.0])
    for bad in ("VALUES (:e, 2)", "VALUES (:e, 1, 'NaN')", "VALUES (:e, 1, 1, 1, 1, 1, -1)"):
        with pytest.raises(Exception, match="violates"), connection.begin_nested():
            toy.execute(f"INSERT INTO vasco.morph_measure {bad}", e=e)
    for bad in ("1, 2, 3.0, 0.0", "2, 2, NULL, 0.0", "2, 0, 3.0, 0.0", "2, 1, 'NaN', 0.0"):
        with pytest.raises(Exception, match="violates"), connection.begin_nested():
            toy.execute(f"INSERT INTO vasco.psf_statistics VALUES (:e, 'all', {bad})", e=e)


def test_the_medians_are_there_whatever_reaches_the_stage(toy: ToySky) -> None:
    e = image_with_stars(toy, 6)
    nothing_left = StageDefinition(stage="snr", step=1, parameters={"min": 1000})
    last = StageDefinition(stage="morph", step=2, parameters=SEED_RULE)
    stages = (nothing_left, last)
    toy.judge(Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=stages), e)
    assert [row[1] for row in statistics(toy)] == [6]
