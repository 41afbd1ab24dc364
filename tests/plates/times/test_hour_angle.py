"""Hour angles against astropy's sidereal time and precession."""

from datetime import UTC, datetime, timedelta

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import FK5, SkyCoord
from astropy.time import Time

from vascodb.plates.times.hour_angle import (
    DAY_MINUTES,
    ZERO_POINT_MINUTES,
    hour_angle_residuals,
    ra_of_date,
    residual_at,
    sidereal_hours,
)

MOMENTS = [datetime(1949, 11, 19, 3, 25, tzinfo=UTC), datetime(1952, 2, 29, 23, 59, tzinfo=UTC),
           datetime(1954, 7, 1, tzinfo=UTC), datetime(1958, 12, 31, 12, 30, tzinfo=UTC)]  # fmt: skip


def astropy_time(moment: datetime) -> Time:
    # As UT1, without a table of how the Earth turned in those years.
    time = Time(moment.replace(tzinfo=None), scale="ut1")
    time.delta_ut1_utc = 0.0
    return time


@pytest.mark.filterwarnings("ignore:ERFA function")
def test_sidereal_time_is_that_of_astropy() -> None:
    ours = sidereal_hours(np.array([astropy_time(m).jd for m in MOMENTS]))
    for hours, moment in zip(ours, MOMENTS, strict=True):
        greenwich = astropy_time(moment).sidereal_time("mean", "greenwich").hour
        # To a tenth of a second.
        assert (hours - greenwich + 116.863 / 15 + 12) % 24 - 12 == pytest.approx(0, abs=0.1 / 3600)


@pytest.mark.filterwarnings("ignore:ERFA function")
@pytest.mark.parametrize("ra", [0.0, 0.001, 132.8, 359.999])
@pytest.mark.parametrize("dec", [-33.0, 0.0, 60.0, 84.8, 89.9])
def test_precession_is_that_of_astropy(ra: float, dec: float) -> None:
    for moment in MOMENTS:
        of_date = SkyCoord(ra * u.deg, dec * u.deg, frame="fk5").transform_to(FK5(equinox=astropy_time(moment)))
        (ours,) = ra_of_date(np.array([ra]), np.array([dec]), np.array([astropy_time(moment).jd]))
        arcsec = 3600 * ((ours - of_date.ra.deg + 180) % 360 - 180) * np.cos(np.radians(dec))
        assert arcsec == pytest.approx(0, abs=0.5)


@pytest.mark.filterwarnings("ignore:ERFA function")
def test_the_residual_is_zero_where_the_hour_angle_is_right_and_a_day_is_four_minutes() -> None:
    start = MOMENTS[1]
    jd = np.array([astropy_time(start).jd])
    ra, dec = np.array([10.0]), np.array([20.0])
    east_hours = (ra_of_date(ra, dec, jd) / 15 - sidereal_hours(jd) + 12) % 24 - 12
    days = [start + timedelta(days=d) for d in (-1, 0, 1)]
    (residuals,) = hour_angle_residuals([days], ra, dec, east_hours)
    expected = np.array([DAY_MINUTES, 0, -DAY_MINUTES]) - ZERO_POINT_MINUTES
    assert residuals == pytest.approx(expected, abs=0.01)
    assert abs(DAY_MINUTES - 3.94) < 0.01


def test_an_earlier_sidereal_time_leaves_the_plate_further_east() -> None:
    start = MOMENTS[0]
    (residuals,) = hour_angle_residuals(
        [[start, start - timedelta(minutes=30)]], np.array([350.0]), np.array([5.0]), np.array([0.0])
    )
    assert residuals[1] - residuals[0] == pytest.approx(30.08, abs=0.01)


def test_plates_have_as_many_residuals_as_readings_and_none_without_an_hour_angle() -> None:
    residuals = hour_angle_residuals(
        [[], MOMENTS[:2], [], MOMENTS[2:3]], np.full(4, 30.0), np.full(4, 40.0), np.array([0.0, np.nan, 1.0, 1.0])
    )
    assert [len(r) for r in residuals] == [0, 2, 0, 1]
    assert np.isnan(residuals[1]).all() and np.isfinite(residuals[3]).all()
    (none,) = hour_angle_residuals([[]], np.array([30.0]), np.array([40.0]), np.array([0.0]))
    assert len(none) == 0


def test_hour_angles_wrap_at_half_a_day() -> None:
    (near,) = hour_angle_residuals([[MOMENTS[0]]], np.array([12.0]), np.array([0.0]), np.array([-0.5]))
    (far,) = hour_angle_residuals([[MOMENTS[0]]], np.array([12.0]), np.array([0.0]), np.array([23.5]))
    assert near == pytest.approx(far)


def test_the_residual_at_another_moment_is_that_of_a_new_reckoning() -> None:
    start, other = MOMENTS[0], MOMENTS[0] + timedelta(days=365, hours=5, minutes=7)
    place = (np.array([200.0]), np.array([10.0]), np.array([0.3]))
    (residuals,) = hour_angle_residuals([[start, other]], *place)
    # A year of precession moves the right ascension by three seconds.
    assert residual_at(other, start, residuals[0]) == pytest.approx(residuals[1], abs=0.1)
