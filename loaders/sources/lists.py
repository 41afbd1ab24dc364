"""What sources that take lists of positions have in common: the list as evidence, and what of an answer counts."""

from hashlib import sha256
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from astropy.coordinates import angular_separation
from numpy.typing import NDArray

from vascodb.errors import InputError
from vascodb.loaders.client.answers import PositionAnswer, Positions
from vascodb.loaders.sources import ListSource

__all__ = ["JobMemory", "WorksByJobs", "list_evidence", "nearest_only", "refuse_repeated", "separation_arcsec"]


class JobMemory(Protocol):
    """Remembers jobs that a service is still working on, so that they are not submitted twice."""

    def recall(self, key: int) -> str | None:
        """Address of a question's job, if there is one."""
        ...

    def remember(self, key: int, endpoint: str, job_url: str) -> None:
        """Keep the address of a question's job."""
        ...

    def forget(self, key: int) -> None:
        """The job is over: answered, failed, or gone."""
        ...


@runtime_checkable
class WorksByJobs(Protocol):
    """A source that may ask by jobs, which take long."""

    def with_jobs(self, jobs: JobMemory) -> ListSource:
        """The same source, which remembers its jobs elsewhere."""
        ...


def list_evidence(positions: Positions, radius_arcsec: float) -> dict[str, Any]:
    """A list in a few words: as many positions as are sent would fill the database with evidence.

    Returns
    -------
    dict
        Their number, their SHA-256 (numbers and degrees as little-endian int64 and float64, one array
        after the other), and the radius about each.
    """
    digest = sha256()
    for values, kind in ((positions.row_id, "<i8"), (positions.ra_deg, "<f8"), (positions.dec_deg, "<f8")):
        digest.update(np.ascontiguousarray(values, dtype=kind).tobytes())
    return {
        "positions": len(positions),
        "positions_sha256": digest.hexdigest(),
        "radius_arcsec": float(radius_arcsec),
    }


def refuse_repeated(positions: Positions) -> None:
    """Refuse a list in which two positions have the same number; nobody could tell their answers apart.

    Raises
    ------
    InputError
        If there are.
    """
    numbers, counts = np.unique(positions.row_id, return_counts=True)
    if len(numbers) != len(positions):
        raise InputError(f"position {numbers[counts > 1][0]} is in the list more than once; number them apart")


def separation_arcsec(answer: PositionAnswer, positions: Positions) -> NDArray[np.float64]:
    """Distance of each row from the position that it belongs to, at the row's own epoch."""
    order = np.argsort(positions.row_id)
    asked = order[np.searchsorted(positions.row_id, answer.row_ids, sorter=order)]
    there = (np.radians(answer.table[name].to_numpy()) for name in ("ra", "dec"))
    here = np.radians(positions.ra_deg[asked]), np.radians(positions.dec_deg[asked])
    return np.asarray(np.degrees(angular_separation(*here, *there)) * 3600.0)


def nearest_only(answer: PositionAnswer, positions: Positions) -> PositionAnswer:
    """Of all rows of each position only the nearest, the one with the lowest id where two are as near."""
    distance = separation_arcsec(answer, positions)
    ranked = np.lexsort((answer.table["source_id"].to_numpy(), distance, answer.row_ids))
    first = np.unique(answer.row_ids[ranked], return_index=True)[1]
    kept = np.sort(ranked[first])
    return PositionAnswer(answer.table.take(pa.array(kept)), answer.row_ids[kept], answer.rows_in, answer.row_cap)
