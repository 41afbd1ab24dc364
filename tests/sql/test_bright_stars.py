"""Spikes and haloes of bright stars, and stars that moved: at the edges of their rules, and where nobody looked."""

import math
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, angular_separation
from toysky import ToySky

from vascodb.plates.footprint import multirange
from vascodb.profiles import Profile, StageDefinition

NAN = math.nan
RA, DEC = 150.0, 20.0
VASCO60 = {
    "families": ["ps1_bright"], "form": "nearest", "radius_arcsec": 90, "mag_max": 16, "line_mag": 15.3,
    "line_mag_per_arcsec": 0.09, "steady_mag": 12.4,
}  # fmt: skip
ANY = VASCO60 | {"form": "any"}
REPLICATION = {k: v for k, v in ANY.items() if k != "steady_mag"} | {"radius_arcsec": 170}
HALO = {"families": ["ps1_bright"], "mag_max": 12, "radius_arcsec": 15, "radius_max_arcsec": 300}
HIGH_PM = {"family": "gaia", "radius_arcsec": 5}


def stage(function: str, **parameters: Any) -> Profile:
    only = StageDefinition(stage="only", function=function, step=1, parameters=parameters)
    return Profile(name=f"toy {function}", description="", extraction="seed", reference_stars=0, stages=(only,))


def judged(toy: ToySky, extraction_id: int, function: str, **parameters: Any) -> dict[int, dict[str, Any]]:
    """Verdicts by number of detection."""
    run_id = toy.judge(stage(function, **parameters), extraction_id)
    rows = toy.execute(
        "SELECT * FROM vasco.verdict WHERE run_id = :r AND extraction_id = :e ORDER BY number",
        r=run_id, e=extraction_id,
    )  # fmt: skip
    return {row["number"]: dict(row) for row in rows.mappings()}


def near_stars(
    toy: ToySky, stars: list[tuple[float, float | None]], parameters: dict[str, Any], function: str = "spike"
) -> dict[str, Any]:
    """The verdict on a detection with stars north of it: distances in arcsec, magnitudes."""
    extraction_id = toy.extraction(RA, DEC)
    toy.detections(extraction_id, [RA], [DEC])
    toy.sources(
        "ps1_bright", [RA] * len(stars), [DEC + d / 3600 for d, _ in stars],
        mag=[NAN if m is None else m for _, m in stars], epoch_jyear=2012.0,
    )  # fmt: skip
    if any(m is None for _, m in stars):
        toy.execute("UPDATE ref.ps1_bright SET mag = NULL WHERE mag = 'NaN'")
    toy.lookup("ps1_bright")
    return judged(toy, extraction_id, function, **parameters)[1]


@pytest.mark.parametrize(
    ("star", "expected"),
    [
        ((89.9, 12.4), "fail"),
        ((89.9, 12.40001), "pass"),
        ((1.0, 12.4), "fail"),
        ((60.0, 12.4), "fail"),
        ((90.1, 5.0), "pass"),
        ((20.0, 13.49), "fail"),
        ((20.0, 13.51), "pass"),
        ((0.5, 15.2), "fail"),
        ((0.5, 15.3), "pass"),
        ((5.0, 16.0), "pass"),
        ((5.0, -999.0), "pass"),
        ((5.0, NAN), "pass"),
        ((5.0, None), "pass"),
    ],
)
def test_the_spike_rule_at_its_edges(toy: ToySky, star, expected) -> None:
    verdict = near_stars(toy, [star], VASCO60)
    assert verdict["outcome"] == expected
    assert (verdict["reason"] is None) == (expected == "pass")


def test_the_search_radius_is_inclusive_and_the_line_exclusive(toy: ToySky) -> None:
    """To the last bit: the radius is the very distance, and the magnitude the very limit at it."""
    north = DEC + 10 / 3600
    d = float(toy.scalar("SELECT sky.separation_arcsec(:ra, :dec, :ra, :north)", ra=RA, dec=DEC, north=north))
    line = float(toy.scalar("SELECT CAST(15.3 - 0.09 * CAST(:d AS float8) AS real)::float8", d=d))
    extraction_id = toy.extraction(RA, DEC)
    toy.detections(extraction_id, [RA], [DEC])
    toy.sources("ps1_bright", [RA], [north], mag=[line], epoch_jyear=2012.0)
    toy.lookup("ps1_bright")

    def outcome(**changes: Any) -> str:
        return str(judged(toy, extraction_id, "spike", **(VASCO60 | changes))[1]["outcome"])

    assert outcome(radius_arcsec=d) == "pass"
    assert outcome(radius_arcsec=d, line_mag=15.30001) == "fail"
    assert outcome(radius_arcsec=math.nextafter(d, 0), line_mag=15.30001) == "pass"
    assert outcome(radius_arcsec=d, steady_mag=line) == "fail"
    assert outcome(radius_arcsec=math.nextafter(d, 0), steady_mag=line) == "pass"


