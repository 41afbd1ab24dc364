"""What a user wants a catalogue for: tiles, plates, a plan, a cone, candidates; each as an area of sky."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mocpy import MOC
from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.loaders.fetch.coverage import uncovered
from vascodb.loaders.fetch.units import Unit, sky_of_cone, units_for
from vascodb.loaders.regions import Cone, grown
from vascodb.plates.footprint import polygon
from vascodb.plates.plan import half_diagonal_deg, read_plan, tile_centre
from vascodb.plates.solution import read_astrometry

__all__ = ["Target", "plan_targets", "plate_target", "tile_target", "units_of"]

_EDGE_POINTS = 9


@dataclass(frozen=True)
class Target:
    """An area of sky that has a name.

    Parameters
    ----------
    name : str
        Tile, plate, detection or cone.
    area : `Cone` or `~mocpy.MOC`
        Every position in it shall be covered.
    """

    name: str
    area: Cone | MOC

    @property
    def sky(self) -> MOC:
        """The area as cells; never less than the area."""
        return sky_of_cone(self.area) if isinstance(self.area, Cone) else self.area

    def widened(self, rim_arcsec: float) -> "Target":
        """The target and all sky within so many arcsec of it."""
        if rim_arcsec <= 0:
            return self
        if isinstance(self.area, MOC):
            return Target(self.name, grown(self.area, rim_arcsec))
        radius_deg = min(180.0, self.area.radius_deg + rim_arcsec / 3600.0)
        return Target(self.name, Cone(self.area.ra_deg, self.area.dec_deg, radius_deg))


def tile_target(connection: Connection, tile_id: str, size_arcmin: float) -> Target:
    """A tile, to the corners of its images where there are any, else to those of the planned square.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        To an initialised database.
    tile_id : str
        The tile's name.
    size_arcmin : float
        Size of the square if the tile is not stored.
    """
    around = connection.execute(
        text("""
            SELECT f.ra, f.dec, max(q3c_dist(f.ra, f.dec, i.ra, i.dec) + i.radius_deg) AS radius_deg
            FROM plate.image AS i
            CROSS JOIN (
                SELECT m.ra, m.dec FROM plate.image AS m
                WHERE m.tile_id = :tile AND m.status = 'ok'
                ORDER BY m.radius_deg DESC, m.image_id
                LIMIT 1
            ) AS f
            WHERE i.tile_id = :tile AND i.status = 'ok'
            GROUP BY f.ra, f.dec
        """),
        {"tile": tile_id},
    ).first()
    if around is not None:
        return Target(tile_id, Cone(around.ra, around.dec, around.radius_deg))
    ra_deg, dec_deg = tile_centre(tile_id)
    return Target(tile_id, Cone(ra_deg, dec_deg, half_diagonal_deg(size_arcmin)))


def plan_targets(path: Path, plate_id: str | None = None) -> list[Target]:
    """The tiles of a plan file, in its order; all or those of one plate."""
    tiles = [tile for tile in read_plan(path) if plate_id is None or tile.plate_id == plate_id]
    if not tiles:
        raise InputError(f"{path}: has no tile" + (f" of plate {plate_id}" if plate_id else ""))
    return [Target(t.tile_id, Cone(t.ra_deg, t.dec_deg, half_diagonal_deg(t.size_arcmin))) for t in tiles]


def plate_target(connection: Connection, plate_id: str) -> Target:
    """A whole plate, by the corners and edges that its own solution gives."""
    plate = connection.execute(
        text("SELECT header, naxis1, naxis2 FROM plate.plate WHERE plate_id = :plate"), {"plate": plate_id}
    ).first()
    if plate is None:
        raise InputError(f"plate {plate_id} is not stored; load its header first: vascodb load-plates FILE")
    along = np.linspace(0.0, 1.0, _EDGE_POINTS)[:-1]
    zero = np.zeros_like(along)
    x = 0.5 + plate.naxis1 * np.concatenate([along, zero + 1, 1 - along, zero])
    y = 0.5 + plate.naxis2 * np.concatenate([zero, along, zero + 1, 1 - along])
    return Target(plate_id, polygon(*read_astrometry(plate.header).solution.pixel_to_sky(x, y), order=12))


def units_of(
    connection: Connection,
    targets: Iterable[Target],
    catalog: str,
    margin_arcsec: float,
    max_radius_deg: float,
    survey: MOC,
    *,
    again: bool = False,
) -> tuple[list[Unit], list[str]]:
    """The questions that cover what is still needed of some targets.

    Returns
    -------
    units : list of `Unit`
        Each only once, in the targets' order.
    outside : list of str
        Names of the targets that lie wholly outside the survey.
    """
    units: dict[str, Unit] = {}
    outside: list[str] = []
    for target in targets:
        within = target.sky.intersection(survey)
        if within.empty():
            outside.append(target.name)
            continue
        needed = within if again else uncovered(connection, catalog, within)
        for unit in units_for(target.area, needed, margin_arcsec, max_radius_deg):
            units.setdefault(unit.region, unit)
    return list(units.values()), outside
