"""Find the true time of every plate, and store it with its evidence."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from vascodb.bulk import advisory_lock
from vascodb.plates.dates import julian_year
from vascodb.plates.times.decide import (
    BlockWitness,
    CdromWitness,
    Decision,
    HourAngleWitness,
    OrderWitness,
    Vote,
    Witness,
    decide,
)
from vascodb.plates.times.hour_angle import hour_angle_residuals, residual_at
from vascodb.plates.times.order import Anchor, NightOrder
from vascodb.plates.times.statements import Statements, read_statements

__all__ = ["PlateTimesTotals", "solve_plate_times"]

SOLUTION = "solution"
# Times were written down in whole minutes; that the hour angles scatter by no more says that they are good to that.
_UNCERTAINTY_MINUTES = 0.5


@dataclass(frozen=True)
class PlateTimesTotals:
    """How many plates there are of each quality."""

    agreed: int
    single: int
    conflicting: int
    unknown: int

    @property
    def plates(self) -> int:
        """All plates."""
        return self.agreed + self.single + self.conflicting + self.unknown


def solve_plate_times(connection: Connection) -> PlateTimesTotals:
    """Solve for the times of all plates from all that is stored of them, and store what follows.

    What was concluded before is replaced: a header more can change the times of its neighbours.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        In a transaction.
    """
    advisory_lock(connection, "plate.exposure_time")
    plates = read_statements(connection)
    residuals = hour_angle_residuals(
        [[reading.start for reading in plate.readings] for plate in plates],
        *(np.array([getattr(plate, name) for plate in plates]) for name in ("ra_deg", "dec_deg", "obsha_hours")),
    )
    own = [_own_witnesses(plate, r) for plate, r in zip(plates, residuals, strict=True)]
    order = NightOrder(_anchors(plates, own))
    decisions = []
    for plate, witnesses in zip(plates, own, strict=True):
        about: list[Witness] = []
        if plate.label is not None:
            neighbours = order.neighbours(plate.label)
            about = [OrderWitness(neighbours), BlockWitness(neighbours)]
        decisions.append(decide(plate.readings, [*witnesses, *about]))
    _store(connection, plates, residuals, decisions)
    counts = Counter(decision.quality for decision in decisions)
    return PlateTimesTotals(counts["agreed"], counts["single"], counts["conflicting"], counts["unknown"])


def _own_witnesses(plate: Statements, residuals: NDArray[np.float64]) -> list[Witness]:
    witnesses: list[Witness] = [HourAngleWitness(residuals)]
    if plate.cdrom_start is not None:
        witnesses.append(CdromWitness(plate.cdrom_start))
    return witnesses


def _anchors(plates: Sequence[Statements], own: Sequence[Sequence[Witness]]) -> Iterable[Anchor]:
    """Plates whose night their own witnesses tell with one voice."""
    for plate, witnesses in zip(plates, own, strict=True):
        decision = decide(plate.readings, witnesses)
        if plate.label is not None and decision.adopted is not None:
            reading = plate.readings[decision.adopted]
            yield Anchor(plate.label, reading.start.date(), plate.plate_id, reading.day_offset)


def _store(
    connection: Connection,
    plates: Sequence[Statements],
    residuals: Sequence[NDArray[np.float64]],
    decisions: Sequence[Decision],
) -> None:
    connection.execute(text("DELETE FROM plate.time_evidence"))
    connection.execute(text("DELETE FROM plate.exposure_time WHERE source = :solution"), {"solution": SOLUTION})
    # One statement for all rows, which arrive as a document.
    connection.execute(
        text("""
            INSERT INTO plate.exposure_time (
                plate_id, source, reading, start_utc, mid_utc, mid_epoch_jyear, uncertainty_minutes, time_quality,
                evidence
            )
            SELECT
                plate_id, :solution, 'corrected', start_utc, mid_utc, mid_epoch_jyear, uncertainty_minutes,
                time_quality, evidence
            FROM jsonb_populate_recordset(NULL::plate.exposure_time, CAST(:rows AS jsonb))
        """),
        {
            "solution": SOLUTION,
            "rows": json.dumps([_time_row(p, d) for p, d in zip(plates, decisions, strict=True)]),
        },
    )
    connection.execute(
        text("""
            INSERT INTO plate.time_evidence
            SELECT * FROM jsonb_populate_recordset(NULL::plate.time_evidence, CAST(:rows AS jsonb))
        """),
        {
            "rows": json.dumps(
                [
                    {"plate_id": plate.plate_id, "ordinal": ordinal, **row}
                    for plate, r, decision in zip(plates, residuals, decisions, strict=True)
                    for ordinal, row in enumerate(_evidence_rows(plate, r, decision), 1)
                ]
            )
        },
    )


def _time_row(plate: Statements, decision: Decision) -> Mapping[str, Any]:
    row: dict[str, Any] = {
        "plate_id": plate.plate_id,
        "time_quality": decision.quality,
        "evidence": decision.evidence,
    }
    if decision.adopted is not None:
        start = plate.readings[decision.adopted].start
        row |= {"start_utc": start.isoformat(), "uncertainty_minutes": _UNCERTAINTY_MINUTES}
        if plate.exposure_minutes is not None:
            mid = start + timedelta(minutes=plate.exposure_minutes / 2)
            row |= {"mid_utc": mid.isoformat(), "mid_epoch_jyear": julian_year(mid)}
    return row


def _evidence_rows(plate: Statements, residuals: NDArray[np.float64], decision: Decision) -> Iterable[dict[str, Any]]:
    """Each reading with the hour angle's word on it, then the witnesses."""
    votes = {vote.kind: vote for vote in decision.votes}
    for i, reading in enumerate(plate.readings):
        yield {
            "kind": "reading",
            "hypothesis": reading.clock,
            "start_utc": reading.start.isoformat(),
            "day_offset": reading.day_offset,
            "residual_minutes": _rounded(residuals[i]),
            "verdict": votes["hour_angle"].verdict(i),
            "adopted": i == decision.adopted,
            "note": f"{plate.source}: {plate.date_obs_raw or 'date and time apart'}"
            + ("" if reading.is_lawful else "; shown only: headers are a day early or right"),
        }
    yield _row_of(votes["hour_angle"], decision, None, np.nan)
    if plate.clock_note is not None:
        yield {"kind": "image", "verdict": "for", "adopted": False, "note": plate.clock_note}
    if "cdrom" in votes and plate.cdrom_start is not None:
        residual = residual_at(plate.cdrom_start, plate.readings[0].start, residuals[0]) if plate.readings else np.nan
        yield _row_of(votes["cdrom"], decision, plate.cdrom_start, residual)
    for kind in ("label_order", "label_block"):
        if kind in votes:
            yield _row_of(votes[kind], decision, None, np.nan)


def _row_of(vote: Vote, decision: Decision, start: datetime | None, residual: float) -> dict[str, Any]:
    """One witness's word on the adopted reading; where none was adopted, on all that are lawful."""
    if decision.adopted is not None:
        verdict = vote.verdict(decision.adopted)
    else:
        verdict = "silent" if vote.silent else "for" if vote.supported else "against"
    return {
        "kind": vote.kind,
        "start_utc": None if start is None else start.isoformat(),
        "residual_minutes": _rounded(residual),
        "verdict": verdict,
        "adopted": False,
        "note": vote.note,
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None
