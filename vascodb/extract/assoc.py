"""Measuring SPREAD_MODEL on chosen detections only, with SExtractor's ASSOC, and joining the rows back exactly."""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vascodb.errors import InputError, ToolError
from vascodb.extract.config import ExtractionConfig
from vascodb.extract.ldac import DETECTION_COLUMNS, PSF_COLUMNS, DetectionTable, PsfMeasurements, read_ldac
from vascodb.extract.psf import PsfModel
from vascodb.extract.sextractor import start_pass2
from vascodb.extract.tools import RunningTool
from vascodb.extract.workspace import Workspace, open_workspace

__all__ = ["available_cores", "measure"]

# SExtractor associates with the barycentre in double precision; the list holds it as the catalogue's float32, which at
# x = 23040 px is off by 0.001 px at most. Wider radii only bring neighbours along.
_RADIUS_PX = "0.01"
# Every process detects the whole image again, which costs about as much as measuring one detection in fifty (0.25 ms
# against 14 ms each). A share must be worth a good part of that, or the processes only wait for one another.
_MIN_PER_PROCESS = 10
_DETECTIONS_PER_MEASUREMENT = 200

# One measured row: (SPREAD_MODEL, SPREADERR_MODEL).
_Psf: TypeAlias = tuple[np.float32, np.float32]


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


