"""The moments that a plate's header can mean.

The archive writes the start as ``1951-11-28T12:12:00``: the minutes are hundredths of an hour, and a surplus (60 and
more hundredths) may have been carried into the hours, ``09:60`` into ``10:00``. So minutes below 40 can be read in two
ways. The date is that of the evening at Palomar on most plates, and the time is UT; the night is then a day later.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["LAWFUL_DAYS", "Reading", "header_readings"]

# The date of the evening is a day early or right. The days about them are computed too, to show that they do not fit.
LAWFUL_DAYS = (0, 1)
_DAYS = (-1, 0, 1, 2)
_ARCHIVE_FORM = re.compile(r"(\d{4})-(\d{2})-(\d{2})[T ](\d{1,2}):(\d{1,2})(?::00(?:\.0*)?)?Z?")
_CARRIED_BELOW = 40


@dataclass(frozen=True)
class Reading:
    """One moment that a header can mean.

    Parameters
    ----------
    clock : str
        How its minutes are read, for people.
    day_offset : int
        Days added to its date.
    start : `~datetime.datetime`
        Start of the exposure, UTC, in whole minutes: hundredths of an hour came from whole minutes, rounded.
    """

    clock: str
    day_offset: int
    start: datetime

    @property
    def is_lawful(self) -> bool:
        """Whether it may be adopted."""
        return self.day_offset in LAWFUL_DAYS


def header_readings(date_obs_raw: str | None) -> list[Reading]:
    """All readings of a ``DATE-OBS`` in the archive's form, days −1 to +2; none if it has another form.

    Parameters
    ----------
    date_obs_raw : str or None
        The header's own text.
    """
    match = _ARCHIVE_FORM.fullmatch((date_obs_raw or "").strip())
    if match is None:
        return []
    try:
        date = datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC)
    except ValueError:
        return []
    return [
        Reading(clock, day, date + timedelta(days=day, minutes=minutes))
        for clock, minutes in _clocks(int(match[4]), int(match[5]))
        for day in _DAYS
    ]


def _clocks(hours: int, hundredths: int) -> list[tuple[str, int]]:
    """The times of day, in minutes, that hours and hundredths of an hour can mean."""
    clocks = [("as written", _minutes(hours, hundredths))]
    if hundredths < _CARRIED_BELOW:
        clocks.append(("carried", _minutes(hours - 1, hundredths + 60)))
    return clocks


def _minutes(hours: int, hundredths: int) -> int:
    # No two minutes of an hour have the same hundredths, and none lies halfway between two minutes.
    return 60 * hours + (60 * hundredths + 50) // 100
