"""Tie an image's positions to stars of known position, and match its detections against catalogues."""

from collections.abc import Callable, Collection

from sqlalchemy import Connection, text

from vascodb.plates.plate_fit import fit_image
from vascodb.plates.tangent_fit import PlateFitParameters

__all__ = ["fit_positions", "match_image", "match_image_anew"]


def fit_positions(connection: Connection, extraction_id: int) -> bool:
    """Fit an image's positions, ours and the seeds' way; returns whether any best position moved.

    The ties are made at raw positions, so that the same detections and stars give the same fit whenever it is made.
    """
    moved = fit_image(connection, extraction_id).moved > 0
    # The seeds' own fit is recorded for comparison; it moves nothing.
    fit_image(connection, extraction_id, "wcsfix")
    return moved


def match_image(
    connection: Connection, extraction_id: int, families: Collection[str], note: Callable[[str], None] = lambda _: None
) -> set[str]:
    """Match an image against some families, and all that know of its sky.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        A transaction, in which the extraction is locked.
    extraction_id : int
        The extraction.
    families : collection of str
        What is matched whether anything of it is known or not.
    note : callable, optional
        Called with what is being done.

    Returns
    -------
    set of str
        The catalogues that say something else than before.
    """
    catalogs = connection.scalars(
        text("SELECT catalog FROM stage.catalogs_to_match(:extraction_id, :families)"),
        {"extraction_id": extraction_id, "families": list(families)},
    ).all()
    changed = set()
    for catalog in catalogs:
        note(f"match {catalog}")
        if connection.scalar(
            text("SELECT written FROM stage.match(:extraction_id, :catalog)"),
            {"extraction_id": extraction_id, "catalog": catalog},
        ):
            changed.add(catalog)
    return changed


def match_image_anew(connection: Connection, extraction_id: int, families: Collection[str]) -> bool:
    """Match an image again, and tie its positions anew where stars of known position came since they were tied.

    What the database holds then is what it would hold had the stars been there when the image was ingested. The
    fit is only made where the matches show that there is something new, for it costs more than they do.

    Parameters
    ----------
    connection, extraction_id, families
        See `match_image`.

    Returns
    -------
    bool
        Whether best positions moved.
    """
    if _fit_is_due(connection, extraction_id, ()):
        moved = fit_positions(connection, extraction_id)
        match_image(connection, extraction_id, families)
        return moved
    changed = match_image(connection, extraction_id, families)
    if not changed or not _fit_is_due(connection, extraction_id, changed):
        return False
    moved = fit_positions(connection, extraction_id)
    if moved:
        match_image(connection, extraction_id, families)
    return moved


def _fit_is_due(connection: Connection, extraction_id: int, changed: Collection[str]) -> bool:
    return bool(
        connection.scalar(
            text("SELECT stage.fit_is_due(:extraction_id, :family, :changed)"),
            {"extraction_id": extraction_id, "family": PlateFitParameters().family, "changed": sorted(changed)},
        )
    )
