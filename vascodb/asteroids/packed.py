"""How the Minor Planet Center packs numbers, designations and dates into a few characters."""

import re
from datetime import date

__all__ = ["unpack_designation", "unpack_epoch", "unpack_number"]

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CENTURIES = {"I": 1800, "J": 1900, "K": 2000}
_SURVEYS = {"PLS": "P-L", "T1S": "T-1", "T2S": "T-2", "T3S": "T-3"}
_FIRST_TILDE_NUMBER = 620_000
_PROVISIONAL = re.compile(r"([IJK]\d\d)([A-HJ-Y])([0-9A-Za-z])(\d)([A-HJ-Z])")
_JD_OF_ORDINAL = 1721424.5


def unpack_number(packed: str) -> int:
    """Number of a body as it is packed into five characters: ``00433``, ``A0345``, ``~000z``.

    Raises
    ------
    ValueError
        If it is none.

    References
    ----------
    .. [1] https://minorplanetcenter.org/iau/info/PackedDes.html
    """
    if len(packed) != 5:
        raise ValueError(f"{packed!r} is no packed number")
    if packed[0] != "~":
        return _DIGITS.index(packed[0]) * 10_000 + int(packed[1:])
    number = 0
    for digit in packed[1:]:
        number = number * len(_DIGITS) + _DIGITS.index(digit)
    return _FIRST_TILDE_NUMBER + number


def unpack_designation(packed: str) -> str:
    """Provisional designation as it is packed into seven characters: ``K07Tf8A`` is 2007 TA418, ``PLS2040`` 2040 P-L.

    Raises
    ------
    ValueError
        If it is none.

    References
    ----------
    .. [1] https://minorplanetcenter.org/iau/info/PackedDes.html
    """
    if packed[:3] in _SURVEYS and packed[3:].isdigit() and len(packed) == 7:
        return f"{int(packed[3:])} {_SURVEYS[packed[:3]]}"
    if (match := _PROVISIONAL.fullmatch(packed)) is None:
        raise ValueError(f"{packed!r} is no packed designation")
    year, half_month, tens, units, second = match.groups()
    cycle = 10 * _DIGITS.index(tens) + int(units)
    return f"{_CENTURIES[year[0]] + int(year[1:])} {half_month}{second}{cycle or ''}"


def unpack_epoch(packed: str) -> float:
    """Julian date of an epoch as it is packed into five characters: ``K194R`` is 2019 April 27.

    Raises
    ------
    ValueError
        If it is none.

    References
    ----------
    .. [1] https://minorplanetcenter.org/iau/info/PackedDates.html
    """
    if not re.fullmatch(r"[IJK]\d\d[1-9A-C][1-9A-V]", packed):
        raise ValueError(f"{packed!r} is no packed date")
    year = _CENTURIES[packed[0]] + int(packed[1:3])
    return date(year, _DIGITS.index(packed[3]), _DIGITS.index(packed[4])).toordinal() + _JD_OF_ORDINAL
