"""Polynomials in two coordinates, fitted to differences of positions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["evaluate", "fit", "n_terms"]

Array = NDArray[np.float64]

ROBUST_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def n_terms(degree: int) -> int:
    """Number of terms of a full polynomial of a degree in two coordinates."""
    return (degree + 1) * (degree + 2) // 2


def evaluate(coefficients: Sequence[float], x: Array, y: Array) -> Array:
    """Value of a polynomial at some points.

    Term by term, so that the result depends on no library's order of summation.

    Parameters
    ----------
    coefficients : sequence of float, length ``n_terms(degree)``
        Of 1, x, y, x2, xy, y2, x3, ...
    x, y : ndarray of float64, shape (n,)
        The points.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    value = np.zeros_like(x)
    for coefficient, term in zip(coefficients, _terms(x, y, len(coefficients)), strict=True):
        value = value + coefficient * term
    return value


def fit(x: Array, y: Array, values: Array, degree: int) -> Array | None:
    """Coefficients of the least-squares polynomial through some points.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        The points, best of order 1.
    values : ndarray of float64, shape (n,)
        What to fit.
    degree : int
        Degree of the polynomial.

    Returns
    -------
    ndarray of float64, shape (n_terms,), or None
        In the order of `evaluate`; None where the points do not determine them.
    """
    terms = n_terms(degree)
    if not np.isfinite([x, y, values]).all():
        return None
    coefficients, _, rank, _ = np.linalg.lstsq(np.stack(_terms(x, y, terms), axis=1), values, rcond=None)
    if rank < terms:
        return None
    return np.asarray(coefficients, dtype=np.float64)


def _terms(x: Array, y: Array, n: int) -> list[Array]:
    found: list[Array] = []
    total = 0
    while len(found) < n:
        found.extend(x ** (total - j) * y**j for j in range(total + 1))
        total += 1
    return found
