"""Cutouts of the Digitized Sky Survey from STScI's ``dss_search``."""

import gzip
import re
import zlib
from pathlib import Path
from typing import ClassVar

from vascodb.errors import InputError
from vascodb.loaders.client.download import Progress, discard_parts, writing
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.pages import text_of_page
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.images.wanted import Absent, Delivered, WantedImage, examined, seed_survey_name
from vascodb.plates.plan import Survey
from vascodb.plates.tiles import tile_name

__all__ = ["StsciCutouts", "wanted_tile"]

_LARGEST_ARCMIN = 60.0
_SHORTEST_FITS = 2880
_PIXEL_ARCSEC = 1.7
# The service says everything on pages of status 200; only the words tell for good from for now.
_NO_IMAGE = re.compile(
    r"\bno (image|plate|data|coverage)\b|\b(image|plate|field|position|region|file|data)\b.{0,60}?"
    r"\b(not (covered|available|found|in the)|does not exist|missing|outside)\b",
    re.IGNORECASE,
)
_FOR_NOW = re.compile(r"temporar|maintenance|later|again|busy|\bdown\b|respond|timed? ?out|overload", re.IGNORECASE)


def wanted_tile(
    ra_deg: float, dec_deg: float, size_arcmin: float = 60.0, survey: Survey = "poss1_red", tile_id: str | None = None
) -> WantedImage:
    """A tile as STScI is asked for it.

    Parameters
    ----------
    ra_deg, dec_deg : float
        Centre in degrees.
    size_arcmin : float, optional
        Side of the square; the service cuts out no more than 60.
    survey : {'poss1_red', 'poss1_blue'}, optional
        Survey.
    tile_id : str, optional
        Its name, if it has one already.

    Raises
    ------
    InputError
        If the position is off the sky or the size is impossible.
    """
    if not (0 <= ra_deg < 360 and -90 <= dec_deg <= 90):
        raise InputError(f"position {ra_deg:g}, {dec_deg:g}: right ascension is in [0, 360), declination in [-90, 90]")
    if not 1.0 <= size_arcmin <= _LARGEST_ARCMIN:
        raise InputError(f"size {size_arcmin:g} arcmin: STScI cuts out from 1 to {_LARGEST_ARCMIN:g} arcmin")
    ra, dec, size = round(float(ra_deg), 6), round(float(dec_deg), 6), round(float(size_arcmin), 2)
    return WantedImage(
        name=tile_id or tile_name(ra, dec),
        kind="tile",
        survey=survey,
        file_name=f"{seed_survey_name(survey)}_{ra:.3f}_{dec:.3f}_{size:g}arcmin.fits",
        request={"survey": survey, "ra_deg": ra, "dec_deg": dec, "size_arcmin": size},
        expected_bytes=round(2 * (size * 60.0 / _PIXEL_ARCSEC) ** 2),
    )


class StsciCutouts:
    """The cutout service."""

    service: ClassVar[str] = "stsci_dss"
    gone: ClassVar[tuple[int, ...]] = ()

    def fetch(
        self, session: EvidenceSession, endpoint: str, wanted: WantedImage, path: Path, progress: Progress
    ) -> Delivered | Absent:
        """Ask once; see `ImageSource`."""
        size = f"{wanted.request['size_arcmin']:.2f}"
        response = session.get(
            endpoint,
            params={
                "v": wanted.survey,
                "r": f"{wanted.request['ra_deg']:.6f}",
                "d": f"{wanted.request['dec_deg']:.6f}",
                "e": "J2000",
                "h": size,
                "w": size,
                "f": "fits",
                "c": "none",
                "fov": "NONE",
                "v3": "",
            },
        )
        content = _unpacked(response.content)
        if not content.startswith(b"SIMPLE  ="):
            return _said(content)
        if len(content) < _SHORTEST_FITS:
            raise LookupFailure(Cause.TRUNCATED, f"{len(content)} bytes are no FITS file")
        progress(len(content), len(content))
        part = path.with_name(f"{path.name}.-.part")
        with writing(part):
            path.parent.mkdir(parents=True, exist_ok=True)
            discard_parts(path)
            part.write_bytes(content)
        return examined(part, wanted, path)


def _unpacked(content: bytes) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise LookupFailure(Cause.TRUNCATED, f"a damaged gzip file: {error}") from error


def _said(content: bytes) -> Absent:
    """What a page means that came instead of an image."""
    if not content:
        raise LookupFailure(Cause.TRUNCATED, "an answer of no bytes")
    words = text_of_page(content, 400)
    if _NO_IMAGE.search(words) and not _FOR_NOW.search(words):
        return Absent("unavailable", "no_image", words)
    raise LookupFailure(Cause.NOT_THE_FORMAT, f"a page instead of an image: {words}")
