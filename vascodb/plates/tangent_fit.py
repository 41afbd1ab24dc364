"""Residuals of an image against stars of known position, as a polynomial in the tangent plane, and whether it holds."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vascodb.plates.clipped_fit import Clipped, Offsets, described
from vascodb.plates.polynomial import ROBUST_SIGMA, n_terms
from vascodb.plates.residuals import ResidualFit, Solution
from vascodb.plates.tangent import sky_to_plane
from vascodb.plates.ties import Frame, Ties

__all__ = ["PlateFitParameters", "fit_tangent_plane"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Nothing on a photographic plate is measured to this; it keeps ties whose residuals are all but zero.
_CLIP_FLOOR_ARCSEC = 0.01
# A microarcsecond, as of all other figures.
_DECIMALS = 6


class PlateFitParameters(BaseModel):
    """How ties are chosen and fitted, and what a fit must be like to be used.

    Parameters
    ----------
    family : str
        Catalogues of stars of known position.
    radius_arcsec : float
        Within which the nearest star is the detection's.
    max_flags, min_snr : int, float
        Detections with larger SExtractor flags or a lower SNR_WIN are no ties.
    degree_max, ties_per_term : int
        The degree is the highest up to ``degree_max`` with at least so many ties per term.
    clip_sigmas : float
        Residuals longer than so many sigmas (per coordinate) are left out.
    iterations_max : int
        Rounds of clipping, if it does not settle before.
    n_min : int
        Least ties that must be left.
    sigma_max_arcsec : float
        Largest scatter of the residuals per coordinate.
    coverage_min : float
        Least share of the cells of the image's grid that hold ties.
    worst_max_arcsec : float
        Largest median residual in any cell.
    shift_max_arcsec : float
        Largest correction of any detection.
    extrapolation_max_arcsec : float
        How far corrections of detections may leave the range of those of the ties.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str = "gaia"
    radius_arcsec: float = Field(default=5.0, gt=0, le=60)
    max_flags: int = Field(default=0, ge=0)
    min_snr: float = 30.0
    degree_max: int = Field(default=3, ge=0, le=5)
    ties_per_term: int = Field(default=10, ge=2)
    clip_sigmas: float = Field(default=4.0, gt=0)
    iterations_max: int = Field(default=20, ge=1)
    n_min: int = Field(default=10, ge=3)
    sigma_max_arcsec: float = Field(default=0.8, gt=0)
    coverage_min: float = Field(default=0.6, ge=0, le=1)
    worst_max_arcsec: float = Field(default=1.5, gt=0)
    shift_max_arcsec: float = Field(default=5.0, gt=0)
    extrapolation_max_arcsec: float = Field(default=1.0, gt=0)

    @property
    def widest_arcsec(self) -> float:
        """The largest radius in which stars may be looked for."""
        return self.radius_arcsec

    @property
    def eligible(self) -> tuple[int | None, float | None]:
        """Largest flags and lowest SNR_WIN of a tie."""
        return self.max_flags, self.min_snr

    def degree(self, n_ties: int) -> int | None:
        """Degree of the polynomial for a number of ties; None where they are too few for any."""
        if n_ties < max(self.n_min, self.ties_per_term):
            return None
        return max(d for d in range(self.degree_max + 1) if d == 0 or n_ties >= self.ties_per_term * n_terms(d))


