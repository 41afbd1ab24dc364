"""What partitions that are loaded cover together: rims between neighbours vanish, whenever each was loaded."""

from collections.abc import Sequence

import numpy as np
from mocpy import MOC
from sqlalchemy import Connection, text

from vascodb.loaders.regions import with_rim, without_rim
from vascodb.loaders.store import add_coverage
from vascodb.plates.footprint import ORDER, multirange

__all__ = ["add_bulk_coverage", "as_moc"]


def as_moc(ranges: Sequence[tuple[int, int]]) -> MOC:
    """Ranges of cells of order 29 as a MOC."""
    return MOC.from_depth29_ranges(max_depth=ORDER, ranges=np.array(ranges, dtype=np.uint64).reshape(-1, 2))


def add_bulk_coverage(
    connection: Connection, catalog_name: str, lookup_id: int, new: MOC, survey: MOC, margin_arcsec: float
) -> int:
    """Cover what new partitions and all that are loaded already hold together, but for the rim of the whole.

    Partitions at the limit of a survey reach beyond it; what lies there is not covered.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        The transaction, in which the look-up is on record and the lock of the coverage is held.
    catalog_name : str
        A registered catalogue.
    lookup_id : int
        The look-up of kind ``bulk`` that brought the partitions.
    new : `~mocpy.MOC`
        The partitions' cells.
    survey : `~mocpy.MOC`
        Sky that was surveyed.
    margin_arcsec : float
        Width of the rim.

    Returns
    -------
    int
        Number of ranges that were not covered yet.
    """
    # A cell is covered when none beside it is outside. Only cells in or beside the new ones can become
    # so, and whether they are depends on nothing farther away than this.
    about = with_rim(with_rim(new, margin_arcsec), margin_arcsec)
    rows = connection.execute(
        text("""
            SELECT CAST(c ->> 0 AS bigint) AS low, CAST(c ->> 1 AS bigint) AS high
            FROM ref.lookup AS l, jsonb_array_elements(l.parameters -> 'cells') AS c
            WHERE l.catalog = :catalog AND l.kind = 'bulk' AND l.complete
            AND int8range(CAST(c ->> 0 AS bigint), CAST(c ->> 1 AS bigint)) && CAST(:about AS int8multirange)
        """),
        {"catalog": catalog_name, "about": multirange(about)},
    ).all()
    together = as_moc([(row.low, row.high) for row in rows]).intersection(about)
    covered = without_rim(together, margin_arcsec).intersection(survey)
    return add_coverage(connection, catalog_name, lookup_id, covered)
