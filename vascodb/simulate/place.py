"""Free places on the image, where an injected object stands clear of everything else."""

import numpy as np
from numpy.typing import NDArray

from vascodb.errors import InputError

__all__ = ["FreePlaces"]

Floats = NDArray[np.float64]

_TRIES_PER_PLACE = 5000


class FreePlaces:
    """The part of an image that is not yet taken, as a grid of cells of a pixel.

    Parameters
    ----------
    shape : tuple of 2 int
        Rows and columns of the image.
    edge_px : float
        Width of the strip along the edges that is never free.
    """

    def __init__(self, shape: tuple[int, int], edge_px: float) -> None:
        self._shape = shape
        self._edge_px = edge_px
        self._taken = np.zeros(shape, dtype=np.bool_)
        self._discs: dict[int, NDArray[np.bool_]] = {}

    def take(self, x: Floats, y: Floats, radius_px: Floats) -> None:
        """Take discs about positions (FITS pixels); positions may be off the image."""
        # Half a pixel's diagonal: the whole of a free pixel is free.
        radii = np.ceil(radius_px + 0.75).astype(np.int64)
        columns = np.floor(x - 0.5).astype(np.int64)
        rows = np.floor(y - 0.5).astype(np.int64)
        n_rows, n_columns = self._taken.shape
        for row, column, r in zip(rows.tolist(), columns.tolist(), radii.tolist(), strict=True):
            top, left = max(row - r, 0), max(column - r, 0)
            bottom, right = min(row + r + 1, n_rows), min(column + r + 1, n_columns)
            if top < bottom and left < right:
                part = self._disc(r)[top - row + r : bottom - row + r, left - column + r : right - column + r]
                self._taken[top:bottom, left:right] |= part

    def pick(self, n: int, radius_px: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Choose free positions and take a disc about each.

        Parameters
        ----------
        n : int
            How many.
        radius_px : float
            Radius of the disc taken about each.
        rng : numpy.random.Generator
            Draws the positions.

        Returns
        -------
        x, y : ndarray of float64, shape (n,)
            FITS pixel coordinates.

        Raises
        ------
        InputError
            If the field has no room for that many.
        """
        n_y, n_x = self._shape
        found: list[tuple[float, float]] = []
        for _ in range(n * _TRIES_PER_PLACE):
            if len(found) == n:
                break
            x = rng.uniform(0.5 + self._edge_px, n_x + 0.5 - self._edge_px)
            y = rng.uniform(0.5 + self._edge_px, n_y + 0.5 - self._edge_px)
            if not self._taken[int(y - 0.5), int(x - 0.5)]:
                found.append((x, y))
                self.take(np.array([x]), np.array([y]), np.array([radius_px]))
        if len(found) < n:
            raise InputError(
                f"simulation: the field is too crowded for {n} isolated objects; ask for fewer stars or objects"
            )
        places = np.array(found, dtype=np.float64).reshape(-1, 2)
        return places[:, 0], places[:, 1]

    def _disc(self, radius: int) -> NDArray[np.bool_]:
        if radius not in self._discs:
            offsets = np.arange(-radius, radius + 1)
            self._discs[radius] = offsets[:, None] ** 2 + offsets**2 <= radius**2
        return self._discs[radius]
