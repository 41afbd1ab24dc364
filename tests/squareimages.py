"""Square images, exposed about a moment that is known."""

import itertools
from datetime import UTC, datetime, timedelta

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from mocpy import MOC
from sqlalchemy import Connection, text
from toysky import ToySky

from vascodb.plates.dates import julian_year
from vascodb.plates.footprint import multirange, polygon

__all__ = ["MID_EXPOSURE", "MID_JD", "PLACES", "image_in", "set_literal_time", "set_time", "square"]

MID_EXPOSURE = datetime(1951, 11, 29, 12, 32, tzinfo=UTC)
MID_JD = 2433980.0222222
PLACES = {
    "plain": (132.8, 11.8),
    "across 0h": (359.9, 5.0),
    "equator": (20.0, 0.0),
    "pole": (45.0, 89.6),
    "41.81": (90.0, 41.81),
}


def square(ra_deg: float, dec_deg: float, side_deg: float) -> tuple[MOC, float]:
    """The cells of a square of sky, and the distance of its corners."""
    centre = SkyCoord(ra_deg, dec_deg, unit="deg")
    radius_deg = side_deg / 2**0.5
    corners = centre.directional_offset_by(np.array([45, 135, 225, 315]) * u.deg, radius_deg * u.deg)
    return polygon(corners.ra.deg, corners.dec.deg), radius_deg


def image_in(
    connection: Connection, where: str, side_deg: float, moment: datetime = MID_EXPOSURE, number: int = 1
) -> int:
    ra, dec = PLACES[where]
    footprint, radius_deg = square(ra, dec, side_deg)
    sky = ToySky(connection)
    sky._ids = itertools.count(number)
    # What its own header says is a day early, as on most plates.
    image_id = sky.extraction(ra, dec, radius_deg, epoch_jyear=julian_year(moment - timedelta(days=1)))
    sky.execute(
        "UPDATE plate.image SET footprint = CAST(:r AS int8multirange), exposure_minutes = 50, plate_id = 'XE' || :id "
        "WHERE image_id = :id",
        r=multirange(footprint), id=image_id,
    )  # fmt: skip
    set_time(connection, image_id, moment)
    return image_id


def set_literal_time(connection: Connection, image_id: int, start: datetime) -> None:
    """When the header of an image's plate has it that the exposure began."""
    connection.execute(
        text("""
            INSERT INTO plate.exposure_time (plate_id, source, reading, start_utc, mid_utc, time_quality, evidence)
            VALUES ('XE' || :id, 'plate header', 'literal', :start, :mid, 'conflicting', 'the header')
        """),
        {"id": image_id, "start": start, "mid": start + timedelta(minutes=25)},
    )


def set_time(connection: Connection, image_id: int, mid: datetime | None, quality: str = "agreed") -> None:
    """What is known of when an image's plate was exposed."""
    connection.execute(
        text("""
            INSERT INTO plate.exposure_time (
                plate_id, source, reading, start_utc, mid_utc, uncertainty_minutes, time_quality, evidence
            )
            VALUES ('XE' || :id, 'solution', 'corrected', :start, :mid, :error, :quality, 'two witnesses disagree')
            ON CONFLICT (plate_id, source, reading) DO UPDATE
            SET start_utc = excluded.start_utc, mid_utc = excluded.mid_utc, time_quality = excluded.time_quality,
                uncertainty_minutes = excluded.uncertainty_minutes
        """),
        {
            "id": image_id, "mid": mid, "start": mid and mid - timedelta(minutes=25), "error": mid and 0.5,
            "quality": quality,
        },
    )  # fmt: skip
