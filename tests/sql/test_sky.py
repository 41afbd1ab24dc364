"""The sky functions against astropy and against searches that share nothing with them."""

from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Distance, Latitude, Longitude, SkyCoord
from astropy.time import Time
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mocpy import MOC
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sqlalchemy import Connection, text
from toysky import ToySky

from vascodb.plates.footprint import cells

Floats = NDArray[np.float64]
MAS = np.radians(1 / 3600e3)
ARCSEC = 1 / 3600


def vectors(ra_deg: Floats, dec_deg: Floats) -> Floats:
    """Unit vectors, shape (n, 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def moved(ra_deg: Floats, dec_deg: Floats, pmra: Floats, pmdec: Floats, years: float) -> Floats:
    """Unit vectors after motion along the tangent plane; NaN motions are none."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    shift = np.nan_to_num(pmra)[:, None] * east + np.nan_to_num(pmdec)[:, None] * north
    v = vectors(ra_deg, dec_deg) + shift * MAS * years
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def angles(v: Floats) -> tuple[Floats, Floats]:
    """Right ascension and declination of unit vectors in degrees."""
    return np.degrees(np.arctan2(v[:, 1], v[:, 0])) % 360, np.degrees(np.arctan2(v[:, 2], np.hypot(v[:, 0], v[:, 1])))


def haversine_arcsec(ra1: Any, dec1: Any, ra2: Any, dec2: Any) -> Any:
    ra1, dec1, ra2, dec2 = (np.radians(x) for x in (ra1, dec1, ra2, dec2))
    h = np.sin((dec2 - dec1) / 2) ** 2 + np.cos(dec1) * np.cos(dec2) * np.sin((ra2 - ra1) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.minimum(1, np.sqrt(h)))) * 3600


def propagate(connection: Connection, *star: float | None) -> tuple[float, float]:
    row = connection.execute(
        text("SELECT ra_deg, dec_deg FROM sky.propagate(:ra, :dec, CAST(:a AS float8), CAST(:b AS float8), :t)"),
        dict(zip(("ra", "dec", "a", "b", "t"), star, strict=True)),
    ).one()
    return float(row.ra_deg), float(row.dec_deg)


# Right ascension, declination, motions in mas/yr, years.
STARS = [
    (269.452, 4.693, -801.551, 10362.394, -62.0),  # Barnard's star
    (0.0001, 10.0, -3000.0, 20.0, 60.0),
    (359.99999, -45.0, 5000.0, -20.0, 60.0),
    (120.0, 89.9999, 4000.0, -4000.0, -64.0),
    (45.0, 90.0, 100.0, 0.0, 10.0),
    (300.0, -90.0, 0.0, 250.0, -64.0),
    (10.0, -89.99999, 0.0, -500.0, 64.0),
    (180.0, 0.0, 19999.0, -19999.0, -64.0),
    (210.5, 33.3, 0.0, 0.0, -64.0),
]


@pytest.mark.filterwarnings("ignore:ERFA function")
@pytest.mark.parametrize("star", STARS)
def test_propagate_agrees_with_astropy(connection: Connection, star: tuple[float, ...]) -> None:
    ra, dec, pmra, pmdec, years = star
    there = SkyCoord(
        # Astropy moves stars in space: far away and without radial velocity that is motion on the sky alone.
        Longitude(ra, u.deg), Latitude(dec, u.deg), distance=Distance(100, u.pc), radial_velocity=0 * u.km / u.s,
        pm_ra_cosdec=pmra * u.mas / u.yr, pm_dec=pmdec * u.mas / u.yr,
        obstime=Time(2016.0, format="jyear", scale="tdb"),
    ).apply_space_motion(new_obstime=Time(2016.0 + years, format="jyear", scale="tdb"))  # fmt: skip
    got = propagate(connection, *star)
    arc = np.hypot(pmra, pmdec) / 1000 * abs(years)
    # Astropy also accounts for the time that light takes along the motion.
    assert haversine_arcsec(*got, there.ra.deg, there.dec.deg) < 1e-9 + 2e-9 * arc
    assert 0 <= got[0] < 360


