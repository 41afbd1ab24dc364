"""SkyBoT of IMCCE: which known objects of the solar system were in a cone at a time, as seen from an observatory.

The service reports an empty field as an error; only its own words tell the two apart. Its answers
come as VOTable, from older installations as text with bars between the columns.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow as pa
from astropy.coordinates import SkyCoord, angular_separation
from astroquery.imcce import SkybotClass
from numpy.typing import NDArray

from vascodb.ids import content_id
from vascodb.loaders.client.answers import RawTable, read_votable
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.regions import Cone
from vascodb.loaders.tables import WrongUnitError, check_unit
from vascodb.plates.dates import julian_day, julian_year

__all__ = ["OBJECT_SCHEMA", "PALOMAR", "MovingAnswer", "SkybotSource"]

PALOMAR = "675"
"""The observatory's code at the Minor Planet Center."""

OBJECT_SCHEMA = pa.schema([
    ("source_id", pa.int64()),
    ("name", pa.string()),
    ("number", pa.int32()),
    ("class", pa.string()),
    ("ra", pa.float64()),
    ("dec", pa.float64()),
    ("rate_ra_arcsec_h", pa.float32()),
    ("rate_dec_arcsec_h", pa.float32()),
    ("mag", pa.float32()),
    ("error_arcsec", pa.float32()),
])  # fmt: skip

_NOTHING_FOUND = "No solar system object was found"
_RIM_ARCSEC = 2.0
_SAME_TIME_S = 2.0
# Column as we call it: its names in the VOTable and in the text, and its unit.
_COLUMNS = {
    "number": (("Num",), None),
    "name": (("Name",), None),
    "ra": (("RA",), u.hourangle),
    "dec": (("DEC", "DE"), u.deg),
    "class": (("Class",), None),
    "mag": (("Mv",), u.mag),
    "error": (("ErrPos", "Err"), u.arcsec),
    "rate_ra": (("dRAcosDec", "dRA"), u.arcsec / u.hour),
    "rate_dec": (("dDEC",), u.arcsec / u.hour),
}
# How the service writes units of sexagesimal angles.
_UNIT_WORDS = {"h:m:s": "hourangle", "h": "hourangle", "d:m:s": "deg"}
_SEXAGESIMAL = r"^\s*([-+]?)(\d+)[ :](\d+)[ :](\d+(?:\.\d*)?)\s*$"
_TITLES = re.compile(r"^#\s*Num \|.*$", re.MULTILINE)
_PARAM = rb'<(?:vot:)?PARAM[^>]*\bID="%s"[^>]*\bvalue="([^"]*)"'


@dataclass(frozen=True)
class MovingAnswer:
    """All moving objects that the service knows in a cone at a time.

    Parameters
    ----------
    objects : `pyarrow.Table`
        With `OBJECT_SCHEMA`, no object twice; positions are astrometric, J2000.
    rows_in : int
        Rows that came.
    row_cap : int
        Fewer than so many rows are all there are.
    """

    objects: pa.Table
    rows_in: int
    row_cap: int


@dataclass(frozen=True)
class SkybotSource:
    """How SkyBoT is asked.

    Parameters
    ----------
    row_cap : int
        As many rows as that count as cut; the service itself knows no limit.
    """

    row_cap: int

    def parameters(self, cone: Cone, epoch_jd: float, observer: str = PALOMAR) -> dict[str, Any]:
        """What is asked, in full.

        Parameters
        ----------
        cone : `Cone`
            Where.
        epoch_jd : float
            When, Julian date in UTC.
        observer : str, optional
            IAU code of the observatory.
        """
        # astroquery knows the service's parameters, but takes any answer that is no table for an empty one,
        # or stumbles over it; so it only writes the question. It asks for objects whose positions are
        # known to 120 arcsec, the most the service allows.
        asked: dict[str, Any] = SkybotClass().cone_search_async(
            SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg"),
            cone.radius_deg * u.deg,
            epoch_jd,
            location=observer,
            get_query_payload=True,
        )
        plain = {name: value if isinstance(value, str) else float(value) for name, value in asked.items()}
        # Today's service calls the observatory by another name than the older one, whose name the library knows.
        return plain | {"-rd": _asked_radius_deg(cone), "-observer": observer, "-from": "vascodb"}

    def ask(
        self, session: EvidenceSession, endpoint: str, cone: Cone, epoch_jd: float, observer: str = PALOMAR
    ) -> MovingAnswer:
        """Ask once.

        Parameters
        ----------
        session : `EvidenceSession`
            Speaks to the service.
        endpoint : str
            Its address.
        cone, epoch_jd, observer
            See `parameters`.

        Raises
        ------
        LookupFailure
            For anything but a whole, sound answer to this very question.
        """
        body = session.get(endpoint, params=self.parameters(cone, epoch_jd, observer)).content
        raw = _read(body)
        _refuse_other_question(body, epoch_jd, observer)
        if raw.said_empty:
            return MovingAnswer(OBJECT_SCHEMA.empty_table(), 0, self.row_cap)
        n_rows = raw.rows.num_rows
        if n_rows == 0:
            raise LookupFailure(
                Cause.TRUNCATED, "a table without rows; the service says in words that a field is empty"
            )
        if n_rows >= self.row_cap:
            raise LookupFailure(Cause.ROW_CAP, f"{n_rows} rows, as many as are taken at most")
        objects = _objects(raw)
        _refuse_outside(objects, cone)
        return MovingAnswer(objects, n_rows, self.row_cap)


