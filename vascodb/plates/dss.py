"""The DSS plate solution: plate pixels to sky and back, as a polynomial about the plate centre."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vascodb.errors import InputError
from vascodb.plates.tangent import plane_to_sky, sky_to_plane

__all__ = ["DssSolution"]

N_COEFFICIENTS = 13
_MAX_ITERATIONS = 30
# Far below the 1e-6 arcsec the solution is tested to: 1e-9 mm on the plate is 7e-8 arcsec.
_CONVERGED_MM = 1e-10


@dataclass(frozen=True)
class DssSolution:
    """The polynomial plate solution of the Digitized Sky Survey.

    Pixel coordinates are those of FITS: the centre of the first pixel of *this image* is (1, 1).

    Parameters
    ----------
    amdx, amdy : tuple of 13 float
        Coefficients ``AMDX1…13`` and ``AMDY1…13``, arcsec per power of mm.
    ppo3, ppo6 : float
        Plate centre of the scan, in micrometres.
    x_pixel_um, y_pixel_um : float
        Size of a pixel on the plate, in micrometres.
    cnpix1, cnpix2 : float
        Position of this image's first pixel on the scan, in pixels.
    plate_ra_deg, plate_dec_deg : float
        Plate centre, from the sexagesimal ``PLTRA*`` and ``PLTDEC*`` keys, J2000.

    References
    ----------
    .. [1] Lasker et al. 1990, AJ 99, 2019; Greisen & Calabretta's ``DSS`` distortion in WCSLIB.
    """

    amdx: tuple[float, ...]
    amdy: tuple[float, ...]
    ppo3: float
    ppo6: float
    x_pixel_um: float
    y_pixel_um: float
    cnpix1: float
    cnpix2: float
    plate_ra_deg: float
    plate_dec_deg: float

    def __post_init__(self) -> None:
        numbers = np.array(
            [
                *self.amdx,
                *self.amdy,
                self.ppo3,
                self.ppo6,
                self.x_pixel_um,
                self.y_pixel_um,
                self.cnpix1,
                self.cnpix2,
                self.plate_ra_deg,
                self.plate_dec_deg,
            ]
        )
        if len(self.amdx) != N_COEFFICIENTS or len(self.amdy) != N_COEFFICIENTS or not np.isfinite(numbers).all():
            raise InputError("the DSS plate solution needs 13 finite AMDX and 13 finite AMDY coefficients")
        determinant = self.amdx[0] * self.amdy[0] - self.amdx[1] * self.amdy[1]
        if self.x_pixel_um <= 0 or self.y_pixel_um <= 0 or determinant == 0:
            raise InputError("the DSS plate solution is singular (zero linear terms or pixel size)")
        if not (0 <= self.plate_ra_deg <= 360 and -90 <= self.plate_dec_deg <= 90):
            centre = f"{self.plate_ra_deg:.9g}, {self.plate_dec_deg:.9g}"
            raise InputError(f"the DSS plate solution has its centre off the sky, at {centre} (PLTRA*, PLTDEC*)")

    def pixel_to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sky position of pixels.

        Parameters
        ----------
        x, y : array_like of float, any one shape
            FITS pixel coordinates on this image.

        Returns
        -------
        ra_deg, dec_deg : ndarray of float64, the shape of the input
            J2000 right ascension in [0, 360) and declination.
        """
        x_mm, y_mm = self._pixel_to_mm(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
        xi, eta, *_ = self._evaluate(x_mm, y_mm)
        return plane_to_sky(xi, eta, self.plate_ra_deg, self.plate_dec_deg)

    def sky_to_pixel(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel position of sky coordinates, by Newton's method on the polynomial.

        Parameters
        ----------
        ra_deg, dec_deg : array_like of float, any one shape
            J2000 coordinates in degrees.

        Returns
        -------
        x, y : ndarray of float64, the shape of the input
            FITS pixel coordinates; NaN where the position is on the far side of the sky or so far
            off the plate that the polynomial has no solution.
        """
        xi, eta = sky_to_plane(ra_deg, dec_deg, self.plate_ra_deg, self.plate_dec_deg)
        determinant = self.amdx[0] * self.amdy[0] - self.amdx[1] * self.amdy[1]
        x_mm = (self.amdy[0] * (xi - self.amdx[2]) - self.amdx[1] * (eta - self.amdy[2])) / determinant
        y_mm = (self.amdx[0] * (eta - self.amdy[2]) - self.amdy[1] * (xi - self.amdx[2])) / determinant
        step = np.full(np.shape(x_mm), np.inf)
        with np.errstate(all="ignore"):
            for _ in range(_MAX_ITERATIONS):
                xi_now, eta_now, xi_x, xi_y, eta_x, eta_y = self._evaluate(x_mm, y_mm)
                jacobian = xi_x * eta_y - xi_y * eta_x
                dx = (eta_y * (xi - xi_now) - xi_y * (eta - eta_now)) / jacobian
                dy = (xi_x * (eta - eta_now) - eta_x * (xi - xi_now)) / jacobian
                x_mm, y_mm = x_mm + dx, y_mm + dy
                step = np.hypot(dx, dy)
                if np.all((step < _CONVERGED_MM) | ~np.isfinite(step)):
                    break
        found = step < 1e-6
        x_mm, y_mm = np.where(found, x_mm, np.nan), np.where(found, y_mm, np.nan)
        x = (self.ppo3 - 1000.0 * x_mm) / self.x_pixel_um - self.cnpix1 + 0.5
        y = (self.ppo6 + 1000.0 * y_mm) / self.y_pixel_um - self.cnpix2 + 0.5
        return x, y

    def _pixel_to_mm(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        # The half pixel is WCSLIB's convention; 0 or 1 instead shifts the sky by about 1.2 arcsec.
        x_mm = (self.ppo3 - self.x_pixel_um * (x + self.cnpix1 - 0.5)) / 1000.0
        y_mm = (self.y_pixel_um * (y + self.cnpix2 - 0.5) - self.ppo6) / 1000.0
        return x_mm, y_mm

    def _evaluate(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Standard coordinates in arcsec at plate positions in mm, with their four partial derivatives."""
        xi, xi_x, xi_y = _cubic(self.amdx, x, y)
        # AMDY has the roles of x and y exchanged.
        eta, eta_y, eta_x = _cubic(self.amdy, y, x)
        return xi, eta, xi_x, xi_y, eta_x, eta_y


def _cubic(
    c: tuple[float, ...], u: NDArray[np.float64], v: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Value and partial derivatives of the 13-term DSS polynomial, first coordinate ``u``."""
    r2 = u * u + v * v
    value = (
        c[0] * u + c[1] * v + c[2]
        + c[3] * u * u + c[4] * u * v + c[5] * v * v + c[6] * r2
        + c[7] * u**3 + c[8] * u * u * v + c[9] * u * v * v + c[10] * v**3
        + c[11] * u * r2 + c[12] * u * r2 * r2
    )  # fmt: skip
    by_u = (
        c[0] + 2 * c[3] * u + c[4] * v + 2 * c[6] * u
        + 3 * c[7] * u * u + 2 * c[8] * u * v + c[9] * v * v
        + c[11] * (r2 + 2 * u * u) + c[12] * (r2 * r2 + 4 * u * u * r2)
    )  # fmt: skip
    by_v = (
        c[1] + c[4] * u + 2 * c[5] * v + 2 * c[6] * v
        + c[8] * u * u + 2 * c[9] * u * v + 3 * c[10] * v * v
        + 2 * c[11] * u * v + 4 * c[12] * u * v * r2
    )  # fmt: skip
    return value, by_u, by_v
