"""What an export needs of a run, read in one snapshot of the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.exports.labels import LabelledStage, Layout, RunStage, lay_out

__all__ = ["Detail", "ExportedRow", "ExportedRun", "TileImage", "read_run"]

# The seeds flag objects within this radius without dropping what is near them.
_WIDE_ARCSEC = 60.0

Key = tuple[int, int]
Detail = Mapping[str, Any]


@dataclass(frozen=True)
class TileImage:
    """An image of a run, or a tile of one of its releases whose list is missing.

    Parameters
    ----------
    extraction_id : int or None
        None where the list is missing.
    tile_id, plate_id : str
        The tile, and the plate that the plan names.
    tile_path : str or None
        Its file; of an imported image the folder that its release names.
    date_obs_raw : str or None
        When it was taken, as its header or its release has it.
    is_imported : bool
        Whether it is known from a release only.
    note : str or None
        What its release's manifest notes.
    """

    extraction_id: int | None
    tile_id: str
    plate_id: str
    tile_path: str | None
    date_obs_raw: str | None
    is_imported: bool
    note: str | None


@dataclass(frozen=True, slots=True)
class ExportedRow:
    """A detection that a stage judged.

    Parameters
    ----------
    image : `TileImage`
        Its image.
    number : int
        Its number there.
    ra, dec : float
        Its position in degrees.
    outcome : str
        What the stage said.
    goes_on : bool
        Whether the stage let it go on.
    value : float or None
        The value judged.
    reason : str
        Why it did not pass; empty where it did.
    """

    image: TileImage
    number: int
    ra: float
    dec: float
    outcome: str = "pass"
    goes_on: bool = True
    value: float | None = None
    reason: str = ""

    @property
    def key(self) -> Key:
        """Extraction and number."""
        assert self.image.extraction_id is not None
        return self.image.extraction_id, self.number

    @property
    def src_id(self) -> str:
        """Its name."""
        return f"{self.image.tile_id}:{self.number}"


class ExportedRun:
    """A run, read on demand.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        Whose transaction sees one snapshot.
    run : str
        Its name.
    run_id : int
        The run.
    """

    def __init__(self, connection: Connection, run: str, run_id: int) -> None:
        self._connection = connection
        self.run = run
        self._run_id = run_id

    @cached_property
    def layout(self) -> Layout:
        """Its stages."""
        rows = self._rows("SELECT * FROM api.export_stages(:run_id) ORDER BY ordinal")
        return lay_out([RunStage(**(row | {"catalogs": row["catalogs"] or ()})) for row in rows])

    @cached_property
    def images(self) -> list[TileImage]:
        """Its images by the names of their tiles, and missing tiles of its releases."""
        return [TileImage(**row) for row in self._rows("SELECT * FROM api.export_images(:run_id)")]

    @cached_property
    def raw_detections(self) -> int | None:
        """Detections that it began with; None where it has imported images, and their release does not say."""
        found = self._connection.scalar(text("SELECT api.export_raw_detections(:run_id)"), {"run_id": self._run_id})
        return None if found is None else int(found)

    @cached_property
    def _image_of(self) -> dict[int | None, TileImage]:
        return {image.extraction_id: image for image in self.images}

    def judged_by(self, stage: RunStage) -> list[ExportedRow]:
        """What a stage judged, by tile and number."""
        return [
            ExportedRow(
                self._image_of[row["extraction_id"]], row["number"], row["ra_deg"], row["dec_deg"], row["outcome"],
                row["goes_on"], row["value"], row["reason"] or "",
            )
            for row in self._rows("SELECT * FROM api.export_stage_rows(:run_id, :stage)", stage=stage.stage)
        ]  # fmt: skip

    @cached_property
    def candidates(self) -> list[ExportedRow]:
        """What every stage let go on, by tile and number."""
        rows = self._rows("SELECT extraction_id, number, ra, dec FROM api.candidates WHERE run_id = :run_id")
        found = [
            ExportedRow(self._image_of[row["extraction_id"]], row["number"], row["ra"], row["dec"]) for row in rows
        ]
        return sorted(found, key=lambda row: (row.image.tile_id, row.number))

    @cached_property
    def before_duplicates(self) -> list[ExportedRow]:
        """What S0 is made of."""
        layout = self.layout
        if layout.duplicates is not None:
            return self.judged_by(layout.duplicates)
        return self.judged_by(layout.stages[0].stage) if layout.stages else self.candidates

    @cached_property
    def s0(self) -> list[ExportedRow]:
        """What goes into the first stage after S0."""
        if self.layout.duplicates is None:
            return self.before_duplicates
        return [row for row in self.before_duplicates if row.goes_on]

    def details(self, labelled: LabelledStage) -> Mapping[Key, Detail]:
        """What is known of the detections that a stage judged, by the seeds' names of columns."""
        stage = labelled.stage
        found: dict[Key, Detail] = {
            (row["extraction_id"], row["number"]): row["metrics"]
            for row in self._rows(
                "SELECT * FROM api.export_published(:run_id, :stage, :kind)", stage=stage.stage, kind=labelled.kind
            )
        }
        if stage.function in ("morph", "shape"):
            found = {}
        for statement, values in self._statements(labelled):
            for row in self._rows(statement, stage=stage.stage, **values):
                key = row.pop("extraction_id"), row.pop("number")
                found[key] = {**found.get(key, {}), **row}
        return found

    def shadow_times(self, stage: RunStage) -> dict[int, str]:
        """When images were exposed by the reading that a stage by the Earth's shadow believed, by extraction."""
        rows = self._rows("SELECT * FROM api.export_shadow_times(:run_id, :stage)", stage=stage.stage)
        return {row["extraction_id"]: row["at_utc"] for row in rows}

    def _statements(self, labelled: LabelledStage) -> list[tuple[str, dict[str, Any]]]:
        stage = labelled.stage
        if stage.function == "morph":
            return [("SELECT * FROM api.export_morph(:run_id, :stage)", {})]
        if stage.function == "shape":
            return [("SELECT * FROM api.export_shape(:run_id, :stage)", {})]
        if stage.moving:
            return [("SELECT * FROM api.export_moving(:run_id, :stage, :wide)", {"wide": _WIDE_ARCSEC})]
        if not stage.catalogs:
            return []
        looks: list[tuple[str, dict[str, Any]]] = [("SELECT * FROM api.export_looks(:run_id, :stage)", {})]
        if labelled.kind == "GSC":
            # Of the seeds' flags only these name the counterpart.
            looks.append(("SELECT * FROM api.export_designations(:run_id, :stage)", {}))
        return looks

    def _rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        result = self._connection.execute(text(statement), {"run_id": self._run_id} | values)
        return [dict(row) for row in result.mappings()]


def read_run(connection: Connection, run: str) -> ExportedRun:
    """A run that is finished, in one snapshot; the connection must not have been used before.

    Raises
    ------
    InputError
        If there is no such run, some of its images are not judged, or its detections have no names of
        their own.
    """
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    run_id = connection.scalar(text("SELECT run_id FROM vasco.run WHERE run = :run"), {"run": run})
    if run_id is None:
        runs = connection.scalars(text("SELECT run FROM vasco.run ORDER BY run")).all()
        raise InputError(f"no run {run!r}; there are: {', '.join(runs) or 'none yet'}")
    stale = connection.scalar(text("SELECT count(*) FROM stage.stale_images(:run_id)"), {"run_id": run_id})
    if stale:
        raise InputError(f"run {run!r} is not finished: {stale} of its images are to be judged; run: vascodb run {run}")
    exported = ExportedRun(connection, run, run_id)
    tiles: set[str] = set()
    for image in exported.images:
        if image.tile_id in tiles:
            raise InputError(f"run {run!r} has two images of {image.tile_id}; in the seeds' files a tile has one")
        tiles.add(image.tile_id)
    return exported
