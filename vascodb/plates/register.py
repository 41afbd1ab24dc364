"""Record digitised images: what they show, when, and which sky they cover."""

from typing import Any

import numpy as np
from astropy.coordinates import angular_separation
from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.ids import canonical_json, content_id
from vascodb.plates.footprint import multirange, polygon
from vascodb.plates.images import PlateImage, band_of
from vascodb.plates.store import exposure_time_rows, save_exposure_times, save_solutions, solution_row
from vascodb.plates.tiles import tile_centre, tile_name

__all__ = ["image_id", "record_image", "record_refused_image", "tile_of"]

# What a refused image has no use for.
_UNUSED: dict[str, Any] = dict.fromkeys([
    "tile_id", "ra", "dec", "radius_deg", "footprint", "scale_arcsec_px", "wcs_kind", "wcs_available",
    "solution_id", "epoch_jyear", "time_quality",
])  # fmt: skip
# The first and last of 932 plates are of 1949.88 and 1958.94.
_SURVEY_BEGAN_JYEAR, _SURVEY_ENDED_JYEAR = 1949.0, 1960.0


def image_id(image: PlateImage) -> int:
    """Id of an image: a hash of its file's bytes."""
    return content_id("image", image.sha256)


def tile_of(image: PlateImage, wanted: str | None = None) -> str:
    """The tile that an image covers.

    Parameters
    ----------
    image : `PlateImage`
        The image.
    wanted : str, optional
        A tile's name; without it the image's own centre makes one.

    Raises
    ------
    InputError
        If ``wanted`` is no tile name, or its centre is not on the image.
    """
    if wanted is None:
        return tile_name(*image.centre)
    ra, dec = tile_centre(wanted)
    x, y = image.astrometry.solution.sky_to_pixel(ra, dec)
    if not (0.5 <= float(x) <= image.naxis1 + 0.5 and 0.5 <= float(y) <= image.naxis2 + 0.5):
        raise InputError(f"the centre of {wanted} is not on this image")
    return wanted


def record_image(connection: Connection, image: PlateImage, tile_id: str) -> int:
    """Store a usable image with its tile, solution and exposure times; returns its id.

    An image that is there already is left alone.

    Raises
    ------
    InputError
        If it is stored under another tile, or has no readable date or one outside the survey: a
        position at the plate's epoch needs it.
    """
    identity = image_id(image)
    # Refused as a plate of the other band, it may be what is wanted now.
    connection.execute(
        text("DELETE FROM plate.image WHERE image_id = :image_id AND status = 'refused'"), {"image_id": identity}
    )
    stored = connection.execute(
        text("SELECT tile_id FROM plate.image WHERE image_id = :image_id"), {"image_id": identity}
    ).first()
    if stored is not None:
        if stored.tile_id != tile_id:
            raise InputError(f"this image is stored as {stored.tile_id} already, not as {tile_id}")
        return identity
    epoch_jyear = image.times.epoch_jyear
    if epoch_jyear is None:
        raise InputError(f"{image.times.evidence}; without a date stars cannot be moved to its epoch")
    if not _SURVEY_BEGAN_JYEAR <= epoch_jyear < _SURVEY_ENDED_JYEAR:
        raise InputError(
            f"its DATE-OBS {image.times.date_obs_raw} is the year {epoch_jyear:.1f}, but POSS-I was exposed from "
            "1949 to 1958; stars would be moved to the wrong epoch"
        )
    assert image.plate_id is not None
    solution = solution_row(image.astrometry)
    save_solutions(connection, [solution])
    save_exposure_times(connection, exposure_time_rows(image.plate_id, f"image {identity}", image.times))
    _save_tile(connection, image, tile_id)
    ra, dec = image.centre
    corners = image.corners
    distance = angular_separation(*np.radians([ra, dec]), np.radians(corners[0]), np.radians(corners[1]))
    _insert(
        connection,
        _common(image)
        | {
            "status": "ok",
            "status_reason": None,
            "tile_id": tile_id,
            "ra": ra,
            "dec": dec,
            "radius_deg": float(np.degrees(np.max(distance))),
            "footprint": multirange(polygon(*corners)),
            "scale_arcsec_px": image.astrometry.scale_arcsec_px,
            "wcs_kind": image.astrometry.kind,
            "wcs_available": list(image.astrometry.available),
            "solution_id": solution["solution_id"],
            "epoch_jyear": epoch_jyear,
            "time_quality": image.times.quality,
        },
    )
    return identity


def record_refused_image(connection: Connection, image: PlateImage, reason: str) -> None:
    """Store that an image was offered and refused, and why; once, and not where it is in use."""
    _insert(connection, _common(image) | {"status": "refused", "status_reason": reason} | _UNUSED)


def _save_tile(connection: Connection, image: PlateImage, tile_id: str) -> None:
    ra, dec = tile_centre(tile_id)
    connection.execute(
        text("""
            INSERT INTO plate.tile (tile_id, ra, dec, size_arcmin)
            VALUES (:tile_id, :ra, :dec, :size_arcmin)
            ON CONFLICT (tile_id) DO NOTHING
        """),
        {
            "tile_id": tile_id,
            "ra": ra,
            "dec": dec,
            # Cutouts of one size differ by a pixel or two; the tile is the size that was asked for.
            "size_arcmin": max(1, round(image.naxis1 * image.astrometry.scale_arcsec_px / 60.0)),
        },
    )


def _common(image: PlateImage) -> dict[str, Any]:
    return {
        "image_id": image_id(image),
        "sha256": image.sha256,
        "file_name": image.path.name,
        "size_bytes": image.path.stat().st_size,
        "plate_id": image.plate_id,
        "survey": image.survey,
        "band": band_of(image.survey),
        "naxis1": image.naxis1,
        "naxis2": image.naxis2,
        "exposure_minutes": image.times.exposure_minutes,
        "date_obs_raw": image.times.date_obs_raw,
        "ut_raw": image.times.ut_raw,
        "header": canonical_json(image.header),
        "path": str(image.path.resolve()),
    }


def _insert(connection: Connection, row: dict[str, Any]) -> None:
    connection.execute(
        text("""
            INSERT INTO plate.image (
                image_id, sha256, file_name, size_bytes, status, status_reason, plate_id, survey, band, tile_id,
                naxis1, naxis2, ra, dec, radius_deg, footprint, scale_arcsec_px, wcs_kind, wcs_available, solution_id,
                exposure_minutes, date_obs_raw, ut_raw, epoch_jyear, time_quality, header, path
            )
            VALUES (
                :image_id, :sha256, :file_name, :size_bytes, :status, :status_reason, :plate_id, :survey, :band,
                :tile_id, :naxis1, :naxis2, :ra, :dec, :radius_deg, CAST(:footprint AS int8multirange),
                :scale_arcsec_px, :wcs_kind, :wcs_available, :solution_id, :exposure_minutes, :date_obs_raw, :ut_raw,
                :epoch_jyear, :time_quality, :header, :path
            )
            ON CONFLICT (image_id) DO NOTHING
        """),
        row,
    )