def test_propagate_agrees_with_unit_vectors_to_the_last_digits(connection: Connection) -> None:
    stars = np.array(STARS)
    expected = [moved(*(stars[i : i + 1, k] for k in range(4)), stars[i, 4])[0] for i in range(len(stars))]
    for star, vector in zip(STARS, expected, strict=True):
        ra, dec = propagate(connection, *star)
        chord = np.linalg.norm(vectors(np.array([ra]), np.array([dec]))[0] - vector)
        assert np.degrees(chord) * 3600 < 1e-9


def moved_chord_arcsec(connection: Connection, star: tuple[float | None, ...], ra_deg: float, dec_deg: float) -> float:
    """The angle that `sky.moved_chord_squared` is the chord of."""
    return connection.scalar(
        text("""
            SELECT sky.chord_arcsec(m.chord_squared)
            FROM sky.moved_chord_squared(
                :ra, :dec, CAST(:a AS float8), CAST(:b AS float8), :t,
                CAST(:ra2 AS float8), sin(radians(CAST(:dec2 AS float8))), cos(radians(CAST(:dec2 AS float8)))
            ) AS m
        """),
        dict(zip(("ra", "dec", "a", "b", "t"), star, strict=True)) | {"ra2": float(ra_deg), "dec2": float(dec_deg)},
    )


@pytest.mark.parametrize("star", STARS)
@pytest.mark.parametrize("apart", [(0.0, 0.0), (0.1, -0.2), (-3.0, 4.0), (600.0, 0.0), (0.0, -36000.0)])
def test_chords_of_moved_stars_agree_with_unit_vectors_to_the_last_digits(connection: Connection, star, apart) -> None:
    v = moved(*(np.array([x]) for x in star[:4]), star[4])
    # Aside along the star's own tangent plane, over a pole and right ascension 0 too.
    place = moved(*(np.array([x]) for x in propagate(connection, *star)), *(np.array([1000 * x]) for x in apart), 1.0)
    (ra,), (dec,) = angles(place)
    expected = np.degrees(2 * np.arcsin(np.linalg.norm(vectors(np.array([ra]), np.array([dec])) - v) / 2)) * 3600
    assert moved_chord_arcsec(connection, star, ra, dec) == pytest.approx(expected, abs=5e-10, rel=1e-13)


@pytest.mark.parametrize("place", [(180.0, 20.0), (0.0, 90.0), (359.0, -89.0), (200.0, -20.0)])
def test_chords_are_right_across_the_whole_sky(connection: Connection, place) -> None:
    star = (20.0, 20.0, None, None, -64.0)
    expected = SkyCoord(20, 20, unit="deg").separation(SkyCoord(*place, unit="deg")).arcsec
    # Near the other side of the sky a chord hardly changes with the angle.
    assert moved_chord_arcsec(connection, star, *place) == pytest.approx(expected, abs=1e-9, rel=1e-8)


