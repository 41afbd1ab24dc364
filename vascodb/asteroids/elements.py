"""Osculating elements of asteroids: reading files of them, and the states that they mean."""

import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vascodb.errors import InputError

__all__ = ["Elements", "read_elements", "solve_kepler"]

Floats = NDArray[np.float64]

_MJD_JD = 2400000.5
_OBLIQUITY_RAD = np.radians(84381.448 / 3600.0)
"""Of the ecliptic of J2000 (IAU 1976), to which JPL and the Minor Planet Center refer their elements."""
_USUAL_SLOPE = 0.15
_PLUTO = 134340
"""Its elements are of its way about Charon as well as about the Sun: years later they point elsewhere."""
_NEEDED = ("full_name", "H", "e", "q", "i", "om", "w", "ma", "a")
_NUMBERED = re.compile(r"\s*(\d+)\s+(.*\S)\s*")


@dataclass(frozen=True)
class Elements:
    """Osculating elements, heliocentric, of ecliptic and equinox J2000; one entry per body.

    Parameters
    ----------
    names : sequence of str
        Name or provisional designation, without the number.
    numbers : array of int
        Number of the body, 0 if it has none.
    classes : sequence of str
        Dynamical class, empty if the file has none.
    epoch_jd : array of float
        Time at which they osculate, Julian date, TDB.
    semimajor_au, eccentricity : array of float
        Size and shape of the orbit; both ``a`` < 0 and ``e`` > 1 for a hyperbola.
    inclination_rad, node_rad, perihelion_rad, anomaly_rad : array of float
        Inclination, longitude of the ascending node, argument of perihelion, mean anomaly.
    absolute_mag, slope : array of float
        ``H`` and ``G`` of the magnitude system of 1985; ``G`` = 0.15 where the file has none.
    source : str
        Name of the file.
    sha256 : str
        Of the file's bytes as they lie.
    left_out : tuple of str
        Bodies of the file whose orbit is not complete there, and Pluto.
    """

    names: Sequence[str]
    numbers: NDArray[np.int64]
    classes: Sequence[str]
    epoch_jd: Floats
    semimajor_au: Floats
    eccentricity: Floats
    inclination_rad: Floats
    node_rad: Floats
    perihelion_rad: Floats
    anomaly_rad: Floats
    absolute_mag: Floats
    slope: Floats
    source: str = ""
    sha256: str = ""
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def numbered_to(self) -> int:
        """Largest number up to which every numbered body is there: the file surely knows these."""
        there = np.unique(self.numbers[self.numbers > 0])
        gaps = np.flatnonzero(there != np.arange(1, len(there) + 1))
        return int(gaps[0]) if len(gaps) else len(there)

    def take(self, which: NDArray[Any]) -> "Elements":
        """The bodies of an index or a mask, in its order."""
        rows = np.arange(len(self))[which]
        values: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                values[field.name] = value[rows]
            elif field.name in ("names", "classes"):
                values[field.name] = [value[row] for row in rows]
            else:
                values[field.name] = value
        return Elements(**values)

    def states(self, sun_gm: float) -> tuple[Floats, Floats]:
        """Heliocentric positions and velocities at the epochs, on the axes of the ICRS.

        Parameters
        ----------
        sun_gm : float
            GM of the Sun [au3/d2].

        Returns
        -------
        position, velocity : array of float, shape (3, n)
            In au and au/d.

        References
        ----------
        .. [1] Murray and Dermott 1999, Solar System Dynamics, sections 2.4 and 2.8.
        """
        e, a = self.eccentricity, self.semimajor_au
        bound = e < 1.0
        anomaly = solve_kepler(self.anomaly_rad, e)
        cos_e = np.where(bound, np.cos(anomaly), np.cosh(anomaly))
        sin_e = np.where(bound, np.sin(anomaly), np.sinh(anomaly))
        root = np.sqrt(np.abs(1.0 - e * e))
        x, y = a * (cos_e - e), np.abs(a) * root * sin_e
        # Rate of the eccentric anomaly.
        rate = np.sqrt(sun_gm / np.abs(a) ** 3) / np.abs(1.0 - e * cos_e)
        vx, vy = -np.abs(a) * sin_e * rate, np.abs(a) * root * cos_e * rate
        p, q = self._axes()
        return x * p + y * q, vx * p + vy * q

    def _axes(self) -> tuple[Floats, Floats]:
        """Unit vectors to perihelion and a quarter of a turn ahead of it, shape (3, n) each."""
        cos_w, sin_w = np.cos(self.perihelion_rad), np.sin(self.perihelion_rad)
        cos_o, sin_o = np.cos(self.node_rad), np.sin(self.node_rad)
        cos_i, sin_i = np.cos(self.inclination_rad), np.sin(self.inclination_rad)
        p = np.array([cos_o * cos_w - sin_o * sin_w * cos_i, sin_o * cos_w + cos_o * sin_w * cos_i, sin_w * sin_i])
        q = np.array([-cos_o * sin_w - sin_o * cos_w * cos_i, -sin_o * sin_w + cos_o * cos_w * cos_i, cos_w * sin_i])
        turn_cos, turn_sin = np.cos(_OBLIQUITY_RAD), np.sin(_OBLIQUITY_RAD)
        turn = np.array([[1.0, 0.0, 0.0], [0.0, turn_cos, -turn_sin], [0.0, turn_sin, turn_cos]])
        return turn @ p, turn @ q