def test_a_faint_star_hides_a_bright_one_only_where_the_nearest_counts(toy: ToySky) -> None:
    hidden = [(20.0, 15.9), (40.0, 9.0)]
    assert near_stars(toy, hidden, VASCO60)["outcome"] == "pass"
    for parameters in (ANY, REPLICATION):
        verdict = judged(toy, 1, "spike", **parameters)[1]
        assert verdict["outcome"] == "fail"
        assert "magnitude 9 at 40.00 arcsec" in verdict["reason"]


def test_the_value_is_how_much_fainter_than_its_limit_the_worst_star_is(toy: ToySky) -> None:
    far_and_bright = [(30.0, 13.0), (150.0, 1.0)]
    verdict = near_stars(toy, far_and_bright, REPLICATION)
    assert verdict["outcome"] == "fail"
    assert verdict["value"] == pytest.approx(1.0 - (15.3 - 13.5), abs=1e-5)
    assert judged(toy, 1, "spike", **ANY)[1]["value"] == pytest.approx(13.0 - 12.6, abs=1e-5)
    assert judged(toy, 1, "spike", **VASCO60)[1]["value"] == pytest.approx(13.0 - 12.6, abs=1e-5)


def test_a_star_is_where_it_was_when_the_plate_was_exposed(toy: ToySky) -> None:
    """3 arcsec a year: 192 arcsec between 1952 and 2016."""
    extraction_id = toy.extraction(RA, DEC, epoch_jyear=1952.0)
    toy.detections(extraction_id, [RA, RA], [DEC, DEC + 192 / 3600])
    toy.sources("gaia_dr3", [RA], [DEC + 192 / 3600], [0.0], [3000.0], mag=[10.0])
    toy.lookup("gaia_dr3")
    verdicts = judged(toy, extraction_id, "spike", **(ANY | {"families": ["gaia"]}))
    assert [v["outcome"] for v in verdicts.values()] == ["fail", "pass"]


def test_where_the_circle_is_not_covered_there_is_no_pass(toy: ToySky, cone_moc) -> None:
    extraction_id = toy.extraction(RA, DEC)
    toy.detections(extraction_id, [RA] * 4, [DEC, DEC + 0.05, DEC + 0.096, DEC + 0.2])
    toy.detections(extraction_id, [RA], [DEC - 0.1], first=5)
    toy.sources("ps1_bright", [RA], [DEC - 0.101], mag=[10.0], epoch_jyear=2012.0)
    assert {v["outcome"] for v in judged(toy, extraction_id, "spike", **VASCO60).values()} == {"not_covered", "fail"}
    lookup_id = toy.lookup("ps1_bright", cone_moc(RA, DEC, 0.1))
    verdicts = judged(toy, extraction_id, "spike", **VASCO60)
    assert [v["outcome"] for v in verdicts.values()] == ["pass", "pass", "not_covered", "not_covered", "fail"]
    assert [v["lookup_id"] for v in verdicts.values()] == [lookup_id, lookup_id, None, None, None]
    assert "90 arcsec" in verdicts[3]["reason"]

    toy.gap("ps1_bright", cone_moc(RA, DEC + 0.15, 0.08), error="no answer in 60 s")
    verdicts = judged(toy, extraction_id, "spike", **VASCO60)
    assert [v["outcome"] for v in verdicts.values()] == ["pass", "pass", "unknown", "unknown", "fail"]
    assert "no answer in 60 s" in verdicts[4]["reason"]


def test_beyond_the_survey_an_empty_answer_means_nothing(toy: ToySky, cone_moc) -> None:
    """Pan-STARRS ends at -30 deg; its look-up may say more."""
    toy.lookup("ps1_bright")
    extraction_id = toy.extraction(RA, -30.0)
    toy.detections(extraction_id, [RA] * 3, [-29.9, -29.99, -30.1])
    verdicts = judged(toy, extraction_id, "spike", **VASCO60)
    assert [v["outcome"] for v in verdicts.values()] == ["pass", "not_covered", "not_covered"]
    assert "outside the survey" in verdicts[2]["reason"]

    name = toy.catalog("patch", family="patch")
    identity = toy.lookup(name)
    toy.execute(
        "INSERT INTO ref.footprint VALUES (:name, CAST(:r AS int8multirange), :id)",
        name=name, r=multirange(cone_moc(RA, -30.0, 0.1)), id=identity,
    )  # fmt: skip
    verdicts = judged(toy, extraction_id, "spike", **(VASCO60 | {"families": ["patch"]}))
    assert [v["outcome"] for v in verdicts.values()] == ["not_covered", "pass", "not_covered"]


