"""From what the witnesses say to one time, or to none.

Four witnesses tell which of a header's readings is true: the hour angle; the header on a CD-ROM; the neighbours in the
order of the labels, between whose nights it must lie; and the same neighbours once more, whose headers' dates are all
right or all a day early. The first two tell the minute, the others only the night.

A time that nobody speaks for is unknown. One that somebody speaks against is in conflict, unless two or more speak for
it, one of them for the minute, and all of them contradict the one. Only an hour angle or a CD-ROM can be outvoted so:
these two go wrong together where a header has another month or year, and then only the order of the labels tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vascodb.plates.times.hour_angle import DAY_MINUTES, residual_at
from vascodb.plates.times.order import Neighbours
from vascodb.plates.times.readings import Reading

__all__ = ["BlockWitness", "CdromWitness", "Decision", "HourAngleWitness", "OrderWitness", "Vote", "Witness", "decide"]

TimeQuality = Literal["agreed", "single", "conflicting", "unknown"]

# More than three times the scatter of 0.41 min. Between that of one day and that of the next nothing can be said.
_FITS_MINUTES = 1.5
_SAME_MOMENT = timedelta(minutes=1)
_WITNESSES_NEEDED = 2
_TELL_THE_MINUTE = frozenset({"hour_angle", "cdrom"})


@dataclass(frozen=True)
class Vote:
    """What one witness says of the lawful readings of one plate.

    Parameters
    ----------
    kind : str
        The witness, as in ``plate.time_evidence``.
    supported : frozenset of int
        Readings it speaks for, by their place in the list; against all others.
    silent : bool
        It cannot tell, and speaks for and against none; ``supported`` are then those it leaves possible.
    note : str
        Why, for people.
    claim : `~datetime.datetime` or None
        The start it names, where that is no lawful reading, too.
    """

    kind: str
    supported: frozenset[int]
    silent: bool
    note: str
    claim: datetime | None = None

    def verdict(self, reading: int) -> Literal["for", "against", "silent"]:
        """What it says of one reading."""
        if self.silent:
            return "silent" if reading in self.supported or not self.supported else "against"
        return "for" if reading in self.supported else "against"


class Witness(Protocol):
    """Somebody who can tell."""

    def vote(self, readings: Sequence[Reading]) -> Vote:
        """What it says of the readings."""
        ...

    def contradicts(self, moment: datetime, readings: Sequence[Reading]) -> bool:
        """Whether it excludes that the exposure began then."""
        ...


@dataclass(frozen=True)
class HourAngleWitness:
    """Residuals of the hour angle under every reading, minutes; NaN without an hour angle."""

    residuals: NDArray[np.float64]

    def vote(self, readings: Sequence[Reading]) -> Vote:
        """Speak for the one reading that fits."""
        lawful = [i for i, reading in enumerate(readings) if reading.is_lawful and np.isfinite(self.residuals[i])]
        if not lawful:
            return Vote("hour_angle", frozenset(), True, "the header has no hour angle")
        best = min(lawful, key=lambda i: abs(self.residuals[i]))
        residual = abs(self.residuals[best])
        if residual <= _FITS_MINUTES:
            said = f"the hour angle fits {readings[best].start:%Y-%m-%d %H:%M} to {self.residuals[best]:+.2f} min"
            return Vote("hour_angle", frozenset([best]), False, said, readings[best].start)
        if residual <= DAY_MINUTES - _FITS_MINUTES:
            near = frozenset(i for i in lawful if abs(self.residuals[i]) <= DAY_MINUTES - _FITS_MINUTES)
            return Vote("hour_angle", near, True, "the hour angle lies between two days")
        nearest = int(np.nanargmin(np.abs(self.residuals)))
        said = f"the hour angle fits no reading, the best of them is {self.residuals[best]:+.1f} min off"
        if abs(self.residuals[nearest]) > _FITS_MINUTES:
            return Vote("hour_angle", frozenset(), False, said)
        claim = readings[nearest].start
        return Vote("hour_angle", frozenset(), False, f"{said}; it would fit {claim:%Y-%m-%d}", claim)

    def contradicts(self, moment: datetime, readings: Sequence[Reading]) -> bool:
        """Whether the hour angle is more than a doubtful fit away."""
        residual = residual_at(moment, readings[0].start, self.residuals[0])
        return bool(abs(residual) > DAY_MINUTES - _FITS_MINUTES)


@dataclass(frozen=True)
class CdromWitness:
    """The start by the header on a CD-ROM."""

    start: datetime

    def vote(self, readings: Sequence[Reading]) -> Vote:
        """Speak for the reading of the same date and minute."""
        same = [
            i for i, reading in enumerate(readings)
            if reading.is_lawful and abs(reading.start - self.start) <= _SAME_MOMENT
        ]  # fmt: skip
        told = f"the CD-ROM says {self.start:%Y-%m-%d %H:%M}"
        said = told if same else f"{told}, which is no reading of the header"
        return Vote("cdrom", frozenset(same), False, said, self.start)

    def contradicts(self, moment: datetime, readings: Sequence[Reading]) -> bool:
        """Whether it is another minute."""
        return abs(moment - self.start) > _SAME_MOMENT


@dataclass(frozen=True)
class OrderWitness:
    """The nearest plates before and after whose nights are known."""

    neighbours: Neighbours

    def vote(self, readings: Sequence[Reading]) -> Vote:
        """Speak for the one night that they leave; silent where they leave more."""
        lawful = [i for i, reading in enumerate(readings) if reading.is_lawful]
        allowed = frozenset(i for i in lawful if self.neighbours.allow(readings[i].start.date()))
        nights = {readings[i].start.date() for i in allowed}
        told = str(self.neighbours) or "no other plate of this series has a known night"
        if lawful and not nights:
            return Vote("label_order", frozenset(), False, f"{told}: no reading lies between")
        # Whoever allows all has excluded nothing.
        if len(allowed) == len(lawful):
            return Vote("label_order", allowed, True, f"{told}: every reading is possible")
        return Vote("label_order", allowed, False, f"{told}: only {nights.pop()} lies between")

    def contradicts(self, moment: datetime, readings: Sequence[Reading]) -> bool:
        """Whether its night does not lie between."""
        return not self.neighbours.allow(moment.date())


@dataclass(frozen=True)
class BlockWitness:
    """The same neighbours: whether their headers' dates are a day early."""

    neighbours: Neighbours

    def vote(self, readings: Sequence[Reading]) -> Vote:
        """Speak for the readings of the same day; silent where the neighbours differ, or are few."""
        offset = self.neighbours.block_offset
        if offset is None or not readings:
            return Vote("label_block", frozenset(), True, "the plates about it are few, or differ in their dates")
        same = frozenset(i for i, reading in enumerate(readings) if reading.day_offset == offset)
        right = "a day early" if offset else "right"
        return Vote("label_block", same, False, f"the headers' dates of the plates about it are {right}")

    def contradicts(self, moment: datetime, readings: Sequence[Reading]) -> bool:
        """Whether it is on another day."""
        header_date = readings[0].start.date() - timedelta(days=readings[0].day_offset)
        return (moment.date() - header_date).days != self.neighbours.block_offset


