"""Radial profiles of stars, and how far one lies from the mean of others."""

import numpy as np
from numpy.typing import NDArray
from photutils.profiles import RadialProfile

__all__ = ["EDGE_RADII_PX", "normalised", "profile_difference", "radial_profile"]

Floats = NDArray[np.floating]

EDGE_RADII_PX = np.arange(30) / 2
"""Edges of the rings, pixels: 29 rings of half a pixel."""

_WEIGHTLESS_BELOW = 0.1
_SKIPPED_RINGS = 2


def radial_profile(image: Floats, x: float, y: float) -> NDArray[np.float64]:
    """Mean of the pixels in rings about a position.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x)
        Pixels; those that are NaN count for nothing.
    x, y : float
        The position, pixels, the middle of the first pixel being 0.

    Returns
    -------
    ndarray, shape (29,)
        In the unit of the image; NaN in rings without a pixel.
    """
    reach = int(np.ceil(EDGE_RADII_PX[-1])) + 1
    left, low = max(round(x) - reach, 0), max(round(y) - reach, 0)
    stamp = image[low : max(round(y) + reach + 1, 0), left : max(round(x) + reach + 1, 0)]
    if stamp.size == 0:
        return np.full(len(EDGE_RADII_PX) - 1, np.nan)
    profile = RadialProfile(stamp, (x - left, y - low), EDGE_RADII_PX, mask=~np.isfinite(stamp)).profile
    return np.asarray(profile, np.float64)


def normalised(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """A profile between its least value, 0, and its greatest, 1; NaN where it is flat or has no value."""
    known = profile[np.isfinite(profile)]
    if known.size == 0 or known.max() == known.min():
        return np.full_like(profile, np.nan)
    scaled: NDArray[np.float64] = (profile - known.min()) / (known.max() - known.min())
    return scaled


def profile_difference(target: NDArray[np.float64], mean: NDArray[np.float64]) -> float:
    r"""How far a profile lies from a mean of others (the seeds' ``profile_diff``; after Busko, arXiv 2603.20407).

    With :math:`d_i = (t_i - m_i)\, m_i` where :math:`m_i > 0.1`, 0 elsewhere and in the first two rings,
    it is :math:`\sqrt{\sum d_i^2 / 29}`.

    Parameters
    ----------
    target, mean : ndarray, shape (29,)
        From `normalised`.

    Returns
    -------
    float
        0 for equal profiles; NaN where a ring that counts has no value.
    """
    difference = np.where(mean > _WEIGHTLESS_BELOW, (target - mean) * mean, 0.0)
    difference = np.where(np.isnan(mean) | np.isnan(target), np.nan, difference)
    difference[:_SKIPPED_RINGS] = 0.0
    return float(np.sqrt(np.sum(difference**2) / len(difference)))
