"""A simulated plate says when it was exposed as real ones do."""

import pytest
from sqlalchemy import Connection, text

from vascodb.plates.images import read_image
from vascodb.plates.register import record_image, tile_of
from vascodb.plates.times import PlateTimesTotals, solve_plate_times


def test_its_time_is_found_by_its_hour_angle(connection: Connection, small_simulation) -> None:
    image = read_image(small_simulation.image)
    record_image(connection, image, tile_of(image))
    assert solve_plate_times(connection) == PlateTimesTotals(0, 1, 0, 0)
    row = connection.execute(text("SELECT * FROM api.plate_times")).one()
    # The simulation's date is right, its minutes are hundredths that need not be of a whole minute.
    assert row.day_offset == 0
    assert abs((row.start_utc - image.times.decimal_hours_start).total_seconds()) <= 30
    assert row.residual_minutes == pytest.approx(0.49, abs=0.7)
