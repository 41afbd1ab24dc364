"""Rows of a release as Arrow tables, in the form in which they are staged."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow as pa
from astropy.coordinates import Latitude, Longitude
from mocpy import MOC
from numpy.typing import NDArray

from vascodb.ids import canonical_json, content_id
from vascodb.plates.footprint import cells, multirange
from vascodb.plates.plan import half_diagonal_deg
from vascodb.releases.reading import Release, Tile
from vascodb.releases.states import CatalogueStates

__all__ = ["TILE_SIZE_ARCMIN", "detection_rows", "match_rows", "tile_rows", "verdict_rows"]

# The side of every tile of vasco60 and of what has its form; no file of a release says it.
TILE_SIZE_ARCMIN = 60.0
# Cells of 3.4 arcmin: the footprint is of the tile as planned, and the scan may be turned a little against it.
_FOOTPRINT_ORDER = 10
_POLYGONS_AT_ONCE = 2000
# They say which row it is, not what was found.
_NO_METRICS = ("src_id", "ra", "dec", "tile_id", "object_id", "source_chunk", "source_part")
# Columns of a detection that a stage's flags give.
_MEASURED = {"fwhm_image": "MORPH", "spread_model": "MORPH", "spreaderr_model": "MORPH", "elongation": "SHAPE"}


def tile_rows(release: Release, release_id: int) -> pa.Table:
    """The tiles with their images and extractions, and what the manifest says of them."""
    tiles = release.tiles
    image_ids = [content_id("image", "release", release_id, tile.tile_id) for tile in tiles]
    counts = np.bincount(release.detections.tile, minlength=len(tiles))
    centres = np.array([(tile.ra_deg, tile.dec_deg) for tile in tiles], dtype=np.float64).reshape(-1, 2)
    return pa.table({
        "tile_id": pa.array([tile.tile_id for tile in tiles], pa.string()),
        "ra": centres[:, 0],
        "dec": centres[:, 1],
        "radius_deg": np.full(len(tiles), half_diagonal_deg(TILE_SIZE_ARCMIN)),
        "footprint": pa.array(_footprints(centres[:, 0], centres[:, 1]), pa.string()),
        "image_id": pa.array(image_ids, pa.int64()),
        "extraction_id": pa.array(
            [
                None if tile.status == "missing" else extraction_id(image_id)
                for tile, image_id in zip(tiles, image_ids, strict=True)
            ],
            pa.int64(),
        ),
        "n_detections": pa.array(counts, pa.int32()),
        "planned_plate": pa.array([tile.planned_plate for tile in tiles], pa.string()),
        "plate_source": pa.array([_plate_source(tile) for tile in tiles], pa.string()),
        "status": pa.array([tile.status for tile in tiles], pa.string()),
        "note": pa.array([tile.note for tile in tiles], pa.string()),
        "psf_stars": pa.array([tile.psf_stars for tile in tiles], pa.int32()),
        "rows_filtered": pa.array([tile.rows_filtered for tile in tiles], pa.int32()),
        "rows_emitted": pa.array([tile.rows_emitted for tile in tiles], pa.int32()),
        "date_obs_raw": pa.array([tile.times and tile.times.date_obs_raw for tile in tiles], pa.string()),
        "obs_start": pa.array([tile.obs_start and tile.obs_start.isoformat() for tile in tiles], pa.string()),
        "epoch_jyear": pa.array([tile.times and tile.times.epoch_jyear for tile in tiles], pa.float64()),
        "time_quality": pa.array([tile.times and tile.times.quality for tile in tiles], pa.string()),
    })  # fmt: skip


def extraction_id(image_id: int) -> int:
    """Id of the one extraction that a release made of an image."""
    return content_id("extraction", image_id, "imported")


def detection_rows(release: Release, extraction_of: NDArray[np.int64]) -> pa.Table:
    """The detections; widths and SPREAD_MODEL where MORPH gives them, elongations where SHAPE does.

    Parameters
    ----------
    release : `Release`
        The release.
    extraction_of : ndarray of int64, shape (n,)
        Extraction of each detection.
    """
    detections = release.detections
    values = {name: _by_detection(release, kind, name) for name, kind in _MEASURED.items()}
    # Half a measurement is none.
    unmeasured = {name: np.isnan(array) for name, array in values.items()}
    without_spread = unmeasured["spread_model"] | unmeasured["spreaderr_model"]
    unmeasured |= {"spread_model": without_spread, "spreaderr_model": without_spread}
    return pa.table({
        "extraction_id": extraction_of,
        "number": detections.number.astype(np.int32),
        "ra": detections.ra_deg,
        "dec": detections.dec_deg,
        "hpx29": cells(detections.ra_deg, detections.dec_deg),
        **{name: pa.array(array.astype(np.float32), mask=unmeasured[name]) for name, array in values.items()},
    })  # fmt: skip


def _by_detection(release: Release, kind: str, column: str) -> NDArray[np.float64]:
    """A column of the flags of a kind of stage, for every detection; NaN where there is nothing."""
    values = np.full(len(release.detections.number), np.nan)
    for stage in release.stages:
        if stage.kind == kind and stage.flags.has(column):
            values[stage.index] = stage.flags.numbers(column, -1e9, 1e9, optional=True)
    return values


def verdict_rows(release: Release, extraction_of: NDArray[np.int64], lookup_of: Mapping[str, int]) -> pa.Table:
    """What each stage said of each detection it judged; ``lookup_of`` has the look-up of each stage's file."""
    detections = release.detections
    every = np.arange(len(detections.number), dtype=np.int64)
    duplicate = ["a duplicate of another detection" if not kept else None for kept in detections.in_s0.tolist()]
    parts = [
        _verdicts(release, "S0", every, ~detections.in_s0, duplicate, ["{}"] * len(every), extraction_of, lookup_of)
    ]
    for stage in release.stages:
        names = [name for name in stage.flags.table.column_names if name not in _NO_METRICS]
        values = [stage.flags.text(name).to_pylist() for name in names]
        metrics = [
            canonical_json({name: _plain(value) for name, value in zip(names, row, strict=True)})
            for row in zip(*values, strict=True)
        ]
        reason = (
            [value or None for value in stage.flags.text("reject_reason").to_pylist()]
            if stage.flags.has("reject_reason")
            else [None] * len(stage.index)
        )
        parts.append(
            _verdicts(release, stage.label, stage.index, stage.rejected, reason, metrics, extraction_of, lookup_of)
        )
    return pa.concat_tables(parts)


