"""The date and time of an exposure, as the headers write it and as it can be read.

Headers come in two forms. CD-ROM extractions have ``DATE-OBS = '29/11/51'`` and ``UT = '12:07:00'``.
The archive writes ``1951-11-28T12:12:00``, where the minutes are hundredths of an hour: ``T09:60``
is 9.60 h, that is 09:36 UT. Both readings are kept: *literal* carries surplus minutes into hours and
days, *decimal_hours* takes hours and minutes as a decimal number of hours.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

__all__ = ["ExposureTimes", "TimeQuality", "julian_day", "julian_year", "read_exposure_times"]

TimeQuality = Literal["single", "conflicting", "unknown"]

_ARCHIVE_FORM = re.compile(r"(\d{4})-(\d{2})-(\d{2})[T ](\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:\.\d*)?))?Z?")
_DATE_ONLY = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_CDROM_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2}|\d{4})")
_UT = re.compile(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:\.\d*)?))?")
# What is beyond these is a damaged header; dates near the year 9999 cannot even be added to.
_FIRST_YEAR, _LAST_YEAR = 1850, 2100
_LONGEST_EXPOSURE_MINUTES = 10_000.0
_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)
_J2000_JD = 2451545.0


@dataclass(frozen=True)
class ExposureTimes:
    """When an exposure was made, in every reading its header allows.

    Parameters
    ----------
    date_obs_raw, ut_raw : str or None
        The header's own text.
    literal_start, decimal_hours_start : `~datetime.datetime` or None
        Start of the exposure in UTC under each reading.
    exposure_minutes : float or None
        Length of the exposure.
    quality : {'single', 'conflicting', 'unknown'}
        ``single``: one reading makes sense; ``conflicting``: two do and differ; ``unknown``: the
        header has no readable date and time.
    evidence : str
        Why, for people.
    """

    date_obs_raw: str | None
    ut_raw: str | None
    literal_start: datetime | None
    decimal_hours_start: datetime | None
    exposure_minutes: float | None
    quality: TimeQuality
    evidence: str

    def mid(self, start: datetime | None) -> datetime | None:
        """Middle of the exposure that began at ``start``."""
        if start is None:
            return None
        return start + timedelta(minutes=(self.exposure_minutes or 0.0) / 2)

    @property
    def epoch_jyear(self) -> float | None:
        """Julian epoch of mid-exposure in the decimal-hour reading; the epoch for proper motions."""
        mid = self.mid(self.decimal_hours_start)
        return None if mid is None else julian_year(mid)


def julian_year(moment: datetime) -> float:
    """Julian epoch of a UTC time, in years.

    The minute between UTC and TT is 2e-6 years and is left out.

    References
    ----------
    .. [1] Lieske 1979, A&A 73, 282.
    """
    return 2000.0 + (moment - _J2000).total_seconds() / 86400.0 / 365.25


def julian_day(epoch_jyear: float) -> float:
    """Julian date in UTC of an epoch that `julian_year` gave, in days."""
    return _J2000_JD + (epoch_jyear - 2000.0) * 365.25


def read_exposure_times(header: Mapping[str, Any]) -> ExposureTimes:
    """Read ``DATE-OBS``, ``UT`` and ``EXPOSURE`` of a plate header.

    Parameters
    ----------
    header : mapping
        FITS header or the header object of a JSON sidecar.

    Returns
    -------
    ExposureTimes
        Never raises: what cannot be read is None, and ``evidence`` says so.
    """
    date_raw, ut_raw = _text(header.get("DATE-OBS")), _text(header.get("UT"))
    exposure = _positive(header.get("EXPOSURE"))

    def result(
        literal: datetime | None, decimal: datetime | None, quality: TimeQuality, evidence: str
    ) -> ExposureTimes:
        return ExposureTimes(date_raw, ut_raw, literal, decimal, exposure, quality, evidence)

    if date_raw is None:
        return result(None, None, "unknown", "the header has no DATE-OBS")
    if match := _ARCHIVE_FORM.fullmatch(date_raw):
        return result(*_archive_form(match))
    if (match := _CDROM_DATE.fullmatch(date_raw)) or (match := _DATE_ONLY.fullmatch(date_raw)):
        day = _day(match)
        clock = _UT.fullmatch(ut_raw) if ut_raw else None
        if day is None or clock is None:
            return result(None, None, "unknown", f"DATE-OBS {date_raw!r} with UT {ut_raw!r} is not a date and a time")
        start = day + timedelta(hours=int(clock[1]), minutes=int(clock[2]), seconds=float(clock[3] or 0))
        return result(start, start, "single", "DATE-OBS and UT are separate keys; UT is hours and minutes")
    return result(None, None, "unknown", f"DATE-OBS {date_raw!r} has no known form")


def _archive_form(match: re.Match[str]) -> tuple[datetime | None, datetime | None, TimeQuality, str]:
    day = _calendar_day(int(match[1]), int(match[2]), int(match[3]))
    if day is None:
        return (
            None,
            None,
            "unknown",
            f"DATE-OBS {match[0]!r} is not a day of the calendar between {_FIRST_YEAR} and {_LAST_YEAR}",
        )
    hours, minutes, seconds = int(match[4]), int(match[5]), float(match[6] or 0)
    literal = day + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    # Seconds are always 0 in these headers; as hundredths of a hundredth they would be below a second.
    decimal = day + timedelta(hours=hours + minutes / 100)
    if minutes == 0:
        return literal, decimal, "single", "full hour: both readings agree"
    if minutes >= 60:
        return literal, decimal, "single", f"minute {minutes} exists only as hundredths of an hour"
    return literal, decimal, "conflicting", f"minute {minutes} may be minutes or hundredths of an hour"


def _day(match: re.Match[str]) -> datetime | None:
    if match.re is _DATE_ONLY:
        return _calendar_day(int(match[1]), int(match[2]), int(match[3]))
    year = int(match[3])
    return _calendar_day(year if year >= 100 else 1900 + year, int(match[2]), int(match[1]))


def _calendar_day(year: int, month: int, day: int) -> datetime | None:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        return datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return None


def _text(value: Any) -> str | None:
    text = str(value).strip() if value is not None else ""
    return text or None


def _positive(value: Any) -> float | None:
    if isinstance(value, int | float) and 0 < value < _LONGEST_EXPOSURE_MINUTES:
        return float(value)
    return None