def test_any_family_that_covers_the_circle_will_do_and_any_star_rejects(toy: ToySky) -> None:
    extraction_id = toy.extraction(RA, DEC)
    toy.detections(extraction_id, [RA, RA], [DEC, DEC + 0.1])
    toy.sources("ps1_bright", [RA], [DEC + 0.101], mag=[11.0], epoch_jyear=2012.0)
    toy.lookup("gaia_edr3")
    verdicts = judged(toy, extraction_id, "spike", **(ANY | {"families": ["gaia", "ps1_bright"]}))
    assert [v["outcome"] for v in verdicts.values()] == ["pass", "fail"]
    assert judged(toy, extraction_id, "spike", **ANY)[1]["outcome"] == "not_covered"
    strange = judged(toy, extraction_id, "spike", **(ANY | {"families": ["strange"]}))
    assert {v["outcome"] for v in strange.values()} == {"not_covered"}


@pytest.mark.parametrize("place", [(0.00001, 0.0), (359.99999, 45.0), (10.0, 90.0), (200.0, -89.9999)])
def test_spikes_about_0h_and_the_poles_by_brute_force(toy: ToySky, place: tuple[float, float]) -> None:
    rng = np.random.default_rng(7)

    def scatter(n: int) -> tuple[np.ndarray, np.ndarray]:
        there = SkyCoord(*place, unit="deg").directional_offset_by(
            rng.uniform(0, 360, n) * u.deg, 0.15 * np.sqrt(rng.uniform(size=n)) * u.deg
        )
        return there.ra.deg % 360, there.dec.deg

    (ra, dec), (star_ra, star_dec) = scatter(60), scatter(150)
    mag = rng.uniform(9, 17, 150).astype(np.float32).astype(float)
    extraction_id = toy.extraction(place[0], place[1])
    toy.detections(extraction_id, ra, dec)
    toy.sources("gaia_dr3", star_ra, star_dec, mag=mag.tolist())
    toy.lookup("gaia_dr3")
    d = 3600 * np.degrees(
        angular_separation(*np.radians([ra[:, None], dec[:, None]]), *np.radians([star_ra[None], star_dec[None]]))
    )
    rejects = (d <= 90) & (mag <= 16) & ((mag < 15.3 - 0.09 * d) | (mag <= 12.4))
    got = judged(toy, extraction_id, "spike", **(ANY | {"families": ["gaia"]}))
    assert [v["outcome"] == "fail" for v in got.values()] == rejects.any(axis=1).tolist()
    nearest = np.where((d <= 90) & (mag <= 16), d, np.inf).argmin(axis=1)
    got = judged(toy, extraction_id, "spike", **(VASCO60 | {"families": ["gaia"]}))
    assert [v["outcome"] == "fail" for v in got.values()] == rejects[np.arange(60), nearest].tolist()
    assert {v["outcome"] for v in got.values()} == {"pass", "fail"}


@pytest.mark.parametrize(
    ("star", "expected", "value"),
    [
        ((14.99, 12.0), "fail", -0.01),
        ((15.01, 12.0), "pass", 0.01),
        ((1.0, 12.01), "pass", None),
        ((94.0, 8.0), "fail", 94.0 - 15 * 10**0.8),
        ((95.0, 8.0), "pass", 95.0 - 15 * 10**0.8),
        ((299.0, 1.0), "fail", -1.0),
        ((301.0, 1.0), "pass", None),
        ((5.0, -999.0), "pass", None),
        ((5.0, NAN), "pass", None),
    ],
)
def test_a_halo_grows_with_the_root_of_the_flux(toy: ToySky, star, expected, value) -> None:
    verdict = near_stars(toy, [star], HALO, "halo")
    assert verdict["outcome"] == expected
    assert verdict["value"] == (None if value is None else pytest.approx(value, abs=1e-3))
    assert verdict["lookup_id"] is not None or expected == "fail"


def test_the_halo_that_is_deepest_counts(toy: ToySky) -> None:
    verdict = near_stars(toy, [(16.0, 12.0), (100.0, 7.0)], HALO, "halo")
    assert verdict["outcome"] == "fail"
    assert "magnitude 7" in verdict["reason"]


def moving(toy: ToySky, offset: float, pmdec: float | None) -> dict[str, Any]:
    """The verdict on a detection with a star that is ``offset`` arcsec north of it in 2016, 60 years later."""
    extraction_id = toy.extraction(RA, DEC, epoch_jyear=1956.0)
    toy.detections(extraction_id, [RA], [DEC])
    toy.sources("gaia_dr3", [RA], [DEC + offset / 3600], [None if pmdec is None else 0.0], [pmdec])
    toy.lookup("gaia_dr3")
    return judged(toy, extraction_id, "high_pm", **HIGH_PM)[1]


