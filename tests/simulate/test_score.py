import math

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from vascodb.simulate import score

LIMIT = 18.0
ARCSEC = 1 / 3600


def truth_of(rows, ra0=0.0, dec0=0.0):
    """A truth table of (kind, east arcsec, north arcsec, mag, extent, moved) on a 10 arcmin image."""
    cos_dec = math.cos(math.radians(dec0))
    kind, east, north, mag, extent, moved = (list(column) for column in zip(*rows, strict=True))
    side = 300 * ARCSEC
    table = Table(
        {
            "id": np.arange(1, len(rows) + 1),
            "kind": kind,
            "ra": [(ra0 + e * ARCSEC / cos_dec) % 360 for e in east],
            "dec": [dec0 + n * ARCSEC for n in north],
            "mag": MaskedColumn([m if m is not None else 0.0 for m in mag], mask=[m is None for m in mag]),
            "extent_arcsec": np.array(extent, float),
            "moved_arcsec": np.array(moved, float),
        }
    )
    table.meta["limit_5sigma_mag"] = LIMIT
    table.meta["corner_ra_deg"] = [(ra0 + s * side / cos_dec) % 360 for s in (1, -1, -1, 1)]
    table.meta["corner_dec_deg"] = [dec0 + s * side for s in (-1, -1, 1, 1)]
    return table


def sky_of(offsets, ra0=0.0, dec0=0.0):
    cos_dec = math.cos(math.radians(dec0))
    return [(ra0 + e * ARCSEC / cos_dec) % 360 for e, _ in offsets], [dec0 + n * ARCSEC for _, n in offsets]


FIELD = [
    ("vanished", 0, 0, 16.0, 3, 0),
    ("vanished", 100, 0, 17.4, 3, 0),
    ("vanished", -100, 0, 17.8, 3, 0),
    ("vanished_blended", 0, 100, 16.0, 3, 0),
    ("star", 0, 106, 15.0, 5, 0.2),
    ("star", 50, 50, 15.0, 5, 4.0),
    ("high_pm", 50, -50, 15.0, 5, 60.0),
    ("blend", -50, -50, 15.0, 5, 0.0),
    ("defect", -150, 150, None, 40, 0.0),
    ("star", 200, 200, 8.0, 40, 0.0),
]


@pytest.mark.parametrize("centre", [(0.0, 0.0), (359.9999, 85.0), (200.0, -60.0)])
def test_each_claim_is_counted_for_what_it_is(centre):
    claims = [
        (0.5, 0.5),
        (-100, 1),
        (1, 100),
        (0, 107),
        (51, 50),
        (50, -51),
        (-50, -50.5),
        (-150, 120),
        (200, 240),
        (-200, -200),
        (400, 0),
    ]
    result = score(truth_of(FIELD, *centre), *sky_of(claims, *centre))
    assert result.cause == (
        None,
        None,
        None,
        "star",
        "moving_star",
        "high_pm",
        "blend",
        "defect",
        "halo",
        "nothing",
        "outside_coverage",
    )
    assert result.found == (1,)
    assert result.missed == (2,)
    assert result.found_beyond == (3, 4)
    assert result.recall == 0.5
    assert result.precision == pytest.approx(3 / 11)
    assert result.false_claims == {
        "duplicate": 0,
        "moving_star": 1,
        "star": 1,
        "high_pm": 1,
        "blend": 1,
        "defect": 1,
        "halo": 1,
        "nothing": 1,
        "outside_coverage": 1,
    }


def test_of_two_claims_of_one_source_the_nearer_counts():
    result = score(truth_of(FIELD), *sky_of([(2, 0), (0, 0)]))
    assert result.cause == ("duplicate", None)
    assert result.found == (1,)


def test_a_vanished_source_beside_a_star_is_the_stronger_explanation():
    truth = truth_of([("vanished", 0, 0, 15.0, 3, 0), ("star", 2, 0, 15.0, 3, 0)])
    assert score(truth, *sky_of([(1.9, 0)])).cause == (None,)


def test_the_radius_is_kept():
    truth = truth_of([("vanished", 0, 0, 15.0, 3, 0)])
    assert score(truth, *sky_of([(2.9, 0)])).recall == 1
    assert score(truth, *sky_of([(3.1, 0)])).recall == 0
    assert score(truth, *sky_of([(3.1, 0)]), radius_arcsec=5).recall == 1


def test_a_given_limit_decides_which_sources_are_required():
    assert score(truth_of(FIELD), *sky_of([(0, 0)]), limit_mag=19.0).missed == (2, 3)
    assert score(truth_of(FIELD), *sky_of([(0, 0)]), limit_mag=17.0).missed == ()


def test_no_claims_miss_everything_and_have_no_precision():
    result = score(truth_of(FIELD), [], [])
    assert result.recall == 0
    assert math.isnan(result.precision)
    assert result.cause == ()


def test_without_required_sources_there_is_no_recall():
    result = score(truth_of([("star", 0, 0, 15.0, 3, 0)]), *sky_of([(0, 0)]))
    assert math.isnan(result.recall)
    assert result.precision == 0


def test_a_perfect_search_of_a_simulated_plate_scores_one(small_plate):
    truth = small_plate.truth
    required = truth[truth["expected"] == "candidate"]
    result = score(truth, required["ra"], required["dec"])
    assert (result.recall, result.precision) == (1.0, 1.0)


def test_claiming_every_reference_star_finds_nothing(small_plate):
    reference = small_plate.reference
    result = score(small_plate.truth, reference["ra"], reference["dec"])
    assert result.found == ()
    assert result.false_claims["outside_coverage"] > 0
    assert result.false_claims["star"] > 300
