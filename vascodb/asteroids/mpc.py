"""Reading orbit files of the Minor Planet Center: MPCORB.DAT and its like, a line of fixed columns for each body."""

import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vascodb.asteroids.elements import PLUTO, USUAL_SLOPE, Elements, require_bodies
from vascodb.asteroids.packed import unpack_designation, unpack_epoch, unpack_number
from vascodb.errors import InputError

__all__ = ["read_orbits"]

Floats = NDArray[np.float64]
Texts = NDArray[np.bytes_]

_READABLE = re.compile(r"(?:\((\d+)\))?\s*(.*)")
_HEADER_LINES = 500
_LINES_AT_ONCE = 50_000
_SHORTEST, _LONGEST = 103, 194
_NUMBERS = {
    "H": (8, 13), "G": (14, 19), "M": (26, 35), "peri": (37, 46), "node": (48, 57), "incl": (59, 68), "e": (70, 79),
    "a": (92, 103),
}  # fmt: skip
"""Columns, counted from 0, the last one excluded [1]_ of `read_orbits`."""
_ERROR_ARCSEC = 1.0
"""Axes are rounded to 1e-7 au: in 70 years that moved 99 % of 600 bodies by less than 1.3 arcsec."""
_ASSUMED = (b"E", b"F")
"""Stand for the uncertainty of an orbit whose eccentricity was assumed: nobody knows where it was in the 1950s."""


def read_orbits(path: Path, stream: IO[bytes], digest: str) -> Elements:
    """Read a file in the format of ``MPCORB.DAT``, some lines at a time; with or without its header.

    Left out are bodies without H or with a blank in their orbit, those whose eccentricity was assumed or is not
    below 1, and Pluto.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file's name, for messages.
    stream : binary stream
        Its lines.
    digest : str
        SHA-256 of the file.

    Raises
    ------
    InputError
        If a line cannot be read; it names the line.

    References
    ----------
    .. [1] https://minorplanetcenter.org/iau/info/MPOrbitFormat.html
    """
    lines = _after_header(path, stream)
    parts: list[_Orbits] = []
    left_out: list[str] = []
    while block := list(islice(lines, _LINES_AT_ONCE)):
        orbits = _read_block(path, block)
        unusable = np.flatnonzero(~orbits.usable)
        left_out += [orbits.names[row] or str(orbits.numbers[row]) for row in unusable]
        parts.append(orbits)
    if not parts:
        raise InputError(f"{path}: there is no body in it")
    values = {name: np.concatenate([part.values[name] for part in parts]) for name in _NUMBERS}
    slope = values["G"]
    found = Elements(
        names=list(chain.from_iterable(part.names for part in parts)),
        numbers=np.concatenate([part.numbers for part in parts]),
        classes=[""] * len(slope),
        epoch_jd=np.concatenate([part.epoch_jd for part in parts]),
        semimajor_au=values["a"],
        eccentricity=values["e"],
        inclination_rad=np.radians(values["incl"]),
        node_rad=np.radians(values["node"]),
        perihelion_rad=np.radians(values["peri"]),
        anomaly_rad=np.radians(values["M"]),
        absolute_mag=values["H"],
        slope=np.where(np.isfinite(slope), slope, USUAL_SLOPE),
        source=path.name,
        sha256=digest,
        left_out=tuple(left_out),
        error_arcsec=_ERROR_ARCSEC,
    ).take(np.concatenate([part.usable for part in parts]))  # fmt: skip
    return require_bodies(path, found)


class _Line(NamedTuple):
    number: int
    content: bytes


class _Orbits(NamedTuple):
    """Some bodies of a file; values are NaN where they are blank."""

    names: list[str]
    numbers: NDArray[np.int64]
    epoch_jd: Floats
    values: dict[str, Floats]
    usable: NDArray[np.bool_]