@pytest.mark.parametrize(
    ("offset", "pmdec", "expected", "value"),
    [
        # 60 years: at the detection then, 6 arcsec away now; and the other way round.
        (6.0, 100.0, "fail", 6.0),
        (0.0, 100.0, "fail", 6.0),
        (60.0, 1000.0, "fail", 60.0),
        (0.0, -1000.0, "fail", 60.0),
        (900.0, 15000.0, "fail", 900.0),
        # Near at both, near at neither.
        (2.0, 50.0, "pass", 3.0),
        (20.0, 50.0, "pass", None),
        (2.0, None, "unknown", None),
        (20.0, None, "pass", None),
    ],
)
def test_a_star_that_moved_through_is_told(toy: ToySky, offset, pmdec, expected, value) -> None:
    verdict = moving(toy, offset, pmdec)
    assert verdict["outcome"] == expected
    assert verdict["value"] == (None if value is None else pytest.approx(value, rel=1e-5, abs=1e-4))


def test_no_star_moved_through_only_where_one_with_motions_was_looked_for(toy: ToySky, cone_moc) -> None:
    extraction_id = toy.extraction(RA, DEC)
    toy.detections(extraction_id, [RA, RA], [DEC, DEC + 0.5])
    toy.lookup("gaia_dr3", cone_moc(RA, DEC, 0.1))
    toy.lookup("ps1_dr2")
    verdicts = judged(toy, extraction_id, "high_pm", **HIGH_PM)
    assert [v["outcome"] for v in verdicts.values()] == ["pass", "not_covered"]
    verdicts = judged(toy, extraction_id, "high_pm", **(HIGH_PM | {"family": "ps1"}))
    assert {v["outcome"] for v in verdicts.values()} == {"not_covered"}
    toy.gap("gaia_dr3")
    assert judged(toy, extraction_id, "high_pm", **HIGH_PM)[2]["outcome"] == "unknown"


@pytest.mark.parametrize("place", [(0.0, 0.0), (10.0, 89.999), (359.9999, -60.0)])
def test_sources_about_detections_are_those_of_a_search_one_by_one(toy: ToySky, place: tuple[float, float]) -> None:
    rng = np.random.default_rng(11)
    n = 400
    spread = np.array([0.1 / max(math.cos(math.radians(place[1])), 0.001), 0.1])
    ra = (place[0] + spread[0] * rng.uniform(-1, 1, n)) % 360
    dec = np.clip(place[1] + spread[1] * rng.uniform(-1, 1, n), -90, 90)
    pm = np.where(rng.uniform(size=n) < 0.3, rng.normal(0, 2000, n), rng.normal(0, 30, n))
    toy.sources("gaia_dr3", ra, dec, pm, pm[::-1].copy())
    extraction_id = toy.extraction(place[0], place[1])
    toy.detections(extraction_id, ra[:40], dec[:40])
    about = {
        (row.number, row.source_id): (row.sep_arcsec, row.sep_catalog_epoch_arcsec)
        for row in toy.execute(
            "SELECT * FROM sky.sources_about(:e, ARRAY(SELECT generate_series(1, 40)), 'gaia_dr3', 90, NULL, false)",
            e=extraction_id,
        )
    }
    one_by_one = {
        (k + 1, row.source_id): (row.sep_arcsec, row.sep_catalog_epoch_arcsec)
        for k in range(40)
        for row in toy.execute(
            "SELECT * FROM sky.neighbours('gaia_dr3', :r, :d, 90, 1952)", r=float(ra[k]), d=float(dec[k])
        )
    }
    assert len(about) > 40
    assert about.keys() == one_by_one.keys()
    assert np.array([about[k] for k in about]) == pytest.approx(np.array([one_by_one[k] for k in about]), abs=1e-9)


def test_verdicts_do_not_depend_on_what_else_is_judged(toy: ToySky, cone_moc) -> None:
    """Detections are grouped for the question of coverage; each gets the answer that it would get alone."""
    rng = np.random.default_rng(13)
    n = 150
    extraction_id = toy.extraction(RA, DEC)
    ra, dec = RA + rng.uniform(-0.12, 0.12, n), DEC + rng.uniform(-0.12, 0.12, n)
    toy.detections(extraction_id, ra, dec)
    toy.lookup("ps1_bright", cone_moc(RA, DEC, 0.12))
    together = judged(toy, extraction_id, "spike", **VASCO60)
    alone = {
        row.number: row.state
        for row in toy.execute(
            "SELECT d.number, l.state FROM vasco.detection AS d CROSS JOIN LATERAL "
            "stage.circle_look('{ps1_bright}', d.ra, d.dec, d.hpx29, 90) AS l WHERE d.extraction_id = :e",
            e=extraction_id,
        )
    }
    assert {k: {"pass": "clear"}.get(v["outcome"], v["outcome"]) for k, v in together.items()} == alone
    assert set(alone.values()) == {"clear", "not_covered"}
