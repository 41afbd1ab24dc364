"""The plate's own density between the stars."""

from typing import Any

import numpy as np
from astropy.stats import SigmaClip
from numpy.typing import NDArray
from photutils.background import Background2D, MedianBackground

__all__ = ["without_background"]

_CLIP_SIGMA = 3.0
_FILTER_BOXES = 3


def without_background(image: NDArray[Any], box_px: int) -> NDArray[np.float32]:
    """An image less its background: clipped medians of boxes, smoothed over three by three of them.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x)
        Pixels; those that are NaN count for nothing.
    box_px : int
        Side of a box, pixels.

    Returns
    -------
    ndarray of float32, shape (n_y, n_x)
    """
    pixels = np.asarray(image, np.float32)
    unknown = ~np.isfinite(pixels)
    background = Background2D(
        pixels,
        min(box_px, *pixels.shape),
        mask=unknown if unknown.any() else None,
        filter_size=_FILTER_BOXES,
        sigma_clip=SigmaClip(_CLIP_SIGMA),
        bkg_estimator=MedianBackground(),
        # A box of which hardly a pixel is known takes its background from the others.
        exclude_percentile=90.0,
    )
    return np.asarray(pixels - background.background, np.float32)