def _after_header(path: Path, stream: IO[bytes]) -> Iterator[_Line]:
    """The lines with bodies: the header, if there is one, ends in a line of dashes, and parts end in blank lines."""
    lines = (_Line(number, content.rstrip(b"\r\n")) for number, content in enumerate(stream, start=1))
    head = list(islice(lines, _HEADER_LINES))
    rules = [i for i, line in enumerate(head) if line.content.startswith(b"-" * 80)]
    body = head[rules[0] + 1 :] if rules else head
    first = next((line for line in body if line.content.strip()), None)
    if first is None or len(first.content) < _SHORTEST:
        raise InputError(
            f"{path}: neither JSON of JPL's Small-Body Database nor orbits as in MPCORB.DAT: "
            + ("it is empty" if first is None else f"line {first.number} has {len(first.content)} characters")
        )
    return (line for line in chain(body, lines) if line.content.strip())


def _read_block(path: Path, block: list[_Line]) -> _Orbits:
    for line in block:
        if len(line.content) < _SHORTEST:
            raise InputError(
                f"{path}: line {line.number} is cut short: {len(line.content)} of at least {_SHORTEST} characters"
            )
    table = np.array([line.content for line in block], dtype=f"S{_LONGEST}").view("S1").reshape(len(block), _LONGEST)
    values = {name: _column(path, block, table, name, columns) for name, columns in _NUMBERS.items()}
    epochs, which = np.unique(_texts(table, 20, 25), return_inverse=True)
    identities = [_identity(path, line) for line in block]
    numbers = np.array([number for number, _ in identities], dtype=np.int64)
    epoch_jd = np.array([_epoch(path, block, which == i, packed) for i, packed in enumerate(epochs)])[which]
    whole = np.all([np.isfinite(value) for name, value in values.items() if name != "G"], axis=0)
    assumed = np.isin(_texts(table, 105, 106), _ASSUMED)
    usable = whole & np.isfinite(epoch_jd) & ~assumed & (values["e"] < 1.0) & (numbers != PLUTO)
    _refuse_impossible(path, block, values, usable)
    return _Orbits([name for _, name in identities], numbers, epoch_jd, values, usable)


def _texts(table: Texts, first: int, end: int) -> Texts:
    return np.ascontiguousarray(table[:, first:end]).view(f"S{end - first}").ravel()


def _column(path: Path, block: list[_Line], table: Texts, name: str, columns: tuple[int, int]) -> Floats:
    texts = np.char.strip(_texts(table, *columns))
    texts[texts == b""] = b"nan"
    try:
        return texts.astype(np.float64)
    except ValueError:
        for line, text in zip(block, texts.tolist(), strict=True):
            try:
                float(text)
            except ValueError:
                raise InputError(
                    f"{path}: line {line.number}, columns {columns[0] + 1} to {columns[1]}: {name} is "
                    f"{text.decode('latin-1')!r}, no number"
                ) from None
        raise


def _epoch(path: Path, block: list[_Line], where: NDArray[np.bool_], packed: bytes) -> float:
    if not packed.strip():
        return float("nan")
    try:
        return unpack_epoch(packed.decode("latin-1"))
    except ValueError as error:
        line = block[int(np.flatnonzero(where)[0])]
        raise InputError(f"{path}: line {line.number}, columns 21 to 25: {error}") from error


def _identity(path: Path, line: _Line) -> tuple[int, str]:
    """Number, or 0, and name or designation; the readable one at the end of the line if it is there."""
    packed = line.content[:7].decode("latin-1").strip()
    readable = _READABLE.fullmatch(line.content[166:_LONGEST].decode("latin-1").strip())
    said, name = (readable[1], readable[2]) if readable else (None, "")
    try:
        number = unpack_number(packed) if len(packed) == 5 else 0
        name = name or ("" if number else unpack_designation(packed))
    except ValueError as error:
        raise InputError(f"{path}: line {line.number}, columns 1 to 7: {error}") from error
    if said is not None and int(said) != number:
        raise InputError(f"{path}: line {line.number} is of body {packed} and of ({said}): its columns are displaced")
    return number, name or str(number)


def _refuse_impossible(path: Path, block: list[_Line], values: dict[str, Floats], usable: NDArray[np.bool_]) -> None:
    e, a, inclination = values["e"], values["a"], values["incl"]
    wrong = np.flatnonzero(usable & ((e < 0) | (a <= 0) | (inclination < 0) | (inclination > 180)))
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"{path}: line {block[row].number} has an impossible orbit: e = {e[row]}, a = {a[row]}, "
            f"i = {inclination[row]}"
        )
