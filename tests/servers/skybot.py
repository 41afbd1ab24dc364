"""SkyBoT's cone search: solar system objects that move, at the epoch and for the observer asked about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from astropy import units as u
from astropy.coordinates import Angle, angular_separation
from astropy.table import MaskedColumn, Table
from astropy.time import Time

from servers import content
from servers.http import Request, ServiceServer
from servers.transport import Answer

NOTHING_FOUND = "No solar system object was found in the requested FOV"


@dataclass(frozen=True)
class MovingObject:
    """An object on a straight line.

    Parameters
    ----------
    name
        Name.
    ra_deg, dec_deg
        Position as seen from the Earth's centre at `epoch_jd` [deg].
    epoch_jd
        Epoch of the position [d, UTC].
    ra_rate, dec_rate
        Motion, the one in right ascension times cos(dec) [arcsec/h].
    magnitude
        Visual magnitude [mag].
    error_arcsec
        Uncertainty of the position [arcsec].
    number
        Number, empty for an object without one.
    kind
        Class, such as ``MB>Middle``.
    """

    name: str
    ra_deg: float
    dec_deg: float
    epoch_jd: float
    ra_rate: float = 0.0
    dec_rate: float = 0.0
    magnitude: float = 18.0
    error_arcsec: float = 0.1
    number: str = ""
    kind: str = "MB>Middle"

    def at(self, jd: float, parallax_arcsec: tuple[float, float] = (0.0, 0.0)) -> tuple[float, float]:
        """Return right ascension and declination at an epoch, shifted by an observer's parallax [deg]."""
        hours = (jd - self.epoch_jd) * 24.0
        dec = self.dec_deg + (self.dec_rate * hours + parallax_arcsec[1]) / 3600.0
        along = (self.ra_rate * hours + parallax_arcsec[0]) / 3600.0
        return (self.ra_deg + along / np.cos(np.radians(self.dec_deg))) % 360.0, dec


