"""Predictions over images are look-ups of a catalogue, and matched along the trail as those of a service."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import text
from toysky import ToySky

from vascodb.asteroids.elements import Elements
from vascodb.db import Database
from vascodb.profiles import load_profile

pytest.importorskip("de421")
pytest.importorskip("jplephem")
pytest.importorskip("scipy")
from vascodb.asteroids.planets import Planets
from vascodb.asteroids.predict import Exposures, predict
from vascodb.asteroids.store import CATALOG, predict_over_images

MID = datetime(1951, 11, 29, 12, 32, tzinfo=UTC)
MID_JD = 2433980.0222222
BODY = Elements(
    ["Toy"], np.array([900_001]), ["MBA"], np.array([MID_JD]), np.array([2.7]), np.array([0.1]), np.array([0.1]),
    np.array([1.0]), np.array([2.0]), np.array([3.0]), np.array([10.0]), np.array([0.15]), "toy.json", "0" * 64,
)  # fmt: skip


def set_time(database: Database, mid: datetime | None, quality: str) -> None:
    with database.connect() as connection:
        connection.execute(
            text("""
                INSERT INTO plate.exposure_time (
                    plate_id, source, reading, start_utc, mid_utc, uncertainty_minutes, time_quality, evidence
                )
                VALUES ('XE001', 'solution', 'corrected', :start, :mid, :error, :quality, 'they disagree')
                ON CONFLICT (plate_id, source, reading) DO UPDATE
                SET start_utc = excluded.start_utc, mid_utc = excluded.mid_utc, time_quality = excluded.time_quality,
                    uncertainty_minutes = excluded.uncertainty_minutes
            """),
            {"mid": mid, "start": mid and mid - timedelta(minutes=25), "error": mid and 0.5, "quality": quality},
        )


@pytest.fixture
def image(database: Database) -> int:
    """An image about the body, with a detection at either end of its trail, and one elsewhere."""
    everywhere = Exposures(np.zeros(1), np.zeros(1), np.array([180.0]), np.array([MID_JD]), np.array([50.0]))
    (seen,) = predict(BODY, Planets(), everywhere)
    t = seen.trails
    with database.connect() as connection:
        sky = ToySky(connection)
        identity = sky.extraction(float(t.ra_deg[0]), float(t.dec_deg[0]))
        sky.execute("UPDATE plate.image SET exposure_minutes = 50")
        half_h = 25 / 60
        ends = [sign * half_h / 3600 for sign in (-1, 1)]
        sky.detections(
            identity,
            [t.ra_deg[0] + e * t.rate_ra_arcsec_h[0] / np.cos(np.radians(t.dec_deg[0])) for e in ends] + [t.ra_deg[0]],
            [t.dec_deg[0] + e * t.rate_dec_arcsec_h[0] for e in ends] + [t.dec_deg[0] + 0.1],
        )
    set_time(database, MID, "agreed")
    return identity


def states(database: Database, image: int) -> list[str]:
    with database.connect() as connection:
        ToySky(connection).match(image, CATALOG)
        query = text("SELECT state FROM vasco.match WHERE catalog = :c ORDER BY number")
        return list(connection.scalars(query, {"c": CATALOG}))


def test_it_is_matched_along_its_trail_and_the_rest_is_clear(database: Database, image: int) -> None:
    totals = predict_over_images(database, BODY, [image])
    assert (totals.predicted, totals.objects) == (1, 1)
    assert states(database, image) == ["matched", "matched", "clear"]
    with database.connect() as connection:
        row = connection.execute(
            text("SELECT l.* FROM ref.lookup AS l JOIN ref.moving_look USING (lookup_id) WHERE l.catalog = :c"),
            {"c": CATALOG},
        ).one()
    assert (row.kind, row.endpoint, row.response_sha256, row.complete) == ("file", "toy.json", "0" * 64, True)
    assert row.parameters["bodies"] == 1
    assert abs(row.parameters["epoch_jd"] - MID_JD) * 86400 < 0.1


def test_it_is_kept_which_bodies_the_file_knows(database: Database, image: int) -> None:
    rows = np.zeros(6, dtype=int)
    numbers = [900_003, 0, 900_001, 900_002, 900_007, 0]
    several = replace(BODY.take(rows), numbers=np.array(numbers), names=["c", "2021 XD7", "a", "b", "d", '1954 "XA"'])
    predict_over_images(database, several, [image])
    known: list[tuple[int | None, str]] = [*((number, "other") for number in (900_001, 900_002, 900_003, 900_007))]
    known += [(None, "2021 XD7"), (None, '1954 "XA"'), (9, "2021 XD7")]
    strange = [
        (900_000, "other"),
        (900_004, "a"),
        (900_006, "other"),
        (900_008, "other"),
        (None, "a"),
        (None, "2021 XD8"),
    ]
    with database.connect() as connection:
        lookup_id = connection.scalar(text("SELECT lookup_id FROM ref.moving_look"))
        knows = [
            connection.scalar(
                text("SELECT ref.knows_body(:l, :number, :name, 30)"), {"l": lookup_id, "number": number, "name": name}
            )
            for number, name in known + strange
        ]
        assert connection.scalar(text("SELECT count(*) FROM ref.lookup")) == 2
    assert knows == [True] * len(known) + [False] * len(strange)


def test_the_same_file_again_writes_nothing(database: Database, image: int) -> None:
    predict_over_images(database, BODY, [image])
    totals = predict_over_images(database, BODY, [image])
    assert (totals.predicted, totals.known) == (0, 1)


def test_a_day_off_it_is_elsewhere(database: Database, image: int) -> None:
    predict_over_images(database, BODY, [image])
    set_time(database, MID + timedelta(days=1), "agreed")
    assert states(database, image) == ["not_covered"] * 3
    predict_over_images(database, BODY, [image])
    assert states(database, image) == ["clear"] * 3


def test_without_a_time_nothing_is_predicted_and_all_is_unknown(database: Database, image: int) -> None:
    set_time(database, None, "conflicting")
    totals = predict_over_images(database, BODY, [image])
    assert (totals.predicted, totals.untimed) == (0, 1)
    assert states(database, image) == ["unknown"] * 3


def test_the_outermost_detections_can_be_judged_by_the_stage_of_the_default_profile(
    database: Database, image: int
) -> None:
    predict_over_images(database, BODY, [image])
    (stage,) = (stage for stage in load_profile("default").stages if stage.stage == "asteroids")
    searched_arcsec = stage.parameters["radius_arcsec"] + stage.parameters["error_max_arcsec"]
    with database.connect() as connection:
        beyond_arcsec = connection.scalar(
            text("""
                SELECT m.radius_arcsec - i.radius_deg * 3600 + c.match_radius_arcsec
                FROM plate.image AS i
                JOIN ref.catalog AS c ON c.catalog = :c
                CROSS JOIN LATERAL stage.moving_cones(i.image_id, c.catalog) AS m
                WHERE i.image_id = :image
            """),
            {"c": CATALOG, "image": image},
        )
    assert beyond_arcsec >= searched_arcsec - 1e-6