def _asked_radius_deg(cone: Cone) -> float:
    """The service measures distances on the tangent plane, where they are longer: 0.4 arcsec at one degree."""
    return float(np.degrees(np.tan(np.radians(min(cone.radius_deg, 80.0)))))


def _read(body: bytes) -> RawTable:
    if body.lstrip().startswith(b"#"):
        return _read_text(body.decode("utf-8", "replace"))
    try:
        return read_votable(body)
    except LookupFailure as failure:
        if failure.cause is Cause.SERVICE_ERROR and _NOTHING_FOUND in failure.detail:
            return RawTable(pa.table({}), said_empty=True)
        raise


def _read_text(text: str) -> RawTable:
    """Read the older format: remarks, a line of titles with units, a line per object, ' | ' between columns."""
    flag = re.search(r"^#\s*Flag:\s*(-?\d+)", text, re.MULTILINE)
    titles = _TITLES.search(text)
    if titles is None:
        if flag is not None and flag[1] == "0" and _NOTHING_FOUND in text:
            return RawTable(pa.table({}), said_empty=True)
        words = " ".join(line.lstrip("# ") for line in text.splitlines() if "Ticket" not in line)
        raise LookupFailure(Cause.SERVICE_ERROR, words or "an error without a word")
    if not text.endswith("\n"):
        raise LookupFailure(Cause.TRUNCATED, "the table ends in the middle of a line")
    named = [re.fullmatch(r"([^(]+?)\s*(?:\((.*)\))?", title.strip()) for title in titles[0].lstrip("# ").split(" | ")]
    names = [match[1] if match else "" for match in named]
    # Names of objects may hold bars, but none between spaces.
    rows = [line.strip().split(" | ") for line in text[titles.end() :].splitlines() if line.strip()]
    if any(len(row) != len(names) for row in rows):
        raise LookupFailure(Cause.TRUNCATED, f"the table has rows of other than {len(names)} columns")
    columns = zip(*rows, strict=True) if rows else iter([()] * len(names))
    table = {name: pa.array([cell.strip() or None for cell in column], pa.string())
             for name, column in zip(names, columns, strict=True)}  # fmt: skip
    return RawTable(pa.table(table), {match[1]: match[2] for match in named if match and match[2]})


def _refuse_other_question(body: bytes, epoch_jd: float, observer: str) -> None:
    """The VOTable repeats the question; a parameter that the service did not know shows there."""
    said = _said(body, b"observer")
    if said is not None and said.strip() != observer:
        raise LookupFailure(Cause.SERVICE_ERROR, f"the answer is for observatory {said}, not {observer}")
    said = _said(body, b"epoch")
    if said is not None and (apart_s := abs(_julian_date(said) - epoch_jd) * 86400.0) > _SAME_TIME_S:
        raise LookupFailure(
            Cause.SERVICE_ERROR, f"the answer is for {said}, {apart_s:.0f} s from the time asked for, JD {epoch_jd}"
        )


def _said(body: bytes, name: bytes) -> str | None:
    match = re.search(_PARAM % name, body)
    return match[1].decode() if match else None


def _julian_date(said: str) -> float:
    try:
        return float(said)
    except ValueError:
        pass
    try:
        return julian_day(julian_year(datetime.fromisoformat(said.strip()).replace(tzinfo=UTC)))
    except ValueError as error:
        raise LookupFailure(Cause.NOT_THE_FORMAT, f"the answer is for a time that cannot be read: {said!r}") from error