@pytest.mark.parametrize("motion", [(None, None), (0.0, 0.0)])
@pytest.mark.parametrize("place", [(0.0, 0.0), (359.9999999, -20.0), (123.0, 90.0), (7.0, -90.0)])
def test_a_missing_motion_moves_nothing(connection: Connection, place, motion) -> None:
    ra, dec = propagate(connection, *place, *motion, -64.0)
    assert haversine_arcsec(ra, dec, *place) < 1e-9
    assert 0 <= ra < 360


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ra=st.floats(0, 360, exclude_max=True, width=32), dec=st.floats(-90, 90, width=32),
    pmra=st.floats(-20000, 20000, width=32), pmdec=st.floats(-20000, 20000, width=32),
    years=st.floats(-100, 100, width=32),
)  # fmt: skip
def test_propagate_stays_on_the_sky_and_moves_as_far_as_the_motion_says(
    connection: Connection, ra: float, dec: float, pmra: float, pmdec: float, years: float
) -> None:
    got = propagate(connection, ra, dec, pmra, pmdec, years)
    assert 0 <= got[0] < 360 and -90 <= got[1] <= 90
    arc = np.degrees(np.arctan(np.hypot(pmra, pmdec) * MAS * abs(years))) * 3600
    assert haversine_arcsec(ra, dec, *got) == pytest.approx(arc, abs=1e-9 + 1e-12 * arc)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((0, 0), (0, 0)), ((359.9999, 0), (0.0001, 0)), ((10, 90), (200, 90)), ((10, 89.9999), (190, 89.9999)),
        ((10, -90), (200, -89.9)), ((100, 45), (100.00001, 45.00001)), ((0, -90), (0, 90)), ((13, 0), (193, 0)),
    ],
)  # fmt: skip
def test_separation_agrees_with_astropy(connection: Connection, a, b) -> None:
    expected = SkyCoord(*a, unit="deg").separation(SkyCoord(*b, unit="deg")).arcsec
    got = connection.scalar(
        text("SELECT sky.separation_arcsec(:a, :b, :c, :d)"), dict(zip("abcd", (*a, *b), strict=True))
    )
    assert got == pytest.approx(expected, abs=1e-9, rel=1e-13)


@dataclass(frozen=True)
class Field:
    """Detections and sources of one part of the sky."""

    ra: Floats
    dec: Floats
    source_ra: Floats
    source_dec: Floats
    pmra: Floats
    pmdec: Floats
    source_id: NDArray[np.int64]


def scatter(rng: np.random.Generator, centre: tuple[float, float], radius_deg: float, n: int) -> tuple[Floats, Floats]:
    """Random positions in a circle, evenly, also about a pole."""
    axis = vectors(np.array([centre[0]]), np.array([centre[1]]))[0]
    helper = np.array([0.0, 0, 1]) if abs(axis[2]) < 0.9 else np.array([1.0, 0, 0])
    east = np.cross(helper, axis)
    east /= np.linalg.norm(east)
    north = np.cross(axis, east)
    cos_r = 1 - rng.random(n) * (1 - np.cos(np.radians(radius_deg)))
    angle = rng.random(n) * 2 * np.pi
    sin_r = np.sqrt(1 - cos_r**2)
    return angles(
        cos_r[:, None] * axis + sin_r[:, None] * (np.cos(angle)[:, None] * east + np.sin(angle)[:, None] * north)
    )


