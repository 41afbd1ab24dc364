"""Read a release: its tiles, its detections and its stages, held against each other."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vascodb.errors import InputError
from vascodb.plates.dates import ExposureTimes, read_exposure_times
from vascodb.plates.tiles import tile_centre
from vascodb.releases.folder import ReleaseFile, ReleaseFolder
from vascodb.releases.stages import PublishedStage, read_stages
from vascodb.releases.tables import CsvTable

__all__ = ["Detections", "Release", "Tile", "read_release"]

_MANIFEST = ("tile_id", "plate_id", "rows_in_tile_filtered_csv", "rows_emitted_to_S0", "skipped_delta", "notes")
_LIST = ("src_id", "tile_id", "object_id", "ra", "dec")
_ALL_SURVIVORS = "source_extractor_final_filtered.csv"
_DEDUPLICATED = "source_extractor_final_filtered__dedup.csv"
_MOST = 2**31 - 1
_SUMMARY_LINE = re.compile(r"(\w+): (.*)")
_RAW_LINE = re.compile(r"pass2 unfiltered \((\w+)\)\s*: *([\d,]+)")


@dataclass(frozen=True)
class Tile:
    """A tile of the manifest.

    Parameters
    ----------
    tile_id : str
        Its name.
    ra_deg, dec_deg : float
        Its centre, which the name says.
    planned_plate : str
        The manifest's plate: attribution only.
    stated_plate : str or None
        The plate that the release says the detections are on.
    status : {'rows', 'empty', 'missing'}
        Whether there is a list of survivors, and anything in it.
    note : str or None
        The manifest's note.
    rows_filtered, rows_emitted : int
        Survivors, and those that went into the first stage.
    times : `ExposureTimes` or None
        When the release says that it was exposed.
    psf_stars : int or None
        Stars of Gaia that the release found on it.
    """

    tile_id: str
    ra_deg: float
    dec_deg: float
    planned_plate: str
    stated_plate: str | None
    status: str
    note: str | None
    rows_filtered: int
    rows_emitted: int
    times: ExposureTimes | None
    psf_stars: int | None

    @property
    def obs_start(self) -> datetime | None:
        """Start of the exposure, literally read."""
        return None if self.times is None else self.times.literal_start


@dataclass(frozen=True)
class Detections:
    """All detections of a release, before duplicates were dropped where it has them.

    Parameters
    ----------
    src_ids : `pyarrow.Array` of string, shape (n,)
        ``tile_id:number``.
    tile : ndarray of int64, shape (n,)
        Place of the tile in the manifest.
    number : ndarray of int64, shape (n,)
        Number in the tile's own list.
    ra_deg, dec_deg : ndarray of float64, shape (n,)
        Positions.
    in_s0 : ndarray of bool, shape (n,)
        Whether it went into the stages; the others are duplicates.
    file : `ReleaseFile`
        The list.
    doubt : str or None
        Why the list cannot be known to be whole; None where the release shows that it is.
    """

    src_ids: pa.Array
    tile: NDArray[np.int64]
    number: NDArray[np.int64]
    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    in_s0: NDArray[np.bool_]
    file: ReleaseFile
    doubt: str | None


@dataclass(frozen=True)
class Release:
    """A release as it was read.

    Parameters
    ----------
    run_tag : str or None
        Name that the run gives itself.
    tiles : list of `Tile`
        In the manifest's order.
    detections : `Detections`
        All of them.
    stages : list of `PublishedStage`
        In their order, without the first, S0.
    files : list of `ReleaseFile`
        All that was read.
    rows : mapping of str to tuple of int
        Rows in, kept and rejected of each table.
    s0_parameters : mapping
        What it says of S0: ``tiles_root``, the folder of its tiles' folders, and ``veto_start_rows``, the number of
        detections before anything was turned away; each only where it says so.
    """

    run_tag: str | None
    tiles: list[Tile]
    detections: Detections
    stages: list[PublishedStage]
    files: list[ReleaseFile]
    rows: Mapping[str, tuple[int, int, int]]
    s0_parameters: Mapping[str, str | int]


def read_release(path: Path) -> Release:
    """Read a published release or a run folder of vasco60, or a release in the same form.

    Parameters
    ----------
    path : `~pathlib.Path`
        Its folder. Needed are ``tile_manifest.csv`` and ``stage_S0.csv``; known besides are the list before
        duplicates were dropped, the flags, kept rows and ledgers of the stages, ``survivors.csv``,
        ``primary_plate_flags.csv`` and ``RUN_SUMMARY.txt``, each plain or ``.gz``, at any depth.

    Raises
    ------
    InputError
        If a file is missing, damaged or malformed, or two contradict each other: one line that names file,
        row and what.
    """
    folder = ReleaseFolder(path)
    summary = _summary(folder)
    manifest = CsvTable(folder.get("tile_manifest.csv"), _MANIFEST)
    tile_ids = manifest.unique("tile_id")
    _check_summary(summary, "tiles_scanned", manifest.n_rows, manifest.name)
    detections = _detections(folder, manifest, tile_ids, summary)
    stages = read_stages(folder, detections.src_ids, detections.ra_deg, detections.dec_deg)
    rows = {stage.file.name: (stage.flags.n_rows, stage.flags.n_rows, 0) for stage in stages}
    rows[manifest.name] = (manifest.n_rows, manifest.n_rows, 0)
    dates = _dates(folder, detections, rows)
    plates = _stated_plates(folder, detections, manifest, rows)
    tiles = _tiles(manifest, dates, plates, _gaia_stars(stages, detections))
    run_dir = summary.get("run_dir") or next((str(s.ledger["run_dir"]) for s in stages if "run_dir" in s.ledger), "")
    for file in folder.files:
        if file.name.endswith(".csv") and file.name not in rows:
            n_rows = CsvTable(file, ("src_id",)).n_rows
            rows[file.name] = (n_rows, n_rows, 0)
    run_tag = run_dir.rstrip("/").rpartition("/")[2] or None
    s0 = _s0_parameters(manifest, summary, len(detections.number))
    return Release(run_tag, tiles, detections, stages, folder.files, rows, s0)


def _summary(folder: ReleaseFolder) -> dict[str, str]:
    file = folder.find("RUN_SUMMARY.txt")
    lines = [] if file is None else file.content.decode("utf-8", errors="replace").splitlines()
    matches = (_SUMMARY_LINE.fullmatch(line.strip()) or _RAW_LINE.fullmatch(line.strip()) for line in lines)
    return {match[1]: match[2] for match in matches if match is not None}


def _s0_parameters(manifest: CsvTable, summary: Mapping[str, str], n_detections: int) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    if manifest.n_rows and manifest.has("tile_path"):
        paths, tiles = manifest.text("tile_path").to_pylist(), manifest.text("tile_id").to_pylist()
        root, slash, _ = paths[0].rpartition("/")
        # A path that is made in another way is not known well enough to be written again.
        if slash and all(path == f"{root}/{tile}" for path, tile in zip(paths, tiles, strict=True)):
            found["tiles_root"] = root
    if (raw := summary.get("veto_start_rows")) is not None:
        found["veto_start_rows"] = int(raw.replace(",", ""))
        if int(found["veto_start_rows"]) < n_detections:
            raise InputError(
                f"RUN_SUMMARY.txt: veto_start_rows is {raw}, but {n_detections} detections were left of them"
            )
    return found


def _check_summary(summary: Mapping[str, str], key: str, n_rows: int, name: str) -> bool:
    """Whether the summary confirms a number of rows; an error if it contradicts it."""
    stated = re.match(r"\d+", summary.get(key, ""))
    if stated is not None and int(stated[0]) != n_rows:
        raise InputError(f"RUN_SUMMARY.txt: {key} is {stated[0]}, but {name} has {n_rows} rows; is the file cut?")
    return stated is not None


def _detections(
    folder: ReleaseFolder, manifest: CsvTable, tile_ids: pa.Array, summary: Mapping[str, str]
) -> Detections:
    s0 = CsvTable(folder.get("stage_S0.csv"), _LIST)
    s0_ids = s0.unique("src_id")
    confirmed = _check_summary(summary, "final_rows_for_stage_and_uploads", s0.n_rows, s0.name)
    everything = folder.find(_ALL_SURVIVORS)
    table = s0 if everything is None else CsvTable(everything, _LIST)
    src_ids = table.unique("src_id")
    tile = pc.index_in(table.words("tile_id"), value_set=tile_ids)
    table.refuse("tile_id", tile.is_null().to_numpy(zero_copy_only=False), f"is not in {manifest.name}")
    number = table.integers("object_id", 1, _MOST)
    named = pc.binary_join_element_wise(table.text("tile_id"), table.text("object_id"), ":")
    table.refuse("src_id", pc.not_equal(named, src_ids).to_numpy(zero_copy_only=False), "is not tile_id:object_id")
    if everything is not None:
        strangers = pc.invert(pc.is_in(s0_ids, value_set=src_ids)).to_numpy(zero_copy_only=False)
        s0.refuse("src_id", strangers, f"is not in {table.name}")
        confirmed &= _check_summary(summary, "S0_rows_raw", table.n_rows, table.name)
    if (deduplicated := folder.find(_DEDUPLICATED)) is not None:
        kept = CsvTable(deduplicated, ("src_id",))
        if not kept.text("src_id").equals(s0_ids):
            raise InputError(f"{kept.name}: lists other detections than {s0.name}")
    ra = table.numbers("ra", 0.0, 360.0)
    table.refuse("ra", ra == 360.0, "is written 0")
    places = tile.to_numpy(zero_copy_only=False).astype(np.int64)
    _check_emitted(manifest, table, np.bincount(places, minlength=manifest.n_rows), exact=everything is not None)
    return Detections(
        src_ids=src_ids,
        tile=places,
        number=number,
        ra_deg=ra,
        dec_deg=table.numbers("dec", -90.0, 90.0),
        in_s0=np.asarray(pc.is_in(src_ids, value_set=s0_ids).to_numpy(zero_copy_only=False), dtype=bool),
        file=folder.get(table.name),
        # The manifest's sums were just confirmed where the list is the one before duplicates were dropped.
        doubt=None if confirmed or everything is not None else f"nothing states how many rows {s0.name} has",
    )


def _check_emitted(manifest: CsvTable, table: CsvTable, counts: NDArray[np.int64], *, exact: bool) -> None:
    """The manifest tells how many rows each tile gave, before duplicates were dropped."""
    emitted = manifest.integers("rows_emitted_to_S0", 0, _MOST)
    wrong = counts != emitted if exact else counts > emitted
    if wrong.any():
        index = int(np.argmax(wrong))
        raise InputError(
            f"{manifest.name}: row {index + 2}, column rows_emitted_to_S0: {emitted[index]} rows of "
            f"{manifest.text('tile_id')[index].as_py()}, but {table.name} has {counts[index]}"
        )


def _dates(
    folder: ReleaseFolder, detections: Detections, rows: dict[str, tuple[int, int, int]]
) -> dict[int, ExposureTimes]:
    """When tiles were exposed, by their place in the manifest, from the report on the survivors."""
    file = folder.find("survivors.csv")
    if file is None:
        return {}
    table = CsvTable(file, ("src_id", "obs_date"))
    place = pc.index_in(table.words("src_id"), value_set=detections.src_ids).to_pylist()
    known = [row for row, index in enumerate(place) if index is not None]
    # A report is of all runs side by side.
    rows[table.name] = (table.n_rows, len(known), table.n_rows - len(known))
    raw = table.text("obs_date").to_pylist()
    found: dict[int, ExposureTimes] = {}
    for row in known:
        if not raw[row]:
            continue
        times = read_exposure_times({"DATE-OBS": raw[row]})
        if times.literal_start is None:
            raise InputError(f"{table.name}: row {row + 2}, column obs_date: {times.evidence}")
        before = found.setdefault(int(detections.tile[place[row]]), times)
        if before.literal_start != times.literal_start:
            raise InputError(
                f"{table.name}: row {row + 2}, column obs_date: {raw[row]!r}, but the tile was exposed at "
                f"{before.date_obs_raw} by a row before"
            )
    return found


def _stated_plates(
    folder: ReleaseFolder, detections: Detections, manifest: CsvTable, rows: dict[str, tuple[int, int, int]]
) -> dict[int, str]:
    """Plates that the release says its detections are on, by the tile's place in the manifest."""
    file = folder.find("primary_plate_flags.csv")
    if file is None:
        return {}
    table = CsvTable(file, ("src_id", "det_plate"))
    place = pc.index_in(table.unique("src_id"), value_set=detections.src_ids)
    table.refuse("src_id", place.is_null().to_numpy(zero_copy_only=False), "is no detection of this release")
    plates = table.words("det_plate").to_pylist()
    planned = manifest.text("plate_id").to_pylist()
    found: dict[int, str] = {}
    for row, (index, plate) in enumerate(zip(place.to_pylist(), plates, strict=True), start=2):
        tile = int(detections.tile[index])
        if found.setdefault(tile, plate) != plate or planned[tile] != plate:
            raise InputError(
                f"{table.name}: row {row}, column det_plate: {plate}, but {manifest.name} has "
                f"the tile on {planned[tile]}"
            )
    rows[table.name] = (table.n_rows, table.n_rows, 0)
    # Where every detection is on the manifest's plate, the manifest is right about tiles without detections, too.
    return dict(enumerate(planned)) if table.n_rows == len(detections.src_ids) else found


