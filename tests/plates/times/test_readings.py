"""What a header in the archive's form can mean."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vascodb.plates.times.readings import header_readings


def starts(date_obs_raw: str, *days: int) -> list[str]:
    return [f"{r.start:%m-%d %H:%M}" for r in header_readings(date_obs_raw) if r.day_offset in days]


@pytest.mark.parametrize(
    ("date_obs_raw", "expected"),
    [
        ("1951-11-28T12:12:00", ["11-29 12:07", "11-29 11:43"]),
        ("1951-08-09T10:00:00", ["08-10 10:00", "08-10 09:36"]),
        ("1951-08-09T09:60:00", ["08-10 09:36"]),
        ("1951-08-09T09:97:00", ["08-10 09:58"]),
        ("1951-08-09T09:40:00", ["08-10 09:24"]),
        ("1951-08-09T00:05:00", ["08-10 00:03", "08-09 23:39"]),
        ("1951-12-31 23:58", ["01-01 23:35"]),
    ],
)
def test_minutes_are_hundredths_and_may_have_been_carried(date_obs_raw: str, expected: list[str]) -> None:
    assert starts(date_obs_raw, 1) == expected


def test_the_days_about_the_headers_are_read_but_only_two_are_lawful() -> None:
    readings = header_readings("1951-11-28T12:58:00")
    assert [r.day_offset for r in readings] == [-1, 0, 1, 2]
    assert [r.day_offset for r in readings if r.is_lawful] == [0, 1]
    assert {r.start.date().day - r.day_offset for r in readings[:3]} == {28}


@pytest.mark.parametrize(
    "date_obs_raw", [None, "", "29/11/51", "1951-11-28", "1951-02-30T10:00:00", "1951-11-28T12:12:30", "noon"]
)
def test_other_forms_have_no_readings(date_obs_raw: str | None) -> None:
    assert header_readings(date_obs_raw) == []


@given(
    st.datetimes(datetime(1949, 1, 1), datetime(1959, 1, 1), timezones=st.just(UTC)).map(
        lambda t: t.replace(second=0, microsecond=0)
    ),
    st.booleans(),
    st.sampled_from([0, 1]),
)
def test_every_minute_comes_back_however_it_was_written(start: datetime, carry: bool, early: int) -> None:
    """Written as the archive does it: hours and rounded hundredths, a surplus carried or not, the date a day early."""
    midnight = start.replace(hour=0, minute=0) - timedelta(days=early)
    hundredths = round(100 * start.minute / 60)
    written = f"{midnight:%Y-%m-%d}T{start.hour:02d}:{hundredths:02d}:00"
    if carry:
        written = f"{midnight + timedelta(hours=start.hour, minutes=hundredths):%Y-%m-%dT%H:%M:00}"
    found = [r for r in header_readings(written) if r.start == start and r.is_lawful]
    assert [r.day_offset for r in found] == [early]
    two_clocks = hundredths < 40 or (carry and hundredths >= 60)
    assert len({r.clock for r in header_readings(written)}) == (2 if two_clocks else 1)
