"""The plate's limit: the faintest star that the extraction threshold lets through."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vascodb.simulate.emulsion import Emulsion
from vascodb.simulate.psf import Psf

__all__ = ["background_rms", "limit_5sigma_mag"]

THRESHOLD_SIGMA = 5.0
MIN_AREA_PX = 5
_STAMP_HALF_PX = 10
_PHASES = (np.arange(5) + 0.5) / 5 - 0.5
# SExtractor's default 3x3 filter, as one dimension of its outer product.
_FILTER = np.array([0.25, 0.5, 0.25])
_MESH_PX = 64
_MESHES_LOOKED_AT = 400
_CLIP_SIGMA = 3.0
_CLIP_ROUNDS = 6


def limit_5sigma_mag(psf: Psf, emulsion: Emulsion, noise_rms: float, *, shape: tuple[int, int]) -> float:
    """Magnitude at which a star of the image's median width just makes 5 pixels of 5 sigma.

    This is the detection rule of the seed configuration (``DETECT_THRESH 5``, ``DETECT_MINAREA 5``,
    3x3 filter): in the noise-free image of the star, through the characteristic curve, the scanner
    and the filter, the fifth brightest pixel is 5 sigma of the unfiltered background above the
    sky. It is the median over 25 positions within a pixel, so half of the stars of this magnitude
    are detected.

    Parameters
    ----------
    psf : Psf
        The star's image.
    emulsion : Emulsion
        Response and scanner.
    noise_rms : float
        Standard deviation of the background, pixel values.
    shape : tuple of 2 int
        Rows and columns of the image.

    Returns
    -------
    float
        Magnitude.
    """
    x, y = np.meshgrid(np.linspace(1, shape[1], 9), np.linspace(1, shape[0], 9))
    relative_width = float(np.median(psf.width_and_shape(x, y)[0])) / psf.alpha_px
    typical = replace(psf, fwhm_arcsec=psf.fwhm_arcsec * relative_width)
    bright, faint = 8.0, 26.0
    while faint - bright > 1e-4:
        middle = (bright + faint) / 2
        heights = [_fifth_pixel(typical, emulsion, middle, dx, dy) for dx in _PHASES for dy in _PHASES]
        if np.median(heights) >= THRESHOLD_SIGMA * noise_rms:
            bright = middle
        else:
            faint = middle
    return round((bright + faint) / 2, 3)


def _fifth_pixel(psf: Psf, emulsion: Emulsion, mag: float, dx: float, dy: float) -> float:
    side = 2 * _STAMP_HALF_PX + 1
    # The star is moved, with its plate, to the middle of a small image.
    x, y = np.array([_STAMP_HALF_PX + 1 + dx]), np.array([_STAMP_HALF_PX + 1 + dy])
    here = replace(psf, centre_px=(float(x[0]), float(y[0])))
    light = np.zeros((side, side), np.float32)
    here.render(light, x, y, np.array([mag]))
    scanned = emulsion.scan(emulsion.density(light + np.float32(emulsion.sky_exposure)))
    height = scanned.astype(np.float64) - emulsion.sky_density
    for axis in (0, 1):
        height = sum(w * np.roll(height, i, axis) for w, i in zip(_FILTER, (-1, 0, 1), strict=True))
    return float(np.sort(height, axis=None)[-MIN_AREA_PX])


def background_rms(image: NDArray[np.int16]) -> float:
    """Standard deviation of an image's background: median over meshes of the clipped deviation.

    Like SExtractor's, it includes the stars too faint to be clipped.

    Parameters
    ----------
    image : ndarray, shape (n_y, n_x)
        Pixel values.

    Returns
    -------
    float
        In pixel values.
    """
    n_y, n_x = (side // _MESH_PX for side in image.shape)
    step = max(1, int(np.sqrt(n_y * n_x / _MESHES_LOOKED_AT)))
    rms = [
        _clipped_rms(image[j * _MESH_PX : (j + 1) * _MESH_PX, i * _MESH_PX : (i + 1) * _MESH_PX].astype(np.float64))
        for j in range(0, n_y, step)
        for i in range(0, n_x, step)
    ]
    return float(np.median(rms))


def _clipped_rms(mesh: NDArray[np.float64]) -> float:
    values = mesh.ravel()
    for _ in range(_CLIP_ROUNDS):
        kept = values[np.abs(values - np.median(values)) < _CLIP_SIGMA * values.std()]
        if len(kept) == len(values):
            break
        values = kept
    return float(values.std())
