"""Detections and their PSF measurements into the database."""

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, text

from vascodb.bulk import staged
from vascodb.columns import read_columns
from vascodb.db import Database
from vascodb.extract.ldac import DETECTION_COLUMNS, DetectionTable, PsfMeasurements
from vascodb.plates.footprint import cells
from vascodb.plates.solution import Astrometry

__all__ = ["load_detections", "save_detections", "save_measurements"]

_FLOATS = (
    "x_image", "y_image", "elongation", "ellipticity", "fwhm_image", "flux_auto", "mag_auto", "flux_aper",
    "class_star", "snr_win",
)  # fmt: skip
_SHORTS = ("flags", "xmin_image", "xmax_image", "ymin_image", "ymax_image")


def save_detections(
    database: Database,
    connection: Connection,
    extraction_id: int,
    detections: DetectionTable,
    astrometry: Astrometry,
) -> None:
    """Store all detections of an extraction, in the order of their numbers.

    Sky positions are the windowed pixel positions through the image's own astrometric solution;
    SExtractor's world coordinates are never used.
    """
    ra, dec = astrometry.solution.pixel_to_sky(detections.xwin_image, detections.ywin_image)
    columns = {
        "number": detections.number.astype(np.int32),
        "ra": ra,
        "dec": dec,
        "xwin_image": detections.xwin_image,
        "ywin_image": detections.ywin_image,
        "hpx29": cells(ra, dec),
    }
    columns |= {name: getattr(detections, name).astype(np.float32) for name in _FLOATS}
    columns |= {name: getattr(detections, name).astype(np.int16) for name in _SHORTS}
    names = ", ".join([*_FLOATS, *_SHORTS])
    with staged(database, connection, pa.table(columns), "detection") as staging:
        connection.execute(
            text(f"""
                INSERT INTO vasco.detection (
                    extraction_id, number, ra, dec, ra_raw, dec_raw, xwin_image, ywin_image, hpx29, {names}
                )
                SELECT :extraction_id, number, ra, dec, ra, dec, xwin_image, ywin_image, hpx29, {names}
                FROM {staging}
                ORDER BY number
            """),
            {"extraction_id": extraction_id},
        )


def save_measurements(
    database: Database, connection: Connection, extraction_id: int, measurements: PsfMeasurements
) -> None:
    """Store SPREAD_MODEL and its error for the detections that were measured."""
    table = pa.table(
        {
            "number": measurements.number.astype(np.int32),
            "spread_model": measurements.spread_model.astype(np.float32),
            "spreaderr_model": measurements.spreaderr_model.astype(np.float32),
        }
    )
    with staged(database, connection, table, "measurement") as staging:
        connection.execute(
            text(f"""
                UPDATE vasco.detection AS d
                SET spread_model = m.spread_model, spreaderr_model = m.spreaderr_model
                FROM {staging} AS m
                WHERE d.extraction_id = :extraction_id AND d.number = m.number
            """),
            {"extraction_id": extraction_id},
        )


def load_detections(connection: Connection, extraction_id: int) -> DetectionTable:
    """Read the detections of an extraction back, in SExtractor's order and precision."""
    statement = "SELECT * FROM vasco.detection WHERE extraction_id = :id ORDER BY number"
    return DetectionTable.from_columns(read_columns(connection, statement, {"id": extraction_id}, DETECTION_COLUMNS))
