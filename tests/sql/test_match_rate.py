"""Match rates with their intervals, and what chance alone would give."""

from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from scipy.stats import binomtest, norm
from sqlalchemy.exc import DBAPIError
from toysky import ToySky

from vascodb.plates.footprint import multirange
from vascodb.profiles import Profile, StageDefinition

ARCSEC = 1 / 3600
ANGLES = [0.0, 60.0, 120.0, 180.0, 240.0, 300.0]


def rates(toy: ToySky, ra: Any, dec: Any, catalog: str = "stars", radius: float = 5.0, **more: Any) -> dict[str, Any]:
    """Rows of sky.match_rate by what they count: positions at one epoch, or where the catalogue has them."""
    values = {"epoch": None, "displacement": 360.0, "angles": ANGLES, "z": 1.96} | more
    epoch = None if values["epoch"] is None else [values["epoch"]] * len(ra)
    rows = toy.execute(
        "SELECT * FROM sky.match_rate(CAST(:ra AS float8[]), CAST(:dec AS float8[]), CAST(:epoch AS float8[]), "
        ":catalog, :radius, :displacement, :angles, :z)",
        **values | {"ra": list(map(float, ra)), "dec": list(map(float, dec)), "epoch": epoch},
        catalog=catalog, radius=radius,
    ).all()  # fmt: skip
    assert [row.what for row in rows] == ["positions", "displaced"]
    return {row.what: row for row in rows}


@pytest.fixture
def stars(toy: ToySky) -> ToySky:
    """A catalogue with motions and a rim of a minute of arc."""
    toy.catalog("stars", "stars", has_pm=True, epoch_jyear=2016.0)
    return toy


@pytest.mark.parametrize("z", [1.0, 1.959963984540054, 3.0])
@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (1, 20), (7, 50), (298, 79548), (1, 10**9)])
def test_the_interval_is_wilsons(toy: ToySky, k: int, n: int, z: float) -> None:
    row = toy.execute("SELECT * FROM sky.wilson_interval(:k, :n, :z)", k=k, n=n, z=z).one()
    expected = binomtest(k, n).proportion_ci(1 - 2 * norm.sf(z), method="wilson")
    assert (row.lower_limit, row.upper_limit) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-15)


def test_the_interval_is_of_95_percent_unless_told(toy: ToySky) -> None:
    row = toy.execute("SELECT * FROM sky.wilson_interval(7, 50)").one()
    expected = binomtest(7, 50).proportion_ci(0.95, method="wilson")
    assert (row.lower_limit, row.upper_limit) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_of_no_positions_nothing_is_known(stars: ToySky) -> None:
    for row in rates(stars, [], []).values():
        assert tuple(row)[1:] == (0, 0, None, 0.0, 1.0, 0)
    for row in rates(stars, [], [], epoch=1952.0).values():
        assert tuple(row)[1:] == (0, 0, None, 0.0, 1.0, 0)


def test_only_covered_positions_count_and_the_others_are_counted_apart(stars: ToySky, cone_moc) -> None:
    stars.sources("stars", [10.0, 12.0], [0.0, 0.0])
    stars.lookup("stars", cone_moc(10.0, 0.0, 0.05))
    stars.gap("stars", cone_moc(12.0, 0.0, 0.5))
    # On a star, beside it, on a star where the look-up failed, and where nobody asked.
    found = rates(stars, [10.0, 10.01, 12.0, 50.0], [0.0] * 4)
    assert (found["positions"].n, found["positions"].n_matched, found["positions"].n_not_covered) == (2, 1, 2)
    assert found["positions"].rate == 0.5
    # Six minutes of arc away, nothing is covered.
    assert (found["displaced"].n, found["displaced"].n_not_covered, found["displaced"].rate) == (0, 24, None)
    aside = rates(stars, [10.0, 10.01], [0.0] * 2, displacement=36.0, angles=[90.0, 270.0])["displaced"]
    assert (aside.n, aside.n_matched, aside.n_not_covered) == (4, 1, 0)


