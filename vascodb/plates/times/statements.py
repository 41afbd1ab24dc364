"""What the database holds of each plate's exposure: headers of plates and images, and of the CD-ROMs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.plates.cdrom_headers import CDROM
from vascodb.plates.dates import read_exposure_times
from vascodb.plates.dss import DssSolution
from vascodb.plates.solution import read_astrometry
from vascodb.plates.tangent import plane_to_sky
from vascodb.plates.times.order import Label, read_label
from vascodb.plates.times.readings import Reading, header_readings

__all__ = ["Statements", "read_statements"]


@dataclass(frozen=True)
class Statements:
    """All that is said of one plate.

    Parameters
    ----------
    plate_id : str
        The plate.
    source : str
        The header that ``readings`` are of, as in ``plate.exposure_time``.
    date_obs_raw : str or None
        Its ``DATE-OBS``.
    readings : list of `Reading`
        What it can mean. Where there is only a header with separate date and time, the one moment that it says.
    clock_note : str or None
        What narrowed the readings, for people.
    obsha_hours : float
        Its hour angle east, NaN if it has none.
    ra_deg, dec_deg : float
        Middle of the plate, J2000; NaN if unknown.
    label : `Label` or None
        Its number.
    exposure_minutes : float or None
        Length of the exposure.
    cdrom_start : `~datetime.datetime` or None
        Start by the header on a CD-ROM, or by that of an image made from one.
    """

    plate_id: str
    source: str
    date_obs_raw: str | None
    readings: list[Reading]
    clock_note: str | None
    obsha_hours: float
    ra_deg: float
    dec_deg: float
    label: Label | None
    exposure_minutes: float | None
    cdrom_start: datetime | None


@dataclass
class _Draft:
    """A plate's header, and what other headers add."""

    source: str
    header: dict[str, Any]
    centre: tuple[float, float]
    exposure_minutes: float | None


def read_statements(connection: Connection) -> list[Statements]:
    """Everything said of every plate that a header is stored of, in the order of their names."""
    drafts = _plates(connection) | _plates_known_by_images(connection)
    cdrom = _cdrom(connection)
    written: dict[str, list[str]] = {}
    for plate_id, image_id, date_raw, ut_raw in _images(connection):
        # An image made from a CD-ROM repeats that header.
        separate = read_exposure_times({"DATE-OBS": date_raw, "UT": ut_raw})
        if ut_raw and separate.literal_start is not None and not header_readings(date_raw):
            cdrom.setdefault(plate_id, (f"image {image_id}", separate.literal_start, None))
        else:
            written.setdefault(plate_id, []).append(date_raw)
    return [
        _statements(plate_id, drafts.get(plate_id), cdrom.get(plate_id), written.get(plate_id, []))
        for plate_id in sorted(drafts.keys() | cdrom.keys())
    ]


def _statements(
    plate_id: str,
    draft: _Draft | None,
    cdrom: tuple[str, datetime, float | None] | None,
    written_in_images: list[str],
) -> Statements:
    start = None if cdrom is None else cdrom[1]
    date_raw = None if draft is None else str(draft.header.get("DATE-OBS") or "") or None
    readings = header_readings(date_raw)
    if not readings and cdrom is not None and start is not None:
        # The only header has date and time apart, and means one moment.
        readings = [Reading("as written", 0, start)]
    readings, note = _narrowed(readings, written_in_images)
    header = {} if draft is None else draft.header
    ra, dec = (np.nan, np.nan) if draft is None else draft.centre
    exposure = None if draft is None else draft.exposure_minutes
    if exposure is None and cdrom is not None:
        exposure = cdrom[2]
    source = draft.source if draft is not None else cdrom[0] if cdrom is not None else ""
    return Statements(
        plate_id, source, date_raw, readings, note, _number(header.get("OBSHA")), ra, dec,
        read_label(str(header.get("PLTLABEL") or "")), exposure, start,
    )  # fmt: skip


def _narrowed(readings: list[Reading], written_in_images: list[str]) -> tuple[list[Reading], str | None]:
    """The readings that agree with headers of images, where a surplus of minutes was not carried."""
    for date_raw in written_in_images:
        uncarried = header_readings(date_raw)
        if {r.clock for r in uncarried} == {"as written"}:
            starts = {r.start for r in uncarried}
            agreeing = [r for r in readings if r.start in starts]
            if agreeing and len(agreeing) < len(readings):
                return agreeing, f"an image's header writes {date_raw}, whose minutes were not carried"
    return readings, None


def _plates(connection: Connection) -> dict[str, _Draft]:
    rows = connection.execute(
        text("""
            SELECT
                plate_id, ra, dec, exposure_minutes, date_obs_raw AS "DATE-OBS", plate_label AS "PLTLABEL",
                header -> 'OBSHA' AS "OBSHA"
            FROM plate.plate
        """)
    ).mappings()
    return {
        row["plate_id"]: _Draft("plate header", dict(row), (row["ra"], row["dec"]), row["exposure_minutes"])
        for row in rows
    }


def _plates_known_by_images(connection: Connection) -> dict[str, _Draft]:
    rows = connection.execute(
        text("""
            SELECT DISTINCT ON (i.plate_id) i.plate_id, i.image_id, i.header, i.exposure_minutes
            FROM plate.image AS i
            WHERE i.status = 'ok' AND NOT EXISTS (SELECT 1 FROM plate.plate AS p WHERE p.plate_id = i.plate_id)
            ORDER BY i.plate_id, i.image_id
        """)
    )
    return {
        plate_id: _Draft(f"image {image_id}", header, _plate_middle(header), exposure)
        for plate_id, image_id, header, exposure in rows
    }


def _plate_middle(header: dict[str, Any]) -> tuple[float, float]:
    """Middle of the whole plate, by the header of an image of a part of it."""
    try:
        solution = read_astrometry(header, kind="dss").solution
    except InputError:
        return np.nan, np.nan
    assert isinstance(solution, DssSolution)
    # The constant terms: where the polynomial puts the middle of the glass.
    ra, dec = plane_to_sky(solution.amdx[2], solution.amdy[2], solution.plate_ra_deg, solution.plate_dec_deg)
    return float(ra), float(dec)


def _images(connection: Connection) -> list[tuple[str, int, str, str | None]]:
    rows = connection.execute(
        text("""
            SELECT plate_id, min(image_id) AS image_id, date_obs_raw, ut_raw
            FROM plate.image
            WHERE status = 'ok' AND date_obs_raw IS NOT NULL
            GROUP BY plate_id, date_obs_raw, ut_raw
            ORDER BY plate_id, date_obs_raw, ut_raw
        """)
    )
    return [(row.plate_id, row.image_id, row.date_obs_raw, row.ut_raw) for row in rows]


def _cdrom(connection: Connection) -> dict[str, tuple[str, datetime, float | None]]:
    rows = connection.execute(
        text("""
            SELECT plate_id, start_utc, extract(epoch FROM mid_utc - start_utc)::double precision / 30
            FROM plate.exposure_time
            WHERE source = :cdrom AND reading = 'literal'
        """),
        {"cdrom": CDROM},
    )
    return {plate_id: (CDROM, start, minutes) for plate_id, start, minutes in rows}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else np.nan
