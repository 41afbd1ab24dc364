"""Rows that plates and images share: astrometric solutions and exposure times."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, text

from vascodb.ids import content_id
from vascodb.plates.dates import ExposureTimes, julian_year
from vascodb.plates.solution import Astrometry, TanSolution

__all__ = ["exposure_time_rows", "save_exposure_times", "save_solutions", "solution_row"]


def solution_row(astrometry: Astrometry) -> dict[str, Any]:
    """The row of ``plate.solution`` for an astrometric solution; its id is a hash of its numbers."""
    solution = astrometry.solution
    solution_id = content_id("solution", astrometry.kind, asdict(solution))
    row: dict[str, Any] = dict.fromkeys(
        ("amdx", "amdy", "ppo3_um", "ppo6_um", "x_pixel_um", "y_pixel_um", "cnpix1", "cnpix2", "crpix1", "crpix2", "cd")
    )
    if isinstance(solution, TanSolution):
        row |= {"crpix1": solution.crpix[0], "crpix2": solution.crpix[1], "cd": list(solution.cd)}
        row |= {"tangent_ra": solution.crval[0] % 360.0, "tangent_dec": solution.crval[1]}
    else:
        row |= {"amdx": list(solution.amdx), "amdy": list(solution.amdy)}
        row |= {"ppo3_um": solution.ppo3, "ppo6_um": solution.ppo6}
        row |= {"x_pixel_um": solution.x_pixel_um, "y_pixel_um": solution.y_pixel_um}
        row |= {"cnpix1": solution.cnpix1, "cnpix2": solution.cnpix2}
        row |= {"tangent_ra": solution.plate_ra_deg % 360.0, "tangent_dec": solution.plate_dec_deg}
    return {"solution_id": solution_id, "kind": astrometry.kind, **row}


def save_solutions(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store astrometric solutions (from `solution_row`) that are not there yet."""
    connection.execute(
        text("""
            INSERT INTO plate.solution (
                solution_id, kind, amdx, amdy, ppo3_um, ppo6_um, x_pixel_um, y_pixel_um, cnpix1, cnpix2,
                tangent_ra, tangent_dec, crpix1, crpix2, cd
            )
            VALUES (
                :solution_id, :kind, :amdx, :amdy, :ppo3_um, :ppo6_um, :x_pixel_um, :y_pixel_um, :cnpix1, :cnpix2,
                :tangent_ra, :tangent_dec, :crpix1, :crpix2, :cd
            )
            ON CONFLICT (solution_id) DO NOTHING
        """),
        list(rows),
    )


def exposure_time_rows(plate_id: str, source: str, times: ExposureTimes) -> list[dict[str, Any]]:
    """What one header says of a plate's exposure time, a row of ``plate.exposure_time`` per reading.

    Parameters
    ----------
    plate_id : str
        The plate.
    source : str
        The header that says so, such as ``plate header``.
    times : `ExposureTimes`
        What it says.
    """
    rows = []
    for reading, start in (("literal", times.literal_start), ("decimal_hours", times.decimal_hours_start)):
        mid = times.mid(start)
        rows.append(
            {
                "plate_id": plate_id,
                "source": source,
                "reading": reading,
                "start_utc": start,
                "mid_utc": mid,
                "mid_epoch_jyear": None if mid is None else julian_year(mid),
                "time_quality": times.quality,
                "evidence": times.evidence,
            }
        )
    return rows


def save_exposure_times(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store readings of exposure times (from `exposure_time_rows`) that are not there yet."""
    connection.execute(
        text("""
            INSERT INTO plate.exposure_time (
                plate_id, source, reading, start_utc, mid_utc, mid_epoch_jyear, time_quality, evidence
            )
            VALUES (:plate_id, :source, :reading, :start_utc, :mid_utc, :mid_epoch_jyear, :time_quality, :evidence)
            ON CONFLICT (plate_id, source, reading) DO NOTHING
        """),
        list(rows),
    )