def test_outside_its_survey_a_catalogue_says_nothing(toy: ToySky, cone_moc) -> None:
    toy.catalog("stars", "stars", dec_max=0.0)
    lookup = toy.lookup("stars")
    assert rates(toy, [10.0, 10.0], [-0.05, 0.05])["positions"].n == 1
    toy.execute(
        "INSERT INTO ref.footprint VALUES ('stars', CAST(:m AS int8multirange), :l)",
        m=multirange(cone_moc(20.0, -1.0, 0.5)), l=lookup,
    )  # fmt: skip
    assert rates(toy, [10.0, 20.0], [-1.0, -1.0])["positions"].n == 1


def test_displaced_positions_of_a_uniform_field_match_by_chance(stars: ToySky) -> None:
    rng = np.random.default_rng(11)
    n_sources, side = 20_000, 1.0
    ra, dec = 200 + rng.uniform(-side / 2, side / 2, n_sources), rng.uniform(-side / 2, side / 2, n_sources)
    stars.sources("stars", ra, dec)
    stars.lookup("stars")
    # A third of the positions are on stars, the rest anywhere; none is displaced out of the field.
    at_ra, at_dec = 200 + rng.uniform(-0.35, 0.35, 900), rng.uniform(-0.35, 0.35, 900)
    pick = rng.choice(np.flatnonzero(np.hypot(ra - 200, dec) < 0.35), 300)
    at_ra[:300], at_dec[:300] = ra[pick], dec[pick]
    found = rates(stars, at_ra, at_dec)
    chance = 1 - np.exp(-n_sources / side**2 * np.pi * (5 * ARCSEC) ** 2)
    assert 0.1 < chance < 0.15
    null = found["displaced"]
    assert null.n == 5400
    assert abs(null.rate - chance) < 4 * np.sqrt(chance / null.n)
    expected = binomtest(null.n_matched, null.n).proportion_ci(2 * norm.cdf(1.96) - 1, method="wilson")
    assert (null.lower_limit, null.upper_limit) == pytest.approx((expected.low, expected.high))
    assert found["positions"].rate == pytest.approx((300 + 600 * chance) / 900, abs=0.05)


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.99, -45.0), (30.0, 90.0), (200.0, -89.95), (180.0, 89.999)])
def test_counts_are_those_of_brute_force_everywhere(stars: ToySky, ra: float, dec: float) -> None:
    rng = np.random.default_rng(12)
    centre = SkyCoord(ra, dec, unit="deg")

    def around(n: int) -> SkyCoord:
        distance = 900 * np.sqrt(rng.uniform(0, 1, n)) * u.arcsec
        return centre.directional_offset_by(rng.uniform(0, 360, n) * u.deg, distance)

    sources, at = around(3000), around(60)
    pm = np.where(np.arange(3000) < 300, 400.0, rng.normal(0, 30, 3000))
    stars.sources("stars", sources.ra.deg % 360, sources.dec.deg, pm, -pm)
    stars.lookup("stars")
    for epoch, radius, displacement in ((1951.3, 5.0, 100.0), (None, 20.0, 360.0)):
        found = rates(stars, at.ra.deg, at.dec.deg, radius=radius, epoch=epoch, displacement=displacement)
        there = sources
        if epoch is not None:
            there = moved(sources, pm, -pm, epoch - 2016.0)
        aside = [at.directional_offset_by(angle * u.deg, displacement * u.arcsec) for angle in ANGLES]
        hits = [sum((p.separation(there).arcsec <= radius).any() for p in positions) for positions in ([*at], *aside)]
        assert found["positions"].n_matched == hits[0]
        if abs(dec) < 89.99:
            assert found["displaced"].n_matched == sum(hits[1:])
        assert 0 < found["displaced"].n_matched < found["displaced"].n == 360


