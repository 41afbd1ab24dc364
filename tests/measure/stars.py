"""Synthetic stars on a plate's background."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vascodb.measure.shape import ImageDetections

SKY = 4000.0


def gaussians(
    shape: tuple[int, int], x: Sequence[float], y: Sequence[float], height: Sequence[float], sigma: Sequence[float],
    noise: float = 0.0, seed: int = 1,
) -> NDArray[np.float64]:  # fmt: skip
    """Gaussian stars; the middle of the first pixel is 0, 0."""
    rows, columns = np.indices(shape)
    image = SKY + np.random.default_rng(seed).normal(0, noise, shape) if noise else np.full(shape, SKY)
    for one_x, one_y, h, s in zip(x, y, height, sigma, strict=True):
        image += h * np.exp(-((columns - one_x) ** 2 + (rows - one_y) ** 2) / (2 * s**2))
    return image


def star_grid(n: int = 25, sigma: float = 1.3, noise: float = 30.0) -> tuple[NDArray[np.float64], ImageDetections]:
    """Stars of one brightness, forty pixels apart, each somewhere else in its pixel; all are known."""
    side = int(np.ceil(np.sqrt(n)))
    rng = np.random.default_rng(3)
    x = 25 + 40.0 * (np.arange(n) % side) + rng.uniform(-0.5, 0.5, n)
    y = 25 + 40.0 * (np.arange(n) // side) + rng.uniform(-0.5, 0.5, n)
    size = 40 * side + 10
    image = gaussians((size, size), x, y, [3000.0] * n, [sigma] * n, noise)
    return image, detections(x, y)


def detections(
    x: NDArray[np.float64], y: NDArray[np.float64], flux: float | NDArray[np.float64] = 1e5
) -> ImageDetections:
    """Known round stars at those positions."""
    n = len(x)
    return ImageDetections(
        np.arange(1, n + 1), np.asarray(x, float), np.asarray(y, float), np.broadcast_to(flux, n).astype(float),
        np.full(n, 1.05), np.ones(n, bool),
    )  # fmt: skip
