"""The ASU conventions of VizieR: how a question is written, and which rows it means."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy import units as u
from astropy.table import MaskedColumn, Table

from servers.http import Parameters, Request, Upload, parse_body
from servers.skytable import SkyTable

DEFAULT_MAX = 50
_RADIUS_UNITS = {"": "arcmin", "m": "arcmin", "d": "deg", "s": "arcsec"}
_CENTRE = re.compile(r"^\s*(?P<ra>\d+(?:\.\d*)?)(?:\s*(?P<sign>[+-])\s*|\s+|,\s*)(?P<dec>\d+(?:\.\d*)?)\s*$")
_LIST = re.compile(r"^(?P<name>[^=\n]+)=<<====(?P<mark>\w+)\n(?P<lines>.*?)\n====(?P=mark)$", re.DOTALL | re.MULTILINE)
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": np.less_equal, ">=": np.greater_equal, "!=": np.not_equal, "<": np.less, ">": np.greater, "=": np.equal,
}  # fmt: skip


class AsuError(ValueError):
    """What VizieR answers with an Error INFO, status 200."""


@dataclass(frozen=True)
class Cone:
    """A circle, or a box if `box_deg` is given (width and height, along the sky) [deg]."""

    ra_deg: float
    dec_deg: float
    radius_deg: float
    box_deg: tuple[float, float] | None = None


@dataclass
class Question:
    """One ASU request.

    Parameters
    ----------
    sources
        Tables or catalogues asked for.
    cones
        Centres; none means the whole table.
    unit
        Unit of the radius, in which ``_r`` is given too.
    columns, added
        Columns of ``-out`` and ``-out.add``.
    all_columns
        True for ``-out=*``, ``-out=**``, ``-out.all`` or no word about columns.
    maximum
        Most rows wanted, None for as many as the service gives.
    sort
        Columns to sort by, in order, with a minus sign for descending ones.
    filters
        Constraints by column.
    """

    sources: list[str]
    cones: list[Cone]
    unit: str
    columns: list[str]
    added: list[str]
    all_columns: bool
    maximum: int | None
    sort: list[str]
    filters: list[tuple[str, str]] = field(default_factory=list)


def parse_asu_body(body: bytes, content_type: str) -> tuple[Parameters, dict[str, Upload]]:
    """Return the parameters of a body: an ordinary form, or the lines ``-name=value`` that astroquery sends."""
    text = body.decode(errors="replace")
    if content_type.startswith("multipart/form-data") or (content_type and "\n" not in text):
        return parse_body(body, content_type)
    pairs: list[tuple[str, str]] = []
    for match in _LIST.finditer(text):
        pairs += [(match["name"], line) for line in match["lines"].split("\n")]
    for line in _LIST.sub("", text).split("\n"):
        name, _, value = line.partition("=")
        if name.strip():
            pairs.append((name.strip(), value))
    return tuple(pairs), {}


def read(request: Request) -> Question:
    """Return what a request asks for.

    Raises
    ------
    AsuError
        Where a value cannot be understood.
    """
    columns = _names(request.all("-out"))
    everything = bool(request.all("-out.all")) or not columns or bool({"*", "**"} & set(columns))
    maximum = request.first("-out.max", str(DEFAULT_MAX))
    if maximum.lower() != "unlimited" and not maximum.strip().isdigit():
        raise AsuError(f"-out.max={maximum}: not a number")
    cones, unit = _cones(request)
    return Question(
        sources=_names(request.all("-source")),
        cones=cones,
        unit=unit,
        columns=[name for name in columns if name not in {"*", "**"}],
        added=_names(request.all("-out.add")),
        all_columns=everything,
        maximum=None if maximum.lower() == "unlimited" else int(maximum),
        sort=_names(request.all("-sort")),
        filters=[(name, value) for name, value in request.parameters if not name.startswith("-")],
    )


def _names(values: list[str]) -> list[str]:
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def _cones(request: Request) -> tuple[list[Cone], str]:
    radius, unit, box = 2.0, "arcmin", None  # VizieR looks 2 arcmin around a centre without a radius
    for suffix, name in _RADIUS_UNITS.items():
        if request.all(f"-c.r{suffix}"):
            radius = _number(request.first(f"-c.r{suffix}").split(",")[-1])
            unit = request.first("-c.u", name) if not suffix else name
        if request.all(f"-c.b{suffix}"):
            sides = [_number(side) for side in re.split(r"[x,]", request.first(f"-c.b{suffix}"))]
            box, unit = (sides[0], sides[-1]), name
    degrees = float(u.Unit(unit).to(u.deg))
    box_deg = (box[0] * degrees, box[1] * degrees) if box else None
    cones = []
    for text in request.all("-c"):
        match = _CENTRE.match(text)
        if match is None:
            raise AsuError(f"{text!r}: position or name not resolved")
        cones.append(Cone(float(match["ra"]), float((match["sign"] or "") + match["dec"]), radius * degrees, box_deg))
    return cones, unit


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise AsuError(f"{text!r}: not a number") from None


def select(sky: SkyTable, question: Question, warnings: list[str]) -> Table:
    """Return all rows that are meant, with the columns that are wanted; what was not understood goes to `warnings`."""
    chosen, distances, numbers = _in_cones(sky, question)
    for name, constraint in question.filters:
        if name not in sky.table.colnames:
            warnings.append(f"Column '{name}' unknown in '{sky.name}'")
            continue
        kept = _meets(np.ma.asarray(sky.table[name])[chosen], constraint)
        chosen, distances, numbers = chosen[kept], distances[kept], numbers[kept]
    answer = Table()
    for name in [*_output_columns(sky, question), *question.added]:
        if name in answer.colnames:
            continue
        if name == "_r":
            answer["_r"] = MaskedColumn(distances * u.deg.to(u.Unit(question.unit)), unit=question.unit)
        elif name == "_q":
            answer["_q"] = numbers
        elif name in {"_RAJ2000", "_RA.icrs", "_RA"}:
            answer[name] = MaskedColumn(sky.ra_deg[chosen], unit=u.deg)
        elif name in {"_DEJ2000", "_DE.icrs", "_DE"}:
            answer[name] = MaskedColumn(sky.dec_deg[chosen], unit=u.deg)
        elif name in sky.table.colnames:
            answer[name] = sky.table[name][chosen]
        else:
            warnings.append(f"Column '{name}' unknown in '{sky.name}'")
    return answer[_order(sky, question, chosen, distances)]


def _in_cones(
    sky: SkyTable, question: Question
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """Return rows, their distances from the centre [deg], and the number of the centre."""
    if not question.cones:
        count = len(sky)
        return np.arange(count), np.full(count, np.nan), np.zeros(count, dtype="i4")
    rows, distances, numbers = [], [], []
    for number, cone in enumerate(question.cones, 1):
        if cone.box_deg is None:
            near = sky.cone(cone.ra_deg, cone.dec_deg, cone.radius_deg)
        else:
            width, height = cone.box_deg
            offset = (sky.ra_deg - cone.ra_deg + 180.0) % 360.0 - 180.0
            inside = np.abs(offset * np.cos(np.radians(sky.dec_deg))) <= width / 2
            near = np.flatnonzero(inside & (np.abs(sky.dec_deg - cone.dec_deg) <= height / 2))
        rows.append(near)
        distances.append(sky.separation_deg(near, cone.ra_deg, cone.dec_deg))
        numbers.append(np.full(len(near), number, dtype="i4"))
    return np.concatenate(rows), np.concatenate(distances), np.concatenate(numbers)


def _output_columns(sky: SkyTable, question: Question) -> list[str]:
    return [*(sky.table.colnames if question.all_columns else []), *question.columns]


def _order(
    sky: SkyTable, question: Question, chosen: npt.NDArray[np.intp], distances: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    order = np.arange(len(chosen))
    for key in reversed(question.sort):
        name = key.lstrip("+-")
        if name != "_r" and name not in sky.table.colnames:
            continue
        values = distances if name == "_r" else np.ma.filled(np.ma.asarray(sky.table[name])[chosen])
        ranks = np.unique(values[order], return_inverse=True)[1]
        order = order[np.argsort(-ranks if key.startswith("-") else ranks, kind="stable")]
    return order


def _meets(values: Any, constraint: str) -> npt.NDArray[np.bool_]:
    """Return which values meet a constraint such as ``<20``, ``10..15`` or ``>=3 & !=7``."""
    met = np.ones(len(values), dtype=bool)
    text = values.dtype.kind in "US"
    for part in constraint.split("&"):
        low, dots, high = part.strip().partition("..")
        if dots:
            tests = [(">=", low), ("<=", high)]
        else:
            sign = next((s for s in _COMPARISONS if low.startswith(s)), "")
            tests = [(sign or "=", low.removeprefix(sign).lstrip("= ").strip('"'))]
        for sign, limit in tests:
            outcome = _COMPARISONS[sign](values, limit if text else _number(limit))
            met &= np.ma.filled(np.ma.asarray(outcome), False).astype(bool)
            if values.dtype.kind == "f":
                met &= ~np.isnan(np.ma.filled(values, np.nan))
    return met
