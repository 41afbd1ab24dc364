"""What of a catalogue's sky is known, can be known, or failed: the questions to the database in terms of MOCs."""

import numpy as np
from mocpy import MOC
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from vascodb.loaders.fetch.units import declination_zone
from vascodb.loaders.registry import CatalogDefinition
from vascodb.plates.footprint import ORDER, multirange

__all__ = ["add_gap", "drop_gaps", "surveyed", "uncovered"]


def uncovered(connection: Connection, catalog: str, moc: MOC) -> MOC:
    """The part of some sky that no complete look-up of a catalogue covers."""
    if moc.empty():
        return moc
    rows = connection.execute(
        text("""
            SELECT lower(r), upper(r)
            FROM unnest(ref.uncovered(:catalog, CAST(:ranges AS int8multirange))) AS r
        """),
        {"catalog": catalog, "ranges": multirange(moc)},
    ).all()
    return _from_ranges(np.array([tuple(row) for row in rows], dtype=np.uint64).reshape(-1, 2))


def surveyed(connection: Connection, definition: CatalogDefinition) -> MOC | None:
    """Sky in which a catalogue can say that nothing is there.

    Returns
    -------
    `~mocpy.MOC` or None
        The survey's declination zone and, where one is needed, its own outline; none if that
        outline has not been fetched yet.
    """
    zone = declination_zone(definition.dec_min, definition.dec_max)
    if definition.footprint == "declination":
        return zone
    rows = connection.execute(
        text("SELECT lower(r), upper(r) FROM ref.footprint AS f, unnest(f.hpx29) AS r WHERE f.catalog = :catalog"),
        {"catalog": definition.name},
    ).all()
    if not rows:
        return None
    return zone.intersection(_from_ranges(np.array([tuple(row) for row in rows], dtype=np.uint64)))


def add_gap(connection: Connection, catalog: str, lookup_id: int, moc: MOC) -> None:
    """Remember sky where a look-up failed, as far as none covers it."""
    connection.execute(
        text("SELECT ref.add_gap(:catalog, :lookup_id, CAST(:ranges AS int8multirange))"),
        {"catalog": catalog, "lookup_id": lookup_id, "ranges": multirange(moc)},
    )


def drop_gaps(connection: Connection, catalog: str, moc: MOC) -> None:
    """Forget that look-ups failed in some sky, because one has not.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        The transaction, which holds the lock under which coverage is added.
    catalog : str
        Catalogue.
    moc : `~mocpy.MOC`
        The sky.
    """
    connection.execute(
        text("SELECT ref.clip_gaps(:catalog, CAST(:ranges AS int8multirange))"),
        {"catalog": catalog, "ranges": multirange(moc)},
    )


def _from_ranges(ranges: NDArray[np.uint64]) -> MOC:
    return MOC.from_depth29_ranges(max_depth=ORDER, ranges=ranges)
