"""Moving objects: the trail counts, only look-ups for the very image count, and only whole ones clear."""

from collections.abc import Sequence

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from toysky import ToySky

ARCSEC = 1 / 3600
RADIUS, RIM = 5.0, 60.0


@pytest.fixture
def sky(toy: ToySky) -> ToySky:
    """A sky with a catalogue of moving objects, `asteroids`."""
    toy.catalog("asteroids", moving=True, match_radius_arcsec=RADIUS, coverage_margin_arcsec=RIM)
    return toy


def image(toy: ToySky, ra: Sequence[float], dec: Sequence[float], exposure_minutes: float | None = 60) -> int:
    """An image with detections there, exposed that long; its number is also that of its extraction."""
    extraction_id = toy.extraction(float(ra[0]), float(dec[0]))
    toy.execute("UPDATE plate.image SET exposure_minutes = :m WHERE image_id = :i", m=exposure_minutes, i=extraction_id)
    toy.detections(extraction_id, ra, dec)
    return extraction_id


def states(toy: ToySky, extraction_id: int) -> list[str]:
    toy.match(extraction_id, "asteroids")
    rows = toy.execute("SELECT state FROM vasco.match WHERE extraction_id = :e ORDER BY number", e=extraction_id)
    return list(rows.scalars())


def test_a_look_of_this_image_clears_what_lies_inside_its_rim(sky: ToySky) -> None:
    offsets = np.array([0.0, 0.5 - 61 * ARCSEC, 0.5 - 59 * ARCSEC, 0.5 + 1 * ARCSEC])
    e = image(sky, [10.0] * 4, list(offsets))
    lookup_id = sky.moving_look("asteroids", e, 10.0, 0.0, 0.5)
    assert states(sky, e) == ["clear", "clear", "not_covered", "not_covered"]
    rows = sky.execute("SELECT lookup_id, lookup_complete, reason FROM vasco.match ORDER BY number").all()
    assert [tuple(r) for r in rows] == [(lookup_id, True, None)] * 2 + [(None, None, None)] * 2


def test_a_look_of_another_image_or_catalogue_says_nothing(sky: ToySky) -> None:
    sky.catalog("comets", moving=True)
    e, other = image(sky, [10.0], [0.0]), image(sky, [10.0], [0.0])
    here = {"ra": 10.0, "dec": 0.0}
    sky.moving_look("asteroids", other, 10.0, 0.0, 0.5, [here])
    sky.moving_look("comets", e, 10.0, 0.0, 0.5, [here])
    assert states(sky, e) == ["not_covered"]
    assert states(sky, other) == ["matched"]


def test_coverage_of_sky_clears_nothing_of_what_moves(sky: ToySky) -> None:
    e = image(sky, [10.0], [0.0])
    sky.lookup("asteroids")
    assert states(sky, e) == ["not_covered"]


def test_a_failed_look_leaves_it_unknown_with_its_cause_until_one_succeeds(sky: ToySky) -> None:
    e = image(sky, [10.0, 10.0, 10.0], [0.0, 0.5 - 1 * ARCSEC, 0.51])
    sky.moving_look("asteroids", e, 10.0, 0.0, 0.5, complete=False, cause="timeout", error="no byte\n  in 30 s")
    assert states(sky, e) == ["unknown", "unknown", "not_covered"]
    assert sky.scalar("SELECT reason FROM vasco.match WHERE number = 1") == "timeout: no byte in 30 s"
    assert sky.scalar("SELECT count(lookup_id) FROM vasco.match") == 0
    sky.moving_look(
        "asteroids", e, 10.0, 0.0, 0.5, complete=False, cause="http", error="503", asked_at="2100-01-01 00:00+00"
    )
    states(sky, e)
    assert sky.scalar("SELECT reason FROM vasco.match WHERE number = 1") == "http: 503"
    good = sky.moving_look("asteroids", e, 10.0, 0.0, 0.6)
    assert states(sky, e) == ["clear"] * 3
    assert sky.execute("SELECT DISTINCT lookup_id, reason FROM vasco.match").all() == [(good, None)]