def moved(at: SkyCoord, pmra: np.ndarray, pmdec: np.ndarray, years: float) -> SkyCoord:
    """Moved in the plane tangent at each position, as in SP-1200, and projected back."""
    ra, dec = at.ra.rad, at.dec.rad
    unit = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    east = np.array([-np.sin(ra), np.cos(ra), 0 * ra])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    x, y, z = unit + years * u.mas.to(u.rad) * (pmra * east + pmdec * north)
    return SkyCoord(np.arctan2(y, x), np.arctan2(z, np.hypot(x, y)), unit="rad")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"radius": 5.1, "epoch": 1952.0}, "radius 5.1 arcsec is not between 0 and 5"),
        ({"radius": 60.1}, "radius 60.1 arcsec is not between 0 and 60"), ({"radius": 0}, "radius 0"),
        ({"catalog": "none"}, "no registered catalogue of fixed sources is called none"),
        ({"catalog": "skybot"}, "no registered catalogue of fixed sources is called skybot"),
        ({"dec": [0.0, 1.0]}, "1 right ascensions and 2 declinations"),
    ],
)  # fmt: skip
def test_what_look_ups_cannot_vouch_for_is_refused(stars: ToySky, more: dict[str, Any], words: str) -> None:
    with pytest.raises(DBAPIError, match=words):
        rates(stars, **{"ra": [10.0], "dec": [0.0]} | more)


@pytest.mark.parametrize("epochs", ["{1952}", "{1952,NULL}", "{1952,NaN}", "{1952,1e9}", "{1952,1952,1952}"])
def test_every_position_needs_an_epoch(stars: ToySky, epochs: str) -> None:
    with pytest.raises(DBAPIError, match="every one of 2 positions needs an epoch"):
        stars.execute(f"SELECT * FROM sky.match_rate('{{1,2}}', '{{1,2}}', '{epochs}', 'stars', 5)")


@pytest.mark.parametrize("at", [(np.nan, 0.0), (0.0, np.nan), (360.0, 0.0), (-1.0, 0.0), (0.0, 90.1), (np.inf, 0.0)])
def test_what_is_no_position_is_refused_not_counted(stars: ToySky, at: tuple[float, float]) -> None:
    with pytest.raises(DBAPIError, match="a position has a right ascension from 0 to below 360"):
        rates(stars, [10.0, at[0]], [0.0, at[1]])


# Detections on other plates


def persistence(toy: ToySky, ra: Any, dec: Any, plates: list[str] | None, **more: Any) -> dict[str, Any]:
    values = {"radius": 5.0, "displacement": 360.0, "angles": ANGLES, "band": "red"} | more
    rows = toy.execute(
        "SELECT * FROM sky.persistence_rate(CAST(:ra AS float8[]), CAST(:dec AS float8[]), CAST(:plates AS text[]), "
        ":radius, :displacement, :angles, 1.96, :band)",
        **values, ra=list(map(float, ra)), dec=list(map(float, dec)), plates=plates,
    ).all()  # fmt: skip
    return {row.what: row for row in rows}


@pytest.fixture
def two_plates(toy: ToySky, cone_moc) -> ToySky:
    """Two plates that overlap: the first at 10, the second at 10.5, half a degree each."""
    for ra, plate in ((10.0, "XE001"), (10.5, "XE002")):
        e = toy.extraction(ra, 0.0)
        toy.execute(
            "UPDATE plate.image SET plate_id = :p, footprint = CAST(:f AS int8multirange) WHERE image_id = :e",
            p=plate, f=multirange(cone_moc(ra, 0.0, 0.5)), e=e,
        )  # fmt: skip
        toy.extraction_id = e
    toy.detections(1, [10.0, 10.2, 10.3], [0.0] * 3)
    toy.detections(2, [10.2, 10.3, 10.9], [4 * ARCSEC, 6 * ARCSEC, 0.0])
    return toy


def test_what_is_detected_on_another_plate_persists(two_plates: ToySky) -> None:
    found = persistence(two_plates, [10.0, 10.2, 10.3], [0.0] * 3, ["XE001"] * 3)
    # The first is half a degree from the middle of the second plate, at its edge.
    row = found["positions"]
    assert (row.n, row.n_matched, row.n_not_covered, row.rate) == (2, 1, 1, 0.5)
    assert found["displaced"].n_matched == 0
    assert found["displaced"].n + found["displaced"].n_not_covered == 18
    assert persistence(two_plates, [10.2, 10.3], [0.0] * 2, ["XE001"] * 2, radius=7.0)["positions"].rate == 1.0


