"""Where asteroids are: against JPL's own ephemeris, two bodies alone, and astropy's observatory."""

import re
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord, get_body_barycentric
from astropy.time import Time
from astropy.utils import iers

from vascodb.asteroids.elements import Elements
from vascodb.asteroids.integrate import Accuracy, march
from vascodb.asteroids.observe import PALOMAR, observer_places, visual_magnitude
from vascodb.asteroids.predict import Exposures, predict
from vascodb.asteroids.reading import read_elements

pytest.importorskip("de421")
pytest.importorskip("jplephem")
pytest.importorskip("scipy")
from vascodb.asteroids.planets import Planets

MID_1951 = 2433980.0222222


@pytest.fixture(scope="module")
def planets() -> Planets:
    return Planets()


@pytest.fixture(scope="module")
def known(shared_data: Path, planets: Planets) -> Elements:
    """The heaviest asteroids, Ceres first, and one with elements of another epoch."""
    everyone = read_elements(shared_data / "benchmark" / "asteroid_elements_7099.json.gz")
    heavy = np.isin(everyone.numbers, [*planets.asteroid_gm, 433])
    others = np.flatnonzero(everyone.epoch_jd != everyone.epoch_jd[0])[:1]
    return everyone.take(np.union1d(np.flatnonzero(heavy), others))


def some(n: int = 1, epoch_jd: float = MID_1951) -> Elements:
    """Bodies of the main belt that osculate at a time."""
    rng = np.random.default_rng(5)
    angles = rng.uniform(0, 2 * np.pi, (3, n))
    return Elements(
        [f"body {i}" for i in range(n)], np.arange(1, n + 1) + 900_000, [""] * n, np.full(n, epoch_jd),
        rng.uniform(2.2, 3.2, n), rng.uniform(0, 0.3, n), rng.uniform(0, 0.3, n), *angles, np.full(n, 10.0),
        np.full(n, 0.15),
    )  # fmt: skip


def exposures(ra: float, dec: float, radius: float, jd: list[float], minutes: float = 50.0) -> Exposures:
    n = len(jd)
    return Exposures(*(np.full(n, v) for v in (ra, dec, radius)), np.array(jd), np.full(n, minutes))


def test_ceres_is_where_jpl_has_it(shared_data: Path, known: Elements, planets: Planets) -> None:
    answer = (shared_data / "http" / "astroquery" / "jplhorizons__ceres_ephemerides_single.txt").read_text()
    row = re.search(r"\$\$SOE\n(.*)\n", answer)[1].split(",")
    # Geocentric, 2000-01-01 0h: 22 years before the elements.
    (seen,) = predict(known, planets, exposures(0, 0, 180, [float(row[1])]), site=None)
    (ceres,) = np.flatnonzero(known.numbers[seen.bodies] == 1)
    there = SkyCoord(seen.trails.ra_deg[ceres], seen.trails.dec_deg[ceres], unit="deg")
    # The answer has five decimals of a degree.
    assert there.separation(SkyCoord(float(row[4]), float(row[5]), unit="deg")).arcsec < 0.1
    np.testing.assert_allclose(seen.trails.rate_ra_arcsec_h[ceres], float(row[8]), atol=0.01)
    np.testing.assert_allclose(seen.trails.rate_dec_arcsec_h[ceres], float(row[9]), atol=0.01)
    # Its H has changed from 3.53 to 3.33 between the two.
    assert abs(seen.trails.mag[ceres] + 0.20 - float(row[20])) < 0.02


def test_finer_steps_change_nothing_that_can_be_seen(known: Elements, planets: Planets) -> None:
    few = known.take(np.isin(known.numbers, [1, 2, 4, 433]))
    (usual,) = march(few, planets, np.array([2433282.5]))
    (finer,) = march(few, planets, np.array([2433282.5]), Accuracy(rtol=1e-12))
    towards = finer.position - planets.earth(np.array([2433282.5]))[0]
    apart = np.linalg.norm(usual.position - finer.position, axis=0) / np.linalg.norm(towards, axis=0)
    eros = few.numbers == 433
    # Eros passed by the Earth several times.
    assert np.degrees(apart[~eros].max()) * 3600 < 0.01
    assert np.degrees(apart[eros].max()) * 3600 < 0.3


def test_there_and_back_again(planets: Planets) -> None:
    start = some(3, 2459800.5)
    late = start.take(np.arange(3))
    forwards, backwards = march(late, planets, np.array([2461000.5, 2455000.5]))
    assert (forwards.index, backwards.index) == (0, 1)
    position, velocity = start.states(planets.sun_gm)
    sun, sun_velocity = planets.sun(start.epoch_jd)
    (here,) = march(start, planets, np.array([2459800.5]))
    np.testing.assert_allclose(here.position, position + sun, atol=1e-12)
    np.testing.assert_allclose(here.velocity, velocity + sun_velocity, atol=1e-12)
    assert np.linalg.norm(forwards.position - here.position, axis=0).min() > 0.1


