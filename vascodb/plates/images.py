"""Digitised images: read a FITS file with suspicion, and say what it shows."""

import gzip
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError, VerifyWarning
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray

from vascodb.errors import InputError
from vascodb.ids import file_sha256
from vascodb.plates.dates import ExposureTimes, read_exposure_times
from vascodb.plates.solution import Astrometry, read_astrometry

__all__ = ["PlateImage", "band_of", "header_to_dict", "read_image", "survey_of"]

Band = Literal["red", "blue", "other"]
RED_SURVEY = "POSSI-E"


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
        if self.survey == RED_SURVEY and self.plate_id is not None:
            return None
        what = f"{self.survey or 'unknown survey'}, region {self.plate_id or 'not given'}"
        return f"not a POSS-I red plate ({RED_SURVEY}): {what}"

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
    return {"XE": RED_SURVEY, "XO": "POSSI-O"}.get(region[:2])


def band_of(survey: str | None) -> Band:
    """Band of a survey's plates: POSS-I's red and blue, or other."""
    return {"POSSI-E": "red", "POSSI-O": "blue"}.get(survey or "", "other")  # type: ignore[return-value]


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
    try:
        with path.open("rb") as stream:
            start = stream.read(80)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if start[:2] == b"\x1f\x8b":
        start = _start_of_gzip(path)
    if not start.startswith(b"SIMPLE  ="):
        raise InputError(f"{path}: is not a FITS file (it does not begin with SIMPLE)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyUserWarning)
            warnings.simplefilter("ignore", VerifyWarning)
            with fits.open(path, memmap=start[:2] != b"\x1f\x8b") as hdus:
                return _check(path, hdus[0])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (OSError, ValueError, TypeError, EOFError, VerifyError, AstropyUserWarning) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: the FITS file is damaged or truncated: {reason}") from error


def _start_of_gzip(path: Path) -> bytes:
    try:
        with gzip.open(path) as stream:
            return stream.read(80)
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: is not a readable gzip file: {error}") from error


def _check(path: Path, hdu: Any) -> PlateImage:
    header = header_to_dict(hdu.header)
    shape = tuple(hdu.shape)
    if len(shape) != 2 or 0 in shape:
        raise InputError(f"has no image in its primary HDU (NAXIS {header.get('NAXIS')}, size {shape})")
    image = PlateImage(path, header, naxis1=shape[1], naxis2=shape[0])
    if image.refusal is None:
        data = np.asarray(hdu.data)
        if data.shape != shape:
            raise InputError(f"the data do not have the size the header gives ({shape})")
        low, high = np.min(data), np.max(data)
        if not low < high:
            raise InputError(f"the image is empty: every pixel is {low}")
    return image


def header_to_dict(header: Any) -> dict[str, Any]:
    """A FITS header as plain JSON values; commentary cards are joined, blank ones left out.

    Raises
    ------
    InputError
        If a card cannot be parsed, as one whose value is NaN.
    """
    plain: dict[str, Any] = {}
    for card in header.cards:
        keyword = str(card.keyword)
        if not keyword:
            continue
        try:
            value = card.value
        except VerifyError as error:
            raise InputError(f"header key {keyword} has a value that cannot be read") from error
        if isinstance(value, fits.card.Undefined):
            value = None
        elif isinstance(value, float | np.floating) and not np.isfinite(value):
            raise InputError(f"header key {keyword} has a value that is not finite")
        if keyword in ("COMMENT", "HISTORY") and keyword in plain:
            plain[keyword] = f"{plain[keyword]}\n{value}"
        else:
            plain[keyword] = value if isinstance(value, bool | int | float | str | None) else str(value)
    return plain
