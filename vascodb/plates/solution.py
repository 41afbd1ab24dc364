"""Which astrometric solution of a header is used, and its sky geometry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from astropy.coordinates import angular_separation
from numpy.typing import ArrayLike, NDArray

from vascodb.errors import InputError
from vascodb.plates.dss import N_COEFFICIENTS, DssSolution
from vascodb.plates.tangent import plane_to_sky, sky_to_plane

__all__ = ["Astrometry", "TanSolution", "WcsKind", "read_astrometry", "solution_kinds"]

WcsKind = Literal["dss", "tan"]

_SCALE_TOLERANCE = 0.05


class PixelSolution(Protocol):
    """What every astrometric solution can do; pixels are FITS pixels, angles are degrees."""

    def pixel_to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sky position of pixels."""
        ...

    def sky_to_pixel(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel position of sky coordinates."""
        ...


@dataclass(frozen=True)
class TanSolution:
    """A linear tangent-plane solution: ``CRPIX``, ``CRVAL`` and the CD matrix.

    Parameters
    ----------
    crpix : tuple of 2 float
        Reference pixel (FITS, first pixel centre at 1).
    crval : tuple of 2 float
        Right ascension and declination there, degrees.
    cd : tuple of 4 float
        ``CD1_1, CD1_2, CD2_1, CD2_2`` in degrees per pixel.
    """

    crpix: tuple[float, float]
    crval: tuple[float, float]
    cd: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        if not np.isfinite([*self.crpix, *self.crval, *self.cd]).all():
            raise InputError("the TAN solution of the header has values that are not finite")
        if self.determinant == 0:
            raise InputError("the TAN solution of the header has a singular CD matrix")
        if not (-360 <= self.crval[0] <= 360 and -90 <= self.crval[1] <= 90):
            raise InputError(f"the TAN solution of the header has its centre off the sky, at {self.crval}")

    @property
    def determinant(self) -> float:
        """Determinant of the CD matrix, square degrees per square pixel."""
        return self.cd[0] * self.cd[3] - self.cd[1] * self.cd[2]

    def pixel_to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sky position of pixels; see `DssSolution.pixel_to_sky`."""
        dx = np.asarray(x, dtype=np.float64) - self.crpix[0]
        dy = np.asarray(y, dtype=np.float64) - self.crpix[1]
        xi = 3600.0 * (self.cd[0] * dx + self.cd[1] * dy)
        eta = 3600.0 * (self.cd[2] * dx + self.cd[3] * dy)
        return plane_to_sky(xi, eta, *self.crval)

    def sky_to_pixel(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel position of sky coordinates; see `DssSolution.sky_to_pixel`."""
        xi, eta = (v / 3600.0 for v in sky_to_plane(ra_deg, dec_deg, *self.crval))
        x = self.crpix[0] + (self.cd[3] * xi - self.cd[1] * eta) / self.determinant
        y = self.crpix[1] + (self.cd[0] * eta - self.cd[2] * xi) / self.determinant
        return x, y


@dataclass(frozen=True)
class Astrometry:
    """The solution in use for one image or plate, and the ones its header offered.

    Parameters
    ----------
    kind : {'dss', 'tan'}
        The solution in use.
    available : tuple of {'dss', 'tan'}
        All solutions in the header.
    solution : `DssSolution` or `TanSolution`
        The solution itself.
    scale_arcsec_px : float
        Pixel scale, from this plate's own header.
    """

    kind: WcsKind
    available: tuple[WcsKind, ...]
    solution: DssSolution | TanSolution
    scale_arcsec_px: float


def solution_kinds(header: Mapping[str, Any]) -> tuple[WcsKind, ...]:
    """Which astrometric solutions a header holds, best first.

    STScI cutouts hold both. Their TAN solution is the better one: against Gaia it is good to
    0.06 arcsec, while on a third of the plates the polynomial's pixel origin is off by one pixel
    in each axis (2.3 arcsec). In cutouts made from the 1996 CD-ROMs (``ORIGIN`` names CASB) a TAN
    is only a linearised copy of the polynomial, and whole plates have the polynomial alone.
    """
    kinds: list[WcsKind] = []
    if "CRVAL1" in header and "CD1_1" in header and str(header.get("CTYPE1", "")).strip() == "RA---TAN":
        kinds.append("tan")
    if "AMDX1" in header and "PPO3" in header:
        kinds.insert(0 if "CASB" in str(header.get("ORIGIN", "")) else len(kinds), "dss")
    return tuple(kinds)


def read_astrometry(header: Mapping[str, Any], *, kind: WcsKind | None = None) -> Astrometry:
    """The astrometric solution of a header.

    Parameters
    ----------
    header : mapping
        FITS header, or the header object of a JSON sidecar.
    kind : {'dss', 'tan'}, optional
        The solution wanted; the best one by default, see `solution_kinds`.

    Raises
    ------
    InputError
        If the header has no solution, not the wanted one, or one with missing or impossible values.
    """
    available = solution_kinds(header)
    if not available:
        raise InputError("the header has no astrometric solution (neither DSS polynomial nor TAN)")
    wanted = kind or available[0]
    if wanted not in available:
        raise InputError(f"the header has no {wanted} solution, only {', '.join(available)}")
    solution = _read_dss(header) if wanted == "dss" else _read_tan(header)
    scale_arcsec_px = _scale_arcsec_px(header, solution)
    _check_scale(header, solution, scale_arcsec_px)
    return Astrometry(wanted, available, solution, scale_arcsec_px)


def _number(header: Mapping[str, Any], key: str) -> float:
    value = header.get(key)
    if isinstance(value, str) or value is None or not np.isfinite(float(value)):
        raise InputError(f"header key {key} is {'missing' if value is None else f'not a finite number: {value!r}'}")
    return float(value)


def _read_dss(header: Mapping[str, Any]) -> DssSolution:
    hours = _number(header, "PLTRAH") + _number(header, "PLTRAM") / 60 + _number(header, "PLTRAS") / 3600
    degrees = _number(header, "PLTDECD") + _number(header, "PLTDECM") / 60 + _number(header, "PLTDECS") / 3600
    south = str(header.get("PLTDECSN", "+")).strip().startswith("-")
    return DssSolution(
        amdx=tuple(_number(header, f"AMDX{i}") for i in range(1, N_COEFFICIENTS + 1)),
        amdy=tuple(_number(header, f"AMDY{i}") for i in range(1, N_COEFFICIENTS + 1)),
        ppo3=_number(header, "PPO3"),
        ppo6=_number(header, "PPO6"),
        x_pixel_um=_number(header, "XPIXELSZ"),
        y_pixel_um=_number(header, "YPIXELSZ"),
        cnpix1=_number(header, "CNPIX1"),
        cnpix2=_number(header, "CNPIX2"),
        plate_ra_deg=15.0 * hours,
        plate_dec_deg=-degrees if south else degrees,
    )


def _read_tan(header: Mapping[str, Any]) -> TanSolution:
    cd = tuple(_number(header, key) if key in header else 0.0 for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"))
    return TanSolution(
        crpix=(_number(header, "CRPIX1"), _number(header, "CRPIX2")),
        crval=(_number(header, "CRVAL1"), _number(header, "CRVAL2")),
        cd=(cd[0], cd[1], cd[2], cd[3]),
    )


def _check_scale(header: Mapping[str, Any], solution: PixelSolution, scale_arcsec_px: float) -> None:
    """Check that neighbouring pixels in the middle of the image lie as far apart as the plate's scale says.

    On 932 real plates they do within 1.2 %; a damaged coefficient is seen here.
    """
    x, y = ((_number(header, key) + 1) / 2 if key in header else 1.0 for key in ("NAXIS1", "NAXIS2"))
    with np.errstate(all="ignore"):
        ra, dec = np.radians(solution.pixel_to_sky([x, x + 1, x], [y, y, y + 1]))
        steps_arcsec = 3600 * np.degrees(angular_separation(ra[0], dec[0], ra[1:], dec[1:]))
    if not np.all(np.abs(steps_arcsec - scale_arcsec_px) < _SCALE_TOLERANCE * scale_arcsec_px):
        raise InputError(
            f"the header contradicts itself: by its astrometric solution a pixel is {steps_arcsec[0]:.4g} by "
            f"{steps_arcsec[1]:.4g} arcsec large, by its scale {scale_arcsec_px:.4g} arcsec"
        )


def _scale_arcsec_px(header: Mapping[str, Any], solution: DssSolution | TanSolution) -> float:
    if "PLTSCALE" in header and "XPIXELSZ" in header:
        return _number(header, "PLTSCALE") * _number(header, "XPIXELSZ") / 1000.0
    if isinstance(solution, TanSolution):
        return float(3600.0 * np.sqrt(abs(solution.determinant)))
    return float(np.hypot(solution.amdx[0], solution.amdx[1]) * solution.x_pixel_um / 1000.0)
