"""Take one image the whole way of the data: extract, load, match, measure, judge."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, text

from vascodb.bulk import advisory_lock, loading
from vascodb.db import Database
from vascodb.errors import InputError, WrongSurveyError
from vascodb.extract.config import ExtractionConfig, load_config
from vascodb.extract.passes import BegunExtraction, begin_extraction, fit_psf, full_pass2, measure, pass1
from vascodb.extract.psf import PsfModel
from vascodb.extract.tools import find_tool
from vascodb.ids import content_id
from vascodb.pipeline.detections import load_detections, save_detections, save_measurements
from vascodb.pipeline.judging import Judge, Transactions
from vascodb.pipeline.matching import fit_positions, match_image
from vascodb.pipeline.measurers import pixel_measurers
from vascodb.pipeline.measuring import PsfMeasurer, psf_targets
from vascodb.pipeline.report import IngestReport, read_report
from vascodb.pipeline.runs import add_images, ensure_run
from vascodb.pipeline.scratch import working_folder
from vascodb.plates.images import PlateImage, SearchBand, read_image
from vascodb.plates.register import record_image, record_refused_image, tile_of
from vascodb.profiles import Profile

__all__ = ["Progress", "ingest_image"]

Progress = Callable[[str], None]


def ingest_image(
    database: Database,
    path: Path,
    profile: Profile,
    *,
    tile_id: str | None = None,
    band: SearchBand = "red",
    measure_all: bool = False,
    progress: Progress = lambda _: None,
) -> IngestReport:
    """Extract an image, match its detections, and judge them by a profile, veto first.

    Known stars are told apart from the rest by their positions, which takes milliseconds; only what
    is left, and a fixed sample of stars, is measured against the PSF, which takes seconds. All of it
    is one transaction: the image is there with its verdicts, or nothing of it is. Doing it again
    does only what is missing, such as new matches after more references were loaded.

    A blue plate is there to be compared with: it is extracted and matched, and no run judges it.

    Parameters
    ----------
    database : `Database`
        Where to.
    path : `~pathlib.Path`
        FITS image of a POSS-I plate or a part of one.
    profile : `Profile`
        What to judge by.
    tile_id : str, optional
        Tile that the image covers; by default named after its centre.
    band : {'red', 'blue'}, optional
        Of the plate. An image of another is refused.
    measure_all : bool, optional
        Measure every detection against the PSF in a full pass 2, as the seeds do. The numbers are
        the same to the last bit.
    progress : callable, optional
        Called with the name of each step as it begins.

    Raises
    ------
    WrongSurveyError
        If the image is not of a POSS-I plate of that band; it is recorded as refused.
    InputError
        If the image cannot be used; nothing is stored.
    ToolError
        If SExtractor or PSFEx is missing or fails; nothing is stored.
    """
    started = time.perf_counter()
    image = read_image(path)
    if (refusal := image.refusal_as(band)) is not None:
        with database.connect() as connection:
            record_refused_image(connection, image, refusal)
        raise WrongSurveyError(f"{path}: {refusal}; recorded and refused")
    with _naming(path):
        tile = tile_of(image, tile_id)
    with working_folder(database.settings.work_dir) as folder, loading(database) as connection:
        job = _Ingest(database, connection, image, profile, folder, progress)
        extraction_id = job.extract_and_match(tile)
        if measure_all:
            job.measure_all(extraction_id)
        run_id = job.judge(extraction_id) if band == "red" else None
        job.seconds["total"] = time.perf_counter() - started
        report = read_report(connection, run_id, extraction_id, profile, path, job.seconds)
        return replace(report, warnings=[*report.warnings, *job.warnings])


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@dataclass
class _Ingest:
    """One image on its way; the PSF model is kept between steps that need it."""

    database: Database
    connection: Connection
    image: PlateImage
    profile: Profile
    folder: Path
    progress: Progress

    def __post_init__(self) -> None:
        self.seconds = dict.fromkeys(("pass1", "psf", "detect", "load", "match", "measure", "judge"), 0.0)
        self.config: ExtractionConfig = load_config(self.profile.extraction)
        self.psf: PsfModel | None = None
        self.extraction_id = 0
        self.warnings: list[str] = []
        self._within = 0.0

    def extract_and_match(self, tile_id: str) -> int:
        """Extract the image unless that was done before, and match its detections; returns the extraction's id."""
        sextractor, psfex = find_tool("source-extractor"), find_tool("psfex")
        extraction_id = content_id(
            "extraction", self.image.sha256, self.config.sha256, sextractor.version, psfex.version
        )
        advisory_lock(self.connection, f"extraction {extraction_id}")
        known = self.connection.scalar(
            text("SELECT 1 FROM vasco.extraction WHERE extraction_id = :id"), {"id": extraction_id}
        )
        with _naming(self.image.path):
            image_id = record_image(self.connection, self.image, tile_id)
        if known:
            self.match(extraction_id)
            return extraction_id
        self.progress("detect")
        with begin_extraction(self.image.path, self.config, self.folder) as begun:
            self.seconds.update(begun.seconds)
            with self._timed("load"):
                self._save_extraction(extraction_id, image_id, begun, psfex.version)
                save_detections(self.database, self.connection, extraction_id, begun.detections, self.image.astrometry)
            # Nothing of this needs the PSF, which PSFEx is still at work on.
            self.match(extraction_id)
            self.progress("wait for the PSF")
            self.psf = begun.psf_fit.wait()
            self.seconds["psf"] = self.psf.seconds
        self._save_psf(extraction_id, self.psf)
        return extraction_id

    def match(self, extraction_id: int) -> None:
        """Tie the positions to Gaia; match against the profile's required families, and all that know of this sky.

        The ties are made at raw positions, before matching, so that what moves is matched once.
        """
        self.progress("fit positions")
        with self._timed("match"):
            fit_positions(self.connection, extraction_id)
            match_image(self.connection, extraction_id, self.profile.families, self.progress)

    def measure_all(self, extraction_id: int) -> None:
        """Measure everything against the PSF, as the seeds do."""
        unmeasured = self.connection.scalar(
            text("SELECT count(*) FROM vasco.detection WHERE extraction_id = :id AND spread_model IS NULL"),
            {"id": extraction_id},
        )
        if unmeasured:
            self.progress("full pass 2")
            psf = self._psf_model()
            with self._timed("measure"):
                _, measurements = full_pass2(self.image.path, self.config, psf, self.folder)
                save_measurements(self.database, self.connection, extraction_id, measurements)

    def measure(self, _transactions: Transactions, run_id: int, stage: Row[Any], extraction_ids: Sequence[int]) -> None:
        """Measure against the PSF what a stage is going to judge on this image."""
        if self.extraction_id not in extraction_ids:
            return
        targets = psf_targets(self.connection, run_id, stage.stage, self.extraction_id, self.profile.reference_stars)
        if not targets:
            return
        self.progress(f"measure {len(targets)} detections")
        psf = self._psf_model()
        with self._timed("measure"):
            detections = load_detections(self.connection, self.extraction_id)
            measurements = measure(self.image.path, self.config, psf, detections, targets, self.folder)
            save_measurements(self.database, self.connection, self.extraction_id, measurements)

    def judge(self, extraction_id: int) -> int:
        """Judge by the profile's standing run; returns its id."""
        self.extraction_id = extraction_id
        run_id = ensure_run(self.connection, self.profile)
        add_images(self.connection, run_id, [extraction_id])
        with self._timed("judge"):
            Judge(
                lambda: nullcontext(self.connection),
                run_id,
                pixel_measurers(
                    self.profile,
                    self,
                    PsfMeasurer(self.database, self.profile, self.progress, self.warnings.append),
                    self.progress,
                    self.warnings.append,
                ),
                lambda at: self.progress(f"judge: {at.stage}"),
                # Of two images at once each would miss the other; the second waits until the first is there to see.
                lambda: advisory_lock(self.connection, f"run {run_id}"),
            ).judge([extraction_id])
        return run_id

    def _psf_model(self) -> PsfModel:
        if self.psf is None:
            self.progress("pass 1 and PSF")
            with self._timed("pass1"):
                stars = pass1(self.image.path, self.config, self.folder)
            with self._timed("psf"):
                self.psf = fit_psf(self.image.path, stars, self.config, self.folder)
        return self.psf

    def _save_extraction(self, extraction_id: int, image_id: int, begun: BegunExtraction, psfex_version: str) -> None:
        self.connection.execute(
            text("""
                INSERT INTO vasco.extraction (
                    extraction_id, image_id, config_name, config_sha256, sextractor_version, psfex_version,
                    n_detections, tool_warnings
                )
                VALUES (
                    :extraction_id, :image_id, :config_name, :config_sha256, :sextractor_version, :psfex_version,
                    :n_detections, :tool_warnings
                )
            """),
            {
                "extraction_id": extraction_id,
                "image_id": image_id,
                "config_name": self.config.name,
                "config_sha256": self.config.sha256,
                "sextractor_version": begun.sextractor_version,
                "psfex_version": psfex_version,
                "n_detections": len(begun.detections),
                "tool_warnings": list(begun.warnings),
            },
        )

    def _save_psf(self, extraction_id: int, psf: PsfModel) -> None:
        self.connection.execute(
            text("""
                UPDATE vasco.extraction
                SET psf_stars_loaded = :loaded, psf_stars_accepted = :accepted, psf_fwhm_px = :fwhm_px,
                    psf_chi2 = :chi2, tool_warnings = tool_warnings || CAST(:warnings AS text[])
                WHERE extraction_id = :extraction_id
            """),
            {
                "extraction_id": extraction_id,
                "loaded": psf.loaded,
                "accepted": psf.accepted,
                "fwhm_px": psf.fwhm_px,
                "chi2": psf.chi2,
                "warnings": [f"psf: {warning}" for warning in psf.warnings],
            },
        )

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        """Time a part; what parts within it take is theirs."""
        started, around = time.perf_counter(), self._within
        self._within = 0.0
        yield
        elapsed = time.perf_counter() - started
        self.seconds[part] += elapsed - self._within
        self._within = around + elapsed