def fit_tangent_plane(ties: Ties, frame: Frame, parameters: PlateFitParameters) -> ResidualFit:
    """Fit the residuals of an image in the tangent plane about its middle.

    Least squares on the ties within ``clip_sigmas`` of the last fit, beginning with those about the median
    offset, until no tie comes or goes. The scale of the residuals is 1.4826 times the median of the absolute
    residuals of both coordinates. In the tangent plane an arcsecond is an arcsecond at every declination.

    Parameters
    ----------
    ties : `Ties`
        Detections that may be ties.
    frame : `Frame`
        The image.
    parameters : `PlateFitParameters`
        Choices and limits.

    Returns
    -------
    `ResidualFit`
        Judged by all limits but those of the corrections, which only the whole image can tell.
    """
    tied = ties.select(ties.tied)
    n_ties = len(tied.x)
    degree = parameters.degree(n_ties)
    if degree is None:
        reason = f"{n_ties} ties to stars of known position, {max(parameters.n_min, parameters.ties_per_term)} needed"
        return ResidualFit(None, False, reason, ties.radius_arcsec, len(ties.x), n_ties)
    plane = _plane_of(tied, frame)
    clipped = _clip(plane, degree, parameters)
    if clipped is None:
        reason = f"{n_ties} ties do not determine a polynomial of degree {degree}"
        return ResidualFit(None, False, reason, ties.radius_arcsec, len(ties.x), n_ties)
    length = np.hypot(*plane.residual(clipped.coefficients))
    solution = Solution("plate_fit", degree, frame.ra, frame.dec, frame.radius_deg, *clipped.coefficients)
    return _judged(described(solution, clipped, ties, frame, (plane.east, plane.north, length)), parameters)


def _plane_of(tied: Ties, frame: Frame) -> Offsets:
    """Ties in the tangent plane: raw positions in units of the image's radius, offsets of their stars in arcsec."""
    xi, eta = sky_to_plane(tied.ra_raw, tied.dec_raw, frame.ra, frame.dec)
    star_xi, star_eta = sky_to_plane(tied.ra, tied.dec, frame.ra, frame.dec)
    unit_arcsec = 3600.0 * frame.radius_deg
    return Offsets(xi / unit_arcsec, eta / unit_arcsec, star_xi - xi, star_eta - eta)


def _clip(plane: Offsets, degree: int, parameters: PlateFitParameters) -> Clipped | None:
    residual = plane.east - np.median(plane.east), plane.north - np.median(plane.north)
    kept = np.ones(len(plane.x), dtype=np.bool_)
    found: Clipped | None = None
    for iteration in range(1, parameters.iterations_max + 1):
        clip = max(parameters.clip_sigmas * _scatter(residual, kept), _CLIP_FLOOR_ARCSEC)
        now = np.hypot(*residual) <= clip
        if found is not None and np.array_equal(now, kept):
            break
        kept = now
        coefficients = plane.fit(kept, degree, _DECIMALS)
        if coefficients is None:
            return None
        residual = plane.residual(coefficients)
        found = Clipped(coefficients, kept, _scatter(residual, kept), clip, iteration)
    return found


def _scatter(residual: tuple[Array, Array], kept: Mask) -> float:
    return ROBUST_SIGMA * float(np.median(np.abs(np.concatenate([part[kept] for part in residual]))))


def _judged(found: ResidualFit, limits: PlateFitParameters) -> ResidualFit:
    """Refuse a fit that breaks a limit, and say which, the worst thing first."""
    assert found.worst_cell_arcsec is not None
    assert found.sigma_arcsec is not None
    assert found.coverage is not None
    reasons = []
    if not found.worst_cell_arcsec <= limits.worst_max_arcsec:
        reasons.append(
            f"residual of {found.worst_cell_arcsec:.2f} arcsec in the worst part of the image, "
            f"up to {limits.worst_max_arcsec:g} allowed"
        )
    if not found.sigma_arcsec <= limits.sigma_max_arcsec:
        reasons.append(f"residuals of {found.sigma_arcsec:.2f} arcsec, up to {limits.sigma_max_arcsec:g} allowed")
    if not found.coverage >= limits.coverage_min:
        reasons.append(f"ties in {found.coverage:.2f} of the image, {limits.coverage_min:g} needed")
    if found.n_kept < limits.n_min:
        reasons.append(f"{found.n_kept} ties left after clipping, {limits.n_min} needed")
    return refused(found, "; ".join(reasons)) if reasons else found


def refused(found: ResidualFit, reason: str) -> ResidualFit:
    """The same fit, refused."""
    return replace(found, accepted=False, reason=reason)