def measure(
    image: Path,
    config: ExtractionConfig,
    psf: PsfModel,
    detections: DetectionTable,
    numbers: ArrayLike,
    workdir: Path,
    *,
    processes: int | None = None,
) -> PsfMeasurements:
    """Measure the PSF columns of chosen detections.

    SExtractor runs with the configuration of pass 2 and measures only what lies on a list of positions. It numbers the
    rows anew, so a row is recognised by its position, box and flux, which must equal the detection's bit for bit; two
    neighbours are never confused, however close they are. The result equals that of `full_pass2` bit for bit.

    Parameters
    ----------
    image : `~pathlib.Path`
        The image.
    config : `ExtractionConfig`
        The configuration ``detections`` were made with.
    psf : `PsfModel`
        Model of this image.
    detections : `DetectionTable`
        All detections of the image, as `~vascodb.extract.passes.detect` gave them.
    numbers : array_like of int
        Numbers of the detections to measure; a repeated number counts once.
    workdir : `~pathlib.Path`
        Folder for working files.
    processes : int, optional
        SExtractor processes to share the list, at most; by default as many as there are cores. Short lists get fewer.

    Returns
    -------
    `PsfMeasurements`
        One row per number, ascending.

    Raises
    ------
    InputError
        The image cannot be used, or a number is none of the detections'.
    ToolError
        SExtractor failed, or did not return one of the detections.
    """
    wanted = np.unique(np.asarray(numbers, dtype=np.int64))
    if unknown := sorted(set(wanted.tolist()) - set(detections.number.tolist())):
        raise InputError(f"{image}: there is no detection number {unknown[0]}; numbers are 1 to {len(detections)}")
    if len(wanted) == 0:
        empty = np.empty(0, dtype=np.float32)
        return PsfMeasurements(wanted.astype(np.int32), empty, empty)
    workspace = open_workspace(image, workdir)
    rows = np.flatnonzero(np.isin(detections.number, wanted))
    smallest_share = max(_MIN_PER_PROCESS, len(detections) // _DETECTIONS_PER_MEASUREMENT)
    n_processes = max(1, min(processes or available_cores(), len(rows) // smallest_share))
    measured: dict[int, _Psf] = {}
    with ExitStack() as stack:
        # Taken in turns, the shares hold objects of all kinds from all over the image, so they take equally long.
        shares = [rows[first::n_processes] for first in range(n_processes)]
        running = [
            stack.enter_context(_start_share(workspace, config, psf, detections, share, f"measure-{index}", "MATCHED"))
            for index, share in enumerate(shares)
        ]
        for share, run in zip(shares, running, strict=True):
            measured |= _join(detections, share, run.wait().output)
    left_out = [row for row in rows.tolist() if row not in measured]
    if left_out:
        measured |= _measure_left_out(workspace, config, psf, detections, left_out)
    values = np.array([measured[row] for row in rows.tolist()], dtype=np.float32)
    return _sorted_by_number(detections.number[rows], values)


def _measure_left_out(
    workspace: Workspace, config: ExtractionConfig, psf: PsfModel, detections: DetectionTable, rows: list[int]
) -> dict[int, _Psf]:
    # SExtractor 2.25 never associates an object whose barycentre is in the topmost row of the image. What cannot be
    # asked for can be got by excluding everything else.
    others = np.setdiff1d(np.arange(len(detections)), rows)
    with _start_share(workspace, config, psf, detections, others, "measure-rest", "-MATCHED") as run:
        measured = _join(detections, rows, run.wait().output)
    if missing := [row for row in rows if row not in measured]:
        first = missing[0]
        raise ToolError(
            f"{workspace.image}: source-extractor did not return {len(missing)} of the detections it was to measure, "
            f"the first is number {detections.number[first]} at ({detections.x_image[first]:.2f}, "
            f"{detections.y_image[first]:.2f}) px; detections and measurement need the same image and configuration"
        )
    return measured


def _start_share(
    workspace: Workspace,
    config: ExtractionConfig,
    psf: PsfModel,
    detections: DetectionTable,
    rows: NDArray[np.intp],
    label: str,
    selection: str,
) -> RunningTool:
    list_file = f"{label}.list"
    # repr of the double that equals the float32 keeps every bit through SExtractor's strtod. A list must not be empty,
    # so it begins with a position that no image has.
    positions = zip(detections.x_image[rows].tolist(), detections.y_image[rows].tolist(), strict=True)
    lines = ["-1000.0 -1000.0", *(f"{x_px!r} {y_px!r}" for x_px, y_px in positions)]
    (workspace.folder / list_file).write_text("\n".join(lines) + "\n", encoding="ascii")
    keys = {
        "ASSOC_NAME": list_file,
        "ASSOC_PARAMS": "1,2",
        "ASSOC_DATA": "1",
        "ASSOC_RADIUS": _RADIUS_PX,
        "ASSOC_TYPE": "NEAREST",
        "ASSOCCOORD_TYPE": "PIXEL",
        "ASSOCSELEC_TYPE": selection,
    }
    return start_pass2(workspace, config, label, psf, keys)


def _join(detections: DetectionTable, rows: Iterable[int], ldac: Path) -> dict[int, _Psf]:
    """Return the measured values by row of ``detections``; rows that were not measured are absent."""
    columns = read_ldac(ldac, {**DETECTION_COLUMNS, **PSF_COLUMNS})
    values = list(zip(columns["SPREAD_MODEL"], columns["SPREADERR_MODEL"], strict=True))
    measured = _positions_by_identity(DetectionTable.from_columns(columns).identities())
    identities = detections.identities()
    known = _positions_by_identity(identities)
    joined: dict[int, _Psf] = {}
    for row in rows:
        same_detections, same_measured = known[identities[row]], measured.get(identities[row], ())
        # Two detections alike in every bit are selected together and come in the same order, if that ever happens.
        if len(same_detections) == len(same_measured):
            joined[row] = values[same_measured[same_detections.index(row)]]
    return joined


def _positions_by_identity(identities: Collection[bytes]) -> dict[bytes, list[int]]:
    positions: dict[bytes, list[int]] = defaultdict(list)
    for position, identity in enumerate(identities):
        positions[identity].append(position)
    return dict(positions)


def _sorted_by_number(number: NDArray[np.int32], values: NDArray[np.float32]) -> PsfMeasurements:
    order = np.argsort(number)
    return PsfMeasurements(number[order], values[order, 0].copy(), values[order, 1].copy())
