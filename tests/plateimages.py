"""Headers of whole plates and small images cut from them, made up but with all keys of real ones."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

AMDX = [67.24, 0.71, -355.8, -3.9e-05, -3.4e-05, -5.4e-07, 0.0, 2.2e-06, -1.8e-08, 2.4e-06, 2.6e-09, 0.0, 0.0]
AMDY = [67.25, -0.71, -141.7, 1.1e-05, 4.0e-05, 2.0e-05, 0.0, 2.1e-06, -2.3e-08, 2.3e-06, 1.9e-09, 0.0, 0.0]
DSS_KEYS = ("AMD", "PPO", "PLT", "CNPIX", "XPIX", "YPIX", "NAXIS")


def plate_header(**changes: Any) -> dict[str, Any]:
    """Header of a whole plate, with changed or (None) missing keys."""
    header: dict[str, Any] = {
        "SIMPLE": True, "BITPIX": 16, "NAXIS": 2, "NAXIS1": 14000, "NAXIS2": 13999, "ORIGIN": "STScI/MAST",
        "SURVEY": "POSSI-E", "REGION": "XE901", "PLATEID": "00ZZ", "PLTLABEL": "E9901",
        "DATE-OBS": "1952-03-04T07:50:00", "EXPOSURE": 45.0, "PLTSCALE": 67.2,
        "XPIXELSZ": 25.2845, "YPIXELSZ": 25.2845, "CNPIX1": 0, "CNPIX2": 0,
        "PPO1": 0.0, "PPO2": 0.0, "PPO3": 177500.0, "PPO4": 0.0, "PPO5": 0.0, "PPO6": 177500.0,
        "PLTRAH": 9, "PLTRAM": 30, "PLTRAS": 12.5, "PLTDECSN": "+", "PLTDECD": 23, "PLTDECM": 59, "PLTDECS": 1.5,
    }  # fmt: skip
    header |= {f"AMDX{i}": value for i, value in enumerate(AMDX, start=1)}
    header |= {f"AMDY{i}": value for i, value in enumerate(AMDY, start=1)}
    return {key: value for key, value in (header | changes).items() if value is not None}


def cutout_header(size: int = 60, x: int = 7000, y: int = 7000, **changes: Any) -> dict[str, Any]:
    """Header of a square cut out of the plate at those pixels, with the DSS polynomial alone."""
    return plate_header(NAXIS1=size, NAXIS2=size, CNPIX1=x, CNPIX2=y, **changes)


def tan_keys(crpix: float, ra: float, dec: float, scale_arcsec_px: float = 1.7) -> dict[str, Any]:
    """Keys of a TAN solution, north up and east left."""
    scale = scale_arcsec_px / 3600
    return {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": crpix, "CRPIX2": crpix, "CRVAL1": ra, "CRVAL2": dec,
        "CD1_1": -scale, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale,
    }  # fmt: skip


def image_file(path: Path, header: dict[str, Any], seed: int = 1) -> Path:
    """A FITS file with that header and noise."""
    pixels = np.random.default_rng(seed).normal(5000, 300, (header["NAXIS2"], header["NAXIS1"])).astype(np.int16)
    hdu = fits.PrimaryHDU(pixels)
    for key, value in header.items():
        if key not in ("SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2"):
            hdu.header[key] = value
    hdu.writeto(path, overwrite=True)
    return path


def wcslib(header: dict[str, Any]) -> WCS:
    """WCSLIB's reading of the DSS polynomial of a header, whatever else is in it."""
    plain = fits.Header()
    for key, value in header.items():
        if key.startswith(DSS_KEYS):
            plain[key] = value
    return WCS(plain)
