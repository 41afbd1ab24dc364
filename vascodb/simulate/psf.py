"""How a star's light is spread over the plate: seeing, the aureole, and the spider's spikes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Psf"]

Floats = NDArray[np.float64]

# Measured on a real plate (XE486) from the isophotal radius of stars of known magnitude.
# Light is in units in which an exposure of 1 gives half of the emulsion's full density.
REFERENCE_MAG = 18.25
REFERENCE_PEAK = 0.93
REFERENCE_ALPHA_ARCSEC = 2.38
AUREOLE_PEAK = 8.0e-5
AUREOLE_RADIUS_ARCSEC = 17.0
SPIKE_PEAK = 5.0e-4
SPIKE_WIDTH_ARCSEC = 2.2
SPIKE_LENGTH_ARCSEC = 11.0
SPIKE_FROM_PEAK = 250.0
# FWHM of a Moffat profile with beta = 3, in units of alpha: 2 sqrt(2**(1/3) - 1).
_FWHM_PER_ALPHA = 1.01963
_FAINTEST = 0.002
_SMALLEST_STAMP_PX = 4
_LARGEST_STAMP_ARCSEC = 900.0
_PIXELS_PER_BATCH = 2_000_000


@dataclass(frozen=True)
class Psf:
    """A Moffat core (beta 3), an aureole falling as 1/r² and four spikes; it varies over the plate.

    Parameters
    ----------
    fwhm_arcsec : float
        Full width at half maximum of the core at the plate centre.
    scale_arcsec_px : float
        Pixel scale.
    centre_px : tuple of 2 float
        The plate centre in pixels of the image.
    half_size_px : float
        Half the side of the plate, in pixels; shape and width vary with the square of the distance
        from the centre in this unit.
    """

    fwhm_arcsec: float
    scale_arcsec_px: float
    centre_px: tuple[float, float]
    half_size_px: float

    @property
    def alpha_px(self) -> float:
        """The Moffat scale radius at the plate centre, pixels."""
        return self.fwhm_arcsec / _FWHM_PER_ALPHA / self.scale_arcsec_px

    def peak(self, mag: Floats) -> Floats:
        """Exposure at the centre of a star's image at the plate centre, by magnitude."""
        width = self.alpha_px * self.scale_arcsec_px / REFERENCE_ALPHA_ARCSEC
        return np.asarray(REFERENCE_PEAK / width**2 * 10.0 ** (-0.4 * (mag - REFERENCE_MAG)), dtype=np.float64)

    def reach_px(self, mag: Floats, faintest: float = _FAINTEST) -> Floats:
        """Radius at which a star's exposure has fallen to ``faintest``, pixels."""
        peak = self.peak(mag)
        core = self.alpha_px * 1.3 * np.sqrt(np.maximum(np.cbrt(peak / faintest) - 1.0, 0.0))
        radius = AUREOLE_RADIUS_ARCSEC / self.scale_arcsec_px
        aureole = radius * np.sqrt(np.maximum(AUREOLE_PEAK * peak / faintest - 1.0, 0.0))
        return np.minimum(np.hypot(core, aureole), _LARGEST_STAMP_ARCSEC / self.scale_arcsec_px)

    def width_and_shape(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
        """Scale radius in pixels and the two components of ellipticity at positions of the image.

        Focus and coma grow with the square of the distance from the plate centre; the images are
        stretched radially at the rim, and everywhere a little by the guiding.
        """
        u, v = (x - self.centre_px[0]) / self.half_size_px, (y - self.centre_px[1]) / self.half_size_px
        alpha = self.alpha_px * (1.0 + 0.02 * u + 0.10 * (u * u + v * v))
        return alpha, 0.015 + 0.06 * (u * u - v * v), 0.01 + 0.12 * u * v

    def render(self, exposure: NDArray[np.float32], x: Floats, y: Floats, mag: Floats) -> None:
        """Add stars to an exposure map.

        Parameters
        ----------
        exposure : ndarray of float32, shape (n_y, n_x)
            Changed in place.
        x, y : ndarray, shape (n,)
            FITS pixel coordinates; stars beyond the edge shed their light into the image.
        mag : ndarray, shape (n,)
            Magnitudes.
        """
        reach = self.reach_px(mag)
        n_y, n_x = exposure.shape
        near = (x > 1 - reach) & (x < n_x + reach) & (y > 1 - reach) & (y < n_y + reach)
        # Stars with stamps of one size are computed together.
        half = np.maximum(np.ceil(reach).astype(np.int64), _SMALLEST_STAMP_PX)
        half = np.where(half > 16, (half + 15) // 16 * 16, half)
        for size in np.unique(half[near]):
            chosen = np.flatnonzero(near & (half == size))
            step = max(1, _PIXELS_PER_BATCH // int(2 * size + 1) ** 2)
            for start in range(0, len(chosen), step):
                batch = chosen[start : start + step]
                self._render_batch(exposure, x[batch], y[batch], mag[batch], int(size))

    def _render_batch(self, exposure: NDArray[np.float32], x: Floats, y: Floats, mag: Floats, half: int) -> None:
        column, row = np.rint(x).astype(np.int64) - 1, np.rint(y).astype(np.int64) - 1
        offsets = np.arange(-half, half + 1)
        dx = (column[:, None] + 1 + offsets - x[:, None]).astype(np.float32)[:, None, :]
        dy = (row[:, None] + 1 + offsets - y[:, None]).astype(np.float32)[:, :, None]
        stamps = self._profile(dx, dy, x, y, mag)
        n_y, n_x = exposure.shape
        rows, columns = row[:, None] + offsets, column[:, None] + offsets
        inside = ((rows >= 0) & (rows < n_y))[:, :, None] & ((columns >= 0) & (columns < n_x))[:, None, :]
        index = rows[:, :, None] * n_x + columns[:, None, :]
        np.add.at(exposure.reshape(-1), index[inside], stamps[inside])

    def _profile(
        self, dx: NDArray[np.float32], dy: NDArray[np.float32], x: Floats, y: Floats, mag: Floats
    ) -> NDArray[np.float32]:
        """Exposure on stamps; ``dx`` has shape (n, 1, k), ``dy`` (n, k, 1)."""
        alpha, e1, e2 = self.width_and_shape(x, y)
        norm = alpha**2 * np.sqrt(1.0 - e1**2 - e2**2)

        def per_star(value: Floats) -> NDArray[np.float32]:
            return value.astype(np.float32)[:, None, None]

        peak = self.peak(mag)
        form = per_star((1.0 - e1) / norm) * dx * dx + per_star((1.0 + e1) / norm) * dy * dy
        form += per_star(-2.0 * e2 / norm) * dx * dy
        form += 1.0
        stamps = per_star(peak * (self.alpha_px / alpha) ** 2) / (form * form * form)
        scale = np.float32(self.scale_arcsec_px)
        r2 = (dx * dx + dy * dy) * (scale / np.float32(AUREOLE_RADIUS_ARCSEC)) ** 2
        stamps += per_star(peak * AUREOLE_PEAK) / (1 + r2)
        if peak.max() > SPIKE_FROM_PEAK:
            spiky = per_star(np.where(peak > SPIKE_FROM_PEAK, peak * SPIKE_PEAK, 0.0))
            stamps += spiky * (_spike(dx * scale, dy * scale) + _spike(dy * scale, dx * scale))
        # Fade to nothing at the stamp's edge, or bright stars would stand in faint squares.
        rim = np.float32(dx.shape[-1] / 2) ** 2
        fade = np.maximum(1 - (dx * dx + dy * dy) / rim, 0)
        return np.asarray(stamps * np.minimum(fade * 4, 1), dtype=np.float32)


def _spike(along: NDArray[np.float32], across: NDArray[np.float32]) -> NDArray[np.float32]:
    """A spike's exposure relative to its root; arguments in arcsec."""
    narrow = np.exp(-0.5 * (across / np.float32(SPIKE_WIDTH_ARCSEC)) ** 2)
    long = np.float32(1) / (1 + (along / np.float32(SPIKE_LENGTH_ARCSEC)) ** 2)
    return np.asarray(narrow * long, dtype=np.float32)
