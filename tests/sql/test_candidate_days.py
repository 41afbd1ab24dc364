"""Candidates by day: that of the corrected middle of the exposure, not the header's."""

from datetime import UTC, date, datetime, timedelta

import pytest
from squareimages import set_literal_time, set_time
from toysky import ToySky

from vascodb.pipeline.judging import judge
from vascodb.pipeline.runs import ensure_run
from vascodb.profiles import Profile, StageDefinition

NIGHT = datetime(1951, 11, 29, 23, 50, tzinfo=UTC)
BRIGHT = Profile(
    name="bright", description="", extraction="seed", reference_stars=0,
    stages=(StageDefinition(stage="snr", step=1, parameters={"min": 30}),),
)  # fmt: skip


@pytest.fixture
def survey(toy: ToySky) -> tuple[ToySky, int]:
    """Images of four plates with three detections each, of which 2, 1, 0 and 3 are candidates."""
    run_id = ensure_run(toy.connection, BRIGHT)
    days: tuple[datetime | None, ...] = (NIGHT, NIGHT + timedelta(minutes=20), NIGHT - timedelta(hours=1), None)
    for k, (mid, n_bright) in enumerate(zip(days, (2, 1, 0, 3), strict=True)):
        image = toy.extraction(10.0 + 5 * k, 0.0)
        toy.execute("UPDATE plate.image SET plate_id = 'XE' || :i WHERE image_id = :i", i=image)
        toy.execute("UPDATE vasco.extraction SET n_detections = 3 WHERE extraction_id = :i", i=image)
        toy.detections(
            image, [10.0 + 5 * k + 0.1 * n for n in range(3)], [0.0] * 3,
            snr_win=[50.0 if n < n_bright else 20.0 for n in range(3)],
        )  # fmt: skip
        set_time(toy.connection, image, mid, "agreed" if mid else "conflicting")
        if mid:
            # The header of the third has the right day.
            set_literal_time(toy.connection, image, mid - timedelta(minutes=25, days=1 if k < 2 else 0))
        judge(toy.connection, run_id, image)
    return toy, run_id


def test_images_and_candidates_are_counted_by_the_day_of_the_corrected_middle(survey: tuple[ToySky, int]) -> None:
    toy, run_id = survey
    rows = toy.execute(
        "SELECT day_utc, n_plates, n_images, n_detections, n_candidates, n_images_on_another_day_literally "
        "FROM api.candidate_days WHERE run_id = :r ORDER BY day_utc NULLS LAST", r=run_id,
    ).all()  # fmt: skip
    assert [tuple(row) for row in rows] == [
        (date(1951, 11, 29), 2, 2, 6, 2, 1),
        # Ten minutes past midnight is another day.
        (date(1951, 11, 30), 1, 1, 3, 1, 1),
        (None, 1, 1, 3, 3, 0),
    ]


def test_the_day_does_not_hang_on_the_time_zone_of_the_session(survey: tuple[ToySky, int]) -> None:
    toy, run_id = survey
    days = "SELECT day_utc FROM api.candidate_days WHERE run_id = :r ORDER BY 1"
    here = toy.execute(days, r=run_id).all()
    toy.execute("SET LOCAL timezone = 'America/Los_Angeles'")
    assert toy.execute(days, r=run_id).all() == here