def _gaia_stars(stages: list[PublishedStage], detections: Detections) -> dict[int, int]:
    """How many stars of Gaia the release found on tiles, by the tile's place in the manifest."""
    found: dict[int, int] = {}
    for stage in stages:
        if stage.kind != "MORPH" or not stage.flags.has("psf_star_count"):
            continue
        counts = stage.flags.numbers("psf_star_count", 0, _MOST, optional=True)
        for row, (index, count) in enumerate(zip(stage.index, counts, strict=True), start=2):
            if not np.isnan(count) and found.setdefault(int(detections.tile[index]), int(count)) != int(count):
                raise InputError(
                    f"{stage.file.name}: row {row}, column psf_star_count: {count:g} is not the tile's number"
                )
    return found


def _tiles(
    manifest: CsvTable, dates: Mapping[int, ExposureTimes], plates: Mapping[int, str], stars: Mapping[int, int]
) -> list[Tile]:
    plate_ids, notes = manifest.words("plate_id").to_pylist(), manifest.text("notes").to_pylist()
    filtered = manifest.integers("rows_in_tile_filtered_csv", 0, _MOST).tolist()
    emitted = manifest.integers("rows_emitted_to_S0", 0, _MOST).tolist()
    skipped = manifest.flags("skipped_delta").tolist()
    tiles = []
    for place, tile_id in enumerate(manifest.text("tile_id").to_pylist()):
        try:
            ra_deg, dec_deg = _centre(tile_id)
        except InputError as error:
            raise InputError(f"{manifest.name}: row {place + 2}, column tile_id: {error}") from error
        # A tile that was left out because another run had it says as little as one whose list is lost.
        missing = not filtered[place] and ("missing" in notes[place] or skipped[place])
        tiles.append(
            Tile(
                tile_id=tile_id,
                ra_deg=ra_deg,
                dec_deg=dec_deg,
                planned_plate=plate_ids[place],
                stated_plate=plates.get(place),
                status="missing" if missing else "rows" if filtered[place] else "empty",
                note=notes[place] or ("skipped, judged by an earlier run" if skipped[place] else None),
                rows_filtered=filtered[place],
                rows_emitted=emitted[place],
                times=dates.get(place),
                psf_stars=stars.get(place),
            )
        )
    return tiles


def _centre(tile_id: str) -> tuple[float, float]:
    """The centre of a tile, which its name says; a centre just south of the equator is written m0.000."""
    return tile_centre(tile_id.removesuffix("_DECm0.000") + "_DECp0.000" if tile_id.endswith("_DECm0.000") else tile_id)
