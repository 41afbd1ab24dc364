"""Predictions over images, stored as look-ups of a catalogue of moving objects."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, text

from vascodb.asteroids.elements import Elements
from vascodb.asteroids.integrate import Accuracy
from vascodb.asteroids.observe import PALOMAR
from vascodb.asteroids.planets import Planets
from vascodb.asteroids.predict import Exposures, Passages, predict
from vascodb.db import Database
from vascodb.ids import content_id
from vascodb.loaders.fetch.moving import add_objects, find_times
from vascodb.loaders.fetch.reach import stage_rim_arcsec
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import catalog
from vascodb.loaders.sources.skybot import OBJECT_SCHEMA
from vascodb.loaders.store import LookupRecord, record_lookup

__all__ = ["CATALOG", "PredictionTotals", "predict_over_images"]

CATALOG = "asteroids_offline"
_JD_DECIMALS = 6


@dataclass(frozen=True)
class PredictionTotals:
    """What became of the images.

    Parameters
    ----------
    predicted, known, untimed : int
        Images predicted for now, known before from the same file, and without a time that can be trusted.
    objects : int
        Bodies over the images predicted for.
    """

    predicted: int
    known: int
    untimed: int
    objects: int


def predict_over_images(
    database: Database,
    elements: Elements,
    image_ids: Collection[int],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> PredictionTotals:
    """Predict which bodies of a file were over images, and store it; what is known from the same file stays.

    A look-up is complete in that all bodies of the file were followed: that an image is clear says only that
    none of these was there. Which bodies those are is kept once for each file, so that what another source says of
    them can be held against it. An image whose time is in conflict or not known gets no look-up.

    Parameters
    ----------
    database : `Database`
        Where to.
    elements : `Elements`
        The bodies.
    image_ids : collection of int
        Images; refused ones are passed over.
    progress : callable, optional
        Called with the number of images done, and of all.
    """
    planets, accuracy = Planets(), Accuracy()
    with database.connect() as connection:
        # As far as stages search about the outermost detections.
        margin_deg = (catalog(CATALOG).coverage_margin_arcsec + stage_rim_arcsec(connection, CATALOG)) / 3600.0
        _store_bodies(connection, elements)
        find_times(connection, image_ids)
        images = _images(connection, image_ids)
        timed = [image for image in images if image.mid_jd is not None]
        wanted = [
            image for image in timed if not _is_known(connection, _lookup_id(elements, _region(image, margin_deg)))
        ]
    exposures = Exposures(
        _floats(image.ra for image in wanted),
        _floats(image.dec for image in wanted),
        _floats(image.radius_deg + margin_deg for image in wanted),
        _floats(image.mid_jd for image in wanted),
        _floats(np.nan if image.exposure_minutes is None else image.exposure_minutes for image in wanted),
    )
    n_objects = 0
    for n_done, passages in enumerate(predict(elements, planets, exposures, accuracy=accuracy), start=1):
        # One image is one transaction: what is there when it is stopped is whole.
        with database.connect() as connection:
            _store(connection, margin_deg, elements, planets, accuracy, wanted[passages.exposure], passages)
        n_objects += len(passages.bodies)
        progress(n_done, len(wanted))
    return PredictionTotals(len(wanted), len(timed) - len(wanted), len(images) - len(timed), n_objects)


def _images(connection: Connection, image_ids: Collection[int]) -> list[Row[Any]]:
    return list(
        connection.execute(
            text("""
                SELECT
                    i.image_id, i.ra, i.dec, i.radius_deg, i.exposure_minutes, k.mid_jd,
                    t.time_quality, t.uncertainty_minutes
                FROM plate.image AS i
                CROSS JOIN LATERAL plate.moment_of(i.image_id) AS k
                LEFT JOIN plate.exposure_time AS t
                    ON t.plate_id = i.plate_id AND t.source = 'solution' AND t.reading = 'corrected'
                WHERE i.image_id = ANY (:ids) AND i.status = 'ok'
                ORDER BY i.image_id
            """),
            {"ids": list(image_ids)},
        ).all()
    )


def _region(image: Row[Any], margin_deg: float) -> str:
    cone = _cone(image, margin_deg)
    return f"{cone.description} at JD {image.mid_jd:.6f} from {PALOMAR.code}, image {image.image_id}"


def _cone(image: Row[Any], margin_deg: float) -> Cone:
    return Cone(image.ra, image.dec, image.radius_deg + margin_deg)


def _lookup_id(elements: Elements, region: str) -> int:
    # The same file with another limit is another set of bodies.
    limit = [] if elements.limit_mag is None else [elements.limit_mag]
    return content_id("lookup", CATALOG, "file", region, elements.sha256, *limit)


def _bodies_id(elements: Elements) -> int:
    return _lookup_id(elements, "bodies")


def _store_bodies(connection: Connection, elements: Elements) -> None:
    """Keep which bodies of the file are followed: numbers as ranges, of the others the names."""
    numbers = np.unique(elements.numbers[elements.numbers > 0])
    starts = np.flatnonzero(np.diff(numbers, prepend=-1) > 1)
    ends = np.append(starts[1:], len(numbers)) - 1 if len(starts) else starts
    ranges = ",".join(f"[{numbers[a]},{numbers[b] + 1})" for a, b in zip(starts, ends, strict=True))
    record_lookup(
        connection,
        LookupRecord(
            lookup_id=_bodies_id(elements),
            catalog=CATALOG,
            kind="file",
            endpoint=elements.source,
            region="the bodies of the file",
            parameters={
                "numbers": "{" + ranges + "}",
                "left_out": list(elements.left_out),
                "designations": sorted(elements.names[row] for row in np.flatnonzero(elements.numbers == 0).tolist()),
            },
            complete=True,
            rows_in=len(elements),
            response_sha256=elements.sha256,
        ),
    )


def _is_known(connection: Connection, lookup_id: int) -> bool:
    return bool(
        connection.scalar(
            text("SELECT EXISTS (SELECT 1 FROM ref.moving_look WHERE lookup_id = :id)"), {"id": lookup_id}
        )
    )


def _store(
    connection: Connection,
    margin_deg: float,
    elements: Elements,
    planets: Planets,
    accuracy: Accuracy,
    image: Row[Any],
    passages: Passages,
) -> None:
    region = _region(image, margin_deg)
    lookup_id = _lookup_id(elements, region)
    record_lookup(
        connection,
        LookupRecord(
            lookup_id=lookup_id,
            catalog=CATALOG,
            kind="file",
            endpoint=elements.source,
            region=region,
            parameters={
                "epoch_jd": round(image.mid_jd, _JD_DECIMALS),
                "time_quality": image.time_quality,
                "observer": PALOMAR.code,
                "bodies": len(elements),
                "bodies_lookup_id": _bodies_id(elements),
                "left_out": len(elements.left_out),
                "brighter_than": elements.limit_mag,
                "faintest_h": float(np.max(elements.absolute_mag)),
                "planets": planets.name,
                "rtol": accuracy.rtol,
            },
            complete=True,
            rows_in=len(passages.bodies),
            response_sha256=elements.sha256,
        ),
    )
    cone = _cone(image, margin_deg)
    connection.execute(
        text("""
            INSERT INTO ref.moving_look (
                lookup_id, catalog, image_id, complete, ra, dec, radius_deg, epoch_jd, observer
            )
            VALUES (:lookup_id, :catalog, :image_id, true, :ra, :dec, :radius_deg, :epoch_jd, :observer)
            ON CONFLICT (lookup_id) DO NOTHING
        """),
        {
            "lookup_id": lookup_id, "catalog": CATALOG, "image_id": image.image_id, "ra": cone.ra_deg,
            "dec": cone.dec_deg, "radius_deg": cone.radius_deg, "epoch_jd": round(image.mid_jd, _JD_DECIMALS),
            "observer": PALOMAR.code,
        },
    )  # fmt: skip
    add_objects(connection, lookup_id, _objects(elements, passages, image.uncertainty_minutes or 0.0))


def _objects(elements: Elements, passages: Passages, uncertainty_minutes: float) -> pa.Table:
    """Rows of ``ref.moving_object``; how well orbits of bodies without a number are known is not in the file."""
    t, bodies = passages.trails, passages.bodies
    numbers = [int(elements.numbers[body]) or None for body in bodies]
    names = [elements.names[body] for body in bodies]
    moved = np.hypot(t.rate_ra_arcsec_h, t.rate_dec_arcsec_h) * uncertainty_minutes / 60.0
    error = np.hypot(elements.error_arcsec, moved)
    columns = [
        [content_id("moving object", number, name) for number, name in zip(numbers, names, strict=True)],
        names,
        numbers,
        [elements.classes[body] or None for body in bodies],
        t.ra_deg,
        t.dec_deg,
        t.rate_ra_arcsec_h.astype(np.float32),
        t.rate_dec_arcsec_h.astype(np.float32),
        t.mag.astype(np.float32),
        pa.array(error.astype(np.float32), mask=np.array([number is None for number in numbers], dtype=bool)),
    ]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, OBJECT_SCHEMA, strict=True)],
                    schema=OBJECT_SCHEMA)  # fmt: skip


def _floats(values: Any) -> NDArray[np.float64]:
    return np.array(list(values), dtype=np.float64)
