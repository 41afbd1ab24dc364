"""When a plate was exposed, in every form the headers write it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from astropy.io import fits
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from vascodb.plates.dates import julian_day, julian_year, read_exposure_times


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


# DATE-OBS, UT, literal start, decimal-hour start, quality.
FORMS = [
    ("1951-11-28T12:12:00", None, at(1951, 11, 28, 12, 12), at(1951, 11, 28, 12, 7, 12), "conflicting"),
    ("1951-11-28T12:00:00", None, at(1951, 11, 28, 12), at(1951, 11, 28, 12), "single"),
    ("1951-08-09T09:60:00", None, at(1951, 8, 9, 10), at(1951, 8, 9, 9, 36), "single"),
    ("1952-01-25T04:65:00", None, at(1952, 1, 25, 5, 5), at(1952, 1, 25, 4, 39), "single"),
    ("1955-03-01T11:77:00", None, at(1955, 3, 1, 12, 17), at(1955, 3, 1, 11, 46, 12), "single"),
    ("1955-12-31T23:99:00", None, at(1956, 1, 1, 0, 39), at(1955, 12, 31, 23, 59, 24), "single"),
    ("1956-02-29T01:30:00", None, at(1956, 2, 29, 1, 30), at(1956, 2, 29, 1, 18), "conflicting"),
    ("1951-11-28 12:12", None, at(1951, 11, 28, 12, 12), at(1951, 11, 28, 12, 7, 12), "conflicting"),
    ("29/11/51", "12:07:00", at(1951, 11, 29, 12, 7), at(1951, 11, 29, 12, 7), "single"),
    ("29/11/51", "12:07:00.00", at(1951, 11, 29, 12, 7), at(1951, 11, 29, 12, 7), "single"),
    ("1/2/1952", "4:05", at(1952, 2, 1, 4, 5), at(1952, 2, 1, 4, 5), "single"),
    ("1951-11-29", "12:07:30.5", at(1951, 11, 29, 12, 7, 30, 500000), at(1951, 11, 29, 12, 7, 30, 500000), "single"),
    (" 29/11/51 ", " 12:07:00 ", at(1951, 11, 29, 12, 7), at(1951, 11, 29, 12, 7), "single"),
]


@pytest.mark.parametrize(("date", "ut", "literal", "decimal", "quality"), FORMS)
def test_every_form_is_read_in_both_readings(date, ut, literal, decimal, quality) -> None:
    times = read_exposure_times({"DATE-OBS": date, "UT": ut, "EXPOSURE": 50.0})
    assert (times.literal_start, times.decimal_hours_start, times.quality) == (literal, decimal, quality)
    assert (times.date_obs_raw, times.ut_raw) == (date.strip(), ut.strip() if ut else None)
    assert times.evidence


@pytest.mark.parametrize(
    ("date", "ut"),
    [
        (None, None), ("", None), ("29/11/51", None), ("29/11/51", ""), ("29/11/51", "noon"), ("31/02/52", "12:00:00"),
        ("1951-13-01T10:00:00", None), ("1951-02-30T10:00:00", None), ("0000-00-00T00:00:00", None), ("1951", "12:00"),
        ("1951-11-29", None), ("11/29/51", "12:00:00"), ("9999-99-99T99:99:99", None), (19511128, None), (True, "x"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_unknown_and_says_why(date: object, ut: object) -> None:
    times = read_exposure_times({"DATE-OBS": date, "UT": ut})
    assert (times.literal_start, times.decimal_hours_start, times.epoch_jyear) == (None, None, None)
    assert times.quality == "unknown"
    assert times.evidence


@given(st.text(max_size=30), st.none() | st.text(max_size=12), st.one_of(st.none(), st.floats(), st.text(max_size=5)))
def test_no_header_makes_it_fail(date: str, ut: str | None, exposure: object) -> None:
    times = read_exposure_times({"DATE-OBS": date, "UT": ut, "EXPOSURE": exposure})
    assert (times.quality == "unknown") == (times.epoch_jyear is None)


@given(st.datetimes(datetime(1949, 1, 1), datetime(1959, 1, 1)), st.integers(0, 99))
def test_both_readings_of_any_time_are_within_an_hour(moment: datetime, minutes: int) -> None:
    times = read_exposure_times({"DATE-OBS": f"{moment:%Y-%m-%dT%H}:{minutes:02d}:00"})
    assert times.literal_start is not None and times.decimal_hours_start is not None
    hour = moment.replace(minute=0, second=0, microsecond=0, tzinfo=UTC)
    assert times.literal_start - hour == timedelta(minutes=minutes)
    assert times.decimal_hours_start - hour == timedelta(hours=minutes / 100)
    assert (times.quality == "conflicting") == (0 < minutes < 60)


def test_the_epoch_is_that_of_the_middle_of_the_exposure_in_decimal_hours() -> None:
    times = read_exposure_times({"DATE-OBS": "1951-08-09T09:60:00", "EXPOSURE": 50.0})
    middle = at(1951, 8, 9, 9, 36) + timedelta(minutes=25)
    assert times.mid(times.decimal_hours_start) == middle
    # Between UTC and TT lie half a minute and 1e-6 years.
    assert times.epoch_jyear == pytest.approx(Time(middle).jyear, abs=2e-6)


@pytest.mark.parametrize("exposure", [None, 0, -5, float("nan"), float("inf"), "fifty"])
def test_without_a_length_the_middle_is_the_start(exposure: object) -> None:
    times = read_exposure_times({"DATE-OBS": "1951-11-28T12:00:00", "EXPOSURE": exposure})
    assert times.exposure_minutes is None
    assert times.mid(times.literal_start) == at(1951, 11, 28, 12)


@pytest.mark.parametrize("moment", [at(1949, 11, 9), at(1954, 1, 1), at(1958, 12, 31, 23, 59), at(2000, 1, 1, 12)])
def test_julian_years_agree_with_astropy(moment: datetime) -> None:
    assert julian_year(moment) == pytest.approx(Time(moment).jyear, abs=2.1e-6)


@pytest.mark.parametrize("moment", [at(1949, 11, 9), at(1951, 11, 29, 12, 7), at(2000, 1, 1, 12), at(2000, 2, 29)])
def test_the_day_of_a_julian_year_is_the_moment_it_came_from(moment: datetime) -> None:
    # To a hundredth of a second; no leap seconds, no minute between UTC and TT.
    assert julian_day(julian_year(moment)) == pytest.approx(Time(moment).jd, abs=0.01 / 86400)


@pytest.mark.parametrize(
    ("name", "epoch"),
    [("POSS1-E_XE486_M67_30arcmin.fits", 1951.911), ("POSS1-E_XE410_midas_wcstest_10arcmin.fits", 1951.9155)],
)
def test_real_headers_agree_with_the_epoch_they_state_themselves(shared_data: Path, name: str, epoch: float) -> None:
    header = fits.getheader(shared_data / "tiles" / name)
    times = read_exposure_times(header)
    assert header["EPOCH"] == pytest.approx(epoch, abs=1e-3)
    assert times.epoch_jyear == pytest.approx(header["EPOCH"], abs=2e-3)
