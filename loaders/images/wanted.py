"""Images that are wanted, what an archive may deliver instead, and how to tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from vascodb.errors import InputError
from vascodb.ids import content_id
from vascodb.loaders.client.download import Progress, discard_parts
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.session import EvidenceSession
from vascodb.plates.images import PlateImage, read_image
from vascodb.plates.plan import Survey
from vascodb.plates.register import tile_of

__all__ = ["Absent", "Delivered", "ImageSource", "WantedImage", "examined", "seed_survey_name"]

# Schmidt plates are 355 mm wide; a cutout is far smaller.
_SMALLEST_PLATE_MM = 250.0


@dataclass(frozen=True)
class WantedImage:
    """A tile, or a whole plate.

    Parameters
    ----------
    name : str
        Tile or plate.
    kind : {'tile', 'plate'}
        Which of the two.
    survey : {'poss1_red', 'poss1_blue'}
        Survey that it must be of.
    file_name : str
        What its file is called.
    request : mapping
        What is asked for; the same request is the same image.
    expected_bytes : int
        About how big its file is.
    """

    name: str
    kind: Literal["tile", "plate"]
    survey: Survey
    file_name: str
    request: Mapping[str, Any]
    expected_bytes: int

    @property
    def fetch_id(self) -> int:
        """Its id in ``plate.fetch``."""
        return content_id("fetch", self.kind, dict(self.request))

    @property
    def band(self) -> Literal["red", "blue"]:
        """Band of its survey."""
        return "red" if self.survey == "poss1_red" else "blue"


@dataclass(frozen=True)
class Delivered:
    """A whole FITS image of the wanted survey, still to be put in place.

    Parameters
    ----------
    part : `~pathlib.Path`
        Where it is now.
    image : `PlateImage`
        What it shows.
    """

    part: Path
    image: PlateImage


@dataclass(frozen=True)
class Absent:
    """A proper answer that says that the wanted image is not to be had.

    Parameters
    ----------
    state : {'non_poss', 'unavailable'}
        Whether the archive has another survey there, or nothing.
    cause : str
        In a word.
    detail : str
        One line of what it said.
    """

    state: Literal["non_poss", "unavailable"]
    cause: str
    detail: str


class ImageSource(Protocol):
    """Asks an archive for images.

    Attributes
    ----------
    service : str
        Its name in the settings.
    gone : tuple of int
        Statuses by which it says that there is no such image.
    """

    service: ClassVar[str]
    gone: ClassVar[tuple[int, ...]]

    def fetch(
        self, session: EvidenceSession, endpoint: str, wanted: WantedImage, path: Path, progress: Progress
    ) -> Delivered | Absent:
        """Ask once; raises `LookupFailure` for anything but a whole image or a proper refusal."""
        ...


def seed_survey_name(survey: Survey) -> str:
    """What file names call the survey: ``dss1-red``."""
    return {"poss1_red": "dss1-red", "poss1_blue": "dss1-blue"}[survey]


def examined(part: Path, wanted: WantedImage, path: Path) -> Delivered | Absent:
    """Check a file that has arrived: its structure, its sky, its survey.

    Parameters
    ----------
    part : `~pathlib.Path`
        The file; removed unless it is what was wanted.
    wanted : `WantedImage`
        What it should be.
    path : `~pathlib.Path`
        Where it belongs.

    Raises
    ------
    LookupFailure
        If it is no whole image, has no astrometric solution, or shows another sky or plate.
    """
    try:
        image = read_image(part)
        refusal = image.refusal_as(wanted.band)
        if refusal is None:
            _check_place(image, wanted)
    except InputError as error:
        discard_parts(path)
        reason = str(error).removeprefix(f"{part}: ")
        cut = "cut short" in reason or "truncated" in reason
        raise LookupFailure(Cause.TRUNCATED if cut else Cause.NOT_THE_FORMAT, reason) from error
    except LookupFailure:
        discard_parts(path)
        raise
    if refusal is not None:
        discard_parts(path)
        return Absent("non_poss", "other_survey", refusal)
    return Delivered(part, image)


def _check_place(image: PlateImage, wanted: WantedImage) -> None:
    """Whether an image is where, and of what plate, it should be; raises `InputError` if it cannot tell."""
    solution = image.astrometry
    if wanted.kind == "plate":
        width_mm = image.naxis1 * float(image.header.get("XPIXELSZ") or 0) / 1000.0
        if image.plate_id != wanted.name or width_mm < _SMALLEST_PLATE_MM:
            raise LookupFailure(
                Cause.WRONG_SKY, f"not the whole plate {wanted.name}, but {width_mm:.0f} mm of {image.plate_id}"
            )
        return
    try:
        tile_of(image, wanted.name)
    except InputError as error:
        ra, dec = image.centre
        raise LookupFailure(Cause.WRONG_SKY, f"{error}, which is at {ra:.4f} {dec:+.4f}") from error
    side_arcmin = max(image.naxis1, image.naxis2) * solution.scale_arcsec_px / 60.0
    if side_arcmin < 0.5 * wanted.request["size_arcmin"]:
        raise LookupFailure(
            Cause.WRONG_SKY, f"only {side_arcmin:.1f} arcmin wide instead of {wanted.request['size_arcmin']:g}"
        )
