"""What happened to one image, read back from the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from vascodb.profiles import Profile

__all__ = ["IngestReport", "read_report"]


@dataclass(frozen=True)
class IngestReport:
    """One image after its way through the pipeline; all counts are of rows in the database.

    Parameters
    ----------
    image : str
        The file.
    tile_id, plate_id : str
        Tile, and true plate.
    run : str or None
        The run that judged; none judges a blue plate.
    detections, measured, candidates : int
        Detections; those with PSF columns; those that passed every stage.
    catalogs : mapping
        Per catalogue the number of detections matched, clear, unknown and not_covered.
    vetoes, gates : mapping
        Per required family of catalogues, and per gate, the number of judged detections that pass, fail, are
        unknown or not_covered.
    remaining : mapping
        Detections left after each stage and all before it, in order.
    warnings : sequence of str
        What the extraction tools warned of, and what could not be measured and why.
    seconds : mapping
        Wall time of the parts, and the total.
    tolerated : mapping
        Outcomes that do not stop a detection, for each stage that tolerates any.
    """

    image: str
    tile_id: str
    plate_id: str
    run: str | None
    detections: int
    catalogs: Mapping[str, Mapping[str, int]]
    measured: int
    vetoes: Mapping[str, Mapping[str, int]]
    gates: Mapping[str, Mapping[str, int]]
    remaining: Mapping[str, int]
    candidates: int
    warnings: Sequence[str]
    seconds: Mapping[str, float]
    tolerated: Mapping[str, Sequence[str]]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, seconds to the millisecond."""
        plain = asdict(self)
        plain["seconds"] = {part: round(value, 3) for part, value in self.seconds.items()}
        return plain

    @property
    def has_unknown(self) -> bool:
        """Whether a detection was stopped because a look-up failed or a value could not be measured."""
        stages = {**self.vetoes, **self.gates}
        return any(n["unknown"] and "unknown" not in self.tolerated.get(name, ()) for name, n in stages.items())


def read_report(
    connection: Connection,
    run_id: int | None,
    extraction_id: int,
    profile: Profile,
    path: Path,
    seconds: Mapping[str, float],
) -> IngestReport:
    """Read back what is known of an extraction, and what a run says of it if one judged it."""
    of_both = {"run_id": run_id, "extraction_id": extraction_id}
    head = connection.execute(
        text("""
            SELECT
                i.tile_id, i.plate_id, e.n_detections, e.tool_warnings,
                (SELECT r.run FROM vasco.run AS r WHERE r.run_id = :run_id) AS run,
                (
                    SELECT count(d.spread_model) FROM vasco.detection AS d WHERE d.extraction_id = e.extraction_id
                ) AS measured
            FROM vasco.extraction AS e
            JOIN plate.image AS i USING (image_id)
            WHERE e.extraction_id = :extraction_id
        """),
        of_both,
    ).one()
    states = connection.execute(
        text("""
            SELECT catalog, matched, clear, unknown, not_covered
            FROM api.match_states
            WHERE extraction_id = :extraction_id
            ORDER BY catalog
        """),
        of_both,
    ).mappings()
    catalogs = {str(row["catalog"]): {k: v for k, v in row.items() if k != "catalog"} for row in states}
    funnel = connection.execute(
        text("""
            SELECT stage, passed AS pass, failed AS fail, unknown, not_covered, remaining
            FROM api.funnel
            WHERE run_id = :run_id AND extraction_id = :extraction_id
            ORDER BY ordinal
        """),
        of_both,
    ).mappings()
    rows = {str(row["stage"]): dict(row) for row in funnel}
    outcomes = ("pass", "fail", "unknown", "not_covered")
    counts = {stage: {outcome: row[outcome] for outcome in outcomes} for stage, row in rows.items()}
    return IngestReport(
        image=str(path),
        tile_id=head.tile_id,
        plate_id=head.plate_id,
        run=head.run,
        detections=head.n_detections,
        catalogs=catalogs,
        measured=head.measured,
        vetoes={stage: counts[stage] for stage in profile.vetoes if counts},
        gates={stage: counts[stage] for stage in profile.gates if counts},
        remaining={stage: row["remaining"] for stage, row in rows.items()},
        candidates=rows[profile.stages[-1].stage]["remaining"] if rows else 0,
        warnings=head.tool_warnings,
        seconds=seconds,
        tolerated={s.stage: s.tolerates for s in profile.stages if s.tolerates},
    )
