"""Load whole-plate headers: JSON sidecars, archives of them, or plate FITS files."""

import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from vascodb.bulk import advisory_lock
from vascodb.errors import InputError
from vascodb.ids import canonical_json
from vascodb.plates.dates import read_exposure_times
from vascodb.plates.images import band_of, read_image, survey_of
from vascodb.plates.solution import read_astrometry
from vascodb.plates.store import exposure_time_rows, save_exposure_times, save_solutions, solution_row

__all__ = ["PlateHeader", "PlateLoad", "load_plates", "read_plate_headers"]

# Schmidt plates of the Palomar, UK and ESO surveys are 355 mm wide; a cutout is far smaller.
_SMALLEST_PLATE_MM = 250.0


@dataclass(frozen=True)
class PlateHeader:
    """A whole plate's header and the file it came from."""

    path: Path
    name: str
    header: dict[str, Any]


@dataclass(frozen=True)
class PlateLoad:
    """What `load_plates` did: plates read, and how many of them were new."""

    read: int
    new: int


def read_plate_headers(source: Path) -> Iterator[PlateHeader]:
    """Headers of all plates in a file or below a folder, in the order of their names.

    Parameters
    ----------
    source : `~pathlib.Path`
        A JSON sidecar, a tar archive of them, a plate's FITS file, or a folder of any of these.

    Raises
    ------
    InputError
        If nothing is found, or a file cannot be read.
    """
    if source.is_dir():
        paths = [p for p in sorted(source.rglob("*")) if p.is_file() and _reader(p) is not None]
        if not paths:
            raise InputError(f"{source}: no plate header below this folder (*.json, *.tar.gz, *.fits)")
    elif source.is_file():
        paths = [source]
    else:
        raise InputError(f"{source}: no such file or folder")
    for path in paths:
        reader = _reader(path)
        if reader is None:
            raise InputError(f"{path}: is neither a JSON sidecar nor a tar archive of them nor a FITS file")
        yield from reader(path)


def load_plates(
    connection: Connection, headers: Iterator[PlateHeader], progress: Callable[[int], None] = lambda _: None
) -> PlateLoad:
    """Store plates; one that is there already with the same header is left alone.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        In a transaction, so that a bad header leaves nothing behind.
    headers : iterator of `PlateHeader`
        From `read_plate_headers`.
    progress : callable, optional
        Called with the number of plates read so far.

    Raises
    ------
    InputError
        If a header is no whole plate's, cannot be used, or differs from the stored one of that plate.
    """
    advisory_lock(connection, "plate.plate")
    known: dict[str, str] = {
        plate_id: sha256
        for plate_id, sha256 in connection.execute(text("SELECT plate_id, header_sha256 FROM plate.plate"))
    }
    new: dict[str, _Plate] = {}
    n_read = 0
    for header in headers:
        plate = _plate(header)
        n_read += 1
        progress(n_read)
        if known.get(plate.plate_id) == plate.row["header_sha256"]:
            continue
        if plate.plate_id in known:
            raise InputError(
                f"{header.name}: plate {plate.plate_id} is stored with another header: "
                f"{_differences(_stored(connection, plate.plate_id, new), header.header)}"
            )
        known[plate.plate_id] = plate.row["header_sha256"]
        new[plate.plate_id] = plate
    if new:
        save_solutions(connection, [plate.solution for plate in new.values()])
        _insert(connection, [plate.row for plate in new.values()])
        save_exposure_times(connection, [row for plate in new.values() for row in plate.exposure_times])
    return PlateLoad(n_read, len(new))


def _reader(path: Path) -> Callable[[Path], Iterator[PlateHeader]] | None:
    name = path.name.lower()
    if name.endswith(".json"):
        return _from_json
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        return _from_archive
    if name.endswith((".fits", ".fit", ".fits.gz")):
        return _from_fits
    return None


def _from_json(path: Path) -> Iterator[PlateHeader]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    yield _sidecar(path, str(path), content)


def _from_archive(path: Path) -> Iterator[PlateHeader]:
    try:
        with tarfile.open(path) as archive:
            # In the archive's own order: going back in a compressed file means reading it again from the start.
            for member in archive:
                stream = archive.extractfile(member) if member.name.endswith(".json") else None
                if stream is not None:
                    yield _sidecar(path, f"{path}:{member.name}", stream.read())
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: is not a readable tar archive: {' '.join(str(error).split())}") from error