class SkybotServer(ServiceServer):
    """SkyBoT over objects given by the test; its address ends with ``conesearch.php``.

    Parameters
    ----------
    objects
        The solar system.
    parallax_arcsec
        Shift of every object for an observer's code, right ascension times cos(dec) and declination [arcsec];
        none for the Earth's centre (500) and for codes not listed.
    """

    protocol: ClassVar[str] = "skybot"
    base_path: ClassVar[str] = "/webservices/skybot/api/conesearch.php"

    def __init__(
        self, objects: Iterable[MovingObject], *, parallax_arcsec: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        super().__init__()
        self.objects = list(objects)
        self.parallax_arcsec = dict(parallax_arcsec or {})

    def answer(self, request: Request, fault: str | None) -> Answer:
        """Answer a cone search, as VOTable or as text."""
        if request.path != self.base_path:
            return Answer(b"not found\n", 404)
        as_text = request.first("-mime", "votable").lower() == "text"
        if fault == "service_error":
            return _problem("Unable to compute the ephemerides: internal error", as_text=as_text)
        try:
            jd = _epoch(request.first("-ep"))
            ra, dec, radius_deg = float(request.first("-ra")), float(request.first("-dec")), _radius_deg(request)
        except ValueError as problem:
            return _problem(f"Bad parameter: {problem}", as_text=as_text)
        rows = self._search(request, jd, ra, dec, radius_deg)
        spoilt = _sexagesimal(content.spoil_rows(rows, fault, "_raj2000", "_decj2000"), fault)
        if fault == "overflow":
            spoilt = content.half(spoilt)
        if len(spoilt) == 0 and fault != "header_only":
            return _problem(NOTHING_FOUND, as_text=as_text)
        if as_text:
            return Answer(_text(spoilt, request.first("-output", "basic"), jd).encode())
        infos = [("-c", f"{ra!r}{dec:+},rs={radius_deg * 3600:g}"), ("Epoch", str(request.first("-ep")))]
        body = _votable(spoilt, infos, data=fault != "header_only", overflow=fault == "overflow")
        return Answer(body.encode(), 200, "text/xml; charset=UTF-8")

    def _search(self, request: Request, jd: float, ra: float, dec: float, radius_deg: float) -> Table:
        parallax = self.parallax_arcsec.get(request.first("-observer") or request.first("-loc", "500"), (0.0, 0.0))
        largest_error = float(request.first("-filter") or 120.0)
        found = []
        for each in self.objects:
            x, y = each.at(jd, parallax)
            apart = float(np.degrees(angular_separation(*np.radians([x, y, ra, dec]))))
            if apart <= radius_deg and (largest_error <= 0 or each.error_arcsec <= largest_error):
                found.append((apart, each, x, y))
        found.sort(key=lambda one: one[0])
        table = Table()
        table["num"] = MaskedColumn([each.number or "-" for _, each, _, _ in found], dtype="U8")
        table["name"] = MaskedColumn([each.name for _, each, _, _ in found], dtype="U32")
        table["class"] = MaskedColumn([each.kind for _, each, _, _ in found], dtype="U24")
        table["magV"] = MaskedColumn([each.magnitude for _, each, _, _ in found], dtype="f8")
        table["errpos"] = MaskedColumn([each.error_arcsec for _, each, _, _ in found], dtype="f8", unit="arcsec")
        table["angdist"] = MaskedColumn([apart * 3600 for apart, _, _, _ in found], dtype="f8", unit="arcsec")
        table["dracosdec"] = MaskedColumn([each.ra_rate for _, each, _, _ in found], dtype="f8")
        table["ddec"] = MaskedColumn([each.dec_rate for _, each, _, _ in found], dtype="f8")
        table["_raj2000"] = MaskedColumn([x for _, _, x, _ in found], dtype="f8", unit="deg")
        table["_decj2000"] = MaskedColumn([y for _, _, _, y in found], dtype="f8", unit="deg")
        return table


def _epoch(text: str) -> float:
    """Return a Julian date given as such or as an ISO date."""
    try:
        return float(text)
    except ValueError:
        return float(Time(text.replace("T", " "), format="iso", scale="utc").jd)


def _radius_deg(request: Request) -> float:
    for name, divisor in (("-rs", 3600.0), ("-rm", 60.0), ("-rd", 1.0)):
        if request.first(name):
            radius = float(request.first(name)) / divisor
            if not 0 < radius <= 10:
                raise ValueError(f"{name}={request.first(name)} is not between 0 and 10 degrees")
            return radius
    raise ValueError("a radius -rs, -rm or -rd is due")


def _sexagesimal(table: Table, fault: str | None) -> Table:
    """Add the positions as the service shows them first, in hours and degrees."""
    table = table.copy()
    if fault == "wrong_unit":
        for shown, hidden in (("ra", "_raj2000"), ("de", "_decj2000")):
            table[shown] = MaskedColumn([f"{value:.9f}" for value in table[hidden]], dtype="U16", unit="rad")
        return table
    for shown, hidden, unit, digits in (("ra", "_raj2000", u.hourangle, 4), ("de", "_decj2000", u.deg, 3)):
        if hidden not in table.colnames:
            continue
        texts = [
            "" if np.isnan(value)
            else str(Angle(value, u.deg).to_string(unit, sep=" ", precision=digits, pad=True, alwayssign=shown == "de"))
            for value in np.ma.filled(np.ma.asarray(table[hidden], dtype=float), np.nan)
        ]  # fmt: skip
        table[shown] = MaskedColumn(texts, dtype="U16")
    return table


_FIELDS = {
    "num": ('name="Num" ucd="meta.id;meta.number" datatype="char" arraysize="6"', None),
    "name": ('name="Name" ucd="meta.id;meta.main" datatype="char" arraysize="32"', None),
    "ra": ('name="RA" ucd="pos.eq.ra;meta.main" datatype="char" arraysize="13"', "h:m:s"),
    "de": ('name="DEC" ucd="pos.eq.dec;meta.main" datatype="char" arraysize="13"', "d:m:s"),
    "class": ('name="Class" ucd="meta.code.class;src.class" datatype="char" arraysize="24"', None),
    "magV": ('name="Mv" ucd="phot.mag;em.opt.V" datatype="float" width="13" precision="2"', None),
    "errpos": ('name="ErrPos" ucd="stat.error.sys" datatype="float" width="10" precision="3"', "arcsec"),
    "angdist": ('name="d" ucd="pos.ang" datatype="float" width="8" precision="3"', "arcsec"),
    "dracosdec": ('name="dRAcosDec" ucd="pos.pm;pos.eq.ra" datatype="double" width="12"', "arcsec/h"),
    "ddec": ('name="dDEC" ucd="pos.pm;pos.eq.dec" datatype="double" width="12"', "arcsec/h"),
    "_raj2000": ('name="_RAJ2000" ucd="pos.eq.ra" datatype="double" type="hidden"', "deg"),
    "_decj2000": ('name="_DECJ2000" ucd="pos.eq.dec" datatype="double" type="hidden"', "deg"),
}


def _votable(table: Table, infos: Sequence[tuple[str, str]], *, data: bool, overflow: bool) -> str:
    names = [name for name in _FIELDS if name in table.colnames]
    fields = ""
    for name in names:
        attributes, unit = _FIELDS[name]
        if table[name].unit is not None:
            unit = str(table[name].unit)
        fields += f'<vot:FIELD ID="{name}" {attributes}' + (f' unit="{unit}"/>\n' if unit else "/>\n")
    rows = "".join(
        "<vot:TR>" + "".join(f"<vot:TD>{escape(str(row[name]))}</vot:TD>\n" for name in names) + "</vot:TR>\n"
        for row in table
    )
    body = f"<vot:DATA><vot:TABLEDATA>{rows}</vot:TABLEDATA>\n</vot:DATA>\n" if data else ""
    return (
        f"{_HEAD}"
        '<vot:INFO ID="status" name="QUERY_STATUS" value="OK"/>\n'
        + "".join(f"<vot:INFO name={quoteattr(name)} value={quoteattr(value)}/>\n" for name, value in infos)
        + '<vot:RESOURCE name="Skybot.ConeSearch"><vot:INFO name="QUERY_STATUS" value="OK"/>\n'
        + f'<vot:TABLE ID="SkybotConeSearch_results" name="SkybotConeSearch" nrows="{len(table)}">'
        + f"{fields}{body}</vot:TABLE>\n"
        + ('<vot:INFO name="QUERY_STATUS" value="OVERFLOW"/>\n' if overflow else "")
        + "</vot:RESOURCE>\n</vot:VOTABLE>\n"
    )


_HEAD = (
    '<?xml version="1.0" encoding="UTF-8" ?>\n<vot:VOTABLE version="1.3" xmlns:xsi="http://www.w3.org/2001/'
    'XMLSchema-instance" xmlns:vot="http://www.ivoa.net/xml/VOTable/v1.3">\n'
)


def _text(table: Table, output: str, jd: float) -> str:
    names = ["num", "name", "ra", "de", "class", "magV", "errpos", "angdist"]
    titles = "# Num | Name | RA(h) | DE(deg) | Class | Mv | Err(arcsec) | d(arcsec)"
    if output == "all":
        names += ["dracosdec", "ddec"]
        titles += " | dRA(arcsec/h) | dDEC(arcsec/h) | Ref. Epoch(JD)"
    lines = ["# Flag: 1", "# Ticket: 1548711633538", titles]
    for row in table:
        cells = [str(row[name]) for name in names if name in table.colnames]
        lines.append(" " + " | ".join([*cells, *([f"{jd:.6f}"] if output == "all" else [])]))
    return "\n".join(lines) + "\n"


def _problem(message: str, *, as_text: bool) -> Answer:
    """Return the document for an error and for an empty field alike, status 200, as the service has it."""
    if as_text:
        return Answer(f"# Flag: 0\n# Ticket: 1548711633538\n# {message}\n".encode())
    body = (
        f'{_HEAD}<vot:INFO ID="status" name="QUERY_STATUS" value="ERROR">{escape(message)}</vot:INFO>\n'
        '<vot:RESOURCE name="Skybot.ConeSearch">'
        f'<vot:INFO name="QUERY_STATUS" value="ERROR">{escape(message)}</vot:INFO>\n</vot:RESOURCE>\n</vot:VOTABLE>\n'
    )
    return Answer(body.encode(), 200, "text/xml; charset=UTF-8")
