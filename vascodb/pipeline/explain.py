"""The whole story of one detection, from its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, text

from vascodb.errors import InputError

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """What is known of one detection.

    Parameters
    ----------
    detection : mapping
        Its row in ``api.detections``.
    sources : sequence of mapping
        Rows of ``api.nearest_sources``: per catalogue the nearest source, and the look-ups that covered the
        position or failed there.
    moving : sequence of mapping
        Rows of ``api.moving_near``: moving objects predicted within 60 arcsec, nearest first.
    verdicts : sequence of mapping
        Rows of ``api.verdicts``, per run in the order of its stages.
    is_candidate : mapping of str to bool
        Per run that judged it.
    """

    detection: Mapping[str, Any]
    sources: Sequence[Mapping[str, Any]]
    moving: Sequence[Mapping[str, Any]]
    verdicts: Sequence[Mapping[str, Any]]
    is_candidate: Mapping[str, bool]

    def as_dict(self) -> dict[str, Any]:
        """The explanation as plain values."""
        return asdict(self)


def explain(connection: Connection, src_id: str) -> list[Explanation]:
    """Explain the detections of that name.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        To an initialised database.
    src_id : str
        ``tile_id:number``. Two images of one tile may both have it; then there are two answers.

    Raises
    ------
    InputError
        If there is no such detection.
    """
    tile_id, _, number = src_id.rpartition(":")
    if not tile_id or not number.isdigit():
        raise InputError(
            f"{src_id!r} is no detection's name; those are TILE_ID:NUMBER, as vascodb candidates prints them"
        )
    rows = connection.execute(
        text("SELECT * FROM api.detections WHERE tile_id = :tile_id AND number = :number ORDER BY extraction_id"),
        {"tile_id": tile_id, "number": int(number)},
    ).mappings()
    found = [_explain(connection, dict(row)) for row in rows]
    if not found:
        raise InputError(f"there is no detection {src_id}")
    return found


def _explain(connection: Connection, detection: dict[str, Any]) -> Explanation:
    which = {"extraction_id": detection["extraction_id"], "number": detection["number"]}
    sources = connection.execute(text("SELECT * FROM api.nearest_sources(:extraction_id, :number)"), which).mappings()
    moving = connection.execute(text("SELECT * FROM api.moving_near(:extraction_id, :number)"), which).mappings()
    verdicts = connection.execute(
        text("""
            SELECT run, stage, outcome, value, parameters, reason, evidence
            FROM api.verdicts
            WHERE extraction_id = :extraction_id AND number = :number
            ORDER BY run, ordinal
        """),
        which,
    ).mappings()
    judged = connection.execute(
        text("""
            SELECT r.run, EXISTS (
                SELECT 1 FROM api.candidates AS c
                WHERE c.run_id = r.run_id AND c.extraction_id = :extraction_id AND c.number = :number
            ) AS is_candidate
            FROM vasco.run AS r
            JOIN vasco.run_image AS i USING (run_id)
            WHERE i.extraction_id = :extraction_id
            ORDER BY r.run
        """),
        which,
    )
    return Explanation(
        detection=detection,
        sources=[dict(row) for row in sources],
        moving=[dict(row) for row in moving],
        verdicts=[dict(row) for row in verdicts],
        is_candidate={row.run: row.is_candidate for row in judged},
    )
