"""What is stored of a release, counted from its rows."""

from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

from sqlalchemy import Connection, text

__all__ = ["ImportReport", "report_release"]


@dataclass(frozen=True)
class ImportReport:
    """What is stored of a release.

    Parameters
    ----------
    name, run_tag : str
        Name it was imported under, and the one that the run gives itself, if it does.
    release_id : int
        Hash of its files' contents.
    new : bool
        Whether it was imported now, or found stored already.
    tiles, tiles_with_rows, tiles_empty, tiles_missing : int
        Tiles of the manifest: with survivors, without, and those whose list is missing.
    detections : int
        Detections.
    stages : list of dict
        Per stage its name and how many detections went in and were kept, as published.
    tiles_without_gaia, detections_without_gaia : int
        Tiles for which the release had no star of Gaia, and detections of which it does not show that they
        were vetoed by Gaia.
    tiles_dated, plates_resolved, plates_resolved_now : int
        Tiles whose exposure the release dates; those whose plate that tells, in all and by this call.
    plates_loaded : int
        Plates whose headers are loaded.
    seconds : float
        How long it took.
    """

    name: str
    run_tag: str | None
    release_id: int
    new: bool
    tiles: int
    tiles_with_rows: int
    tiles_empty: int
    tiles_missing: int
    detections: int
    stages: list[dict[str, Any]]
    tiles_without_gaia: int
    detections_without_gaia: int
    tiles_dated: int
    plates_resolved: int
    plates_resolved_now: int
    plates_loaded: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def report_release(
    connection: Connection, release_id: int, *, new: bool, resolved: int, started: float
) -> ImportReport:
    """Count what is stored of a release.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        The transaction that stored it.
    release_id : int
        The release.
    new : bool
        Whether it was stored now.
    resolved : int
        Images whose plate was told now.
    started : float
        When the work began, by `time.monotonic`.
    """
    row = connection.execute(text(_COUNTED), {"id": release_id}).mappings().one()
    stages = connection.execute(
        text("""
            SELECT stage, rows_in AS n_in, rows_kept AS kept
            FROM vasco.release_stage
            WHERE release_id = :id
            ORDER BY ordinal
        """),
        {"id": release_id},
    ).mappings()
    return ImportReport(
        release_id=release_id,
        new=new,
        stages=[{"stage": stage["stage"], "in": stage["n_in"], "kept": stage["kept"]} for stage in stages],
        plates_resolved_now=resolved,
        seconds=round(monotonic() - started, 2),
        **row,
    )


_COUNTED = """
    SELECT
        r.name, r.run_tag, t.*, (SELECT count(*) FROM plate.plate) AS plates_loaded,
        (
            SELECT count(*)
            FROM vasco.release_tile AS k
            JOIN vasco.imported_match AS m USING (extraction_id)
            JOIN ref.catalog AS c USING (catalog)
            WHERE k.release_id = r.release_id AND c.family = 'gaia' AND m.state = 'unknown'
        ) AS detections_without_gaia
    FROM vasco.release AS r
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS tiles,
            count(*) FILTER (WHERE k.status = 'rows') AS tiles_with_rows,
            count(*) FILTER (WHERE k.status = 'empty') AS tiles_empty,
            count(*) FILTER (WHERE k.status = 'missing') AS tiles_missing,
            coalesce(sum(e.n_detections), 0)::bigint AS detections,
            count(*) FILTER (WHERE k.psf_stars = 0) AS tiles_without_gaia,
            count(*) FILTER (WHERE k.obs_start IS NOT NULL) AS tiles_dated,
            count(*) FILTER (WHERE k.plate_source = 'date') AS plates_resolved
        FROM vasco.release_tile AS k
        LEFT JOIN vasco.extraction AS e USING (extraction_id)
        WHERE k.release_id = r.release_id
    ) AS t
    WHERE r.release_id = :id
"""