def test_a_failed_look_does_not_take_back_what_another_cleared(sky: ToySky) -> None:
    e = image(sky, [10.0], [0.0])
    sky.moving_look("asteroids", e, 10.0, 0.0, 0.5)
    sky.moving_look("asteroids", e, 10.0, 0.0, 0.5, complete=False, asked_at="2100-01-01 00:00+00")
    assert states(sky, e) == ["clear"]


@pytest.mark.parametrize(
    ("offset_arcsec", "exposure_minutes", "expected"),
    [
        # 30 arcsec/h to the east: half of a 60 minute trail is 15 arcsec.
        ((0, 4.99), 60, "matched"), ((0, 5.01), 60, "clear"), ((19.99, 0), 60, "matched"), ((20.01, 0), 60, "clear"),
        ((-19.99, 0), 60, "matched"), ((-20.01, 0), 60, "clear"), ((9, 4.99), 60, "matched"), ((9, 5.01), 60, "clear"),
        ((18, 3.99), 60, "matched"), ((18, 4.01), 60, "clear"), ((12.4, 0), 30, "matched"), ((12.6, 0), 30, "clear"),
        ((5.1, 0), 0.01, "clear"), ((19.9, 0), None, "matched"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dec", [0.0, -60.0, 85.0])
def test_a_detection_along_the_trail_is_the_object(sky, dec, offset_arcsec, exposure_minutes, expected) -> None:
    east, north = (o * u.arcsec for o in offset_arcsec)
    there = SkyCoord(120 * u.deg, dec * u.deg).spherical_offsets_by(east, north)
    e = image(sky, [there.ra.deg], [there.dec.deg], exposure_minutes)
    sky.moving_look("asteroids", e, 120.0, dec, 0.5, [{"ra": 120.0, "dec": dec, "rate_ra_arcsec_h": 30.0}])
    assert states(sky, e) == [expected]


def test_an_object_without_a_rate_is_where_it_is_predicted(sky: ToySky) -> None:
    e = image(sky, [10.0, 10.0], [4.9 * ARCSEC, 5.1 * ARCSEC])
    sky.moving_look("asteroids", e, 10.0, 0.0, 0.5, [{"ra": 10.0, "dec": 0.0, "error_arcsec": 30.0}])
    assert states(sky, e) == ["matched", "clear"]
    row = sky.execute("SELECT source_id, sep_arcsec, n_within FROM vasco.match WHERE state = 'matched'").one()
    assert (row.source_id, row.n_within) == (1, 1)
    assert row.sep_arcsec == pytest.approx(4.9, abs=1e-6)


def test_one_object_in_two_looks_counts_once_and_of_two_the_nearer_is_named(sky: ToySky) -> None:
    e = image(sky, [10.0], [0.0])
    sky.moving_look("asteroids", e, 10.0, 0.0, 0.5, [{"ra": 10.0, "dec": 2 * ARCSEC}])
    sky.moving_look("asteroids", e, 10.1, 0.0, 0.5, [{"ra": 10.0, "dec": 3 * ARCSEC}, {"ra": 10.0, "dec": 1 * ARCSEC}])
    states(sky, e)
    assert sky.execute("SELECT source_id, round(sep_arcsec), n_within FROM vasco.match").all() == [(2, 1.0, 2)]


def brute_force_arcsec(
    at: SkyCoord, middle: SkyCoord, rate: tuple[float, float], hours: float, steps: int = 4001
) -> np.ndarray:
    """Least distance of positions from an object that is followed step by step along its exposure."""
    t = np.linspace(-hours / 2, hours / 2, steps)
    path = middle.spherical_offsets_by(rate[0] * t * u.arcsec, rate[1] * t * u.arcsec)
    return np.array([p.separation(path).arcsec.min() for p in at])


@pytest.mark.parametrize(
    ("ra", "dec"), [(0.0, 0.0), (359.9999, 41.81), (0.0001, -70.0), (200.0, 89.9995), (77.0, 90.0), (10.0, -90.0)]
)
def test_matches_and_distances_are_those_of_an_object_followed_step_by_step(sky: ToySky, ra: float, dec: float) -> None:
    rng = np.random.default_rng(5)
    middle = SkyCoord(ra * u.deg, dec * u.deg)
    rate, hours = (37.0, -21.0), 50 / 60
    along, across = rng.uniform(-30, 30, 40), rng.uniform(-8, 8, 40)
    unit = np.array(rate) / np.hypot(*rate)
    at = middle.spherical_offsets_by(
        (along * unit[0] - across * unit[1]) * u.arcsec, (along * unit[1] + across * unit[0]) * u.arcsec
    )
    truth = brute_force_arcsec(at, middle, rate, hours)
    e = image(sky, list(at.ra.deg), list(at.dec.deg), 50)
    entry = {"ra": ra, "dec": dec, "rate_ra_arcsec_h": rate[0], "rate_dec_arcsec_h": rate[1]}
    sky.moving_look("asteroids", e, ra, dec, 0.5, [entry])
    found = states(sky, e)
    sure = np.abs(truth - RADIUS) > 0.01
    assert sure.sum() > 30
    expected = np.where(truth <= RADIUS, "matched", "clear")
    assert {"matched", "clear"} == set(expected)
    assert [s for s, ok in zip(found, sure, strict=True) if ok] == list(expected[sure])
    rows = sky.execute("SELECT number, sep_arcsec FROM vasco.match WHERE state = 'matched'").all()
    for number, separation in rows:
        assert separation == pytest.approx(truth[number - 1], abs=0.005)


def near(toy: ToySky, image_id: int, ra: float, dec: float, radius_arcsec: float) -> list[tuple[str, float, float]]:
    rows = toy.execute(
        "SELECT name, sep_arcsec, sep_middle_arcsec FROM sky.moving_near(:i, 'asteroids', :ra, :dec, :radius)",
        i=image_id, ra=ra, dec=dec, radius=radius_arcsec,
    )  # fmt: skip
    return [(row.name, round(row.sep_arcsec, 3), round(row.sep_middle_arcsec, 3)) for row in rows]


def test_people_see_what_is_near_nearest_trail_first(sky: ToySky) -> None:
    e = image(sky, [0.0], [0.0])
    objects = [
        {"ra": 360 - 50 * ARCSEC, "dec": 0.0, "name": "slow"},
        {"ra": 70 * ARCSEC, "dec": 0.0, "name": "fast", "rate_ra_arcsec_h": -80.0},
        {"ra": 0.0, "dec": 61 * ARCSEC, "name": "far"},
        {"ra": 180.0, "dec": 0.0, "name": "antipode"},
        {"ra": 90.0, "dec": 0.0, "name": "a quarter away"},
    ]
    sky.moving_look("asteroids", e, 0.0, 0.0, 5.0, objects)
    assert near(sky, e, 0.0, 0.0, 60.0) == [("fast", 30.0, 70.0), ("slow", 50.0, 50.0)]
    assert near(sky, e + 1, 0.0, 0.0, 60.0) == []


def test_a_family_of_moving_objects_is_a_veto_like_any_other(sky: ToySky) -> None:
    e = image(sky, [10.0, 10.1, 11.0], [0.0] * 3)
    sky.moving_look("asteroids", e, 10.0, 0.0, 0.5, [{"ra": 10.0, "dec": 0.0}])
    states(sky, e)
    rows = sky.execute("SELECT number, state FROM stage.family_state(:e, 'toy') ORDER BY 1", e=e).all()
    assert [tuple(r) for r in rows] == [(1, "matched"), (2, "clear"), (3, "not_covered")]