def test_the_plate_itself_is_no_other_plate(two_plates: ToySky) -> None:
    assert persistence(two_plates, [10.2], [4 * ARCSEC], ["XE002"])["positions"].n_matched == 1
    assert persistence(two_plates, [10.9], [0.0], ["XE002"])["positions"].n == 0
    assert persistence(two_plates, [10.9], [0.0], None)["positions"].n_matched == 1


def test_only_extracted_plates_of_the_band_count(two_plates: ToySky) -> None:
    assert persistence(two_plates, [10.2], [0.0], ["XE001"], band="blue")["positions"].n == 0
    two_plates.execute("UPDATE plate.image SET band = 'blue' WHERE plate_id = 'XE002'")
    assert persistence(two_plates, [10.2], [0.0], ["XE001"], band="blue")["positions"].n_matched == 1
    two_plates.execute("DELETE FROM vasco.detection WHERE extraction_id = 2")
    assert persistence(two_plates, [10.2], [0.0], ["XE001"], band="blue")["positions"].n_not_covered == 1


def test_persistence_by_chance_is_density_times_area(two_plates: ToySky) -> None:
    rng = np.random.default_rng(13)
    n = 4000
    two_plates.detections(2, 10.5 + rng.uniform(-0.45, 0.45, n), rng.uniform(-0.45, 0.45, n), first=10)
    at_ra, at_dec = 10.5 + rng.uniform(-0.2, 0.2, 100), rng.uniform(-0.2, 0.2, 100)
    null = persistence(two_plates, at_ra, at_dec, ["XE001"] * 100)["displaced"]
    chance = 1 - np.exp(-n / 0.81 * np.pi * (5 * ARCSEC) ** 2)
    assert null.n == 600
    assert abs(null.rate - chance) < 4 * np.sqrt(chance / null.n)
    for row in persistence(two_plates, [], [], []).values():
        assert tuple(row)[1:] == (0, 0, None, 0.0, 1.0, 0)


def test_persistence_needs_a_plate_for_every_position(two_plates: ToySky) -> None:
    with pytest.raises(DBAPIError, match="1 positions and 2 plates"), two_plates.connection.begin_nested():
        persistence(two_plates, [10.2], [0.0], ["XE001"] * 2)
    with pytest.raises(DBAPIError, match="edge_arcsec not below it"):
        persistence(two_plates, [10.2], [0.0], ["XE001"], radius=61.0)


# Of a run


def test_a_runs_candidates_have_match_rates(two_plates: ToySky) -> None:
    toy = two_plates
    toy.catalog("stars", "stars", has_pm=True)
    toy.sources("stars", [10.0, 10.2], [0.0, 32 * ARCSEC], [0.0, 0.0], [0.0, 500.0], epoch_jyear=2016.0)
    toy.lookup("stars")
    stage = StageDefinition(stage="snr", step=1, parameters={"min": 10})
    toy.judge(Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=(stage,)), 1)
    # At 1952 the second star was 32 arcsec from where it is in 2016.
    at_plate = toy.execute("SELECT * FROM api.match_rate('toy', 'stars')").all()
    assert [(row.n, row.n_matched) for row in at_plate] == [(3, 2), (18, 0)]
    unmoved = toy.execute("SELECT * FROM api.match_rate('toy', 'stars', unmoved => true)").all()
    assert [row.n_matched for row in unmoved] == [1, 0]
    assert [row.n for row in toy.execute("SELECT * FROM api.match_rate('none', 'stars')")] == [0, 0]
    other = toy.execute("SELECT * FROM api.persistence_rate('toy')").all()
    assert (other[0].n, other[0].n_matched) == (2, 1)
    assert [row.n for row in toy.execute("SELECT * FROM api.persistence_rate('none')")] == [0, 0]