def _objects(raw: RawTable) -> pa.Table:
    """The answer's columns under our names, every row checked."""
    found = {name: _column(raw, *entry) for name, entry in _COLUMNS.items()}
    ra_deg, dec_deg = 15.0 * _angle(found["ra"], "right ascension"), _angle(found["dec"], "declination")
    if not (np.all(ra_deg < 360.0) and np.all(ra_deg >= 0.0) and np.all(np.abs(dec_deg) <= 90.0)):
        raise LookupFailure(Cause.BAD_ROWS, "a row has an impossible position")
    names = found["name"].to_pylist()
    numbers = [int(text) if text is not None and text.isdigit() else None for text in found["number"].to_pylist()]
    if any(name is None for name in names):
        raise LookupFailure(Cause.BAD_ROWS, "a row has no name")
    ids = [content_id("moving object", number, name) for number, name in zip(numbers, names, strict=True)]
    if len(set(ids)) != len(ids):
        raise LookupFailure(Cause.DUPLICATE_ROWS, f"{len(ids) - len(set(ids))} objects occur more than once")
    error_arcsec = _floats(found["error"], "uncertainty")
    if np.any(error_arcsec < 0):
        raise LookupFailure(Cause.BAD_ROWS, "a row has a negative uncertainty")
    columns = [
        pa.array(ids, pa.int64()),
        pa.array(names, pa.string()),
        pa.array(numbers, pa.int32()),
        found["class"],
        pa.array(ra_deg),
        pa.array(dec_deg),
        _nullable(_floats(found["rate_ra"], "motion")),
        _nullable(_floats(found["rate_dec"], "motion")),
        _nullable(_floats(found["mag"], "magnitude")),
        _nullable(error_arcsec),
    ]
    return pa.table(columns, schema=OBJECT_SCHEMA)


def _column(raw: RawTable, names: tuple[str, ...], unit: Any) -> pa.ChunkedArray:
    name = next((each for each in names if each in raw.rows.column_names), None)
    if name is None:
        raise LookupFailure(
            Cause.MISSING_COLUMN, f"no column {' or '.join(names)}; there are: {', '.join(raw.rows.column_names)}"
        )
    if unit is not None:
        said = raw.units.get(name, "").strip('"')
        try:
            check_unit(name, _UNIT_WORDS.get(said, said), unit)
        except WrongUnitError as error:
            raise LookupFailure(Cause.WRONG_UNIT, str(error)) from error
    return raw.rows[name]


def _angle(column: pa.ChunkedArray, what: str) -> NDArray[np.float64]:
    """Angles written as three numbers, in the unit of the first; the sign is the text's, so that -00 stays negative."""
    matches = [re.match(_SEXAGESIMAL, text or "") for text in column.cast(pa.string()).to_pylist()]
    values = []
    for row, match in enumerate(matches, start=1):
        if match is None or float(match[3]) >= 60 or float(match[4]) > 60:
            raise LookupFailure(Cause.BAD_ROWS, f"row {row} has no {what} that can be read: {column[row - 1]}")
        size = float(match[2]) + float(match[3]) / 60 + float(match[4]) / 3600
        values.append(-size if match[1] == "-" else size)
    return np.array(values, dtype=np.float64)


def _floats(column: pa.ChunkedArray, what: str) -> NDArray[np.float64]:
    if not pa.types.is_string(column.type):
        return np.asarray(column.to_pandas(), dtype=np.float64)
    try:
        return np.array([np.nan if text in (None, "-") else float(text) for text in column.to_pylist()])
    except ValueError as error:
        raise LookupFailure(Cause.BAD_ROWS, f"a row has no {what} that can be read: {error}") from error


def _nullable(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values.astype(np.float32), mask=~np.isfinite(values))


def _refuse_outside(objects: pa.Table, cone: Cone) -> None:
    there = (np.radians(objects[name].to_numpy()) for name in ("ra", "dec"))
    distance = np.degrees(angular_separation(np.radians(cone.ra_deg), np.radians(cone.dec_deg), *there))
    outside = np.flatnonzero((distance - _asked_radius_deg(cone)) * 3600.0 > _RIM_ARCSEC)
    if len(outside):
        raise LookupFailure(
            Cause.WRONG_SKY,
            f"{len(outside)} of {len(distance)} objects lie outside the {cone.description}, such as "
            f"{objects['name'][int(outside[0])]}",
        )
