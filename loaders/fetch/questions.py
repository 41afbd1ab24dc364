"""Images and detections that a look-up by position or by time is about."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.loaders.client.answers import Positions

__all__ = ["detections_in_question", "images_of", "unmatched_detections"]


def images_of(connection: Connection, *, tiles: Sequence[str] = (), plate: str = "", run: str = "") -> list[int]:
    """Ids of the usable images of some tiles, of a plate, or of a run's selection.

    Blue images are compared with and not searched, so that nobody need know what else was in the sky: they
    are among these only where their plate is named.

    Raises
    ------
    InputError
        If there is none.
    """
    images = connection.scalars(
        text("""
            SELECT i.image_id
            FROM plate.image AS i
            WHERE i.status = 'ok'
            AND (
                (i.tile_id = ANY (:tiles) AND i.band IS DISTINCT FROM 'blue')
                OR i.plate_id = :plate
                OR EXISTS (
                    SELECT 1
                    FROM vasco.extraction AS e
                    JOIN vasco.run_image AS s USING (extraction_id)
                    JOIN vasco.run AS r USING (run_id)
                    WHERE e.image_id = i.image_id AND r.run = :run
                )
            )
            ORDER BY i.image_id
        """),
        {"tiles": list(tiles), "plate": plate, "run": run},
    ).all()
    if not images:
        raise InputError(
            f"no image of {run or plate or ', '.join(tiles[:3])} is there yet; run: vascodb ingest-tile FILE"
        )
    return list(images)


def detections_in_question(connection: Connection, run: str) -> tuple[list[str], Positions]:
    """Detections that no stage of a run has turned away and no required catalogue knows; names and positions.

    Raises
    ------
    InputError
        If there is no such run.
    """
    if not connection.scalar(text("SELECT 1 FROM vasco.run WHERE run = :run"), {"run": run}):
        runs = connection.scalars(text("SELECT run FROM vasco.run ORDER BY run")).all()
        raise InputError(f"no run {run!r}; there are: {', '.join(runs) or 'none yet'}")
    rows = connection.execute(
        text("""
            SELECT tile_id || ':' || number AS src_id, ra, dec
            FROM api.in_question
            WHERE run = :run
            ORDER BY extraction_id, number
        """),
        {"run": run},
    ).all()
    return [row.src_id for row in rows], _positions([(row.ra, row.dec) for row in rows])


def unmatched_detections(connection: Connection, images: Sequence[int]) -> Positions:
    """Detections on some images that no catalogue has matched so far."""
    rows = connection.execute(
        text("""
            SELECT d.ra, d.dec
            FROM vasco.extraction AS e
            JOIN vasco.detection AS d USING (extraction_id)
            WHERE e.image_id = ANY (:images)
            AND NOT EXISTS (
                SELECT 1 FROM vasco.match AS m
                WHERE m.extraction_id = d.extraction_id AND m.number = d.number AND m.state = 'matched'
            )
            ORDER BY d.extraction_id, d.number
        """),
        {"images": list(images)},
    ).all()
    return _positions([(row.ra, row.dec) for row in rows])


def _positions(rows: Sequence[tuple[float, float]]) -> Positions:
    ra_dec = np.array(rows, dtype=np.float64).reshape(-1, 2)
    return Positions(np.arange(1, len(rows) + 1, dtype=np.int64), ra_dec[:, 0], ra_dec[:, 1])
