"""Rows that plates and images share: astrometric solutions and exposure times."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, text

from vascodb.ids import content_id
from vascodb.plates.dates import ExposureTimes, julian_year
from vascodb.plates.solution import Astrometry, TanSolution

__all__ = ["save_exposure_times", "save_solution"]


def save_solution(connection: Connection, astrometry: Astrometry) -> int:
    """Store an astrometric solution once; returns its id, which is a hash of its numbers."""
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
        {"solution_id": solution_id, "kind": astrometry.kind, **row},
    )
    return solution_id


def save_exposure_times(connection: Connection, plate_id: str, source: str, times: ExposureTimes) -> None:
    """Store what one header says of a plate's exposure time, in each reading.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        In a transaction.
    plate_id : str
        The plate.
    source : str
        The header that says so, such as ``plate header``.
    times : `ExposureTimes`
        What it says.
    """
    for reading, start in (("literal", times.literal_start), ("decimal_hours", times.decimal_hours_start)):
        mid = times.mid(start)
        connection.execute(
            text("""
                INSERT INTO plate.exposure_time AS t (
                    plate_id, source, reading, start_utc, mid_utc, mid_epoch_jyear, time_quality, evidence
                )
                VALUES (:plate_id, :source, :reading, :start_utc, :mid_utc, :mid_epoch_jyear, :time_quality, :evidence)
                ON CONFLICT (plate_id, source, reading) DO NOTHING
            """),
            {
                "plate_id": plate_id,
                "source": source,
                "reading": reading,
                "start_utc": start,
                "mid_utc": mid,
                "mid_epoch_jyear": None if mid is None else julian_year(mid),
                "time_quality": times.quality,
                "evidence": times.evidence,
            },
        )
