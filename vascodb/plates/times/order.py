"""The witness of the neighbours: plates were numbered as they were exposed, so their nights follow their labels.

And whoever wrote the headers took the evening's date or that of UT for hundreds of plates in a row.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

__all__ = ["Anchor", "Label", "Neighbours", "NightOrder", "read_label"]

# E933 and E 64; ES18 is another series; repeated plates have a decimal.
_LABEL = re.compile(r"([A-Z]+)\s*(\d+)(?:\.\d+)?")

_BLOCK = 3


@dataclass(frozen=True, order=True)
class Label:
    """A plate's number in its series."""

    series: str
    number: int

    def __str__(self) -> str:
        return f"{self.series}{self.number}"


def read_label(plate_label: str | None) -> Label | None:
    """Series and number of an observers' plate label, such as E486; None if it has no known form."""
    match = _LABEL.fullmatch((plate_label or "").strip().upper())
    return None if match is None else Label(match[1], int(match[2]))


@dataclass(frozen=True, order=True)
class Anchor:
    """A plate whose night other witnesses tell, and by how many days it is later than the header's date.

    A night at Palomar lies within one day of UT, so the night is that date.
    """

    label: Label
    night: date
    plate_id: str
    day_offset: int


@dataclass(frozen=True)
class Neighbours:
    """The nearest anchors before and after a plate, in the order of the labels.

    Parameters
    ----------
    before, after : `Anchor` or None
        The nearest.
    block_offset : int or None
        By how many days the nearest three on each side are later than their headers' dates, if all by the same.
    """

    before: Anchor | None
    after: Anchor | None
    block_offset: int | None = None

    def allow(self, night: date) -> bool:
        """Whether a night lies between theirs."""
        return (self.before is None or self.before.night <= night) and (self.after is None or night <= self.after.night)

    def __str__(self) -> str:
        told = [f"{a.label} ({a.plate_id}) {word} on {a.night}" for a, word in
                ((self.before, "before it"), (self.after, "after it")) if a is not None]  # fmt: skip
        return " and ".join(told)


class NightOrder:
    """The anchors of all series, without those that break the order.

    Kept are the anchors that are in every longest chain of nights that do not decrease along the labels. Where either
    of two could be the one that is wrong, neither is kept.

    Parameters
    ----------
    anchors : iterable of `Anchor`
        In any order.
    """

    def __init__(self, anchors: Iterable[Anchor]) -> None:
        self._series: dict[str, list[Anchor]] = {}
        for anchor in sorted(anchors):
            self._series.setdefault(anchor.label.series, []).append(anchor)
        for series, members in self._series.items():
            kept = in_every_longest_chain([anchor.night for anchor in members])
            self._series[series] = [anchor for anchor, keep in zip(members, kept, strict=True) if keep]

    def neighbours(self, label: Label) -> Neighbours:
        """The nearest anchors on either side of a label, which itself does not count."""
        members = self._series.get(label.series, [])
        labels = [anchor.label for anchor in members]
        before, after = bisect_left(labels, label), bisect_right(labels, label)
        around = [*members[max(0, before - _BLOCK) : before], *members[after : after + _BLOCK]]
        offsets = {anchor.day_offset for anchor in around}
        return Neighbours(
            members[before - 1] if before > 0 else None,
            members[after] if after < len(members) else None,
            offsets.pop() if len(around) == 2 * _BLOCK and len(offsets) == 1 else None,
        )


def in_every_longest_chain(values: Sequence[date]) -> list[bool]:
    """Which elements are part of every longest subsequence that does not decrease.

    An element is in some longest one if the longest that ends with it and the longest that begins with it together have
    that length; it is in all of them if no other such element has the same place in its chain.
    """
    ending = _longest_ending(values)
    beginning = _longest_ending([-value.toordinal() for value in reversed(values)])[::-1]
    longest = max(ending, default=0)
    in_some = [e + b - 1 == longest for e, b in zip(ending, beginning, strict=True)]
    places = [e for e, some in zip(ending, in_some, strict=True) if some]
    alone = {place for place in places if places.count(place) == 1}
    return [some and e in alone for e, some in zip(ending, in_some, strict=True)]


def _longest_ending(values: Sequence[date] | Sequence[int]) -> list[int]:
    """Length of the longest subsequence that does not decrease and ends with each element."""
    smallest_last: list[date | int] = []
    lengths = []
    for value in values:
        place = bisect_right(smallest_last, value)
        smallest_last[place : place + 1] = [value]
        lengths.append(place + 1)
    return lengths
