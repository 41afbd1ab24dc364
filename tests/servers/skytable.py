"""A table of sources that all protocols search in the same, exact way."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from astropy.coordinates import angular_separation
from astropy.table import Table
from scipy.spatial import KDTree

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

_SLACK_DEG = 1e-9  # more than rounding can do to a declination or a chord; the exact test follows


@dataclass(frozen=True, eq=False)
class SkyTable:
    """Rows with positions in degrees.

    Parameters
    ----------
    name
        Name under which services publish it, such as ``I/355/gaiadr3``.
    table
        Rows, columns with units, UCDs (``column.meta["ucd"]``) and descriptions where known.
    ra_column, dec_column
        Names of the columns with right ascension and declination [deg].
    """

    name: str
    table: Table
    ra_column: str = "ra"
    dec_column: str = "dec"

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def ra_deg(self) -> Floats:
        """Right ascensions [deg]."""
        return np.ma.filled(np.ma.asarray(self.table[self.ra_column], dtype=float), np.nan)

    @cached_property
    def dec_deg(self) -> Floats:
        """Declinations [deg]."""
        return np.ma.filled(np.ma.asarray(self.table[self.dec_column], dtype=float), np.nan)

    def separation_deg(self, rows: Rows, ra_deg: float | Floats, dec_deg: float | Floats) -> Floats:
        """Return the angular distance of rows from a position or from one position each [deg]."""
        return np.asarray(
            np.degrees(
                angular_separation(
                    np.radians(self.ra_deg[rows]),
                    np.radians(self.dec_deg[rows]),
                    np.radians(ra_deg),
                    np.radians(dec_deg),
                )
            )
        )

    def cone(self, ra_deg: float, dec_deg: float, radius_deg: float) -> Rows:
        """Return the numbers of the rows within a circle, its rim included, in the table's order."""
        band = np.flatnonzero(np.abs(self.dec_deg - dec_deg) <= radius_deg + _SLACK_DEG)
        return band[self.separation_deg(band, ra_deg, dec_deg) <= radius_deg]

    def pairs(self, ra_deg: Floats, dec_deg: Floats, radius_deg: float) -> tuple[Rows, Rows]:
        """Return the numbers of positions and rows that lie within a radius of each other."""
        good = np.flatnonzero(np.isfinite(ra_deg) & np.isfinite(dec_deg))
        chord = 2 * np.sin(np.radians(min(radius_deg + _SLACK_DEG, 180.0)) / 2) + 1e-12
        found = self._tree[0].query_ball_point(_vectors(ra_deg[good], dec_deg[good]), chord)
        counts = [len(rows) for rows in found]
        positions = np.repeat(good, counts)
        rows = self._tree[1][np.fromiter((row for each in found for row in sorted(each)), np.intp, sum(counts))]
        near = self.separation_deg(rows, ra_deg[positions], dec_deg[positions]) <= radius_deg
        return positions[near], rows[near]

    @cached_property
    def _tree(self) -> tuple[KDTree, Rows]:
        good = np.flatnonzero(np.isfinite(self.ra_deg) & np.isfinite(self.dec_deg))
        return KDTree(_vectors(self.ra_deg[good], self.dec_deg[good])), good


def _vectors(ra_deg: Floats, dec_deg: Floats) -> Floats:
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
