"""Which images a run takes: by tile, by plate, by plan, or all that there are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.plates.plan import read_plan

__all__ = ["Selected", "Selection", "select_images"]

_SHOWN = 5


@dataclass(frozen=True)
class Selection:
    """What the user asks for; nothing at all means the images that the run has already.

    Parameters
    ----------
    tiles, plates : sequence of str
        Names of tiles, and of plates, by the images' true ``REGION``.
    plan : `~pathlib.Path` or None
        A plan of tiles; those not ingested yet are left for later.
    everything : bool
        Every image of a red plate that was ingested, releases left out.
    """

    tiles: Sequence[str] = ()
    plates: Sequence[str] = ()
    plan: Path | None = None
    everything: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.tiles or self.plates or self.plan or self.everything)


@dataclass(frozen=True)
class Selected:
    """Images that a selection found.

    Parameters
    ----------
    extraction_ids : tuple of int
        The newest extraction of each image in the profile's configuration.
    not_ingested : int
        Tiles of a plan of which there is no image yet.
    """

    extraction_ids: tuple[int, ...]
    not_ingested: int = 0


def select_images(connection: Connection, selection: Selection, extraction: str) -> Selected:
    """Find the images of a selection.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        To an initialised database.
    selection : `Selection`
        What is asked for.
    extraction : str
        Name of the extraction configuration.

    Raises
    ------
    InputError
        If a tile or plate that is named has no image, a plan has none at all, or a plate is blue.
    """
    planned = {tile.tile_id for tile in read_plan(selection.plan)} if selection.plan else set()
    rows = connection.execute(
        text("""
            SELECT DISTINCT ON (i.image_id) e.extraction_id, i.tile_id, i.plate_id, i.band
            FROM plate.image AS i
            JOIN vasco.extraction AS e USING (image_id)
            WHERE i.status = 'ok' AND e.config_name = :extraction
            AND (
                :everything OR i.tile_id = ANY (CAST(:tiles AS text[])) OR i.plate_id = ANY (CAST(:plates AS text[]))
            )
            ORDER BY i.image_id, e.extracted_at DESC, e.extraction_id
        """),
        {
            "extraction": extraction,
            "everything": selection.everything,
            "tiles": [*selection.tiles, *planned],
            "plates": list(selection.plates),
        },
    ).all()
    blue = {row.plate_id for row in rows if row.band == "blue"} & set(selection.plates)
    if blue:
        raise InputError(f"plate {min(blue)} is blue: it is there to be compared with, and no run judges it")
    rows = [row for row in rows if row.band != "blue"]
    tiles = {row.tile_id for row in rows}
    _refuse_missing("tile", set(selection.tiles) - tiles)
    _refuse_missing("plate", set(selection.plates) - {row.plate_id for row in rows})
    if planned and not planned & tiles:
        raise InputError(
            f"{selection.plan}: none of its {len(planned)} tiles is ingested yet; run: vascodb ingest-tile"
        )
    return Selected(tuple(sorted(row.extraction_id for row in rows)), len(planned - tiles))


def _refuse_missing(kind: str, missing: Iterable[str]) -> None:
    names = sorted(missing)
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise InputError(f"no image of {kind} {', '.join(names[:_SHOWN])}{more} is ingested; run: vascodb ingest-tile")
