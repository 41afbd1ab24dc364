"""What a match says: matched, clear, unknown or not_covered, and never one for another."""

import numpy as np
import pytest
from toysky import ToySky

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


def test_what_needs_measuring_is_what_every_family_leaves_clear_and_the_sample(toy: ToySky, cone_moc) -> None:
    e = toy.extraction()
    toy.detections(e, [10.0, 10.1, 10.2, 10.3, 20.0], [0.0] * 5, spread_model=None, spreaderr_model=None)
    toy.sources("gaia_dr3", [10.0, 10.1], [0.0, 0.0], mag=[15, 8])
    toy.lookup("gaia_dr3", cone_moc(10.0, 0.0, 1.0))
    toy.match(e, "gaia_dr3")
    targets = "SELECT number, purpose FROM stage.measure_targets(:e, :families, 200)"
    assert [tuple(r) for r in toy.execute(targets, e=e, families=["gaia"])] == [
        (1, "reference"), (3, "candidate"), (4, "candidate")
    ]  # fmt: skip
    toy.execute("UPDATE vasco.detection SET spread_model = 0, spreaderr_model = 0 WHERE number IN (1, 3)")
    assert [tuple(r) for r in toy.execute(targets, e=e, families=["gaia"])] == [(4, "candidate")]
    assert toy.execute(targets, e=e, families=["gaia", "panstarrs"]).all() == []
