"""From light to pixel values: the emulsion's characteristic curve, its grain, and the scanner."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Emulsion", "FlawPixels"]

Pixels = NDArray[np.float32]

_MAX_PIXEL_VALUE = 32767
# The scanning aperture, 50 micrometres, is two pixels wide: a Gaussian of about half a pixel.
_SCAN_SIGMA_PX = 0.5
# Fitted to the autocorrelation of the background of two real plates (0.45-0.6 at one pixel,
# 0.15-0.25 at two): grains seen through the aperture, and clumps of grains.
_GRAIN_SIGMAS_PX = (0.55, 2.0)
_MARGIN_PX = 8
_ROWS_PER_STRIP = 256


@dataclass(frozen=True)
class FlawPixels:
    """Pixels that a flaw of the glass or the emulsion makes denser.

    Parameters
    ----------
    row, column : ndarray of int64, shape (n,)
        Zero-based pixels, sorted by row.
    density : ndarray of float32, shape (n,)
        Density added there, in pixel values, before the scanner's blur.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    density: Pixels

    @classmethod
    def sorted_by_row(cls, row: NDArray[np.int64], column: NDArray[np.int64], density: NDArray[np.floating]) -> Self:
        """Flaw pixels from columns in any order."""
        order = np.lexsort((column, row))
        return cls(row[order], column[order], density[order].astype(np.float32))


@dataclass(frozen=True)
class Emulsion:
    """A photographic emulsion as the scanner saw it.

    The characteristic curve is logistic in the logarithm of exposure: ``D = fog + range * E^1.5 /
    (1 + E^1.5)`` has a toe, a straight part and a shoulder. The constants were fitted to the real
    plate XE486: the peak of stars by magnitude, its sky and its brightest pixels.

    Parameters
    ----------
    fog : float
        Pixel value of unexposed emulsion.
    density_range : float
        Pixel value of fully exposed emulsion above fog.
    sky_exposure : float
        Exposure by the night sky; 1 gives half of the range.
    sky_rms : float
        Standard deviation of the sky's pixel values.

    References
    ----------
    .. [1] de Vaucouleurs 1968, Applied Optics 7, 1513 (curves of this family);
       Selwyn 1935, Photogr. J. 75, 571 (grain noise grows as the root of density).
    """

    fog: float = 2300.0
    density_range: float = 10700.0
    sky_exposure: float = 0.29
    sky_rms: float = 185.0

    def density(self, exposure: Pixels) -> Pixels:
        """Pixel value without grain or blur for a total exposure, sky included; any shape."""
        # E sqrt(E), not a power: exact in IEEE arithmetic, so the same on every machine.
        odds = exposure * np.sqrt(exposure)
        return np.asarray(np.float32(self.fog) + np.float32(self.density_range) * (odds / (1 + odds)), np.float32)

    @property
    def sky_density(self) -> float:
        """Pixel value of the sky."""
        return float(self.density(np.array([self.sky_exposure], np.float32))[0])

    def scan(self, density: Pixels) -> Pixels:
        """Blur by the scanning aperture; an array of two dimensions, its edges repeated."""
        padded = np.pad(density, 3, mode="edge")
        return _convolve(padded, _gaussian(_SCAN_SIGMA_PX, 3))

    def develop(self, light: Pixels, flaws: FlawPixels, rng: np.random.Generator) -> NDArray[np.int16]:
        """The digitised plate.

        Parameters
        ----------
        light : ndarray of float32, shape (n_y, n_x)
            Exposure by stars, without the sky.
        flaws : FlawPixels
            Defects of the plate.
        rng : numpy.random.Generator
            Draws the grain, row after row.

        Returns
        -------
        ndarray of int16, shape (n_y, n_x)
            Pixel values.
        """
        image = np.empty(light.shape, np.int16)
        kernels = [_gaussian(sigma, _MARGIN_PX if sigma > 1 else 3) for sigma in _GRAIN_SIGMAS_PX]
        for first, last, density, white in self._strips(light, flaws, rng):
            # Grain noise goes with the root of density (Selwyn).
            grain = white * np.sqrt(density / np.float32(self.sky_density))
            noise = np.zeros((last - first, light.shape[1]), np.float32)
            for kernel in kernels:
                trim = _MARGIN_PX - len(kernel) // 2
                noise += _convolve(grain[trim : grain.shape[0] - trim, trim : grain.shape[1] - trim], kernel)
            trim = _MARGIN_PX - 3
            signal = _convolve(density[trim:-trim, trim:-trim], _gaussian(_SCAN_SIGMA_PX, 3))
            signal += noise * np.float32(self.sky_rms / _noise_gain(kernels))
            image[first:last] = np.clip(np.rint(signal), 0, _MAX_PIXEL_VALUE).astype(np.int16)
        return image

    def _strips(
        self, light: Pixels, flaws: FlawPixels, rng: np.random.Generator
    ) -> Iterator[tuple[int, int, Pixels, Pixels]]:
        """Rows ``first`` to ``last``, with the density and white noise of them and of a margin."""
        n_y, n_x = light.shape
        width = n_x + 2 * _MARGIN_PX
        white = rng.standard_normal((2 * _MARGIN_PX, width), np.float32)
        for first in range(0, n_y, _ROWS_PER_STRIP):
            last = min(first + _ROWS_PER_STRIP, n_y)
            rows = np.clip(np.arange(first - _MARGIN_PX, last + _MARGIN_PX), 0, n_y - 1)
            sky = np.float32(self.sky_exposure) * _sky_shape(rows, light.shape)
            density = self.density(light[rows[0] : rows[-1] + 1][rows - rows[0]] + sky)
            _add_flaws(density, flaws, rows, self.fog + self.density_range)
            fresh = rng.standard_normal((last - first, width), np.float32)
            white = np.concatenate([white[-2 * _MARGIN_PX :], fresh])
            yield first, last, np.pad(density, ((0, 0), (_MARGIN_PX, _MARGIN_PX)), mode="edge"), white


