"""The seeds' refinement of positions, for comparison with what they published.

It is kept as it was, faults included. Differences are plain ones of right ascension, not multiplied by the cosine
of the declination, and so are the residuals that are clipped: towards the pole ever more good ties are lost. And
nothing asks whether the residuals are small.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vascodb.plates.clipped_fit import Clipped, Offsets, described
from vascodb.plates.polynomial import ROBUST_SIGMA
from vascodb.plates.residuals import ResidualFit, Solution, wrap180
from vascodb.plates.ties import Frame, Ties

__all__ = ["WcsfixParameters", "fit_wcsfix"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class WcsfixParameters(BaseModel):
    """The seeds' settings, by default those of their releases.

    Parameters
    ----------
    family : str
        Catalogues of stars; any detection may be a tie.
    radius_arcsec, degree, n_min : float, int, int
        Search radius, degree and least number of ties.
    fallback_radius_arcsec, fallback_degree, fallback_n_min : float, int, int
        The same, where the first gave too few ties.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str = "gaia"
    radius_arcsec: float = Field(default=5.0, gt=0)
    degree: int = Field(default=2, ge=0, le=5)
    n_min: int = Field(default=20, ge=1)
    fallback_radius_arcsec: float = Field(default=15.0, gt=0)
    fallback_degree: int = Field(default=1, ge=0, le=5)
    fallback_n_min: int = Field(default=10, ge=1)

    @property
    def widest_arcsec(self) -> float:
        """The largest radius in which stars may be looked for."""
        return max(self.radius_arcsec, self.fallback_radius_arcsec)

    @property
    def eligible(self) -> tuple[int | None, float | None]:
        """Largest flags and lowest SNR_WIN of a tie: any."""
        return None, None


# To a thousandth of the last decimal of a corrected position.
_DECIMALS = 13
_ITERATIONS_MAX = 3
_CLIP_SIGMAS = 3.0
_CLIP_MIN_ARCSEC, _CLIP_MAX_ARCSEC = 1.5, 10.0


def fit_wcsfix(ties_within: Callable[[float], Ties], frame: Frame, parameters: WcsfixParameters) -> ResidualFit:
    """Fit plain differences of right ascension and declination about the tile's centre, as the seeds do.

    Parameters
    ----------
    ties_within : callable
        Ties for a search radius in arcsec.
    frame : `Frame`
        The image and its tile.
    parameters : `WcsfixParameters`
        The seeds' settings.

    Returns
    -------
    `ResidualFit`
        Accepted where the seeds would have used it. ``sigma_arcsec`` is theirs; the residuals of the worst
        cell and the largest one are lengths on the sky.
    """
    ties = ties_within(parameters.radius_arcsec)
    degree, n_min = parameters.degree, parameters.n_min
    if ties.tied.sum() < n_min:
        ties = ties_within(parameters.fallback_radius_arcsec)
        degree, n_min = parameters.fallback_degree, parameters.fallback_n_min
    tied = ties.select(ties.tied)
    n_ties = len(tied.x)
    if n_ties < n_min:
        reason = f"too few tie points: {n_ties} within {ties.radius_arcsec:g} arcsec, {n_min} needed"
        return ResidualFit(None, False, reason, ties.radius_arcsec, len(ties.x), n_ties)
    plain = Offsets(
        wrap180(tied.ra_raw - frame.tile_ra), tied.dec_raw - frame.tile_dec, wrap180(tied.ra - tied.ra_raw),
        tied.dec - tied.dec_raw,
    )  # fmt: skip
    clipped = _clip(plain, degree)
    if clipped is None:
        reason = f"{n_ties} tie points do not determine a polynomial of degree {degree}"
        return ResidualFit(None, False, reason, ties.radius_arcsec, len(ties.x), n_ties)
    cos_dec = np.cos(np.radians(tied.dec_raw))
    residual_ra, residual_dec = plain.residual(clipped.coefficients)
    length = 3600.0 * np.hypot(residual_ra * cos_dec, residual_dec)
    solution = Solution("wcsfix", degree, frame.tile_ra, frame.tile_dec, 1.0, *clipped.coefficients)
    on_sky = 3600.0 * plain.east * cos_dec, 3600.0 * plain.north, length
    return described(solution, clipped, ties, frame, on_sky)


def _clip(plain: Offsets, degree: int) -> Clipped | None:
    kept = np.ones(len(plain.x), dtype=np.bool_)
    iterations = 0
    while iterations < _ITERATIONS_MAX:
        iterations += 1
        coefficients = plain.fit(kept, degree, _DECIMALS)
        if coefficients is None:
            return None
        residual_arcsec = 3600.0 * np.hypot(*plain.residual(coefficients))
        of_kept = residual_arcsec[kept]
        sigma = ROBUST_SIGMA * float(np.median(np.abs(of_kept - np.median(of_kept))))
        clip = min(max(_CLIP_MIN_ARCSEC, _CLIP_SIGMAS * sigma), _CLIP_MAX_ARCSEC)
        inside = kept & (residual_arcsec <= clip)
        if np.array_equal(inside, kept):
            break
        kept = inside
    coefficients = plain.fit(kept, degree, _DECIMALS)
    return None if coefficients is None else Clipped(coefficients, kept, sigma, clip, iterations)
