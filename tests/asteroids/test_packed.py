"""The Minor Planet Center's packed numbers, designations and dates, by the examples of its own pages."""

from datetime import date, timedelta

import pytest

from vascodb.asteroids.packed import unpack_designation, unpack_epoch, unpack_number


@pytest.mark.parametrize(
    ("packed", "number"),
    [("00001", 1), ("99999", 99_999), ("A0000", 100_000), ("a0017", 360_017), ("z9999", 619_999), ("~0000", 620_000),
     ("~000z", 620_061), ("~AZaz", 3_140_113), ("~zzzz", 15_396_335)],
)  # fmt: skip
def test_packed_numbers(packed: str, number: int) -> None:
    assert unpack_number(packed) == number


@pytest.mark.parametrize(
    ("packed", "designation"),
    [
        ("J95X00A", "1995 XA"), ("J95X01L", "1995 XL1"), ("J95F13B", "1995 FB13"), ("J98SA8Q", "1998 SQ108"),
        ("J98SC7V", "1998 SV127"), ("J98SG2S", "1998 SS162"), ("K08Aa0A", "2008 AA360"), ("K07Tf8A", "2007 TA418"),
        ("PLS2040", "2040 P-L"), ("T1S3138", "3138 T-1"), ("T2S1010", "1010 T-2"), ("T3S4101", "4101 T-3"),
    ],
)  # fmt: skip
def test_packed_designations(packed: str, designation: str) -> None:
    assert unpack_designation(packed) == designation


@pytest.mark.parametrize(
    ("packed", "day"),
    [("J9611", (1996, 1, 1)), ("J961A", (1996, 1, 10)), ("J969U", (1996, 9, 30)), ("J96A1", (1996, 10, 1)),
     ("K01AM", (2001, 10, 22)), ("K25BL", (2025, 11, 21)), ("I9953", (1899, 5, 3))],
)  # fmt: skip
def test_packed_epochs(packed: str, day: tuple[int, int, int]) -> None:
    assert unpack_epoch(packed) == 2451544.5 + (date(*day) - date(2000, 1, 1)) / timedelta(days=1)


@pytest.mark.parametrize(
    ("unpack", "packed"),
    [
        (unpack_number, "0001"), (unpack_number, "~00!0"), (unpack_number, "A00x0"), (unpack_designation, "K07Tf8a"),
        (unpack_designation, "00001"), (unpack_designation, "K07If8A"), (unpack_epoch, "K19D1"),
        (unpack_epoch, "K1920"), (unpack_epoch, "K192U"), (unpack_epoch, "L1921"), (unpack_epoch, ""),
    ],
)  # fmt: skip
def test_words_that_are_not_packed_so_are_refused(unpack, packed: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(packed)