def _sky_shape(rows: NDArray[np.int64], shape: tuple[int, int]) -> Pixels:
    """Relative brightness of the sky over the image: a gentle slope and bow, a few per cent."""
    v = ((rows + 0.5) / shape[0] - 0.5).astype(np.float32)[:, None]
    u = ((np.arange(shape[1]) + 0.5) / shape[1] - 0.5).astype(np.float32)[None, :]
    return np.asarray(1 + np.float32(0.03) * u - np.float32(0.02) * v - np.float32(0.06) * (u * u + v * v), np.float32)


def _add_flaws(density: Pixels, flaws: FlawPixels, rows: NDArray[np.int64], ceiling: float) -> None:
    # Beyond the image's edge the margin repeats rows; flaws are not repeated there.
    start, stop = np.searchsorted(flaws.row, [rows[0], rows[-1] + 1])
    own_row = flaws.row[start:stop] - rows[0] + int(np.searchsorted(rows, rows[0], side="right")) - 1
    np.add.at(density, (own_row, flaws.column[start:stop]), flaws.density[start:stop])
    np.minimum(density, np.float32(ceiling), out=density)


def _gaussian(sigma: float, half: int) -> Pixels:
    taps = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return np.asarray(taps / taps.sum(), np.float32)


def _convolve(image: Pixels, kernel: Pixels) -> Pixels:
    """Separable convolution; the result is smaller by the kernel's length less one on each axis."""
    n_y, n_x = image.shape[0] - len(kernel) + 1, image.shape[1] - len(kernel) + 1
    by_rows = kernel[0] * image[:n_y]
    for i in range(1, len(kernel)):
        by_rows += kernel[i] * image[i : i + n_y]
    result = kernel[0] * by_rows[:, :n_x]
    for i in range(1, len(kernel)):
        result += kernel[i] * by_rows[:, i : i + n_x]
    return np.asarray(result, np.float32)


def _noise_gain(kernels: list[Pixels]) -> float:
    """Standard deviation of unit white noise after the sum of separable kernels."""
    size = max(len(kernel) for kernel in kernels)
    total = np.zeros((size, size))
    for kernel in kernels:
        pad = (size - len(kernel)) // 2
        total += np.pad(np.outer(kernel, kernel), pad)
    return float(np.sqrt(np.sum(total**2)))
