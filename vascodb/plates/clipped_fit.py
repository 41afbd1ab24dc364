"""A polynomial fit to ties, some of which are clipped: what both ways of making one share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vascodb.plates.polynomial import evaluate, fit
from vascodb.plates.residuals import ResidualFit, Solution, rounded, tie_offsets, tie_shifts
from vascodb.plates.ties import Frame, Ties

__all__ = ["Clipped", "Offsets", "described"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Coefficients = tuple[tuple[float, ...], tuple[float, ...]]
OnSky = tuple[Array, Array, Array]


@dataclass(frozen=True)
class Offsets:
    """Ties in the coordinates of a fit: positions, and the offsets of their stars in two directions.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        Positions.
    east, north : ndarray of float64, shape (n,)
        Offsets, in the unit of the fit.
    """

    x: Array
    y: Array
    east: Array
    north: Array

    def fit(self, kept: Mask, degree: int, decimals: int) -> Coefficients | None:
        """Polynomials of the offsets of some ties, to so many decimals; None where the ties do not determine them."""
        east = fit(self.x[kept], self.y[kept], self.east[kept], degree)
        north = fit(self.x[kept], self.y[kept], self.north[kept], degree)
        if east is None or north is None:
            return None
        return tuple(round(float(c), decimals) for c in east), tuple(round(float(c), decimals) for c in north)

    def residual(self, coefficients: Coefficients) -> tuple[Array, Array]:
        """What polynomials leave of the offsets."""
        return (
            self.east - evaluate(coefficients[0], self.x, self.y),
            self.north - evaluate(coefficients[1], self.x, self.y),
        )


@dataclass(frozen=True)
class Clipped:
    """A fit to those ties whose residuals are not too long.

    Parameters
    ----------
    coefficients : tuple of 2 tuples of float
        Of the polynomials eastward and northward.
    kept : ndarray of bool, shape (n,)
        The ties it is made of.
    sigma_arcsec, clip_arcsec : float
        Scatter of their residuals, and how long these may be.
    iterations : int
        Rounds of clipping.
    """

    coefficients: Coefficients
    kept: Mask
    sigma_arcsec: float
    clip_arcsec: float
    iterations: int


def described(solution: Solution, clipped: Clipped, ties: Ties, frame: Frame, on_sky: OnSky) -> ResidualFit:
    """A fit with all that is to be said of it, accepted for now.

    Parameters
    ----------
    solution : `Solution`
        The polynomial.
    clipped : `Clipped`
        How it came about.
    ties : `~vascodb.plates.ties.Ties`
        Detections that could be ties.
    frame : `~vascodb.plates.ties.Frame`
        The image.
    on_sky : tuple of 3 ndarray of float64
        Of each tie: the star's offset east and north, and the length of the residual, in arcsec.
    """
    east, north, residual = on_sky
    tied = ties.select(ties.tied)
    length = np.full(len(ties.x), np.nan)
    length[ties.tied] = residual
    offsets = tie_offsets(east, north)
    assert offsets is not None
    return ResidualFit(
        solution=solution,
        accepted=True,
        reason=None,
        radius_arcsec=ties.radius_arcsec,
        n_eligible=len(ties.x),
        n_ties=len(tied.x),
        n_kept=int(clipped.kept.sum()),
        iterations=clipped.iterations,
        sigma_arcsec=rounded(clipped.sigma_arcsec),
        clip_arcsec=rounded(clipped.clip_arcsec),
        offset_arcsec=offsets.median_arcsec,
        sigma_before_arcsec=offsets.sigma_arcsec,
        largest_residual_arcsec=rounded(residual[clipped.kept].max()),
        worst_cell_arcsec=rounded(ties.worst_cell(frame, length)),
        coverage=tied.coverage(frame, clipped.kept),
        tie_shifts_arcsec=tie_shifts(solution, tied.ra_raw[clipped.kept], tied.dec_raw[clipped.kept]),
    )
