"""Digitised images: read a FITS file with suspicion, and say what it shows."""

import gzip
import re
import warnings
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError, VerifyWarning
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray

from vascodb.errors import InputError
from vascodb.ids import file_sha256
from vascodb.plates.dates import ExposureTimes, read_exposure_times
from vascodb.plates.solution import Astrometry, read_astrometry

__all__ = ["PlateImage", "SearchBand", "band_of", "header_to_dict", "read_image", "survey_of"]

Band = Literal["red", "blue", "other"]
SearchBand = Literal["red", "blue"]
RED_SURVEY, BLUE_SURVEY = "POSSI-E", "POSSI-O"

_BLOCK_BYTES = 2880
_NO_NUMBER = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_GZIP_MAGIC = b"\x1f\x8b"
# What astropy raises on damaged files.
_FITS_FAULTS = (OSError, ValueError, TypeError, KeyError, EOFError, zlib.error, VerifyError, AstropyUserWarning)


@dataclass(frozen=True)
class PlateImage:
    """One digitised image, its header read and its file checked.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    header : dict
        The primary header as plain values.
    naxis1, naxis2 : int
        Width and height in pixels.
    """

    path: Path
    header: dict[str, Any]
    naxis1: int
    naxis2: int

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file; the image's identity."""
        return file_sha256(self.path)

    @cached_property
    def plate_id(self) -> str | None:
        """The plate it shows (``REGION``), whatever a plan said."""
        return str(self.header.get("REGION") or "").strip() or None

    @property
    def survey(self) -> str | None:
        """Its survey; see `survey_of`."""
        return survey_of(self.header)

    @property
    def refusal(self) -> str | None:
        """Why it cannot be used for the search, or None for a POSS-I red plate."""
        return self.refusal_as("red")

    def refusal_as(self, band: SearchBand) -> str | None:
        """Why it is no plate of POSS-I in that band, or None if it is one."""
        if band_of(self.survey) == band and self.plate_id is not None:
            return None
        what = f"{self.survey or 'unknown survey'}, region {self.plate_id or 'not given'}"
        return f"not a POSS-I {band} plate ({RED_SURVEY if band == 'red' else BLUE_SURVEY}): {what}"

    @cached_property
    def astrometry(self) -> Astrometry:
        """The solution in use; raises `InputError` where there is none."""
        return read_astrometry(self.header)

    @cached_property
    def times(self) -> ExposureTimes:
        """When it was exposed."""
        return read_exposure_times(self.header)

    @cached_property
    def corners(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Right ascension and declination of the four outer corners, degrees, shape (4,)."""
        x = np.array([0.5, self.naxis1 + 0.5, self.naxis1 + 0.5, 0.5])
        y = np.array([0.5, 0.5, self.naxis2 + 0.5, self.naxis2 + 0.5])
        return self.astrometry.solution.pixel_to_sky(x, y)

    @cached_property
    def centre(self) -> tuple[float, float]:
        """Right ascension and declination of the middle of the image, degrees."""
        ra, dec = self.astrometry.solution.pixel_to_sky((self.naxis1 + 1) / 2, (self.naxis2 + 1) / 2)
        return float(ra), float(dec)


def survey_of(header: dict[str, Any]) -> str | None:
    """The survey of a plate header: ``SURVEY``, or, where an old header has none, what ``REGION`` tells.

    POSS-I plates are ``XE…`` (red) and ``XO…`` (blue).
    """
    if survey := str(header.get("SURVEY") or "").strip():
        return survey
    region = str(header.get("REGION") or "").strip()
    return {"XE": RED_SURVEY, "XO": BLUE_SURVEY}.get(region[:2])


def band_of(survey: str | None) -> Band:
    """Band of a survey's plates: POSS-I's red and blue, or other."""
    return {RED_SURVEY: "red", BLUE_SURVEY: "blue"}.get(survey or "", "other")  # type: ignore[return-value]


def read_image(path: Path) -> PlateImage:
    """Read the header of a FITS image and check that the file is whole and has an image in it.

    Parameters
    ----------
    path : `~pathlib.Path`
        A FITS file, plain or gzipped, whose primary HDU is a two-dimensional image.

    Raises
    ------
    InputError
        If it cannot be read, is no FITS file, is truncated, has a header that lies about its data
        or cannot be parsed, or an image in which all pixels are equal.
    """
    if any("\ud800" <= character <= "\udfff" for character in str(path)):
        raise InputError(f"{path}: a file name must be UTF-8 text, or the database cannot hold it; rename the file")
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is a folder or a device, not a file")
        with path.open("rb") as stream:
            compressed = stream.read(2) == _GZIP_MAGIC
        with _opened(path, compressed) as stream:
            start = stream.read(10)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: is a damaged gzip file: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if start != b"SIMPLE  = ":
        raise InputError(f"{path}: is not a FITS file (it does not begin with SIMPLE)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyUserWarning)
            warnings.simplefilter("ignore", VerifyWarning)
            # Tapes had ten blocks to a record, the last filled with zeros.
            warnings.filterwarnings("ignore", "Unexpected extra padding", AstropyUserWarning)
            with fits.open(path, memmap=not compressed, do_not_scale_image_data=True) as hdus:
                image = _check_header(path, hdus[0])
                with _opened(path, compressed) as stream:
                    _check_size(stream, hdus[0])
                if band_of(image.survey) != "other":
                    _check_pixels(np.asarray(hdus[0].data))
                return image
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except _FITS_FAULTS as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: the FITS file is damaged or truncated: {reason}") from error


def _opened(path: Path, compressed: bool) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if compressed else path.open("rb")


def _check_header(path: Path, hdu: Any) -> PlateImage:
    if not isinstance(hdu, fits.PrimaryHDU):
        raise InputError("says itself that it is no standard FITS file (SIMPLE is not T)")
    header = header_to_dict(hdu.header)
    shape = tuple(hdu.shape)
    if len(shape) != 2 or 0 in shape:
        raise InputError(f"has no image in its primary HDU (NAXIS {header.get('NAXIS')}, size {shape})")
    image = PlateImage(path, header, naxis1=shape[1], naxis2=shape[0])
    if image.survey is None and image.plate_id is None:
        raise InputError("the header does not say what plate it shows (it has neither SURVEY nor REGION)")
    if image.survey == RED_SURVEY and image.plate_id is None:
        raise InputError("the header does not say which plate it shows (it has no REGION)")
    return image


def _check_size(stream: BinaryIO, hdu: Any) -> None:
    """Check that the file holds the data the header announces, and after them nothing but extensions.

    A header that announces too few or too small pixels is told by what is left over: FITS fills the
    last block of the data with zeros.
    """
    n_data = int(np.prod(hdu.shape, dtype=np.int64)) * abs(hdu.header["BITPIX"]) // 8
    end = hdu.fileinfo()["datLoc"] + n_data
    n_filling = -end % _BLOCK_BYTES
    stream.seek(end - 1)
    rest = stream.read(1 + n_filling + _BLOCK_BYTES)
    if len(rest) < 1 + n_filling:
        raise InputError(f"the file is cut short: its header announces {n_data} bytes of pixels")
    filling, following = rest[1 : 1 + n_filling], rest[1 + n_filling :]
    if filling.strip(b"\0") or (following.strip(b"\0 ") and not following.startswith(b"XTENSION=")):
        raise InputError("the file has more data than its header announces; NAXIS or BITPIX is wrong")


def _check_pixels(data: NDArray[Any]) -> None:
    if data.dtype.kind == "f" and (n_bad := data.size - np.count_nonzero(np.isfinite(data))):
        raise InputError(f"{n_bad} of its {data.size} pixels have no value")
    low, high = np.min(data), np.max(data)
    if not low < high:
        raise InputError(f"the image is empty: every pixel is {low}")


def header_to_dict(header: Any) -> dict[str, Any]:
    """A FITS header as plain JSON values; commentary cards are joined, blank ones left out.

    Raises
    ------
    InputError
        If a value is NaN or infinite, or no text.
    """
    plain: dict[str, Any] = {}
    for card in header.cards:
        keyword = str(card.keyword)
        if not keyword:
            continue
        try:
            value = card.value
        except VerifyError:
            # Old headers have values that are no FITS values (SKEW = 1, 2); kept as written, they are no numbers.
            value = card.image[10:].partition("/")[0].strip()
            if _NO_NUMBER.fullmatch(value):
                raise InputError(f"header key {keyword} has the value {value}, which is no number") from None
        if isinstance(value, fits.card.Undefined):
            value = None
        elif isinstance(value, float | np.floating) and not np.isfinite(value):
            raise InputError(f"header key {keyword} has the value {value}, which is no number")
        if "\0" in keyword or (isinstance(value, str) and "\0" in value):
            raise InputError(f"header key {keyword.strip(chr(0))} has a zero byte in it; the header is damaged")
        if keyword in ("COMMENT", "HISTORY") and keyword in plain:
            plain[keyword] = f"{plain[keyword]}\n{value}"
        else:
            plain[keyword] = value if isinstance(value, bool | int | float | str | None) else str(value)
    return plain