@dataclass(frozen=True)
class Decision:
    """What follows for one plate.

    Parameters
    ----------
    adopted : int or None
        The reading that holds, by its place in the list.
    quality : {'agreed', 'single', 'conflicting', 'unknown'}
        How sure it is.
    evidence : str
        Why, in one sentence.
    votes : tuple of `Vote`
        What each witness said.
    """

    adopted: int | None
    quality: TimeQuality
    evidence: str
    votes: tuple[Vote, ...] = ()


def decide(readings: Sequence[Reading], witnesses: Sequence[Witness]) -> Decision:
    """Weigh what the witnesses say of a plate's readings.

    Parameters
    ----------
    readings : sequence of `Reading`
        All readings of its header; only lawful ones can be adopted.
    witnesses : sequence of `Witness`
        All there are.
    """
    heard = [(witness, witness.vote(readings)) for witness in witnesses]
    votes = tuple(vote for _, vote in heard)
    speaking = [vote for vote in votes if not vote.silent]
    if not readings:
        return Decision(None, "unknown", "no header has a readable date and time", votes)
    if not speaking:
        return Decision(None, "unknown", f"nobody can tell: {_notes(votes)}", votes)
    best = _best(len(readings), votes)
    if not best:
        return Decision(None, "conflicting", f"no reading of the header holds: {_notes(speaking)}", votes)
    if len(best) == 1:
        return _weigh(best[0], readings, heard)
    if all(vote.supported >= set(best) for vote in speaking):
        return Decision(None, "unknown", f"more than one reading is left: {_notes(speaking)}", votes)
    return Decision(None, "conflicting", f"the witnesses contradict each other: {_notes(speaking)}", votes)


def _best(n_readings: int, votes: Sequence[Vote]) -> list[int]:
    """The readings that most speak for; none if nobody speaks for any."""
    count = [sum(not vote.silent and i in vote.supported for vote in votes) for i in range(n_readings)]
    best = [i for i, n in enumerate(count) if n == max(count) > 0]
    for vote in votes:
        # Of readings that are as good, the one that a silent witness leaves: two clocks of one night, say.
        if vote.silent and len(best) > 1:
            best = [i for i in best if i in vote.supported] or best
    return best


def _weigh(best: int, readings: Sequence[Reading], heard: Sequence[tuple[Witness, Vote]]) -> Decision:
    """Whether those who speak for a reading carry it against those who do not."""
    votes = tuple(vote for _, vote in heard)
    supporters = [(witness, vote) for witness, vote in heard if not vote.silent and best in vote.supported]
    opponents = [vote for vote in votes if not vote.silent and best not in vote.supported]
    told = _notes([vote for _, vote in supporters])
    enough = len(supporters) >= _WITNESSES_NEEDED and any(vote.kind in _TELL_THE_MINUTE for _, vote in supporters)
    if not opponents:
        return Decision(best, "agreed" if enough else "single", told, votes)
    outvoted = enough and len(opponents) == 1 and opponents[0].kind in _TELL_THE_MINUTE
    claim = opponents[0].claim
    if outvoted and (claim is None or all(witness.contradicts(claim, readings) for witness, _ in supporters)):
        return Decision(
            best, "single", f"{len(supporters)} witnesses against one: {told}; but {opponents[0].note}", votes
        )
    told = _notes([vote for vote in votes if not vote.silent])
    return Decision(None, "conflicting", f"the witnesses contradict each other: {told}", votes)


def _notes(votes: Sequence[Vote]) -> str:
    return "; ".join(vote.note for vote in votes)