def solve_kepler(mean_anomaly_rad: Floats, eccentricity: Floats) -> Floats:
    """Eccentric anomaly of ellipses, its hyperbolic fellow of hyperbolas, by Newton's method.

    Parameters
    ----------
    mean_anomaly_rad, eccentricity : array of float
        One entry per body.

    References
    ----------
    .. [1] Danby 1988, Fundamentals of Celestial Mechanics, section 6.6.
    """
    e, bound = eccentricity, eccentricity < 1.0
    turned = np.remainder(mean_anomaly_rad + np.pi, 2 * np.pi) - np.pi
    m = np.where(bound, turned, mean_anomaly_rad)
    start = np.where(bound, m + 0.85 * e * np.sign(m), np.arcsinh(m / np.maximum(e, 1.0)))
    x = np.asarray(start, dtype=np.float64)
    for _ in range(100):
        sin_x, cos_x = np.where(bound, np.sin(x), np.sinh(x)), np.where(bound, np.cos(x), np.cosh(x))
        sign = np.where(bound, 1.0, -1.0)
        step = (sign * (x - e * sin_x) - m) / (sign * (1.0 - e * cos_x))
        # Near the perihelion of a long ellipse a full step can leap far away.
        x = x - np.clip(step, -1.0, 1.0)
        if np.all(np.abs(step) < 1e-14 * np.maximum(1.0, np.abs(x))):
            break
    return x


def read_elements(path: Path) -> Elements:
    """Read a file of elements as JPL's Small-Body Database answers queries for them, also compressed with gzip.

    The answer must have the fields ``full_name``, ``H``, ``e``, ``a``, ``q``, ``i``, ``om``, ``w``, ``ma`` and
    ``epoch_mjd`` or ``epoch``; ``G`` and ``class`` are used where they are there.

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
        document = json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable file of elements (JSON of JPL's Small-Body Database): {error}"
        ) from error
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
    usable = whole & np.array([number != _PLUTO for number, _ in designations], dtype=bool)
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
        slope=np.where(np.isfinite(slope), slope, _USUAL_SLOPE),
        source=path.name,
        sha256=sha256(raw).hexdigest(),
        left_out=tuple(designations[row][1] for row in np.flatnonzero(~usable)),
    ).take(usable)  # fmt: skip
    identities = list(zip(found.numbers.tolist(), found.names, strict=True))
    if len(set(identities)) < len(identities):
        raise InputError(f"{path}: {len(identities) - len(set(identities))} bodies occur more than once")
    if not identities:
        raise InputError(f"{path}: there is no body in it")
    return found


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
