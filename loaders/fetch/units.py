"""Units of work: cones that are asked for, and the sky that each vouches for when its answer is whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, log2

import astropy.units as u
import numpy as np
from astropy.coordinates import Latitude, Longitude, angular_separation
from cdshealpix.nested import healpix_to_lonlat, vertices
from mocpy import MOC
from numpy.typing import NDArray

from vascodb.loaders.regions import Cone

__all__ = [
    "SKY_SQDEG",
    "Unit",
    "around",
    "bounding_cone",
    "cell_units",
    "declination_zone",
    "parts",
    "sky_of_cone",
    "units_for",
]

SKY_SQDEG = 41252.96
_CELL_ARCSEC_AT_ORDER_0 = 58.6 * 3600.0
_DEEPEST_ORDER = 15
_EDGE_POINTS = 16
# Of 6,000 cones over all of the sky only such fell short whose centre was within 1.2 radii of a pole.
_POLAR_RADII = 3.0


@dataclass(frozen=True)
class Unit:
    """One question to a service.

    Parameters
    ----------
    cone : `Cone`
        What is asked for, rim included.
    vouches : `~mocpy.MOC`
        Positions about which a search circle lies wholly in the cone: what a whole answer covers.
    needed : `~mocpy.MOC`
        The sky for which it is asked, among other sky.
    order : int or None
        HEALPix order of the cell that it is, if it is one; a cell is split into its four parts.
    """

    cone: Cone
    vouches: MOC
    needed: MOC
    order: int | None = None

    @property
    def region(self) -> str:
        """The cone in words: the unit's name in evidence and locks."""
        return self.cone.description

    @property
    def wanted(self) -> MOC:
        """What of the needed sky it vouches for."""
        return self.vouches.intersection(self.needed)


def sky_of_cone(area: Cone) -> MOC:
    """All sky in a cone and no more than a few cells beyond its rim; never less than the cone."""
    order = max(6, min(_DEEPEST_ORDER, floor(log2(58.6 * 256 / area.radius_deg))))
    if area.radius_deg >= 90:
        order = 6
    found = MOC.from_cone(
        Longitude(area.ra_deg, u.deg), Latitude(area.dec_deg, u.deg), radius=area.radius_deg * u.deg, max_depth=order
    )
    # About the poles the search overlooks cells of which the rim cuts only a corner off: a ring of cells has them.
    return found.extended() if 90 - abs(area.dec_deg) < _POLAR_RADII * area.radius_deg else found


def declination_zone(dec_min_deg: float, dec_max_deg: float) -> MOC:
    """Sky between two declinations, without the cells that touch the limits.

    Parameters
    ----------
    dec_min_deg, dec_max_deg : float
        Limits of a survey; -90 and 90 are none.
    """
    outside = MOC.new_empty(10)
    if dec_min_deg > -90:
        outside = outside.union(_cap(-90.0, 90.0 + dec_min_deg))
    if dec_max_deg < 90:
        outside = outside.union(_cap(90.0, 90.0 - dec_max_deg))
    return outside.complement()


def _cap(pole_deg: float, radius_deg: float) -> MOC:
    return MOC.from_cone(Longitude(0, u.deg), Latitude(pole_deg, u.deg), radius=radius_deg * u.deg, max_depth=10)


def units_for(area: Cone | MOC, needed: MOC, margin_arcsec: float, max_radius_deg: float) -> list[Unit]:
    """The questions that cover what is needed of an area.

    Parameters
    ----------
    area : `Cone` or `~mocpy.MOC`
        What the user asked for. A cone that a service can answer at once is asked for as it is.
    needed : `~mocpy.MOC`
        The part of it that is not covered yet and lies within the survey.
    margin_arcsec : float
        Search radius and motion: how far beyond every needed position sources must be known.
    max_radius_deg : float
        Widest cone the service is asked for.

    Returns
    -------
    list of `Unit`
        Together they vouch for all of ``needed``.
    """
    if needed.empty():
        return []
    if isinstance(area, Cone):
        whole = around(area, margin_arcsec)
        if whole.cone.radius_deg <= max_radius_deg:
            return [whole]
    return list(cell_units(needed, _order_for(max_radius_deg, margin_arcsec), margin_arcsec))


def around(area: Cone, margin_arcsec: float) -> Unit:
    """The one question whose whole answer covers a cone: the cone, its margin, and what cells lose at the rim."""
    wanted = sky_of_cone(area)
    rim_deg = margin_arcsec / 3600.0
    pad_deg = 30.0 / 3600.0
    while True:
        radius_deg = min(180.0, area.radius_deg + rim_deg + pad_deg)
        cone = Cone(area.ra_deg, area.dec_deg, radius_deg)
        vouches = cone.covered(margin_arcsec)
        if wanted.difference(vouches).empty() or radius_deg >= 180.0:
            return Unit(cone, vouches, wanted)
        pad_deg *= 2


def cell_units(needed: MOC, order: int, margin_arcsec: float) -> Iterator[Unit]:
    """One question for each HEALPix cell of an order that holds any needed sky."""
    coarse = needed.degrade_to_order(order) if needed.max_order > order else needed
    for cell in np.unique(_at_order(coarse, order)):
        yield Unit(
            cone=bounding_cone(int(cell), order, margin_arcsec),
            vouches=MOC.from_healpix_cells(
                np.array([cell], dtype=np.uint64), np.array([order], dtype=np.uint8), max_depth=order
            ),
            needed=needed,
            order=order,
        )


def parts(unit: Unit, margin_arcsec: float) -> list[Unit]:
    """A unit in smaller units, which together vouch for the same wanted sky; none if it cannot be smaller."""
    order = unit.order + 1 if unit.order is not None else _order_for(0.7 * unit.cone.radius_deg, margin_arcsec)
    if order > _DEEPEST_ORDER:
        return []
    return list(cell_units(unit.wanted, order, margin_arcsec))


def bounding_cone(cell: int, order: int, margin_arcsec: float) -> Cone:
    """The cone that holds a HEALPix cell and everything within a margin of it."""
    index, depth = np.array([cell], dtype=np.uint64), np.array([order], dtype=np.uint8)
    longitude, latitude = healpix_to_lonlat(index, order)
    ra_deg, dec_deg = float(longitude.deg[0]) % 360.0, float(latitude.deg[0])
    edge_ra, edge_dec = (np.radians(angle.deg) for angle in vertices(index, depth, step=_EDGE_POINTS))
    distance = np.degrees(angular_separation(np.radians(ra_deg), np.radians(dec_deg), edge_ra, edge_dec).max())
    # Between the points an edge may bulge; a hundredth of the radius is many times that.
    radius_deg = float(distance) * 1.01 + margin_arcsec / 3600.0
    return Cone(ra_deg, dec_deg, round(min(180.0, radius_deg), 9) + 1e-9)


def _order_for(max_radius_deg: float, margin_arcsec: float) -> int:
    """The lowest order whose cells, margin included, all fit in a cone of that radius."""
    # The corner of the longest cell is 1.045 of the mean width (the square root of the area) from its centre.
    room_deg = max(max_radius_deg - margin_arcsec / 3600.0, max_radius_deg / 8)
    order = 0
    while order < _DEEPEST_ORDER and 1.05 * 1.01 * _CELL_ARCSEC_AT_ORDER_0 / 3600.0 / 2**order > room_deg:
        order += 1
    return order


def _at_order(moc: MOC, order: int) -> NDArray[np.int64]:
    """Cells of an order that a MOC, which has none finer, is made of."""
    refined = moc.refine_to_order(order) if moc.max_order < order else moc
    return np.asarray(refined.flatten(), dtype=np.int64)
