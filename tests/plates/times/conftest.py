"""Plates with headers as the archive writes them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plateimages import plate_header
from sqlalchemy import Connection

from vascodb.plates.headers import PlateHeader, load_plates
from vascodb.plates.times.hour_angle import ZERO_POINT_MINUTES, ra_of_date, sidereal_hours

AddPlate = Callable[..., None]


def hour_angle_east(start: datetime) -> float:
    """OBSHA of a plate with the header of `plate_header`, in hours."""
    jd = np.array([2440587.5 + start.timestamp() / 86400])
    hours = (ra_of_date(np.array([142.45]), np.array([23.94]), jd) / 15 - sidereal_hours(jd) + 12) % 24 - 12
    return float(hours[0] - ZERO_POINT_MINUTES / 60)


@pytest.fixture
def add_plate(connection: Connection) -> AddPlate:
    """Store a plate that was exposed at a true time, with a header a day early and in hundredths of an hour."""

    def add(plate_id: str, start: datetime, label: str = "", early: int = 1, **changes: Any) -> None:
        hundredths = start.hour * 100 + round(100 * start.minute / 60)
        date_obs = f"{start - timedelta(days=early):%Y-%m-%d}T{hundredths // 100:02d}:{hundredths % 100:02d}:00"
        header = plate_header(
            **{"REGION": plate_id, "PLTLABEL": label, "DATE-OBS": date_obs, "OBSHA": hour_angle_east(start)} | changes
        )
        load_plates(connection, iter([PlateHeader(Path("x"), plate_id, header)]))

    return add


@pytest.fixture
def hour_angle() -> Callable[[datetime], float]:
    """OBSHA that belongs to a start."""
    return hour_angle_east