def _from_fits(path: Path) -> Iterator[PlateHeader]:
    yield PlateHeader(path, str(path), read_image(path).header)


def _sidecar(path: Path, name: str, content: bytes) -> PlateHeader:
    try:
        document = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: is not JSON: {' '.join(str(error).split())}") from error
    header = document.get("header") if isinstance(document, dict) else None
    if not isinstance(header, dict):
        raise InputError(f"{name}: has no object 'header'")
    return PlateHeader(path, name, header)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it has the value {name}, which is no number")


@dataclass(frozen=True)
class _Plate:
    """A plate's rows, ready to store."""

    plate_id: str
    header: dict[str, Any]
    row: dict[str, Any]
    solution: dict[str, Any]
    exposure_times: list[dict[str, Any]]


def _plate(source: PlateHeader) -> _Plate:
    header = source.header
    try:
        plate_id = str(header.get("REGION") or "").strip()
        if not plate_id:
            raise InputError("header key REGION is missing")
        naxis1, naxis2 = int(header.get("NAXIS1") or 0), int(header.get("NAXIS2") or 0)
        if naxis1 * float(header.get("XPIXELSZ") or 0) / 1000.0 < _SMALLEST_PLATE_MM:
            raise InputError(f"this is not the header of a whole plate ({naxis1} x {naxis2} pixels)")
        astrometry = read_astrometry(header)
        ra, dec = astrometry.solution.pixel_to_sky((naxis1 + 1) / 2, (naxis2 + 1) / 2)
        times = read_exposure_times(header)
        header_json = canonical_json(header)
        if "\\u0000" in header_json:
            raise InputError("the header has a zero byte in it")
    except (InputError, ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{source.name}: {error}") from error
    solution = solution_row(astrometry)
    row = {
        "plate_id": plate_id,
        "survey": survey_of(header),
        "band": band_of(survey_of(header)),
        "plate_label": str(header.get("PLTLABEL") or "").strip() or None,
        "plate_code": str(header.get("PLATEID") or "").strip() or None,
        "ra": float(ra),
        "dec": float(dec),
        "naxis1": naxis1,
        "naxis2": naxis2,
        "scale_arcsec_px": astrometry.scale_arcsec_px,
        "wcs_kind": astrometry.kind,
        "wcs_available": list(astrometry.available),
        "solution_id": solution["solution_id"],
        "exposure_minutes": times.exposure_minutes,
        "date_obs_raw": times.date_obs_raw,
        "ut_raw": times.ut_raw,
        "epoch_jyear": times.epoch_jyear,
        "time_quality": times.quality,
        "header": header_json,
        "header_sha256": hashlib.sha256(header_json.encode()).hexdigest(),
        "path": source.name,
    }
    return _Plate(plate_id, header, row, solution, exposure_time_rows(plate_id, "plate header", times))


def _insert(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(
        text("""
            INSERT INTO plate.plate (
                plate_id, band, survey, plate_label, plate_code, ra, dec, naxis1, naxis2, scale_arcsec_px, wcs_kind,
                wcs_available, solution_id, exposure_minutes, date_obs_raw, ut_raw, epoch_jyear, time_quality,
                header, header_sha256, path
            )
            VALUES (
                :plate_id, :band, :survey, :plate_label, :plate_code, :ra, :dec, :naxis1, :naxis2, :scale_arcsec_px,
                :wcs_kind, :wcs_available, :solution_id, :exposure_minutes, :date_obs_raw, :ut_raw, :epoch_jyear,
                :time_quality, :header, :header_sha256, :path
            )
        """),
        list(rows),
    )


def _stored(connection: Connection, plate_id: str, new: Mapping[str, _Plate]) -> dict[str, Any]:
    if plate_id in new:
        return new[plate_id].header
    header: dict[str, Any] = connection.scalar(
        text("SELECT header FROM plate.plate WHERE plate_id = :plate_id"), {"plate_id": plate_id}
    )
    return header


def _differences(stored: Mapping[str, Any], offered: Mapping[str, Any]) -> str:
    keys = [k for k in sorted(stored.keys() | offered.keys()) if stored.get(k) != offered.get(k)]
    shown = ", ".join(f"{k} {stored.get(k)!r} -> {offered.get(k)!r}" for k in keys[:3])
    return shown + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