def match_rows(
    release: Release, states: CatalogueStates, extraction_of: NDArray[np.int64], lookup_id: int | None
) -> pa.Table:
    """What one catalogue says of each detection; ``lookup_id`` is that of the file that says so."""
    n_rows = len(states.state)
    source = "tile_manifest.csv" if states.stage is None else states.stage.file.name
    return pa.table({
        "extraction_id": extraction_of[states.index],
        "number": release.detections.number[states.index].astype(np.int32),
        "catalog": pa.array([states.catalog] * n_rows, pa.string()),
        "state": pa.array(states.state, pa.string()),
        "source": pa.array([source] * n_rows, pa.string()),
        "sep_arcsec": pa.array(states.sep_arcsec, mask=np.isnan(states.sep_arcsec)),
        "n_within": pa.array([int(state == "matched") for state in states.state], pa.int32()),
        "lookup_id": pa.array([lookup_id] * n_rows, pa.int64()),
        "lookup_complete": pa.array([None if lookup_id is None else int(states.complete)] * n_rows, pa.int16()),
        "reason": pa.array(states.reason, pa.string()),
    })  # fmt: skip


def _verdicts(
    release: Release,
    label: str,
    index: NDArray[np.int64],
    rejected: NDArray[np.bool_],
    reason: Sequence[str | None],
    metrics: Sequence[str],
    extraction_of: NDArray[np.int64],
    lookup_of: Mapping[str, int],
) -> pa.Table:
    return pa.table({
        "extraction_id": extraction_of[index],
        "number": release.detections.number[index].astype(np.int32),
        "stage": pa.array([label] * len(index), pa.string()),
        "rejected": rejected.astype(np.int16),
        "reason": pa.array(reason, pa.string()),
        "metrics": pa.array(metrics, pa.string()),
        "lookup_id": pa.array([lookup_of[label]] * len(index), pa.int64()),
    })  # fmt: skip


def _plate_source(tile: Tile) -> str:
    return "plan" if tile.stated_plate is None else "release"


def _footprints(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> list[str]:
    """Squares on the tangent planes at the centres, north up, with every cell they touch."""
    half = math.tan(math.radians(TILE_SIZE_ARCMIN / 120.0))
    xi, eta = np.array([[-half], [half], [half], [-half]]), np.array([[-half], [-half], [half], [half]])
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    # The unit vectors of the corners, not normalised: the same at the poles.
    x = (np.cos(dec) - eta * np.sin(dec)) * np.cos(ra) - xi * np.sin(ra)
    y = (np.cos(dec) - eta * np.sin(dec)) * np.sin(ra) + xi * np.cos(ra)
    z = np.sin(dec) + eta * np.cos(dec)
    corner_ra, corner_dec = np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
    found: list[str] = []
    for start in range(0, len(ra_deg), _POLYGONS_AT_ONCE):
        corners: list[Any] = []
        for place in range(start, min(start + _POLYGONS_AT_ONCE, len(ra_deg))):
            corners += [Longitude(corner_ra[:, place], u.deg), Latitude(corner_dec[:, place], u.deg)]
        found += [multirange(moc) for moc in MOC.from_polygons(corners, max_depth=_FOOTPRINT_ORDER)]
    return found


def _plain(value: str) -> Any:
    """A field as the number or truth that it is; null where it is empty or no finite number."""
    if value in ("True", "False"):
        return value == "True"
    try:
        number = float(value)
    except ValueError:
        return value or None
    if not math.isfinite(number):
        return None
    return int(value) if value.lstrip("-").isdigit() else number
