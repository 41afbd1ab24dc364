"""The Earth's shadow at geosynchronous height, against astropy and the published flags of vasco60."""

import csv
import gzip
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord, get_sun
from astropy.time import Time
from astropy.utils import iers
from toysky import ToySky

from vascodb.plates.dates import read_exposure_times
from vascodb.profiles import Profile, StageDefinition

PALOMAR = EarthLocation.from_geodetic(lon=-116.863 * u.deg, lat=33.356 * u.deg, height=1706 * u.m)
ORBIT_KM = 42164.0
RADIUS_DEG = float(np.degrees(np.arcsin(6371 / 42164)))
NASTY = [(0.0, 0.0), (359.9999999, -0.00001), (0.0, 90.0), (123.0, -90.0), (180.0, 33.356)]


def from_sql(toy: ToySky, ra: np.ndarray, dec: np.ndarray, at: list[datetime]) -> np.ndarray:
    rows = toy.execute(
        "SELECT sky.earth_shadow_distance_deg(q.ra, q.dec, q.at) FROM unnest("
        "CAST(:ra AS float8[]), CAST(:dec AS float8[]), CAST(:at AS timestamptz[])"
        ") WITH ORDINALITY AS q (ra, dec, at, k) ORDER BY q.k",
        ra=list(map(float, ra)), dec=list(map(float, dec)), at=at,
    )  # fmt: skip
    return np.array(list(rows.scalars()))


def from_astropy(ra: np.ndarray, dec: np.ndarray, at: list[datetime]) -> np.ndarray:
    """Geocentric angle of the anti-Sun and of the place where the line of sight meets the sphere, all in GCRS."""
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        times = Time(at, scale="utc")
        sun = get_sun(times).cartesian
        observer = PALOMAR.get_gcrs_posvel(times)[0].xyz.to_value(u.km).T
    sun = (sun / sun.norm()).xyz.value.T
    sight = SkyCoord(ra * u.deg, dec * u.deg).cartesian.xyz.value.T
    along = np.sum(observer * sight, axis=1)
    way = np.sqrt(along**2 + ORBIT_KM**2 - np.sum(observer**2, axis=1)) - along
    place = (observer + way[:, None] * sight) / ORBIT_KM
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(place, -sun), axis=1), np.sum(place * -sun, axis=1)))


