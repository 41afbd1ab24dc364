"""Whole plates of the Digitized Sky Survey from IRSA."""

import re
from pathlib import Path
from typing import ClassVar

from vascodb.errors import InputError
from vascodb.loaders.client.download import Progress, download
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.images.wanted import Absent, Delivered, WantedImage, examined
from vascodb.plates.plan import Survey

__all__ = ["IrsaPlates", "wanted_plate"]

# Red plates have 14000 x 14000 pixels but for some late ones, blue ones 23040 x 23040, of two bytes each.
_EXPECTED_BYTES: dict[Survey, int] = {"poss1_red": 392_000_000, "poss1_blue": 1_061_700_000}


def wanted_plate(plate_id: str) -> WantedImage:
    """A whole plate by its name: ``XE486`` is red, ``XO486`` blue.

    Raises
    ------
    InputError
        If it is no name of a POSS-I plate.
    """
    if not re.fullmatch(r"X[EO][0-9]{3}", plate_id):
        raise InputError(f"{plate_id!r} is no POSS-I plate, such as XE486 (red) or XO486 (blue)")
    survey: Survey = "poss1_red" if plate_id[1] == "E" else "poss1_blue"
    return WantedImage(
        name=plate_id,
        kind="plate",
        survey=survey,
        file_name=f"{_folder(survey)}_{plate_id}.fits",
        request={"survey": survey, "plate_id": plate_id},
        expected_bytes=_EXPECTED_BYTES[survey],
    )


class IrsaPlates:
    """IRSA's folders of whole plates."""

    service: ClassVar[str] = "irsa_plates"
    gone: ClassVar[tuple[int, ...]] = (404, 410)

    def fetch(
        self, session: EvidenceSession, endpoint: str, wanted: WantedImage, path: Path, progress: Progress
    ) -> Delivered | Absent:
        """Ask once; see `ImageSource`."""
        url = f"{endpoint.rstrip('/')}/{_folder(wanted.survey)}/{wanted.file_name}"
        part = download(session, url, path, begins_with=b"SIMPLE  =", progress=progress)
        return examined(part, wanted, path)


def _folder(survey: Survey) -> str:
    return {"poss1_red": "dss1red", "poss1_blue": "dss1blue"}[survey]
