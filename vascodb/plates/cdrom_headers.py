"""The headers of the plates on the CD-ROMs of 1996: an independent record of dates and times.

One file holds them all: a header of 97 cards of 80 bytes in which ``!`` stands where plates differ, and then,
for each plate, only the characters that belong there. So a record is as long as the template has ``!``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, text

from vascodb.bulk import advisory_lock
from vascodb.errors import InputError
from vascodb.plates.dates import ExposureTimes, read_exposure_times
from vascodb.plates.store import exposure_time_rows, save_exposure_times

__all__ = ["CDROM", "CdromHeader", "load_cdrom_headers", "read_cdrom_headers"]

CDROM = "cdrom"

_CARD = 80
_HOLE = "!"
_NEEDED = ("REGION", "PLTLABEL", "DATE-OBS", "UT", "EXPOSURE")
# One header has a remark where the others end.
_LAST_CARDS = (["END"], ["HISTORY"])
_REGION = re.compile(r"X[A-Z]\d{3,4}")


@dataclass(frozen=True)
class CdromHeader:
    """What the header of one plate on the CD-ROMs says of its exposure."""

    plate_id: str
    plate_label: str
    times: ExposureTimes


def read_cdrom_headers(path: Path) -> list[CdromHeader]:
    """Read the file of headers.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file: a template of FITS cards up to ``END``, then one record for each plate.

    Raises
    ------
    InputError
        If the file cannot be read, is not of this form, is cut off, names a plate twice, or has a date, a time or
        an exposure that is none.
    """
    try:
        content = path.read_bytes().decode("ascii")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no file of CD-ROM headers: byte {error.start} is not ASCII") from error
    template = _template(path, content)
    length = template.count(_HOLE)
    records = content[len(template) :]
    if not records or len(records) % length:
        raise InputError(
            f"{path}: is cut off: {len(records)} bytes of records are not a whole number of {length} bytes each"
        )
    found: dict[str, CdromHeader] = {}
    for start in range(0, len(records), length):
        name = f"{path}: record {start // length + 1}"
        header = _header(name, _filled(template, records[start : start + length]))
        if header.plate_id in found:
            raise InputError(f"{name}: plate {header.plate_id} is there twice")
        found[header.plate_id] = header
    return list(found.values())


def load_cdrom_headers(connection: Connection, headers: Sequence[CdromHeader]) -> int:
    """Store the dates and times as readings with the source ``cdrom``; returns how many plates were new.

    Raises
    ------
    InputError
        If a plate is stored with another time from a CD-ROM.
    """
    advisory_lock(connection, "plate.exposure_time")
    known = {
        row.plate_id: row.start_utc
        for row in connection.execute(
            text("SELECT plate_id, start_utc FROM plate.exposure_time WHERE source = :cdrom"), {"cdrom": CDROM}
        )
    }
    for header in headers:
        stored = known.get(header.plate_id)
        if stored is not None and stored != header.times.literal_start:
            raise InputError(
                f"plate {header.plate_id} is stored with another time from a CD-ROM: "
                f"{stored:%Y-%m-%d %H:%M} -> {header.times.literal_start:%Y-%m-%d %H:%M}"
            )
    new = [header for header in headers if header.plate_id not in known]
    if new:
        save_exposure_times(
            connection, [row for header in new for row in exposure_time_rows(header.plate_id, CDROM, header.times)]
        )
    return len(new)


def _template(path: Path, content: str) -> str:
    """The cards up to ``END``, which a file of this kind begins with."""
    for end in range(_CARD, len(content) + 1, _CARD):
        card = content[end - _CARD : end]
        if end == _CARD and not card.startswith("SIMPLE  ="):
            break
        # The card END itself is part of what each record fills in, and shows as holes only.
        if card.startswith(_HOLE) and not card.replace(_HOLE, "").strip():
            return content[:end]
    raise InputError(f"{path}: is no file of CD-ROM headers: it does not begin with a template of FITS cards")


def _filled(template: str, record: str) -> str:
    characters = iter(record)
    return "".join(next(characters) if c == _HOLE else c for c in template)


def _header(name: str, filled: str) -> CdromHeader:
    keys: dict[str, str] = {}
    for start in range(0, len(filled), _CARD):
        card = filled[start : start + _CARD]
        if card[8:10] == "= ":
            keys[card[:8].rstrip()] = _value(card[10:])
    if filled[-_CARD:].split(None, 1)[:1] not in _LAST_CARDS:
        raise InputError(f"{name}: does not fill the template: its last card is {filled[-_CARD:].strip()!r}, not END")
    if missing := [key for key in _NEEDED if not keys.get(key)]:
        raise InputError(f"{name}: header key {missing[0]} is missing")
    plate_id = keys["REGION"]
    if not _REGION.fullmatch(plate_id):
        raise InputError(f"{name}: REGION {plate_id!r} is not the name of a plate, such as XE486")
    try:
        exposure: float | None = float(keys["EXPOSURE"])
    except ValueError:
        exposure = None
    times = read_exposure_times({"DATE-OBS": keys["DATE-OBS"], "UT": keys["UT"], "EXPOSURE": exposure})
    if times.literal_start is None or times.exposure_minutes is None:
        problem = times.evidence if times.literal_start is None else f"EXPOSURE {keys['EXPOSURE']!r} is no exposure"
        raise InputError(f"{name} ({plate_id}): {problem}")
    said = f"CD-ROM header: DATE-OBS {times.date_obs_raw}, UT {times.ut_raw}"
    return CdromHeader(plate_id, keys["PLTLABEL"], replace(times, evidence=said))


def _value(field: str) -> str:
    """Value of a card; between quotes what is a string, else what is before the comment."""
    if field.startswith("'"):
        return field[1:].partition("'")[0].strip()
    return field.partition("/")[0].strip()
