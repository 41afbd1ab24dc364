"""How good a candidate list is, against the truth of a simulated plate."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from vascodb.simulate.motion import separation_arcsec, unit_vectors
from vascodb.simulate.truth import ACCEPTANCE_MARGIN_MAG

__all__ = ["Cause", "Score", "score"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

Cause = Literal["duplicate", "moving_star", "star", "high_pm", "blend", "defect", "halo", "nothing", "outside_coverage"]
CAUSES: tuple[Cause, ...] = (
    "duplicate", "moving_star", "star", "high_pm", "blend", "defect", "halo", "nothing", "outside_coverage",
)  # fmt: skip
_MOVED_ARCSEC = 1.0
# A halo worth the name; fainter stars have none.
_HALO_FROM_ARCSEC = 15.0


@dataclass(frozen=True)
class Score:
    """What a candidate list found of the vanished sources, and what else it claims.

    Parameters
    ----------
    recall : float
        Part of the sources that had to be found that were found; NaN if there were none.
    precision : float
        Part of the claims that are vanished sources, of any magnitude; NaN if there are no claims.
    found, missed : tuple of int
        Truth ids of the sources that had to be found: isolated ones at least 0.5 mag brighter
        than the limit.
    found_beyond : tuple of int
        Truth ids of the others that were found: marginal or blended ones.
    false_claims : dict of str to int
        Number of false claims by cause; all causes are there, also those with none.
    cause : tuple of str or None
        For each claim in turn why it is false, or None where it is true.
    """

    recall: float
    precision: float
    found: tuple[int, ...]
    missed: tuple[int, ...]
    found_beyond: tuple[int, ...]
    false_claims: dict[Cause, int]
    cause: tuple[Cause | None, ...]


def score(
    truth: Table,
    ra_deg: ArrayLike,
    dec_deg: ArrayLike,
    *,
    limit_mag: float | None = None,
    radius_arcsec: float = 3.0,
) -> Score:
    """Compare candidates with what was put on a simulated plate.

    Parameters
    ----------
    truth : Table
        Truth table of the plate.
    ra_deg, dec_deg : array_like, shape (n,)
        Candidates, at the plate's epoch.
    limit_mag : float, optional
        The plate's 5 sigma limit; the truth table's own by default. Sources at least 0.5 mag
        brighter have to be found.
    radius_arcsec : float
        A claim within this distance of an object is a claim of that object.

    Returns
    -------
    Score
        A claim is a vanished source if one lies within the radius; of several claims of one source
        the nearest counts and the others are duplicates. A false claim is, in this order: of a star
        within the radius (``moving_star`` if it has moved more than 1 arcsec since), of a defect
        within whose extent it lies, of a bright star's halo, of nothing, or off the image.
    """
    limit = float(truth.meta["limit_5sigma_mag"]) if limit_mag is None else limit_mag
    claims = unit_vectors(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg))
    kind = np.asarray(truth["kind"])
    vanished = np.char.startswith(kind, "vanished")
    ids = np.asarray(truth["id"])
    cause = _causes(truth, claims, kind, radius_arcsec)
    claimed = _claims_of_vanished(truth[vanished], claims, radius_arcsec)
    for i, (_, is_nearest) in claimed.items():
        cause[i] = None if is_nearest else "duplicate"
    found_ids = {int(ids[vanished][number]) for number, _ in claimed.values()}
    magnitude = np.ma.filled(np.ma.asarray(truth["mag"]), np.inf)
    required = ids[(kind == "vanished") & (magnitude <= limit - ACCEPTANCE_MARGIN_MAG)].tolist()
    found = tuple(i for i in required if i in found_ids)
    return Score(
        recall=len(found) / len(required) if required else float("nan"),
        precision=cause.count(None) / len(cause) if cause else float("nan"),
        found=found,
        missed=tuple(i for i in required if i not in found_ids),
        found_beyond=tuple(sorted(found_ids - set(required))),
        false_claims={word: cause.count(word) for word in CAUSES},
        cause=tuple(cause),
    )


def _claims_of_vanished(vanished: Table, claims: Floats, radius_arcsec: float) -> dict[int, tuple[int, bool]]:
    """For each claim of a vanished source: which one, and whether it is the nearest claim of it."""
    claim, source, apart = _pairs(claims, vanished, np.full(len(vanished), radius_arcsec))
    result: dict[int, tuple[int, bool]] = {}
    taken: set[int] = set()
    for k in np.argsort(apart, kind="stable").tolist():
        i, number = int(claim[k]), int(source[k])
        if i not in result:
            result[i] = (number, number not in taken)
            taken.add(number)
    return result


def _causes(truth: Table, claims: Floats, kind: NDArray[np.str_], radius_arcsec: float) -> list[Cause | None]:
    """What each claim would be if it were false."""
    inside = _inside(claims, truth)
    cause: list[Cause | None] = ["nothing" if is_inside else "outside_coverage" for is_inside in inside]
    extent = np.asarray(truth["extent_arcsec"])
    is_star = np.isin(kind, ["star", "high_pm", "blend"])
    # Weakest explanation first; a stronger one replaces it.
    bright = np.flatnonzero(is_star & (extent >= _HALO_FROM_ARCSEC))
    for i in _pairs(claims, truth[bright], extent[bright] * 1.5)[0].tolist():
        cause[i] = "halo"
    defects = np.flatnonzero(kind == "defect")
    for i in _pairs(claims, truth[defects], extent[defects] + radius_arcsec)[0].tolist():
        cause[i] = "defect"
    stars = np.flatnonzero(is_star)
    claim, star, apart = _pairs(claims, truth[stars], np.full(len(stars), radius_arcsec))
    moved = np.asarray(truth["moved_arcsec"])[stars] > _MOVED_ARCSEC
    for k in np.argsort(-apart, kind="stable").tolist():
        word: Cause = str(kind[stars[star[k]]])  # type: ignore[assignment]
        cause[int(claim[k])] = "moving_star" if word == "star" and moved[star[k]] else word
    return cause


def _pairs(claims: Floats, objects: Table, radius_arcsec: Floats) -> tuple[Indices, Indices, Floats]:
    """All pairs of a claim and an object closer than the object's radius, and their separations."""
    vectors = unit_vectors(np.asarray(objects["ra"]), np.asarray(objects["dec"]))
    claim_dec = np.degrees(np.arcsin(np.clip(claims[:, 2], -1, 1)))
    order = np.argsort(claim_dec, kind="stable")
    dec = np.asarray(objects["dec"])
    # Separations are never smaller than the difference in declination.
    reach = radius_arcsec / 3600.0 + 1e-9
    first = np.searchsorted(claim_dec[order], dec - reach, side="left")
    count = np.searchsorted(claim_dec[order], dec + reach, side="right") - first
    number = np.repeat(np.arange(len(dec)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    claim = order[np.repeat(first, count) + within]
    apart = separation_arcsec(claims[claim], vectors[number])
    near = apart <= radius_arcsec[number]
    return claim[near], number[near], apart[near]


def _inside(claims: Floats, truth: Table) -> NDArray[np.bool_]:
    """Which claims lie inside the great-circle quadrilateral of the image's corners."""
    corners = unit_vectors(truth.meta["corner_ra_deg"], truth.meta["corner_dec_deg"])
    sides = np.cross(corners, np.roll(corners, -1, axis=0))
    side_of = np.sign(claims @ sides.T)
    middle = np.sign(corners.sum(axis=0) @ sides.T)
    return np.asarray((side_of * middle >= 0).all(axis=1), dtype=np.bool_)
