"""Detections that tie an image to the sky: stars of known position, and how they are spread over the image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from vascodb.columns import read_columns

__all__ = ["Frame", "Ties", "best_catalog", "read_frame", "read_ties"]

Array = NDArray[np.float64]

GRID = 5
"""Cells of the grid in which an image is looked at, in each direction."""
_CELL_DETECTIONS = 5


@dataclass(frozen=True)
class Frame:
    """Where an image lies: what its ties are measured against.

    Parameters
    ----------
    ra, dec : float
        The middle of the image, degrees.
    radius_deg : float
        From there to its corners.
    naxis1, naxis2 : int
        Its size in pixels.
    epoch_jyear : float
        When it was exposed.
    tile_ra, tile_dec : float
        The centre of its tile, degrees.
    """

    ra: float
    dec: float
    radius_deg: float
    naxis1: int
    naxis2: int
    epoch_jyear: float
    tile_ra: float
    tile_dec: float


@dataclass(frozen=True)
class Ties:
    """Detections that may be ties, with the star of each that has one.

    Parameters
    ----------
    radius_arcsec : float
        Within which the stars were looked for.
    x, y : ndarray of float64, shape (n,)
        Pixels of the detections.
    ra_raw, dec_raw : ndarray of float64, shape (n,)
        Their raw positions, degrees.
    ra, dec : ndarray of float64, shape (n,)
        Positions of their stars at the plate's epoch, degrees; NaN where there is none.
    """

    radius_arcsec: float
    x: Array
    y: Array
    ra_raw: Array
    dec_raw: Array
    ra: Array
    dec: Array

    @property
    def tied(self) -> NDArray[np.bool_]:
        """Which detections have a star, shape (n,)."""
        return np.isfinite(self.ra)

    def select(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Ties":
        """Some of the detections."""
        columns = (self.x, self.y, self.ra_raw, self.dec_raw, self.ra, self.dec)
        return Ties(self.radius_arcsec, *(column[which] for column in columns))

    def cell(self, frame: Frame) -> NDArray[np.int64]:
        """Cell of the image's grid that each detection lies in, shape (n,)."""
        column, row = (
            np.clip(np.floor((pixel - 0.5) / naxis * GRID), 0, GRID - 1).astype(np.int64)
            for pixel, naxis in ((self.x, frame.naxis1), (self.y, frame.naxis2))
        )
        return np.asarray(row * GRID + column)

    def coverage(self, frame: Frame, kept: NDArray[np.bool_]) -> float:
        """Share of the cells of the image's grid that hold any of the ties that were kept."""
        return len(np.unique(self.cell(frame)[kept])) / GRID**2

    def worst_cell(self, frame: Frame, residual_arcsec: Array) -> float:
        """Largest median residual of the cells of the image's grid.

        A detection without a star counts with the search radius: where a solution is far off, stars are not
        found, or only wrong ones. Cells with few detections are not looked at, unless all are such.

        Parameters
        ----------
        frame : `Frame`
            The image.
        residual_arcsec : ndarray of float64, shape (n,)
            Of each detection, also of those that were clipped; what it is where there is no star does not matter.
        """
        residual = np.where(self.tied, residual_arcsec, self.radius_arcsec)
        cell = self.cell(frame)
        numbers, counts = np.unique(cell, return_counts=True)
        full = numbers[counts >= _CELL_DETECTIONS]
        if len(full) == 0:
            return float(np.median(residual))
        return max(float(np.median(residual[cell == number])) for number in full)


def read_frame(connection: Connection, extraction_id: int) -> Frame:
    """The frame of an extraction's image."""
    row = connection.execute(
        text("""
            SELECT i.ra, i.dec, i.radius_deg, i.naxis1, i.naxis2, i.epoch_jyear, t.ra AS tile_ra, t.dec AS tile_dec
            FROM vasco.extraction AS e
            JOIN plate.image AS i USING (image_id)
            JOIN plate.tile AS t USING (tile_id)
            WHERE e.extraction_id = :id
        """),
        {"id": extraction_id},
    ).one()
    return Frame(**row._mapping)


def read_ties(
    connection: Connection,
    extraction_id: int,
    catalog: str,
    radius_arcsec: float,
    max_flags: int | None,
    min_snr: float | None,
) -> Ties:
    """Detections of an extraction that may be ties, at their raw positions, with their stars in a catalogue.

    Without ``max_flags`` or ``min_snr`` they may have any flags, or any SNR_WIN.
    """
    found = read_columns(
        connection,
        "SELECT * FROM stage.tie_points(:id, :catalog, :radius, :max_flags, :min_snr) ORDER BY number",
        {
            "id": extraction_id,
            "catalog": catalog,
            "radius": radius_arcsec,
            "max_flags": max_flags,
            "min_snr": min_snr,
        },
        dict.fromkeys(("x_image", "y_image", "ra_raw", "dec_raw", "ra_deg", "dec_deg"), np.dtype(np.float64)),
    )
    return Ties(radius_arcsec, *found.values())


def best_catalog(
    connection: Connection,
    extraction_id: int,
    family: str,
    radius_arcsec: float,
    max_flags: int | None,
    min_snr: float | None,
) -> str | None:
    """The catalogue of a family that has stars for most detections of an extraction; None where none is near."""
    catalog: str | None = connection.scalar(
        text("SELECT stage.catalog_to_tie_to(:id, :family, :radius, :max_flags, :min_snr)"),
        {
            "id": extraction_id,
            "family": family,
            "radius": radius_arcsec,
            "max_flags": max_flags,
            "min_snr": min_snr,
        },
    )
    return catalog
