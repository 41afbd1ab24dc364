"""Write a run as a folder, whole or not at all."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.exports.flags import flag_file, position
from vascodb.exports.formats import write_json, write_table
from vascodb.exports.labels import LabelledStage
from vascodb.exports.ledgers import Judgement, ledger
from vascodb.exports.reading import ExportedRow, ExportedRun, read_run
from vascodb.exports.report import FunnelStep, write_report
from vascodb.exports.summary import summary_text
from vascodb.pipeline.scratch import working_folder

__all__ = ["WrittenFile", "export_run"]

_CHUNK = 5000
_MARKS = ("RUN_SUMMARY.txt", "stage_S0.csv")
_ALL = ("src_id", "tile_id", "object_id", "ra", "dec", "plate_id")


@dataclass(frozen=True)
class WrittenFile:
    """A file of an export.

    Parameters
    ----------
    name : str
        Its path within the folder.
    rows : int or None
        Its rows; None if it is no table.
    """

    name: str
    rows: int | None


def export_run(
    database: Database, run: str, folder: Path, *, force: bool = False, with_outcome: bool = False
) -> list[WrittenFile]:
    """Write a run in the seeds' form.

    Parameters
    ----------
    database : `Database`
        Where the run is.
    run : str
        Its name.
    folder : `~pathlib.Path`
        Where to; made anew.
    force : bool
        Whether an earlier export there is replaced.
    with_outcome : bool
        Whether flags have a last column with the outcome in full, and ledgers their numbers.

    Raises
    ------
    InputError
        If there is something at that place, there is no such run, or it is not finished.
    """
    target = folder.absolute()
    _require_place(target, force)
    with database.connect() as connection:
        exported = read_run(connection, run)
        with _whole(target, force) as fresh:
            try:
                return _Writer(exported, fresh, str(folder), with_outcome).write()
            except OSError as error:
                raise InputError(f"{folder}: cannot be written: {error.strerror}") from error


def _require_place(target: Path, force: bool) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InputError(f"{target}: is no folder; give another one")
    if not target.exists() or not any(target.iterdir()):
        return
    if not force:
        raise InputError(f"{target}: is there already; give another folder, or --force to replace an earlier export")
    if not all((target / name).is_file() for name in _MARKS):
        raise InputError(f"{target}: is no export of a run, so --force does not replace it; give another folder")


@contextmanager
def _whole(target: Path, force: bool) -> Iterator[Path]:
    """A folder beside the target that takes its place at the end, if nothing fails."""
    beside = target.parent / f".{target.name}.export"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target.parent}: cannot be made: {error.strerror}") from error
    try:
        with working_folder(beside) as scratch:
            fresh = scratch / "new"
            fresh.mkdir()
            yield fresh
            _require_place(target, force)
            if target.exists():
                target.rename(scratch / "old")
            fresh.rename(target)
    finally:
        # Another export to the same place may be at work in it.
        if beside.is_dir() and not any(beside.iterdir()):
            shutil.rmtree(beside, ignore_errors=True)


class _Writer:
    """Writes the files of one run."""

    def __init__(self, run: ExportedRun, folder: Path, run_dir: str, with_outcome: bool) -> None:
        self._run, self._folder, self._run_dir, self._with_outcome = run, folder, run_dir, with_outcome
        self._written: list[WrittenFile] = []

    def write(self) -> list[WrittenFile]:
        run = self._run
        self._list("source_extractor_final_filtered.csv", _ALL, run.before_duplicates)
        if run.layout.duplicates is not None:
            self._list("source_extractor_final_filtered__dedup.csv", _ALL, run.s0)
        self._list("stage_S0.csv", _ALL[:5], run.s0)
        upload = ("src_id", "ra", "dec")
        self._list("upload_positional.csv", upload, run.s0)
        if len(run.s0) > _CHUNK:
            for number, start in enumerate(range(0, len(run.s0), _CHUNK), start=1):
                part = run.s0[start : start + _CHUNK]
                self._list(f"upload_positional_chunk_{number:07d}.csv", upload, part)
        self._manifest()
        steps = [self._stage(labelled) for labelled in run.layout.stages]
        report = self._folder / "report"
        report.mkdir()
        self._written += [WrittenFile(*each) for each in write_report(report, run, steps).items()]
        (self._folder / "RUN_SUMMARY.txt").write_text(summary_text(run, self._run_dir, steps), encoding="utf-8")
        self._written.append(WrittenFile("RUN_SUMMARY.txt", None))
        return self._written

    def _list(self, name: str, columns: tuple[str, ...], rows: Iterable[ExportedRow]) -> None:
        places = (position(row, None) for row in rows)
        self._table(name, columns, ([place[column] for column in columns] for place in places))

    def _table(self, name: str, columns: Iterable[str], rows: Iterable[list[object]], line_end: str = "\r\n") -> None:
        self._written.append(WrittenFile(name, write_table(self._folder / name, list(columns), rows, line_end)))

    def _manifest(self) -> None:
        emitted: dict[str, int] = {}
        for row in self._run.before_duplicates:
            emitted[row.image.tile_id] = emitted.get(row.image.tile_id, 0) + 1
        columns = (
            "tile_id", "tile_path", "plate_id", "rows_in_tile_filtered_csv", "rows_emitted_to_S0", "skipped_delta",
            "notes",
        )  # fmt: skip
        self._table(
            "tile_manifest.csv",
            columns,
            (
                [
                    image.tile_id, image.tile_path or "", image.plate_id, emitted.get(image.tile_id, 0),
                    emitted.get(image.tile_id, 0), 0, image.note or "",
                ]
                for image in self._run.images
            ),
        )  # fmt: skip

    def _stage(self, labelled: LabelledStage) -> FunnelStep:
        """Write the three files of a stage."""
        judged = self._run.judged_by(labelled.stage)
        details = self._run.details(labelled)
        file = flag_file(labelled)
        rows = file.rows(labelled, judged, details)
        base = f"stages/stage_{labelled.name}"
        kept = [cells for cells, row in zip(rows, judged, strict=True) if row.goes_on]
        self._table(f"{base}.csv", file.kept, ([cells[name] for name in file.kept] for cells in kept), file.line_end)
        columns = [*file.leading, *file.columns]
        if self._with_outcome and "outcome" not in columns:
            columns.append("outcome")
        self._table(f"{base}_flags.csv", columns, ([cells[name] for name in columns] for cells in rows), file.line_end)
        judgement = Judgement(self._run_dir, labelled, judged, details, rows)
        write_json(self._folder / f"{base}_ledger.json", ledger(judgement, self._with_outcome))
        self._written.append(WrittenFile(f"{base}_ledger.json", None))
        return FunnelStep(labelled, len(kept))