def test_the_observatory_is_where_astropy_has_it(planets: Planets) -> None:
    jd = np.array([MID_1951, 2436000.7])
    ours = (observer_places(jd, planets) - observer_places(jd, planets, None)) * planets.au_km
    with warnings.catch_warnings(), iers.conf.set_temp("auto_download", False):
        warnings.simplefilter("ignore")
        place = EarthLocation.from_geodetic(PALOMAR.longitude_deg, PALOMAR.latitude_deg, PALOMAR.height_m)
        theirs = place.get_gcrs_posvel(Time(jd, format="jd", scale="utc"))[0].xyz.to_value(u.km)
    assert np.abs(ours - theirs).max() < 0.6


def test_positions_are_those_of_two_bodies_seen_from_palomar(planets: Planets) -> None:
    """At the epoch of the elements nothing perturbs: astropy's own Sun, Earth and observatory, and light time."""
    bodies = some(20)
    (seen,) = predict(bodies, planets, exposures(0, 0, 180, [MID_1951]))
    assert seen.bodies.tolist() == list(range(20))
    with warnings.catch_warnings(), iers.conf.set_temp("auto_download", False):
        warnings.simplefilter("ignore")
        time = Time(MID_1951, format="jd", scale="utc")
        place = EarthLocation.from_geodetic(PALOMAR.longitude_deg, PALOMAR.latitude_deg, PALOMAR.height_m)
        observer = (get_body_barycentric("earth", time) + place.get_gcrs_posvel(time)[0]).xyz.to_value(u.au)
        sun = get_body_barycentric("sun", time).xyz.to_value(u.au)
        offset_d = time.tdb.jd - MID_1951
    position, velocity = bodies.states(planets.sun_gm)
    where = position + sun[:, None] + velocity * offset_d - observer[:, None]
    where -= velocity * np.linalg.norm(where, axis=0) / 173.144633
    theirs = SkyCoord(*where, representation_type="cartesian", unit="au")
    ours = SkyCoord(seen.trails.ra_deg, seen.trails.dec_deg, unit="deg")
    assert ours.separation(SkyCoord(theirs.spherical.lon, theirs.spherical.lat)).arcsec.max() < 0.1


def test_the_trail_goes_from_start_to_end(planets: Planets) -> None:
    bodies = some(20)
    half_d = 25 / 1440
    start, middle, end = sorted(
        predict(bodies, planets, exposures(0, 0, 180, [MID_1951 - half_d, MID_1951, MID_1951 + half_d])),
        key=lambda each: each.exposure,
    )
    places = [SkyCoord(each.trails.ra_deg, each.trails.dec_deg, unit="deg") for each in (start, middle, end)]
    frames = places[1].skyoffset_frame()
    there, gone = (place.transform_to(frames) for place in (places[0], places[2]))
    hours = 50 / 60
    east = (gone.lon.wrap_at("180d") - there.lon.wrap_at("180d")).arcsec / hours
    np.testing.assert_allclose(middle.trails.rate_ra_arcsec_h, east, atol=0.01)
    np.testing.assert_allclose(middle.trails.rate_dec_arcsec_h, (gone.lat - there.lat).arcsec / hours, atol=0.01)


def test_only_bodies_in_the_circle_are_over_the_plate(planets: Planets) -> None:
    bodies = some(200)
    (everywhere,) = predict(bodies, planets, exposures(0, 0, 180, [MID_1951]))
    ra, dec = everywhere.trails.ra_deg[7], everywhere.trails.dec_deg[7]
    (here,) = predict(bodies, planets, exposures(ra, dec, 10.0, [MID_1951]))
    apart = SkyCoord(ra, dec, unit="deg").separation(
        SkyCoord(everywhere.trails.ra_deg, everywhere.trails.dec_deg, unit="deg")
    )
    assert here.bodies.tolist() == np.flatnonzero(apart.deg <= 10.0).tolist()
    assert 7 in here.bodies


def test_magnitudes_at_opposition_and_away_from_it() -> None:
    one, at = np.ones(1), np.array([0.15])
    assert visual_magnitude(10 * one, at, one, one, 0 * one)[0] == pytest.approx(10.0)
    assert visual_magnitude(10 * one, at, 3 * one, 2 * one, 0 * one)[0] == pytest.approx(10 + 5 * np.log10(6))
    # Bowell et al. 1989: 1.0 mag fainter at 20 degrees for G = 0.15.
    assert visual_magnitude(10 * one, at, one, one, np.radians(20) * one)[0] == pytest.approx(11.0, abs=0.1)
