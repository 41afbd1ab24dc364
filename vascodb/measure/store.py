"""Measure the shapes that a stage asks for, from the image files, and store them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.ids import file_sha256

if TYPE_CHECKING:
    from vascodb.measure.shape import ShapeMeasure

__all__ = ["ShapeReport", "measure_shapes"]

_OPTIONAL = {"photutils": "photutils", "cv2": "opencv-python-headless", "scipy": "scipy"}
_HIGH_CONFIDENCE_PX = 100.0


@dataclass(frozen=True)
class ShapeReport:
    """What a measurement of shapes did.

    Parameters
    ----------
    measured, failed : int
        Detections with a shape now, and without one.
    failures : tuple of str
        Why, each image's reason once.
    """

    measured: int
    failed: int
    failures: tuple[str, ...]


class _UnmeasurableError(Exception):
    """No shape of this image can be measured; the message says why, without a path of this machine."""


def measure_shapes(
    connection: Connection,
    run_id: int,
    stage: str,
    parameters: Mapping[str, Any],
    extraction_ids: Sequence[int] | None = None,
) -> ShapeReport:
    """Measure what a shape stage judges and what has no measure yet, image by image.

    The stages before it must have judged. A file that is missing or has changed, or a missing package, is no error:
    the reason is stored beside the detections, the stage calls them unknown because of it, and the next call tries
    again.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        A transaction.
    run_id : int
        The run.
    stage : str
        The stage of it, whose function is ``shape``.
    parameters : mapping
        The stage's parameters; ``variant`` is how to measure.
    extraction_ids : sequence of int, optional
        Images of the run to measure; by default all.

    Returns
    -------
    `ShapeReport`
    """
    variant = parameters.get("variant")
    if variant not in ("inverted", "direct"):
        raise InputError(f"stage {stage}: variant must be inverted or direct, not {variant!r}")
    targets = connection.execute(
        text("SELECT extraction_id, number FROM stage.shape_targets(:run_id, :stage, :variant, :ids)"),
        {
            "run_id": run_id,
            "stage": stage,
            "variant": variant,
            "ids": None if extraction_ids is None else list(extraction_ids),
        },
    ).all()
    measured, failures = 0, []
    for extraction_id, rows in groupby(targets, key=itemgetter(0)):
        numbers = [number for _, number in rows]
        try:
            shapes = _measure_image(connection, extraction_id, numbers, variant)
        except _UnmeasurableError as error:
            failures.append(str(error))
            _save(connection, [_failed(extraction_id, n, variant, str(error)) for n in numbers])
        else:
            measured += len(shapes)
            _save(connection, [_row(extraction_id, variant, shape) for shape in shapes])
    return ShapeReport(measured, len(targets) - measured, tuple(dict.fromkeys(failures)))


def _measure_image(
    connection: Connection, extraction_id: int, numbers: Sequence[int], variant: str
) -> "list[ShapeMeasure]":
    absent = [distribution for module, distribution in _OPTIONAL.items() if find_spec(module) is None]
    if absent:
        raise _UnmeasurableError(f"not installed: {', '.join(absent)}; install vascodb[shape]")
    from vascodb.measure import shape  # noqa: PLC0415

    image, scale_arcsec_px = _read_pixels(connection, extraction_id)
    rows = connection.execute(text("SELECT * FROM stage.shape_detections(:id)"), {"id": extraction_id}).mappings().all()
    column = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    detections = shape.ImageDetections(
        # FITS counts pixels from 1.
        number=column["number"], x=column["x_px"] - 1.0, y=column["y_px"] - 1.0, flux=column["flux"],
        elongation=column["elongation"], is_star=column["is_star"],
    )  # fmt: skip
    indices = np.searchsorted(detections.number, numbers).tolist()
    if variant == "inverted":
        return shape.measure_inverted(image, detections, indices, scale_arcsec_px)
    return shape.measure_direct(image, detections, indices)


def _read_pixels(connection: Connection, extraction_id: int) -> tuple[NDArray[np.float32], float]:
    """Pixels and scale of an extraction's image, if its file is still the one that was extracted."""
    path, name, sha256, scale_arcsec_px = connection.execute(
        text("""
            SELECT i.path, i.file_name, i.sha256, i.scale_arcsec_px
            FROM vasco.extraction AS e JOIN plate.image AS i USING (image_id)
            WHERE e.extraction_id = :id
        """),
        {"id": extraction_id},
    ).one()
    try:
        if file_sha256(Path(path)) != sha256:
            raise _UnmeasurableError(f"the image file {name} has changed since it was extracted")
        # The header was checked before the image was extracted; here only the pixels count.
        with fits.open(path, memmap=False) as hdus:
            return np.asarray(hdus[0].data, np.float32), scale_arcsec_px
    except OSError as error:
        raise _UnmeasurableError(f"the image file {name} cannot be read: {error.strerror or error}") from error


_COLUMNS = (
    "profile_diff", "circularity", "elongation", "profile_log_median", "profile_log_sigma", "circularity_median",
    "circularity_sigma", "area_px", "shape_defect", "circle_deviation", "n_neighbours", "confidence", "failure",
)  # fmt: skip


def _row(extraction_id: int, variant: str, shape: "ShapeMeasure") -> dict[str, Any]:
    contour = shape.contour
    numbers = {
        "profile_diff": shape.profile_diff, "circularity": contour.circularity, "elongation": shape.elongation,
        "profile_log_median": shape.profile_log_median, "profile_log_sigma": shape.profile_log_sigma,
        "circularity_median": shape.circularity_median, "circularity_sigma": shape.circularity_sigma,
        "area_px": contour.area_px, "shape_defect": contour.defect, "circle_deviation": contour.circle_deviation,
    }  # fmt: skip
    confidence = None
    if np.isfinite(contour.area_px):
        confidence = "low" if contour.area_px < _HIGH_CONFIDENCE_PX else "high"
    return {
        "extraction_id": extraction_id, "number": shape.number, "variant": variant,
        **{name: float(value) if np.isfinite(value) else None for name, value in numbers.items()},
        "n_neighbours": shape.n_neighbours, "confidence": confidence, "failure": None,
    }  # fmt: skip


def _failed(extraction_id: int, number: int, variant: str, reason: str) -> dict[str, Any]:
    nothing = dict.fromkeys(_COLUMNS)
    return {**nothing, "extraction_id": extraction_id, "number": number, "variant": variant, "failure": reason}


def _save(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    connection.execute(
        text(f"""
            INSERT INTO vasco.shape_measure (extraction_id, number, variant, {", ".join(_COLUMNS)})
            VALUES (:extraction_id, :number, :variant, {", ".join(f":{name}" for name in _COLUMNS)})
            ON CONFLICT (extraction_id, number, variant) DO UPDATE
            SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}
        """),
        list(rows),
    )
