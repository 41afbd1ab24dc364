"""Reading SExtractor's FITS_LDAC catalogues, by column name and at SExtractor's own precision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from vascodb.errors import ToolError
from vascodb.extract.quiet_fits import open_quietly

__all__ = ["DETECTION_COLUMNS", "PSF_COLUMNS", "DetectionTable", "PsfMeasurements", "read_ldac"]

_HDU = "LDAC_OBJECTS"
# SExtractor's own types; FITS stores them big-endian, Arrow and numpy want the machine's order.
DETECTION_COLUMNS: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "NUMBER": np.dtype(np.int32),
        "FLAGS": np.dtype(np.int16),
        "X_IMAGE": np.dtype(np.float32),
        "Y_IMAGE": np.dtype(np.float32),
        "XWIN_IMAGE": np.dtype(np.float64),
        "YWIN_IMAGE": np.dtype(np.float64),
        "ELONGATION": np.dtype(np.float32),
        "ELLIPTICITY": np.dtype(np.float32),
        "FWHM_IMAGE": np.dtype(np.float32),
        "XMIN_IMAGE": np.dtype(np.int32),
        "XMAX_IMAGE": np.dtype(np.int32),
        "YMIN_IMAGE": np.dtype(np.int32),
        "YMAX_IMAGE": np.dtype(np.int32),
        "FLUX_AUTO": np.dtype(np.float32),
        "MAG_AUTO": np.dtype(np.float32),
        "CLASS_STAR": np.dtype(np.float32),
        "SNR_WIN": np.dtype(np.float32),
        "FLUX_APER": np.dtype(np.float32),
    }
)
PSF_COLUMNS: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {"SPREAD_MODEL": np.dtype(np.float32), "SPREADERR_MODEL": np.dtype(np.float32)}
)
# What tells one detection of an image from every other one, bit by bit; the PSF has no part in any of it.
_IDENTITY = (
    "x_image", "y_image", "xwin_image", "ywin_image",
    "xmin_image", "xmax_image", "ymin_image", "ymax_image", "flux_auto",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class DetectionTable:
    """The detections of one image, in SExtractor's order; all columns are 1-d arrays of one length.

    Parameters
    ----------
    number : ndarray of int32
        Running number from 1.
    flags : ndarray of int16
        SExtractor's extraction flags.
    x_image, y_image : ndarray of float32
        Isophotal barycentre, px; the centre of the first pixel is (1, 1).
    xwin_image, ywin_image : ndarray of float64
        Windowed position, px.
    elongation, ellipticity : ndarray of float32
        A/B and 1 - B/A.
    fwhm_image : ndarray of float32
        Full width at half maximum, px.
    xmin_image, xmax_image, ymin_image, ymax_image : ndarray of int32
        Bounding box of the detected pixels, px.
    flux_auto, flux_aper : ndarray of float32
        Kron-like and aperture flux, photographic density units.
    mag_auto : ndarray of float32
        Instrumental magnitude.
    class_star : ndarray of float32
        SExtractor's star/galaxy classifier, 0 to 1.
    snr_win : ndarray of float32
        Signal-to-noise ratio in the Gaussian window.
    """

    number: NDArray[np.int32]
    flags: NDArray[np.int16]
    x_image: NDArray[np.float32]
    y_image: NDArray[np.float32]
    xwin_image: NDArray[np.float64]
    ywin_image: NDArray[np.float64]
    elongation: NDArray[np.float32]
    ellipticity: NDArray[np.float32]
    fwhm_image: NDArray[np.float32]
    xmin_image: NDArray[np.int32]
    xmax_image: NDArray[np.int32]
    ymin_image: NDArray[np.int32]
    ymax_image: NDArray[np.int32]
    flux_auto: NDArray[np.float32]
    mag_auto: NDArray[np.float32]
    class_star: NDArray[np.float32]
    snr_win: NDArray[np.float32]
    flux_aper: NDArray[np.float32]

    @classmethod
    def from_columns(cls, columns: Mapping[str, NDArray[Any]]) -> Self:
        """Make a table from LDAC columns under their LDAC names."""
        return cls(**{field.name: columns[field.name.upper()] for field in fields(cls)})

    def __len__(self) -> int:
        return len(self.number)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name, in the order of the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def identities(self) -> list[bytes]:
        """Return what identifies each detection within its image: its position, box and flux, bit by bit."""
        packed = np.rec.fromarrays([getattr(self, name) for name in _IDENTITY])
        raw = packed.tobytes()
        size = packed.dtype.itemsize
        return [raw[start : start + size] for start in range(0, len(raw), size)]


@dataclass(frozen=True, eq=False)
class PsfMeasurements:
    """The PSF columns of chosen detections of one image.

    Parameters
    ----------
    number : ndarray of int32
        `DetectionTable.number` of each measured detection.
    spread_model, spreaderr_model : ndarray of float32
        SExtractor's SPREAD_MODEL (0 for a point source, positive for a wider one) and its error.
    """

    number: NDArray[np.int32]
    spread_model: NDArray[np.float32]
    spreaderr_model: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.number)


def read_ldac(path: Path, columns: Mapping[str, np.dtype[Any]]) -> dict[str, NDArray[Any]]:
    """Read columns of the first ``LDAC_OBJECTS`` table of a file.

    Parameters
    ----------
    path : `~pathlib.Path`
        FITS_LDAC catalogue.
    columns : mapping of str to dtype
        Names of the columns to read, and the type each must have.

    Returns
    -------
    dict of str to ndarray
        One contiguous array in native byte order per column; all are empty for an image without detections.

    Raises
    ------
    ToolError
        The file is cut short or is no FITS file, has no such table, or lacks a column; the message names what.
    """
    try:
        # astropy reads a cut-off table as if nothing were wrong, or fails in many ways; the sizes in the headers tell.
        with open_quietly(path) as hdus:
            table = next((hdu for hdu in hdus if hdu.name == _HDU), None)
            if table is None:
                raise ToolError(f"{path}: no {_HDU} table; the catalogue is incomplete, extract the image again")
            needed_bytes = table.fileinfo()["datLoc"] + table.size
            if path.stat().st_size < needed_bytes:
                raise ToolError(
                    f"{path}: cut short at {path.stat().st_size} of {needed_bytes} bytes; extract the image again"
                )
            missing = [name for name in columns if name not in table.columns.names]
            if missing:
                raise ToolError(
                    f"{path}: {_HDU} has no column {_listed(missing)}; it has {_listed(table.columns.names)}"
                )
            return {name: _column(path, table.data[name], name, dtype) for name, dtype in columns.items()}
    except (OSError, fits.VerifyError, IndexError, TypeError, ValueError) as error:
        raise ToolError(f"{path}: cannot be read as a FITS_LDAC catalogue: {error}; extract the image again") from error


def _column(path: Path, values: NDArray[Any], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    native = values.dtype.newbyteorder("=")
    if native != dtype or values.ndim != 1:
        raise ToolError(
            f"{path}: column {name} holds {native} of {values.ndim} dimensions, not one {dtype} per detection"
        )
    return np.ascontiguousarray(values, dtype=dtype)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