def make_field(seed: int, centre: tuple[float, float], epoch: float, n_sources: int = 3000, n: int = 500) -> Field:
    """A crowded field: half the sources in clumps of a few arcsec, exact twins, motions of all sizes and none."""
    rng = np.random.default_rng(seed)
    ra, dec = scatter(rng, centre, 0.3, n_sources)
    clumps = rng.integers(0, n_sources // 2, n_sources // 2)
    for i, clump in enumerate(clumps, start=n_sources // 2):
        (ra[i],), (dec[i],) = scatter(rng, (float(ra[clump]), float(dec[clump])), rng.choice([1, 4, 9]) * ARCSEC, 1)
    kind = rng.random(n_sources)
    speed = np.select([kind < 0.2, kind < 0.8, kind < 0.95], [np.nan, 10.0, 150.0], 5000.0)
    angle = rng.random(n_sources) * 2 * np.pi
    speed = np.minimum(speed * rng.exponential(1, n_sources), 10000.0)
    pmra, pmdec = (np.float32(speed * f(angle)).astype(float) for f in (np.sin, np.cos))
    twins = rng.choice(n_sources, n_sources // 16 * 2, replace=False).reshape(2, -1)
    for values in (ra, dec, pmra, pmdec):
        values[twins[1]] = values[twins[0]]
    source_id = rng.permutation(n_sources).astype(np.int64) + 1
    there = angles(moved(ra, dec, pmra, pmdec, epoch - 2016.0))
    d_ra, d_dec = scatter(rng, centre, 0.3, n)
    for i, star in enumerate(rng.choice(n_sources, n // 2, replace=False)):
        near = scatter(rng, (float(there[0][star]), float(there[1][star])), rng.choice([0.3, 2, 5, 6]) * ARCSEC, 1)
        (d_ra[i],), (d_dec[i],) = near
    # Some detections exactly on pairs of twins.
    m = min(n // 20, twins.shape[1])
    d_ra[:m], d_dec[:m] = (values[twins[1][:m]] for values in there)
    return Field(d_ra, d_dec, ra, dec, pmra, pmdec, source_id)


def put(toy: ToySky, field: Field, centre: tuple[float, float], epoch: float) -> int:
    toy.sources(
        "gaia_dr3", field.source_ra, field.source_dec,
        field.pmra, field.pmdec,
        source_id=field.source_id.tolist(),
    )  # fmt: skip
    extraction_id = toy.extraction(*centre, radius_deg=0.5, epoch_jyear=epoch)
    toy.detections(extraction_id, field.ra, field.dec)
    return extraction_id


def nearest(toy: ToySky, extraction_id: int, radius_arcsec: float = 5.0) -> dict[int, tuple[int, float, int]]:
    """Source, separation and number within the radius, by detection."""
    rows = toy.execute(
        "SELECT number, source_id, sep_arcsec, n_within FROM sky.nearest_at_epoch(:e, 'gaia_dr3', :r)",
        e=extraction_id, r=radius_arcsec,
    )  # fmt: skip
    return {row.number: (row.source_id, row.sep_arcsec, row.n_within) for row in rows}


def kd_tree_nearest(field: Field, epoch: float, radius_arcsec: float) -> dict[int, tuple[int, float, int]]:
    """The same by a KD-tree on unit vectors."""
    stars = moved(field.source_ra, field.source_dec, field.pmra, field.pmdec, epoch - 2016.0)
    detections = vectors(field.ra, field.dec)
    chord = 2 * np.sin(np.radians(radius_arcsec * ARCSEC) / 2)
    found = {}
    for number, near in enumerate(cKDTree(stars).query_ball_point(detections, chord), start=1):
        if near:
            sep = np.degrees(2 * np.arcsin(np.linalg.norm(stars[near] - detections[number - 1], axis=1) / 2)) * 3600
            ids = field.source_id[near]
            best = np.lexsort([ids, sep])[0]
            found[number] = int(ids[best]), float(sep[best]), len(near)
    return found


def haversine_nearest(field: Field, epoch: float, radius_arcsec: float) -> dict[int, tuple[int, float, int]]:
    """The same by trying every pair."""
    ra, dec = angles(moved(field.source_ra, field.source_dec, field.pmra, field.pmdec, epoch - 2016.0))
    found = {}
    for number, (d_ra, d_dec) in enumerate(zip(field.ra, field.dec, strict=True), start=1):
        sep = haversine_arcsec(d_ra, d_dec, ra, dec)
        near = np.flatnonzero(sep <= radius_arcsec)
        if len(near):
            best = near[np.lexsort([field.source_id[near], sep[near]])[0]]
            found[number] = int(field.source_id[best]), float(sep[best]), len(near)
    return found


CENTRES = [(150.0, 20.0), (0.0, -5.0), (359.9, 60.0), (77.0, 90.0), (200.0, -89.8), (45.0, 0.0)]


@pytest.mark.parametrize(
    ("centre", "epoch"), list(zip(CENTRES, [1949.9, 1951.5, 1954.0, 1955.25, 1957.0, 1958.2], strict=True))
)
def test_nearest_at_epoch_agrees_with_two_oracles(toy: ToySky, centre: tuple[float, float], epoch: float) -> None:
    field = make_field(round(centre[0]), centre, epoch)
    extraction_id = put(toy, field, centre, epoch)
    for radius_arcsec in (5.0, 0.1, 10.0):
        got = nearest(toy, extraction_id, radius_arcsec)
        for oracle in (kd_tree_nearest, haversine_nearest):
            expected = oracle(field, epoch, radius_arcsec)
            assert {k: (v[0], v[2]) for k, v in got.items()} == {k: (v[0], v[2]) for k, v in expected.items()}
            assert max(abs(got[k][1] - expected[k][1]) for k in got) < 1e-9
    assert 100 < len(nearest(toy, extraction_id)) < len(field.ra)


@settings(
    deadline=None,
    max_examples=15,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 2**32 - 1), ra=st.floats(0, 359.99), dec=st.floats(-90, 90), epoch=st.floats(1949, 1958),
    radius_arcsec=st.floats(0.1, 10),
)  # fmt: skip
def test_nearest_at_epoch_agrees_with_the_kd_tree_anywhere(
    connection: Connection, seed: int, ra: float, dec: float, epoch: float, radius_arcsec: float
) -> None:
    with connection.begin_nested() as savepoint:
        field = make_field(seed, (ra, dec), epoch, n_sources=400, n=100)
        toy = ToySky(connection)
        got = nearest(toy, put(toy, field, (ra, dec), epoch), radius_arcsec)
        savepoint.rollback()
    expected = kd_tree_nearest(field, epoch, radius_arcsec)
    assert {k: v[0] for k, v in got.items()} == {k: v[0] for k, v in expected.items()}


def one_star(
    toy: ToySky, star: tuple[float, ...], detection: tuple[float, float], epoch: float, radius_deg=0.001
) -> Any:
    """What is nearest to a lone detection in the middle of its image when there is one star."""
    ra, dec, pmra, pmdec = star
    toy.sources("gaia_dr3", [ra], [dec], [pmra], [pmdec])
    extraction_id = toy.extraction(*detection, radius_deg=radius_deg, epoch_jyear=epoch)
    toy.detections(extraction_id, [detection[0]], [detection[1]])
    return nearest(toy, extraction_id).get(1)


@pytest.mark.parametrize("epoch", [1949.0, 1954.0, 1958.0])
@pytest.mark.parametrize("speed_masyr", [0.0, 99.9, 100.1, 900.0, 10400.0, 19999.0])
@pytest.mark.parametrize("angle", [0.0, 1.0, 2.5, 4.0])
def test_a_star_is_found_where_it_was_however_fast_it_is(toy: ToySky, epoch, speed_masyr, angle) -> None:
    pm = np.float32(speed_masyr * np.sin(angle)), np.float32(speed_masyr * np.cos(angle))
    where = angles(moved(*(np.array([float(x)]) for x in (83.0, -5.0, *pm)), epoch - 2016.0))
    # 4.9 arcsec north of where it was; more than 5 from where the catalogue has it if it moves at all fast.
    detection = float(where[0][0]), float(where[1][0]) + 4.9 * ARCSEC
    found = one_star(toy, (83.0, -5.0, float(pm[0]), float(pm[1])), detection, epoch)
    assert found is not None
    assert found[1] == pytest.approx(4.9, abs=1e-8)


@pytest.mark.parametrize(
    ("offset_arcsec", "is_found"), [(5 - 1e-7, True), (5 + 1e-7, False), (4.5, True), (5.6, False)]
)
@pytest.mark.parametrize("pm", [(None, None), (0.0, 0.0), (80.0, -60.0), (3000.0, 4000.0)])
@pytest.mark.parametrize("side", [-1, 1])
def test_five_arcsec_is_the_limit_at_the_plates_epoch(toy: ToySky, offset_arcsec, is_found, pm, side) -> None:
    motion = [np.array([np.nan if x is None else x]) for x in pm]
    ra, dec = angles(moved(np.array([12.0]), np.array([30.0]), *motion, 1951.0 - 2016.0))
    detection = float(ra[0]), float(dec[0]) + side * offset_arcsec * ARCSEC
    assert (one_star(toy, (12.0, 30.0, *pm), detection, 1951.0) is not None) is is_found


def test_of_sources_at_one_distance_the_smaller_id_is_taken(toy: ToySky) -> None:
    toy.sources("gaia_dr3", [20.0] * 3, [10.0] * 3, source_id=[30, 7, 19])
    toy.sources("gaia_dr3", [40.0] * 3, [10.0] * 3, [900.0] * 3, [0.0] * 3, epoch_jyear=1952.0, source_id=[31, 8, 20])
    # A slow and a fast star in one place, the fast with the smaller id and then the slow.
    toy.sources("gaia_dr3", [60.0], [10.0], [900.0], [0.0], epoch_jyear=1952.0, source_id=[5])
    toy.sources("gaia_dr3", [60.0, 80.0], [10.0] * 2, source_id=[50, 6])
    toy.sources("gaia_dr3", [80.0], [10.0], [900.0], [0.0], epoch_jyear=1952.0, source_id=[60])
    extraction_id = toy.extraction(50.0, 10.0, radius_deg=35.0, epoch_jyear=1952.0)
    toy.detections(extraction_id, [20.0, 40.0, 60.0, 80.0], [10.0] * 4)
    got = nearest(toy, extraction_id)
    assert {k: (v[0], v[2]) for k, v in got.items()} == {1: (7, 3), 2: (8, 3), 3: (5, 2), 4: (6, 2)}


def test_detections_of_other_images_of_the_same_sky_do_not_matter(toy: ToySky) -> None:
    toy.sources("gaia_dr3", [20.0, 20.001], [10.0, 10.0], [2000.0, None], [0.0, None])
    first, second = (toy.extraction(20.0, 10.0, epoch_jyear=epoch) for epoch in (1950.0, 1956.0))
    toy.detections(first, [20.001], [10.0])
    assert nearest(toy, second) == {}
    before = nearest(toy, first)
    toy.detections(second, [20.001, 20.0], [10.0, 10.0])
    assert nearest(toy, first) == before
    assert before[1][0] == 2


def test_a_cone_returns_the_detections_in_it_nearest_first(toy: ToySky) -> None:
    for centre in CENTRES:
        field = make_field(3, centre, 1952.0, n_sources=200, n=400)
        extraction_id = toy.extraction(*centre)
        toy.detections(extraction_id, field.ra, field.dec)
        ra, dec = float(field.ra[0]), float(field.dec[0])
        for radius_arcsec in (0.001, 200.0, 1500.0):
            rows = toy.execute("SELECT * FROM sky.cone(:ra, :dec, :r)", ra=ra, dec=dec, r=radius_arcsec).all()
            rows = [row for row in rows if row.extraction_id == extraction_id]
            sep = haversine_arcsec(ra, dec, field.ra, field.dec)
            expected = [int(i) + 1 for i in np.argsort(sep, kind="stable") if sep[i] <= radius_arcsec]
            assert [row.number for row in rows] == expected
            assert np.allclose([row.sep_arcsec for row in rows], np.sort(sep)[: len(rows)], rtol=0, atol=1e-9)


@pytest.mark.parametrize("centre", CENTRES)
def test_neighbours_are_the_sources_about_a_place_at_an_epoch(toy: ToySky, centre: tuple[float, float]) -> None:
    field = make_field(9, centre, 1950.5)
    put(toy, field, centre, 1950.5)
    ra, dec = angles(moved(field.source_ra, field.source_dec, field.pmra, field.pmdec, 1950.5 - 2016.0))
    sep = haversine_arcsec(*centre, ra, dec)
    own = haversine_arcsec(*centre, field.source_ra, field.source_dec)
    for radius_arcsec in (30.0, 600.0):
        rows = toy.execute(
            "SELECT * FROM sky.neighbours('gaia_dr3', :ra, :dec, :r, 1950.5)",
            ra=centre[0],
            dec=centre[1],
            r=radius_arcsec,
        ).all()
        # By distance and then by id; distances of twins differ by nothing, of others by more than a rounding.
        expected = sorted(np.flatnonzero(sep <= radius_arcsec), key=lambda i: (round(sep[i], 7), field.source_id[i]))
        assert [row.source_id for row in rows] == [field.source_id[i] for i in expected]
        assert np.allclose([row.sep_arcsec for row in rows], sep[expected], rtol=0, atol=1e-8)
        assert np.allclose([row.sep_catalog_epoch_arcsec for row in rows], own[expected], rtol=0, atol=1e-8)


def covering(toy: ToySky, cell: Any) -> int | None:
    return toy.scalar("SELECT lookup_id FROM sky.covering_lookup('gaia_dr3', :cell)", cell=int(cell))


@pytest.mark.parametrize("centre", CENTRES)
def test_covering_lookup_agrees_with_mocpy(toy: ToySky, cone_moc, centre: tuple[float, float]) -> None:
    moc: MOC = cone_moc(*centre, 0.25)
    lookup_id = toy.lookup("gaia_dr3", moc)
    rng = np.random.default_rng(5)
    ra, dec = scatter(rng, centre, 0.35, 400)
    inside = np.asarray(moc.contains_lonlat(Longitude(ra, u.deg), Latitude(dec, u.deg)))
    assert 100 < inside.sum() < 300
    got = toy.execute(
        """
        SELECT l.lookup_id
        FROM unnest(CAST(:cells AS bigint[])) WITH ORDINALITY AS c (cell, i)
        LEFT JOIN LATERAL sky.covering_lookup('gaia_dr3', c.cell) AS l ON true
        ORDER BY c.i
        """,
        cells=cells(ra, dec).tolist(),
    ).scalars()
    assert list(got) == [lookup_id if x else None for x in inside]


def test_a_range_covers_its_first_cell_and_not_the_one_after_its_last(toy: ToySky) -> None:
    lookup_id = toy.lookup("gaia_dr3", MOC.from_depth29_ranges(29, np.array([[100, 200], [300, 301]], dtype=np.uint64)))
    covered = {
        cell for cell in (0, 99, 100, 199, 200, 299, 300, 301, 12 * 4**29 - 1) if covering(toy, cell) is not None
    }
    assert covered == {100, 199, 300}
    assert covering(toy, 100) == lookup_id
    assert toy.scalar("SELECT count(*) FROM sky.covering_lookup('gaia_edr3', 100)") == 0


def test_overlapping_lookups_leave_disjoint_coverage_and_the_first_keeps_its_part(toy: ToySky, cone_moc) -> None:
    first_moc, second_moc = cone_moc(10, 10, 0.3), cone_moc(10.3, 10, 0.3)
    first, second = toy.lookup("gaia_dr3", first_moc), toy.lookup("gaia_dr3", second_moc)
    overlaps = toy.scalar("""
        SELECT count(*) FROM ref.coverage AS a JOIN ref.coverage AS b
        ON a.catalog = b.catalog AND a.hpx29 && b.hpx29 AND a.ctid <> b.ctid
    """)
    assert overlaps == 0
    stored = toy.scalar("SELECT sum(upper(hpx29) - lower(hpx29)) FROM ref.coverage")
    union = first_moc.union(second_moc).to_depth29_ranges
    assert stored == int((union[:, 1] - union[:, 0]).sum())
    middle = int(cells(np.array([10.15]), np.array([10.0]))[0])
    right = int(cells(np.array([10.45]), np.array([10.0]))[0])
    assert (covering(toy, middle), covering(toy, right)) == (first, second)
