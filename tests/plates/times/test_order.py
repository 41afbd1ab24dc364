"""Nights in the order of plate labels."""

from datetime import date, timedelta
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vascodb.plates.times.order import Anchor, Label, NightOrder, in_every_longest_chain, read_label


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("E486", Label("E", 486)), ("E 64", Label("E", 64)), ("e1244", Label("E", 1244)), ("E933.1", Label("E", 933)),
        ("ES18", Label("ES", 18)), (" E9 ", Label("E", 9)), ("3467", None), ("", None), (None, None), ("E", None),
        ("E12x", None),
    ],
)  # fmt: skip
def test_labels(written: str | None, label: Label | None) -> None:
    assert read_label(written) == label


def night(day: int) -> date:
    return date(1953, 1, 1) + timedelta(days=day)


@given(st.lists(st.integers(0, 5), max_size=9))
def test_chains_against_all_subsequences(days: list[int]) -> None:
    chains = [
        chosen
        for n in range(len(days), -1, -1)
        for chosen in combinations(range(len(days)), n)
        if all(days[a] <= days[b] for a, b in pairwise(chosen))
    ]
    longest = [chain for chain in chains if len(chain) == len(chains[0])]
    expected = [all(i in chain for chain in longest) for i in range(len(days))]
    assert in_every_longest_chain([night(day) for day in days]) == expected


def order(*days: int, offsets: tuple[int, ...] = ()) -> NightOrder:
    """Plates E10, E20, … on these nights."""
    shifts = offsets or (1,) * len(days)
    return NightOrder(
        Anchor(Label("E", 10 * i), night(day), f"XE{i:03d}", shift)
        for i, (day, shift) in enumerate(zip(days, shifts, strict=True), 1)
    )


def test_a_plate_lies_between_the_nights_of_its_neighbours() -> None:
    neighbours = order(1, 3, 3, 8).neighbours(Label("E", 25))
    assert [day for day in range(10) if neighbours.allow(night(day))] == [3]
    neighbours = order(1, 3, 3, 8).neighbours(Label("E", 35))
    assert [day for day in range(10) if neighbours.allow(night(day))] == [3, 4, 5, 6, 7, 8]


def test_a_plate_is_not_its_own_neighbour() -> None:
    neighbours = order(1, 5, 9).neighbours(Label("E", 20))
    assert (neighbours.before.plate_id, neighbours.after.plate_id) == ("XE001", "XE003")


def test_beyond_the_ends_one_side_is_open() -> None:
    first, last = order(4, 5).neighbours(Label("E", 1)), order(4, 5).neighbours(Label("E", 99))
    assert first.before is None and first.allow(night(0)) and not first.allow(night(5))
    assert last.after is None and last.allow(night(900)) and not last.allow(night(4))


def test_an_anchor_that_breaks_the_order_does_not_count() -> None:
    """E30 has another year."""
    assert order(1, 2, 365, 3, 4).neighbours(Label("E", 29)).after.plate_id == "XE004"
    assert order(1, 2, -365, 3, 4).neighbours(Label("E", 31)).before.plate_id == "XE002"


def test_of_two_that_contradict_each_other_neither_counts() -> None:
    neighbours = order(1, 2, 5, 4, 6, 7).neighbours(Label("E", 35))
    assert (neighbours.before.plate_id, neighbours.after.plate_id) == ("XE002", "XE005")


def test_series_are_apart() -> None:
    assert order(1, 2).neighbours(Label("ES", 15)).allow(night(-999))
    assert str(order(1, 2).neighbours(Label("ES", 15))) == ""


def test_a_block_is_three_plates_on_each_side_with_one_offset() -> None:
    nights = (1, 2, 3, 4, 5, 6, 7)
    assert order(*nights).neighbours(Label("E", 40)).block_offset == 1
    assert order(*nights, offsets=(0, 0, 0, 1, 0, 0, 0)).neighbours(Label("E", 40)).block_offset == 0
    assert order(*nights, offsets=(0, 0, 0, 0, 1, 1, 1)).neighbours(Label("E", 40)).block_offset is None
    assert order(*nights).neighbours(Label("E", 30)).block_offset is None
