"""Measure detections against the PSF of their image: what a stage is going to judge, and a sample of stars."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, text

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.extract.config import load_config
from vascodb.extract.passes import fit_psf, measure, pass1
from vascodb.ids import file_sha256
from vascodb.pipeline.detections import load_detections, save_measurements
from vascodb.pipeline.judging import Measurer, Transactions
from vascodb.pipeline.scratch import working_folder
from vascodb.profiles import Profile

__all__ = ["BlueMeasurer", "PsfMeasurer", "psf_measurers", "psf_targets"]

# Stage functions that read SPREAD_MODEL, whatever their parameters.
_READ_SPREAD_MODEL = ("spread_model", "mad_clip", "morph")


def psf_targets(connection: Connection, run_id: int, stage: str, extraction_id: int, n_stars: int) -> list[int]:
    """Numbers of the detections that need SPREAD_MODEL before a stage can judge an image."""
    return list(
        connection.scalars(
            text("SELECT number FROM stage.unmeasured(:run_id, :stage, :extraction_id, :n_stars)"),
            {"run_id": run_id, "stage": stage, "extraction_id": extraction_id, "n_stars": n_stars},
        )
    )


def psf_measurers(profile: Profile, measurer: Measurer) -> Mapping[str, Measurer]:
    """The measurer under the name of each stage function of a profile that reads SPREAD_MODEL."""
    return {s.function_name: measurer for s in profile.stages if s.function_name in _READ_SPREAD_MODEL}


class PsfMeasurer:
    """Measures what is missing on images that were ingested before, from their files.

    Parameters
    ----------
    database : `Database`
        Where the images are recorded.
    profile : `Profile`
        How images are extracted, and how many stars are measured beside the candidates.
    progress : callable, optional
        Called with what is being done.
    warn : callable, optional
        Called with one line for each image whose file is not there any more, or is another one: its
        detections stay unmeasured, which the stage says of each.
    """

    def __init__(
        self,
        database: Database,
        profile: Profile,
        progress: Callable[[str], None] = lambda _: None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._database, self._profile, self._progress, self._warn = database, profile, progress, warn

    def measure(self, transactions: Transactions, run_id: int, stage: Row[Any], extraction_ids: Sequence[int]) -> None:
        """Measure what the stage is going to judge, image by image, each in a transaction of its own."""
        for extraction_id in extraction_ids:
            with transactions() as connection:
                targets = psf_targets(connection, run_id, stage.stage, extraction_id, self._profile.reference_stars)
                if targets:
                    self.measure_image(connection, extraction_id, targets)

    def measure_image(self, connection: Connection, extraction_id: int, targets: Sequence[int]) -> None:
        """Measure some detections of one image, if its file is still the one that was extracted."""
        image = connection.execute(
            text("""
                SELECT i.path, i.sha256, i.tile_id
                FROM vasco.extraction AS e
                JOIN plate.image AS i USING (image_id)
                WHERE e.extraction_id = :extraction_id
            """),
            {"extraction_id": extraction_id},
        ).one()
        if image.sha256 is None:
            return  # An imported image: nobody here ever had its pixels.
        path = Path(image.path)
        if not path.is_file() or file_sha256(path) != image.sha256:
            self._warn(
                f"{path}: the image of {image.tile_id} is not there any more; {len(targets)} detections stay unmeasured"
            )
            return
        self._progress(f"{image.tile_id}: measure {len(targets)} detections")
        config = load_config(self._profile.extraction)
        with working_folder(self._database.settings.work_dir) as folder:
            try:
                psf = fit_psf(path, pass1(path, config, folder), config, folder)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
            detections = load_detections(connection, extraction_id)
            measurements = measure(path, config, psf, detections, targets, folder)
            save_measurements(self._database, connection, extraction_id, measurements)


class BlueMeasurer:
    """Measures detections on blue plates that decide whether a detection on a red one is red only.

    Veto first there, too: of a whole blue plate only what lies near a detection that is left, and what nothing but
    SPREAD_MODEL decides about.

    Parameters
    ----------
    psf : `PsfMeasurer`
        Measures one image.
    """

    def __init__(self, psf: PsfMeasurer) -> None:
        self._psf = psf

    def measure(self, transactions: Transactions, run_id: int, stage: Row[Any], extraction_ids: Sequence[int]) -> None:
        """Measure what the stage is going to compare with, blue image by blue image."""
        with transactions() as connection:
            rows = connection.execute(
                text("SELECT extraction_id, number FROM stage.blue_unmeasured(:run_id, :stage, :ids)"),
                {"run_id": run_id, "stage": stage.stage, "ids": list(extraction_ids)},
            ).all()
            for blue_id, of_image in groupby(rows, key=itemgetter(0)):
                self._psf.measure_image(connection, blue_id, [number for _, number in of_image])
