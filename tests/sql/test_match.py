"""What a match says: matched, clear, unknown or not_covered, and never one for another."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude, SkyCoord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mocpy import MOC
from toysky import ToySky

from vascodb.plates.footprint import multirange
from vascodb.profiles import Profile, StageDefinition

ARCSEC = 1 / 3600


def states(toy: ToySky, extraction_id: int, catalog: str = "gaia_dr3") -> dict[int, str]:
    rows = toy.execute(
        "SELECT number, state FROM vasco.match WHERE extraction_id = :e AND catalog = :c ORDER BY 1",
        e=extraction_id, c=catalog,
    )  # fmt: skip
    return {number: state for number, state in rows}


def family(toy: ToySky, extraction_id: int) -> dict[int, tuple[str, str | None]]:
    rows = toy.execute("SELECT number, state, catalog FROM stage.family_state(:e, 'gaia') ORDER BY 1", e=extraction_id)
    return {row.number: (row.state, row.catalog) for row in rows}


@pytest.fixture
def tile(toy: ToySky) -> int:
    """Three detections: on a star, 5.1 arcsec beside it, and a degree away."""
    extraction_id = toy.extraction(150.0, 0.0, radius_deg=1.5)
    toy.detections(extraction_id, [150.0, 150.0, 151.0], [0.0, 5.1 * ARCSEC, 0.0])
    toy.sources("gaia_dr3", [150.0], [0.0])
    return extraction_id


def test_without_any_coverage_nothing_is_clear(toy: ToySky, tile: int) -> None:
    assert toy.match(tile, "gaia_dr3") == {"matched": 1, "clear": 0, "unknown": 0, "not_covered": 2, "written": 3}
    assert states(toy, tile) == {1: "matched", 2: "not_covered", 3: "not_covered"}


def test_with_coverage_of_a_part_only_that_part_is_clear(toy: ToySky, tile: int, cone_moc) -> None:
    lookup_id = toy.lookup("gaia_dr3", cone_moc(150.0, 0.0, 0.1))
    toy.match(tile, "gaia_dr3")
    assert states(toy, tile) == {1: "matched", 2: "clear", 3: "not_covered"}
    evidence = toy.execute("SELECT number, lookup_id FROM vasco.match ORDER BY number").all()
    assert [tuple(row) for row in evidence] == [(1, lookup_id), (2, lookup_id), (3, None)]


def test_an_incomplete_lookup_clears_nothing(toy: ToySky, tile: int) -> None:
    toy.lookup("gaia_dr3", complete=False)
    assert toy.match(tile, "gaia_dr3")["clear"] == 0


def test_matching_again_writes_nothing_and_new_references_change_only_what_they_touch(toy: ToySky, tile: int) -> None:
    toy.lookup("gaia_dr3")
    assert toy.match(tile, "gaia_dr3")["written"] == 3
    assert toy.match(tile, "gaia_dr3")["written"] == 0
    toy.sources("gaia_dr3", [151.0], [3 * ARCSEC], source_id=[99])
    assert toy.match(tile, "gaia_dr3") == {"matched": 2, "clear": 1, "unknown": 0, "not_covered": 0, "written": 1}
    toy.sources("gaia_dr3", [151.0], [1 * ARCSEC], source_id=[100])
    assert toy.match(tile, "gaia_dr3")["written"] == 1
    row = toy.execute("SELECT source_id, sep_arcsec, n_within FROM vasco.match WHERE number = 3").one()
    assert (row.source_id, row.n_within) == (100, 2)
    assert row.sep_arcsec == pytest.approx(1.0, abs=1e-9)


def test_a_detection_between_two_stars_counts_both(toy: ToySky) -> None:
    e = toy.extraction()
    toy.detections(e, [10.0], [0.0])
    toy.sources("gaia_dr3", [10.0, 10.0, 10.0], [-2 * ARCSEC, 3 * ARCSEC, 5.01 * ARCSEC])
    toy.match(e, "gaia_dr3")
    assert tuple(toy.execute("SELECT source_id, n_within FROM vasco.match").one()) == (1, 2)


def test_an_unknown_catalogue_matches_nothing_and_an_empty_extraction_has_no_matches(toy: ToySky) -> None:
    assert toy.match(toy.extraction(), "gaia_dr3") == {
        "matched": 0, "clear": 0, "unknown": 0, "not_covered": 0, "written": 0
    }  # fmt: skip


def set_states(toy: ToySky, extraction_id: int, edr3: str | None, dr3: str | None) -> None:
    """One detection for which two catalogues of one family say that."""
    toy.execute("DELETE FROM vasco.match WHERE extraction_id = :e", e=extraction_id)
    for catalog, state in (("gaia_edr3", edr3), ("gaia_dr3", dr3)):
        if state is not None:
            lookup = toy.lookup(catalog) if state == "clear" else None
            toy.execute(
                """
                INSERT INTO vasco.match VALUES (
                    :e, 1, :catalog, :state, CASE WHEN :state = 'matched' THEN 1 END,
                    CASE WHEN :state = 'matched' THEN 0.5 END, CASE WHEN :state = 'matched' THEN 1 ELSE 0 END,
                    :lookup, CASE WHEN :state = 'clear' THEN true END, CASE WHEN :state = 'unknown' THEN 'timed out' END
                )
                """,
                e=extraction_id, catalog=catalog, state=state, lookup=lookup,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("edr3", "dr3", "expected"),
    [
        (None, None, ("not_covered", None)),
        ("not_covered", None, ("not_covered", "gaia_edr3")),
        ("not_covered", "not_covered", ("not_covered", "gaia_dr3")),
        ("clear", "not_covered", ("clear", "gaia_edr3")),
        ("clear", None, ("clear", "gaia_edr3")),
        (None, "clear", ("clear", "gaia_dr3")),
        ("clear", "matched", ("matched", "gaia_dr3")),
        ("matched", "not_covered", ("matched", "gaia_edr3")),
        ("matched", "unknown", ("matched", "gaia_edr3")),
        ("unknown", "not_covered", ("unknown", "gaia_edr3")),
        ("unknown", "clear", ("clear", "gaia_dr3")),
    ],
)
def test_catalogues_of_one_family_stand_for_each_other(toy: ToySky, edr3, dr3, expected) -> None:
    e = toy.extraction()
    toy.detections(e, [10.0], [0.0])
    set_states(toy, e, edr3, dr3)
    assert family(toy, e) == {1: expected}


def test_of_two_counterparts_in_a_family_the_nearer_is_named(toy: ToySky) -> None:
    e = toy.extraction()
    toy.detections(e, [10.0, 11.0], [0.0, 0.0])
    toy.sources("gaia_dr3", [10.0, 11.0], [2 * ARCSEC, 1 * ARCSEC])
    toy.sources("gaia_edr3", [10.0, 11.0], [1 * ARCSEC, 2 * ARCSEC])
    for catalog in ("gaia_dr3", "gaia_edr3"):
        toy.match(e, catalog)
    assert family(toy, e) == {1: ("matched", "gaia_edr3"), 2: ("matched", "gaia_dr3")}


def reference_stars(toy: ToySky, extraction_id: int, n: int | None = None) -> list[int]:
    return list(toy.execute("SELECT * FROM stage.reference_stars(:e, :n)", e=extraction_id, n=n).scalars())


def test_reference_stars_are_known_unblended_and_of_middling_brightness(toy: ToySky) -> None:
    e = toy.extraction()
    ra = 10 + np.arange(8) * 0.01
    toy.detections(
        e, ra, np.zeros(8), flags=[0, 1, 0, 0, 0, 0, 0, 0], elongation=[1.1, 1.1, 1.3, 1.2, 1.1, 1.1, 1.1, 1.1]
    )
    # Number 8 is unmatched, 5 and 6 are on the limits of brightness, 7 has no magnitude.
    toy.sources("gaia_dr3", ra[:7], np.zeros(7), mag=[15, 15, 15, 15, 12, 18, np.nan])
    toy.match(e, "gaia_dr3")
    assert sorted(reference_stars(toy, e)) == [1, 4]


def test_the_sample_of_reference_stars_is_always_the_same_and_spread_over_the_image(toy: ToySky) -> None:
    first, second = toy.extraction(), toy.extraction()
    n = 600
    ra = 10 + np.arange(n) * 0.01
    toy.sources("gaia_dr3", ra, np.zeros(n))
    samples = []
    for e, order in ((first, np.arange(n)), (second, np.arange(n)[::-1])):
        for i in order[::40]:
            toy.detections(e, ra[i : i + 40], np.zeros(len(ra[i : i + 40])), first=int(i) + 1) if e == first else None
        if e == second:
            toy.detections(e, ra, np.zeros(n))
        toy.match(e, "gaia_dr3")
        samples.append(reference_stars(toy, e, 100))
    assert samples[0] == samples[1]
    assert len(set(samples[0])) == 100
    quarters = np.histogram(samples[0], bins=4, range=(1, n + 1))[0]
    assert quarters.min() >= 15


def reasons(toy: ToySky, tile: int, catalog: str = "gaia_dr3") -> list[tuple[str, str | None]]:
    toy.match(tile, catalog)
    rows = toy.execute("SELECT state, reason FROM vasco.match WHERE extraction_id = :e ORDER BY number", e=tile)
    return [(row.state, row.reason) for row in rows]


def test_where_a_lookup_failed_it_is_unknown_with_the_cause_in_one_line(toy: ToySky, tile: int, cone_moc) -> None:
    toy.lookup("gaia_dr3", cone_moc(150.0, 0.0, 0.1))
    toy.gap("gaia_dr3", cone_moc(151.0, 0.0, 0.1), cause="http", error="503\n  Service\tUnavailable ")
    assert reasons(toy, tile) == [("matched", None), ("clear", None), ("unknown", "http: 503 Service Unavailable")]
    assert toy.scalar("SELECT lookup_id FROM vasco.match WHERE number = 3") is None


def test_the_newest_failure_gives_the_reason_and_a_success_ends_it(toy: ToySky, tile: int) -> None:
    toy.gap("gaia_dr3", cause="timeout", error="no answer in 60 s")
    assert reasons(toy, tile)[1:] == [("unknown", "timeout: no answer in 60 s")] * 2
    assert toy.match(tile, "gaia_dr3")["written"] == 0
    toy.gap("gaia_dr3", cause="truncated", error="2000 rows, as many as the cap")
    assert reasons(toy, tile)[1:] == [("unknown", "truncated: 2000 rows, as many as the cap")] * 2
    toy.lookup("gaia_dr3")
    assert reasons(toy, tile)[1:] == [("clear", None)] * 2
    toy.gap("gaia_dr3")
    assert toy.match(tile, "gaia_dr3") == {"matched": 1, "clear": 2, "unknown": 0, "not_covered": 0, "written": 0}


def test_a_counterpart_is_one_whatever_failed_there(toy: ToySky, tile: int) -> None:
    toy.gap("gaia_dr3")
    assert reasons(toy, tile)[0] == ("matched", None)


@pytest.mark.parametrize(("dec", "inside"), [(-30.5, False), (-29.5, True), (60.5, False), (59.5, True)])
@pytest.mark.parametrize("covered", [True, False])
def test_beyond_the_limits_of_the_survey_an_empty_answer_means_nothing(toy, dec, inside, covered) -> None:
    name = toy.catalog("survey", dec_min=-30, dec_max=60)
    e = toy.extraction(150.0, dec)
    toy.detections(e, [150.0, 151.0], [dec, dec])
    toy.sources(name, [151.0], [dec])
    if covered:
        toy.lookup(name)
    else:
        toy.gap(name, cause="timeout", error="late")
    known = ("clear", None) if covered else ("unknown", "timeout: late")
    expected = known if inside else ("not_covered", "outside the survey")
    assert reasons(toy, e, name) == [expected, ("matched", None)]


def test_an_outline_bounds_the_survey_once_it_was_fetched(toy: ToySky, cone_moc) -> None:
    name = toy.catalog("survey", footprint="moc")
    e = toy.extraction(0.0, 0.0)
    toy.detections(e, [0.0, 0.0, 0.0, 359.6], [0.4, 0.6, -0.4, 0.0])
    toy.lookup(name, cone_moc(0.0, 0.0, 5.0))
    assert reasons(toy, e, name) == [("clear", None)] * 4
    toy.execute(
        "INSERT INTO ref.footprint VALUES (:c, CAST(:r AS int8multirange), :l)",
        c=name, r=multirange(cone_moc(0.0, 0.0, 0.5)), l=toy.service_lookup(name, "footprint"),
    )  # fmt: skip
    outside = ("not_covered", "outside the survey")
    assert reasons(toy, e, name) == [("clear", None), outside, ("clear", None), ("clear", None)]


def test_a_veto_repeats_why_nobody_can_know(toy: ToySky) -> None:
    e = toy.extraction()
    name = toy.catalog("survey", dec_max=0)
    toy.detections(e, [10.0, 10.0, 10.0], [-5.0, 5.0, -5.1])
    toy.gap(name, MOC.from_cone(Longitude(10 * u.deg), Latitude(-5 * u.deg), radius=0.05 * u.deg, max_depth=14))
    toy.match(e, name)
    veto = StageDefinition(stage="toy", function="veto", step=1, parameters={"family": "toy"})
    run_id = toy.judge(Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=(veto,)), e)
    rows = toy.execute("SELECT outcome, reason FROM vasco.verdict WHERE run_id = :r ORDER BY number", r=run_id).all()
    assert [tuple(row) for row in rows] == [
        ("unknown", "timeout: no answer in 60 s"), ("not_covered", "survey: outside the survey"),
        ("not_covered", "no complete toy look-up covers the position"),
    ]  # fmt: skip


def test_required_families_are_matched_and_whatever_else_knows_anything_of_that_sky(toy: ToySky) -> None:
    e, other = toy.extraction(ra=10.0, dec=0.0), toy.extraction(ra=200.0, dec=0.0)
    names_here = ("empty", "with_sources", "with_coverage", "with_a_gap", "failed_only")
    for name in (*names_here, "sources_elsewhere", "coverage_elsewhere", "gap_elsewhere"):
        toy.catalog(name)
    for name in ("moves", "moves_elsewhere"):
        toy.catalog(name, moving=True)
    toy.catalog("wanted", "wanted")
    toy.sources("with_sources", [10.0], [0.0])
    toy.lookup("with_coverage")
    toy.gap("with_a_gap")
    elsewhere = MOC.from_cone(Longitude(100 * u.deg), Latitude(0 * u.deg), radius=1 * u.deg, max_depth=10)
    toy.sources("sources_elsewhere", [100.0], [0.0])
    toy.lookup("coverage_elsewhere", elsewhere)
    toy.gap("gap_elsewhere", elsewhere)
    toy.service_lookup("failed_only", complete=False)
    toy.moving_look("moves", e, 10.0, 0.0, 1.0)
    toy.moving_look("moves_elsewhere", other, 10.0, 0.0, 1.0)
    names = "SELECT catalog FROM stage.catalogs_to_match(:e, :families)"
    assert list(toy.execute(names, e=e, families=["wanted"]).scalars()) == [
        "moves", "wanted", "with_a_gap", "with_coverage", "with_sources"
    ]  # fmt: skip
    assert "wanted" not in toy.execute(names, e=e, families=[]).scalars().all()


def test_a_catalogue_that_was_matched_is_matched_again_when_it_knows_nothing_any_more(toy: ToySky) -> None:
    e = toy.extraction(ra=10.0, dec=0.0)
    toy.catalog("forgotten")
    toy.detections(e, [10.0], [0.0])
    toy.lookup("forgotten")
    toy.match(e, "forgotten")
    toy.execute("DELETE FROM ref.coverage")
    names = "SELECT catalog FROM stage.catalogs_to_match(:e, '{}')"
    assert toy.execute(names, e=e).scalars().all() == ["forgotten"]


# Regions of a few degrees about places where coordinates wrap or tilings change.
PLACES = [(0.0, 0.0), (359.9999, 41.81), (0.0, -41.81), (123.0, 90.0), (0.0, -90.0), (45.0, 41.8103), (200.0, 10.0)]
near = st.tuples(st.floats(0, 1.5).map(lambda x: round(x, 9)), st.floats(0, 360).map(lambda x: round(x, 9)))
regions = st.tuples(near, st.floats(0.05, 0.8), st.booleans())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.sampled_from(PLACES),
    lookups=st.lists(regions, max_size=5),
    stars=st.lists(near, max_size=4),
    seed=st.integers(0, 1000),
)
def test_any_look_ups_and_sources_give_the_states_that_brute_force_gives(toy, place, lookups, stars, seed) -> None:
    centre = SkyCoord(place[0] * u.deg, place[1] * u.deg)
    rng = np.random.default_rng(seed)

    def around(point: SkyCoord, offset: tuple[float, float]) -> SkyCoord:
        return point.directional_offset_by(offset[1] * u.deg, offset[0] * u.deg)

    undo = toy.connection.begin_nested()
    try:
        name = toy.catalog("survey", dec_min=-85, dec_max=89.5)
        sources = [around(centre, star) for star in stars]
        toy.sources(name, [s.ra.deg for s in sources], [s.dec.deg for s in sources])
        mocs = []
        for offset, radius, good in lookups:
            at = around(centre, offset)
            moc = MOC.from_cone(Longitude(at.ra), Latitude(at.dec), radius=radius * u.deg, max_depth=11)
            mocs.append((good, moc, toy.lookup(name, moc) if good else toy.gap(name, moc, error=f"error {len(mocs)}")))
        # Detections anywhere, some beside the sources and some beside the meridian.
        points = [around(centre, (rng.uniform(0, 2.5), rng.uniform(0, 360))) for _ in range(25)]
        points += [around(s, (d / 3600, 77.0)) for s in sources for d in (0.0, 4.9, 5.1)]
        positions = SkyCoord(points)
        e = toy.extraction(*place)
        toy.detections(e, positions.ra.deg, positions.dec.deg)
        found = {row.number: row for row in toy.execute("SELECT * FROM stage.look(:e, :c)", e=e, c=name)}
        assert len(found) == len(points)
        for number, p in enumerate(positions, start=1):
            good = [by for ok, moc, by in mocs if ok and moc.contains_lonlat(p.ra, p.dec)[0]]
            bad = [n for n, (ok, moc, _) in enumerate(mocs) if not ok and moc.contains_lonlat(p.ra, p.dec)[0]]
            row = found[number]
            if any(p.separation(s).arcsec <= 5 for s in sources):
                expected = ("matched", None)
            elif not -85 <= p.dec.deg <= 89.5:
                expected = ("not_covered", "outside the survey")
            elif good:
                expected = ("clear", None)
                assert row.lookup_id in good
            else:
                expected = ("unknown", f"timeout: error {bad[-1]}") if bad else ("not_covered", None)
                assert row.lookup_id is None
            assert (row.state, row.reason) == expected
    finally:
        undo.rollback()
