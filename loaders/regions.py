"""Regions of sky that a look-up answered for, and the part of them that counts as covered."""

from dataclasses import dataclass
from math import floor, log2
from pathlib import Path
from typing import Protocol

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle, Latitude, Longitude, angular_separation
from cdshealpix.nested import cone_search, healpix_to_lonlat, vertices
from mocpy import MOC
from numpy.typing import NDArray

from vascodb.errors import InputError
from vascodb.ids import file_sha256

__all__ = ["Cone", "MocRegion", "Region", "grown", "with_rim", "without_rim"]

# 13 arcsec: what a cone loses at its rim beyond the margin.
_FINEST_ORDER = 14
_EDGE_ARCSEC = 0.1
_CELL_ARCSEC_AT_ORDER_0 = 58.6 * 3600.0


class Region(Protocol):
    """A region of sky in which a catalogue's answer is whole."""

    @property
    def description(self) -> str:
        """The region in words; part of the look-up's evidence and identity."""
        ...

    def contains(self, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each position is in the region."""
        ...

    def covered(self, margin_arcsec: float) -> MOC:
        """The positions that are at least ``margin_arcsec`` inside the region, never more than those."""
        ...

    def touched(self) -> MOC:
        """Cells that hold all of the region, never less than that."""
        ...


@dataclass(frozen=True)
class Cone:
    """A circle on the sky.

    Parameters
    ----------
    ra_deg, dec_deg : float
        Centre, ICRS.
    radius_deg : float
        Radius.
    """

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def __post_init__(self) -> None:
        if not (0 <= self.ra_deg < 360 and -90 <= self.dec_deg <= 90 and 0 < self.radius_deg <= 180):
            raise InputError(
                f"cone {self.ra_deg},{self.dec_deg},{self.radius_deg}deg: right ascension must be in [0, 360), "
                "declination in [-90, 90], radius in (0, 180] degrees"
            )

    @classmethod
    def parse(cls, value: str) -> "Cone":
        """Read ``RA,DEC,RADIUS``: degrees, the radius with a unit if it is another (``30arcmin``)."""
        parts = value.replace(",", " ").split()
        if len(parts) != 3:
            raise InputError(f"cone {value!r}: give RA,DEC,RADIUS such as 132.8242,11.8010,0.50deg")
        try:
            ra, dec = float(parts[0]), float(parts[1])
            radius = float(Angle(parts[2], unit=None if parts[2][-1].isalpha() else u.deg).deg)
        except (ValueError, u.UnitsError) as error:
            raise InputError(f"cone {value!r}: give RA,DEC,RADIUS such as 132.8242,11.8010,0.50deg") from error
        return cls(ra, dec, radius)

    def __str__(self) -> str:
        """The cone as `parse` reads it."""
        return f"{self.ra_deg:.9g},{self.dec_deg:.9g},{self.radius_deg:.9g}deg"

    @property
    def description(self) -> str:
        """The cone in words."""
        return f"cone {self}"

    def contains(self, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each position is in the cone."""
        centre = np.radians(self.ra_deg), np.radians(self.dec_deg)
        distance = angular_separation(*centre, np.radians(ra_deg), np.radians(dec_deg))
        return np.asarray(distance <= np.radians(self.radius_deg))

    def covered(self, margin_arcsec: float) -> MOC:
        """HEALPix cells that lie wholly in the cone narrowed by the margin."""
        radius_deg = self.radius_deg - margin_arcsec / 3600.0
        if radius_deg <= 0:
            return MOC.new_empty(_FINEST_ORDER)
        # Finer cells follow the rim better; about 10,000 of them along it are enough for any radius.
        order = max(6, min(_FINEST_ORDER, floor(log2(58.6 * 10_000 / (2 * np.pi * radius_deg)))))
        cells, depths, inside = cone_search(
            Longitude(self.ra_deg, u.deg), Latitude(self.dec_deg, u.deg), radius_deg * u.deg, depth=order
        )
        cells, depths = cells[np.asarray(inside, dtype=bool)], depths[np.asarray(inside, dtype=bool)]
        if len(cells) == 0:
            return MOC.new_empty(order)
        # About the poles the search takes cells for inside that stick out by some hundredths of their
        # width: look at points all along their edges. Between those an edge bulges by less than _EDGE_ARCSEC.
        ra, dec = (np.radians(angle.deg) for angle in vertices(cells, depths, step=4))
        distance = angular_separation(np.radians(self.ra_deg), np.radians(self.dec_deg), ra, dec).max(axis=1)
        keep = distance <= np.radians(radius_deg - _EDGE_ARCSEC / 3600.0)
        return MOC.from_healpix_cells(cells[keep], depths[keep], max_depth=order)

    def touched(self) -> MOC:
        """Cells that hold all of the cone, with a ring of cells more than the search finds.

        The search is told to find every cell that the circle touches, not those whose centre is in
        it; the ring is for its rounding.
        """
        if self.radius_deg >= 90.0:
            return MOC.from_healpix_cells(np.arange(12, dtype=np.uint64), np.zeros(12, dtype=np.uint8), max_depth=0)
        order = max(0, min(_FINEST_ORDER, floor(log2(58.6 * 200 / (2 * np.pi * self.radius_deg)))))
        cells, depths, _ = cone_search(
            Longitude(self.ra_deg, u.deg), Latitude(self.dec_deg, u.deg), self.radius_deg * u.deg, depth=order
        )
        return MOC.from_healpix_cells(cells, depths, max_depth=order).extended()


@dataclass(frozen=True)
class MocRegion:
    """A region given as a MOC file (FITS, JSON or text)."""

    moc: MOC
    name: str
    sha256: str

    @classmethod
    def read(cls, path: Path) -> "MocRegion":
        """Read a MOC file."""
        kind = {".json": "json", ".txt": "ascii", ".moc": "ascii"}.get(path.suffix.lower(), "fits")
        try:
            moc = MOC.load(str(path), format=kind)
            sha256 = file_sha256(path)
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise InputError(f"{path}: is not a MOC file: {' '.join(str(error).split())}") from error
        if moc.empty():
            raise InputError(f"{path}: the MOC is empty")
        return cls(moc, path.name, sha256)

    @property
    def description(self) -> str:
        """The MOC in words."""
        return f"moc {self.name} sha256 {self.sha256}"

    def contains(self, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each position is in the MOC."""
        return np.asarray(self.moc.contains_lonlat(Longitude(ra_deg, u.deg), Latitude(dec_deg, u.deg)))

    def covered(self, margin_arcsec: float) -> MOC:
        """The MOC without its rim; see `without_rim`."""
        return without_rim(self.moc, margin_arcsec)

    def touched(self) -> MOC:
        """The MOC itself."""
        return self.moc


def without_rim(moc: MOC, margin_arcsec: float) -> MOC:
    """All that is not within one cell of the outside, so at least a margin inside.

    Cells are chosen at least twice as wide as the margin, because the narrowest HEALPix cells
    are little more than half as wide as the average.
    """
    return _at_rim_order(moc.complement(), margin_arcsec).extended().complement()


def with_rim(moc: MOC, margin_arcsec: float) -> MOC:
    """The least sky that, `without_rim`, still holds all of a MOC."""
    return _at_rim_order(moc, margin_arcsec).extended()


def grown(moc: MOC, by_arcsec: float) -> MOC:
    """A MOC and all sky within a distance of it, never less and little more."""
    order = min(_FINEST_ORDER, floor(log2(16.0 * _CELL_ARCSEC_AT_ORDER_0 / by_arcsec)))
    moc = _at_order(moc, order)
    # Whoever leaves the MOC passes through a cell just outside, in which nothing is farther from its centre than this.
    widest_arcsec = 0.9 * _CELL_ARCSEC_AT_ORDER_0 / 2**order
    outside = np.asarray(moc.extended().difference(moc).flatten(), dtype=np.uint64)
    longitude, latitude = healpix_to_lonlat(outside, order)
    radius = (by_arcsec + widest_arcsec) * u.arcsec
    circles = MOC.from_cones(longitude, latitude, radius=radius, max_depth=order, union_strategy="small_cones")
    return moc.union(circles.extended())


def _at_rim_order(moc: MOC, margin_arcsec: float) -> MOC:
    return _at_order(moc, floor(log2(_CELL_ARCSEC_AT_ORDER_0 / (2.0 * margin_arcsec))))


def _at_order(moc: MOC, order: int) -> MOC:
    if order < moc.max_order:
        return moc.degrade_to_order(order)
    return moc.refine_to_order(order) if order > moc.max_order else moc
