"""Reading files of elements: JPL's answers and the Minor Planet Center's orbit file, told apart by what is in them."""

import gzip
import io
import json
import re
import zlib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vascodb.asteroids.elements import PLUTO, USUAL_SLOPE, Elements, require_bodies
from vascodb.asteroids.mpc import read_orbits
from vascodb.errors import InputError

__all__ = ["read_elements"]

Floats = NDArray[np.float64]

_MJD_JD = 2400000.5
_NEEDED = ("full_name", "H", "e", "q", "i", "om", "w", "ma", "a")
_NUMBERED = re.compile(r"\s*(\d+)\s+(.*\S)\s*")
_GZIP = b"\x1f\x8b"


def read_elements(path: Path) -> Elements:
    """Read a file of elements, also compressed with gzip.

    It may be JSON as JPL's Small-Body Database answers queries; the answer must have the fields ``full_name``, ``H``,
    ``e``, ``a``, ``q``, ``i``, ``om``, ``w``, ``ma`` and ``epoch_mjd`` or ``epoch``; ``G`` and ``class`` are used where
    they are there. Or it is in the format of ``MPCORB.DAT`` of the Minor Planet Center; see `read_orbits`.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Raises
    ------
    InputError
        If it is no such file, is cut short, or a number in it makes no sense.
    """
    try:
        raw = path.read_bytes()
        with _opened(raw) as stream:
            first = stream.read(4096).lstrip()[:1]
        if first == b"[":
            raise InputError(f"{path}: a list in JSON is none of the files that are read; take MPCORB.DAT")
        if first != b"{":
            with _opened(raw) as stream:
                return read_orbits(path, stream, sha256(raw).hexdigest())
        with _opened(raw) as stream:
            document = json.load(stream)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"{path}: not a readable file of elements (JSON of JPL's Small-Body Database, or MPCORB.DAT): {error}"
        ) from error
    return _read_answer(path, document, sha256(raw).hexdigest())


def _opened(raw: bytes) -> IO[bytes]:
    stream = io.BytesIO(raw)
    return gzip.GzipFile(fileobj=stream) if raw[:2] == _GZIP else stream  # type: ignore[return-value]


def _read_answer(path: Path, document: Any, digest: str) -> Elements:
    names, rows = _table(path, document)
    column = {name: [row[names.index(name)] for row in rows] for name in names}
    missing = [name for name in _NEEDED if name not in column]
    epoch_name = next((name for name in ("epoch_mjd", "epoch") if name in column), None)
    if missing or epoch_name is None:
        raise InputError(
            f"{path}: the fields {', '.join(missing or ['epoch_mjd or epoch'])} are not there; ask for them"
        )
    values = {name: _numbers(path, name, column[name]) for name in (*_NEEDED[1:], epoch_name)}
    whole = np.all([np.isfinite(value) for value in values.values()], axis=0)
    designations = [_named(str(text)) for text in column["full_name"]]
    usable = whole & np.array([number != PLUTO for number, _ in designations], dtype=bool)
    _refuse_impossible(path, values, whole)
    epoch = values[epoch_name] + (_MJD_JD if epoch_name == "epoch_mjd" else 0.0)
    slope = _numbers(path, "G", column["G"]) if "G" in column else np.full(len(rows), np.nan)
    found = Elements(
        names=[name for _, name in designations],
        numbers=np.array([number for number, _ in designations], dtype=np.int64),
        classes=[str(text or "") for text in column.get("class", [""] * len(rows))],
        epoch_jd=epoch,
        semimajor_au=values["q"] / (1.0 - values["e"]),
        eccentricity=values["e"],
        inclination_rad=np.radians(values["i"]),
        node_rad=np.radians(values["om"]),
        perihelion_rad=np.radians(values["w"]),
        anomaly_rad=np.radians(values["ma"]),
        absolute_mag=values["H"],
        slope=np.where(np.isfinite(slope), slope, USUAL_SLOPE),
        source=path.name,
        sha256=digest,
        left_out=tuple(designations[row][1] for row in np.flatnonzero(~usable)),
    ).take(usable)  # fmt: skip
    return require_bodies(path, found)


def _table(path: Path, document: Any) -> tuple[list[str], list[list[Any]]]:
    if not isinstance(document, dict) or not isinstance(document.get("fields"), list | tuple):
        raise InputError(f"{path}: no answer of JPL's Small-Body Database: it has no fields")
    names, rows = document["fields"], document.get("data")
    if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) != len(names) for row in rows):
        raise InputError(f"{path}: not every row of its data has {len(names)} fields")
    if "count" in document and int(document["count"]) != len(rows):
        raise InputError(f"{path}: it says that it has {document['count']} bodies, but there are {len(rows)}")
    return names, rows


def _numbers(path: Path, name: str, texts: Sequence[Any]) -> Floats:
    try:
        return np.array([np.nan if text is None else float(text) for text in texts], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: field {name}: {error}") from error


def _refuse_impossible(path: Path, values: dict[str, Floats], whole: NDArray[np.bool_]) -> None:
    e, q, a = values["e"], values["q"], values["a"]
    wrong = whole & ((e < 0) | (e == 1) | (q <= 0) | (values["i"] < 0) | (values["i"] > 180))
    # The same orbit, told twice: columns that were mixed up show here.
    wrong |= whole & (np.abs(a * (1.0 - e) - q) > 1e-6 * q)
    if np.any(wrong):
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{path}: row {row + 1} has an impossible orbit: e = {e[row]}, q = {q[row]}, a = {a[row]}, "
            f"i = {values['i'][row]}"
        )


def _named(full_name: str) -> tuple[int, str]:
    """Number, or 0, and name: ``     1 Ceres (A801 AA)``, `` 15820 (1994 TB)``, ``       (2021 XD7)``."""
    match = _NUMBERED.fullmatch(full_name)
    number, rest = (int(match[1]), match[2]) if match else (0, full_name.strip())
    if rest.startswith("(") and rest.endswith(")"):
        return number, rest[1:-1]
    return number, re.sub(r"\s*\([^)]*\)$", "", rest)
