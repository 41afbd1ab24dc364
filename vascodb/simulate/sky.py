"""Where the sky of a simulated plate falls on its image, and how deep it goes."""

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from vascodb.errors import InputError
from vascodb.plates.dates import read_exposure_times
from vascodb.plates.solution import PixelSolution, read_astrometry
from vascodb.simulate.emulsion import Emulsion
from vascodb.simulate.limit import limit_5sigma_mag
from vascodb.simulate.motion import separation_arcsec, unit_vectors
from vascodb.simulate.psf import Psf
from vascodb.simulate.spec import SimulationSpec
from vascodb.simulate.stars import Cone, Stars

__all__ = ["ImageSky", "make_sky"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ImageSky:
    """Where stars fall on the image, and how far the catalogue must reach.

    Parameters
    ----------
    spec : SimulationSpec
        What was asked for.
    solution : PixelSolution
        The image's astrometry.
    psf : Psf
        A star's image.
    epoch_jyear : float
        Julian epoch of mid-exposure.
    limit_mag : float
        The limit by the grain alone, to which the stars are drawn; faint stars raise the noise.
    cone : Cone
        The sky the reference catalogue covers.
    corners : tuple of 2 ndarray, shape (4,)
        Right ascension and declination of the image's corners, degrees.
    """

    spec: SimulationSpec
    solution: PixelSolution
    psf: Psf
    epoch_jyear: float
    limit_mag: float
    cone: Cone
    corners: tuple[Floats, Floats]

    def pixels(self, arcsec: float) -> float:
        """An angle in pixels."""
        return arcsec / self.spec.scan.scale_arcsec_px

    def on_plate(self, stars: Stars) -> tuple[Floats, Floats]:
        """Pixels at the plate's epoch."""
        return self.solution.sky_to_pixel(*stars.at_epoch(self.epoch_jyear))


def make_sky(spec: SimulationSpec, header: fits.Header, emulsion: Emulsion) -> ImageSky:
    """The sky of the image a header describes."""
    astrometry = read_astrometry(header)
    epoch = read_exposure_times(header).epoch_jyear
    if epoch is None:
        raise InputError(f"simulation: the header's DATE-OBS {header.get('DATE-OBS')!r} cannot be read")
    centre = astrometry.solution.sky_to_pixel(float(header["PLATERA"]), float(header["PLATEDEC"]))
    half_size = max(spec.scan.n_x, spec.scan.n_y) / 2
    psf = Psf(spec.psf_fwhm_arcsec, spec.scan.scale_arcsec_px, (float(centre[0]), float(centre[1])), half_size)
    n_y, n_x = spec.shape
    corners = astrometry.solution.pixel_to_sky([0.5, n_x + 0.5, n_x + 0.5, 0.5], [0.5, 0.5, n_y + 0.5, n_y + 0.5])
    ra, dec = astrometry.solution.pixel_to_sky((n_x + 1) / 2, (n_y + 1) / 2)
    to_corner = separation_arcsec(unit_vectors(*corners), unit_vectors(ra, dec)).max() / 3600.0
    # Upwards to a thousandth of a degree, so that the number in the metadata is the number used.
    radius = float(np.ceil((to_corner + spec.reference_pad_arcmin / 60.0) * 1000) / 1000)
    cone = Cone(round(float(ra), 6) % 360.0, round(float(dec), 6), radius)
    limit = limit_5sigma_mag(psf, emulsion, emulsion.sky_rms, shape=spec.shape)
    return ImageSky(spec, astrometry.solution, psf, epoch, limit, cone, corners)