@pytest.mark.filterwarnings("ignore")
def test_the_distance_is_that_of_the_standard_models_to_a_hundredth_of_a_degree(toy: ToySky) -> None:
    rng = np.random.default_rng(4)
    n = 400
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    ra[: len(NASTY)], dec[: len(NASTY)] = np.array(NASTY).T
    began = datetime(1949, 7, 1, tzinfo=UTC)
    at = [began + timedelta(days=float(d)) for d in rng.uniform(0, 10 * 365, n)]
    # Half of them where it matters: about the point opposite to the Sun.
    sun = get_sun(Time(at[n // 2 :], scale="utc"))
    ra[n // 2 :] = (sun.ra.deg + 180 + rng.uniform(-10, 10, n // 2)) % 360
    dec[n // 2 :] = -sun.dec.deg + rng.uniform(-10, 10, n // 2)
    assert np.abs(from_sql(toy, ra, dec, at) - from_astropy(ra, dec, at)).max() < 0.01


def survivors(shared_data: Path) -> list[dict[str, Any]]:
    with gzip.open(shared_data / "vasco60_release_v1" / "survivors.csv.gz", "rb") as file:
        rows = list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8")))
    for row in rows:
        row["times"] = read_exposure_times({"DATE-OBS": row["obs_date"]})
    return rows


@pytest.mark.filterwarnings("ignore")
def test_the_published_survivors_in_the_shadow(toy: ToySky, shared_data: Path) -> None:
    """2 of 440, read literally, as published: at 5.565 and 7.944 deg; the nearest to the edge is 0.243 deg off it."""
    rows = survivors(shared_data)
    ra, dec = (np.array([float(row[c]) for row in rows]) for c in ("ra", "dec"))
    distance = from_sql(toy, ra, dec, [row["times"].literal_start for row in rows])
    assert len(distance) == 440
    inside = np.sort(distance[distance < RADIUS_DEG])
    assert inside == pytest.approx([5.565, 7.9438], abs=0.01)
    assert np.abs(distance - RADIUS_DEG).min() == pytest.approx(0.243, abs=0.01)
    oracle = from_astropy(ra, dec, [row["times"].literal_start for row in rows])
    assert np.abs(distance - oracle).max() < 0.01
    assert ((distance < RADIUS_DEG) == (oracle < RADIUS_DEG)).all()


def judged(toy: ToySky, extraction_id: int, **parameters: Any) -> list[Any]:
    values = {"reading": "literal", "instant": "start", "radius_deg": RADIUS_DEG}
    only = StageDefinition(stage="only", function="earth_shadow", step=1, parameters=values | parameters)
    profile = Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=(only,))
    run_id = toy.judge(profile, extraction_id)
    return list(
        toy.execute(
            "SELECT outcome, value, reason FROM vasco.verdict WHERE run_id = :r AND extraction_id = :e ORDER BY number",
            r=run_id, e=extraction_id,
        )
    )  # fmt: skip


def statement(toy: ToySky, source: str, start: str | None, reading: str = "literal", quality: str = "single") -> None:
    toy.execute(
        "INSERT INTO plate.exposure_time VALUES ('XE001', :source, :reading, CAST(:start AS timestamptz), "
        "CAST(:start AS timestamptz) + interval '30 minutes', NULL, :quality, 'toy', :uncertainty)",
        source=source, reading=reading, start=start, quality=quality,
        uncertainty=0.5 if reading == "corrected" and start else None,
    )  # fmt: skip


NIGHT = "1953-03-21 08:00+00"


def in_the_shadow(toy: ToySky) -> int:
    """An extraction with one detection in the middle of the shadow at that time, and one far off."""
    extraction_id = toy.extraction(180.0, -3.0)
    best = min(
        ((float(ra), float(dec)) for ra in np.arange(170, 195, 1.0) for dec in np.arange(-10, 5, 1.0)),
        key=lambda p: float(from_sql(toy, np.array([p[0]]), np.array([p[1]]), [datetime.fromisoformat(NIGHT)])[0]),
    )
    toy.detections(extraction_id, [best[0], 90.0], [best[1], 50.0])
    return extraction_id


def distance_at(toy: ToySky, minutes: float) -> float:
    """Distance of the first detection from the axis of the shadow, some minutes after that time."""
    at = datetime.fromisoformat(NIGHT) + timedelta(minutes=minutes)
    ra, dec = toy.execute("SELECT ra, dec FROM vasco.detection WHERE number = 1").one()
    return float(from_sql(toy, np.array([ra]), np.array([dec]), [at])[0])


def test_what_lay_in_the_shadow_fails_and_says_so(toy: ToySky) -> None:
    extraction_id = in_the_shadow(toy)
    statement(toy, "plate header", NIGHT)
    inside, outside = judged(toy, extraction_id)
    assert (inside.outcome, outside.outcome) == ("fail", "pass")
    assert inside.value < 1.0
    assert outside.value > 30.0
    assert inside.reason.startswith("in the Earth's shadow")
    # Half an hour later Palomar has moved on, and the shadow, being near, seems a degree away from where it was.
    assert judged(toy, extraction_id, instant="mid")[0].value == pytest.approx(distance_at(toy, 30), abs=1e-9)
    assert abs(distance_at(toy, 30) - inside.value) > 0.2
    # The very distance is outside.
    assert judged(toy, extraction_id, radius_deg=inside.value)[0].outcome == "pass"


def test_the_time_is_the_images_own_or_else_the_plates(toy: ToySky) -> None:
    extraction_id = in_the_shadow(toy)
    statement(toy, "plate header", "1953-05-21 03:00+00")
    assert judged(toy, extraction_id)[0].outcome == "pass"
    statement(toy, "image 999", "1953-05-21 05:00+00")
    statement(toy, f"image {extraction_id}", NIGHT)
    assert judged(toy, extraction_id)[0].outcome == "fail"


def test_without_a_time_under_the_reading_that_is_asked_for_it_is_unknown(toy: ToySky) -> None:
    extraction_id = in_the_shadow(toy)
    assert {row.outcome for row in judged(toy, extraction_id)} == {"unknown"}
    statement(toy, "plate header", NIGHT, "decimal_hours")
    (row, _) = judged(toy, extraction_id)
    assert (row.outcome, row.value, row.reason) == ("unknown", None, "no literal time of exposure is known")
    assert judged(toy, extraction_id, reading="decimal_hours")[0].outcome == "fail"


def test_a_corrected_time_in_conflict_is_never_guessed_and_the_cdroms_are_no_literal_reading(toy: ToySky) -> None:
    extraction_id = in_the_shadow(toy)
    statement(toy, "cdrom", NIGHT)
    assert judged(toy, extraction_id)[0].outcome == "unknown"
    statement(toy, "solution", None, "corrected", "conflicting")
    (row, _) = judged(toy, extraction_id, reading="corrected")
    assert (row.outcome, row.reason) == ("unknown", "no corrected time of exposure is known")
    toy.execute("DELETE FROM plate.exposure_time WHERE source = 'solution'")
    statement(toy, "solution", NIGHT, "corrected", "agreed")
    assert judged(toy, extraction_id, reading="corrected")[0].outcome == "fail"


def test_no_position_or_time_no_distance(toy: ToySky) -> None:
    for ra, dec, at in (("NaN", "0", NIGHT), ("0", "NaN", NIGHT), (None, "0", NIGHT), ("0", "0", None)):
        assert (
            toy.scalar(
                "SELECT sky.earth_shadow_distance_deg("
                "CAST(:ra AS float8), CAST(:dec AS float8), CAST(:at AS timestamptz))",
                ra=ra, dec=dec, at=at,
            )
            is None
        )  # fmt: skip
