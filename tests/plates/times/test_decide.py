"""What follows from what the witnesses say."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from vascodb.plates.times.decide import BlockWitness, CdromWitness, HourAngleWitness, OrderWitness, Witness, decide
from vascodb.plates.times.hour_angle import DAY_MINUTES
from vascodb.plates.times.order import Anchor, Label, Neighbours
from vascodb.plates.times.readings import header_readings

# 12.58 h on the 28th, one clock: 12:35 on the 28th or the 29th.
READINGS = header_readings("1951-11-28T12:58:00")
TRUE = datetime(1951, 11, 29, 12, 35, tzinfo=UTC)
DAY = timedelta(days=1)


def hour_angle(off_minutes: float, true: datetime = TRUE) -> HourAngleWitness:
    """That of an exposure at the true time, so many minutes off."""
    days = np.array([(true - reading.start).total_seconds() / 86400 for reading in READINGS])
    return HourAngleWitness(off_minutes + DAY_MINUTES * days)


def order(first: int, last: int) -> OrderWitness:
    """Neighbours on these days of November."""
    before, after = (Anchor(Label("E", n), date(1951, 11, d), f"XE{n}", 1) for n, d in ((1, first), (9, last)))
    return OrderWitness(Neighbours(before, after))


def block(offset: int | None) -> BlockWitness:
    return BlockWitness(Neighbours(None, None, offset))


NOT_HEARD = HourAngleWitness(np.full(len(READINGS), np.nan))
CASES: dict[str, tuple[list[Witness], str, bool]] = {
    # Witnesses, quality, and whether the true time is adopted.
    "nobody": ([], "unknown", False),
    "no hour angle": ([NOT_HEARD], "unknown", False),
    "the hour angle alone": ([hour_angle(0.4)], "single", True),
    "the CD-ROM alone": ([NOT_HEARD, CdromWitness(TRUE)], "single", True),
    "the CD-ROM a minute off": ([hour_angle(0.4), CdromWitness(TRUE + timedelta(minutes=1))], "agreed", True),
    "hour angle and CD-ROM": ([hour_angle(-1.4), CdromWitness(TRUE)], "agreed", True),
    "hour angle and order": ([hour_angle(0.4), order(29, 29)], "agreed", True),
    "hour angle and block": ([hour_angle(0.4), block(1)], "agreed", True),
    "the order alone": ([NOT_HEARD, order(29, 30)], "single", True),
    "order and block tell no minute": ([NOT_HEARD, order(29, 30), block(1)], "single", True),
    "an order that leaves both days": ([hour_angle(0.4), order(27, 30)], "single", True),
    "an hour angle between two days": ([hour_angle(1.9)], "unknown", False),
    "between two days, CD-ROM": ([hour_angle(1.9), CdromWitness(TRUE)], "single", True),
    "hour angle against CD-ROM": ([hour_angle(0.4), CdromWitness(TRUE - DAY)], "conflicting", False),
    "a CD-ROM that is an hour off": ([hour_angle(0), CdromWitness(TRUE - DAY / 24)], "conflicting", False),
    "an hour off, the night is known": (
        [hour_angle(0), CdromWitness(TRUE - DAY / 24), order(29, 29), block(1)], "conflicting", False,
    ),
    "hour angle against the order": ([hour_angle(0.4), order(27, 28)], "conflicting", False),
    "hour angle against the block": ([hour_angle(0.4), block(0)], "conflicting", False),
    "a wrong hour angle is outvoted": ([hour_angle(12), CdromWitness(TRUE), order(29, 29)], "single", True),
    "a day's hour angle is outvoted": ([hour_angle(0, TRUE - DAY), CdromWitness(TRUE), order(29, 29)], "single", True),
    "a day's CD-ROM is outvoted": ([hour_angle(0), CdromWitness(TRUE + DAY), order(29, 29)], "single", True),
    "outvoted with the block": ([hour_angle(0, TRUE - DAY), CdromWitness(TRUE), block(1)], "single", True),
    "an hour off, the block is known": ([hour_angle(0), CdromWitness(TRUE - DAY / 24), block(1)], "conflicting", False),
    "not by those that allow what it says": (
        [hour_angle(0, TRUE + DAY), CdromWitness(TRUE), order(29, 30)], "conflicting", False,
    ),
    "not by those that tell no minute": ([hour_angle(12), order(29, 29), block(1)], "conflicting", False),
    "two wrong ones are not outvoted": (
        [hour_angle(12), CdromWitness(TRUE - DAY), order(29, 29), block(1)], "conflicting", False,
    ),
    "the order is never outvoted": ([hour_angle(0), CdromWitness(TRUE), order(1, 2), block(1)], "conflicting", False),
    "no reading": ([hour_angle(300), CdromWitness(TRUE + 365 * DAY)], "conflicting", False),
    "a day that is never lawful": ([hour_angle(0, TRUE + DAY)], "conflicting", False),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_follows(case: str) -> None:
    witnesses, quality, adopted = CASES[case]
    decision = decide(READINGS, witnesses)
    assert decision.quality == quality
    assert (None if decision.adopted is None else READINGS[decision.adopted].start) == (TRUE if adopted else None)
    assert len(decision.votes) == len(witnesses)


def test_who_is_named_is_who_spoke() -> None:
    decision = decide(READINGS, [hour_angle(0.25), CdromWitness(TRUE), order(29, 30)])
    assert decision.evidence == (
        "the hour angle fits 1951-11-29 12:35 to +0.25 min; the CD-ROM says 1951-11-29 12:35; "
        "E1 (XE1) before it on 1951-11-29 and E9 (XE9) after it on 1951-11-30: only 1951-11-29 lies between"
    )


def test_a_header_that_cannot_be_read_has_no_time() -> None:
    witnesses = [HourAngleWitness(np.empty(0)), OrderWitness(Neighbours(None, None)), block(1)]
    assert decide([], witnesses).quality == "unknown"


# 12.12 h: 12:07, or 11:43 carried.
TWO_CLOCKS = header_readings("1951-11-28T12:12:00")


def test_a_night_without_a_minute_is_not_enough_for_two_clocks() -> None:
    silent = HourAngleWitness(np.full(len(TWO_CLOCKS), np.nan))
    assert decide(TWO_CLOCKS, [silent, order(29, 29)]).quality == "unknown"


def test_a_doubtful_hour_angle_still_tells_the_clock() -> None:
    doubtful = np.array([24.0 * (r.clock == "carried") - DAY_MINUTES * (r.day_offset - 1) + 1.8 for r in TWO_CLOCKS])
    decision = decide(TWO_CLOCKS, [HourAngleWitness(doubtful), order(29, 29)])
    assert decision.quality == "single"
    assert TWO_CLOCKS[decision.adopted].start == datetime(1951, 11, 29, 12, 7, tzinfo=UTC)
