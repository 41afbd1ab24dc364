"""The passes over one image, one by one and in the order that takes the least time."""

from dataclasses import dataclass
from pathlib import Path

from vascodb.extract.assoc import available_cores, measure
from vascodb.extract.config import ExtractionConfig
from vascodb.extract.ldac import DETECTION_COLUMNS, PSF_COLUMNS, DetectionTable, PsfMeasurements, read_ldac
from vascodb.extract.psf import PsfModel, fit_psf_model
from vascodb.extract.sextractor import start_pass1, start_pass2
from vascodb.extract.tools import find_tool
from vascodb.extract.workspace import open_workspace

__all__ = [
    "Extraction",
    "detect",
    "extract_detections_and_psf",
    "fit_psf",
    "full_pass2",
    "measure",
    "pass1",
]


@dataclass(frozen=True, eq=False)
class Extraction:
    """All detections of an image, and the model to measure them against.

    Parameters
    ----------
    detections : `DetectionTable`
        Every detection.
    psf : `PsfModel`
        PSF model of the image.
    sextractor_version : str
        Version of the tool.
    warnings : tuple of str
        Warnings of all tools, each preceded by the step that gave it.
    """

    detections: DetectionTable
    psf: PsfModel
    sextractor_version: str
    warnings: tuple[str, ...]


def pass1(image: Path, config: ExtractionConfig, workdir: Path) -> Path:
    """Extract the stars PSFEx needs.

    Parameters
    ----------
    image : `~pathlib.Path`
        FITS file with the image in the primary HDU; may be gzip-compressed.
    config : `ExtractionConfig`
        Keys and columns of pass 1.
    workdir : `~pathlib.Path`
        Folder for working files, made if needed.

    Returns
    -------
    `~pathlib.Path`
        The catalogue, ``pass1.ldac``. An image without any source gives a catalogue without rows.

    Raises
    ------
    InputError
        The image cannot be used.
    ToolError
        SExtractor is missing or failed.
    """
    with start_pass1(open_workspace(image, workdir), config) as run:
        return run.wait().output


def fit_psf(image: Path, ldac: Path, config: ExtractionConfig, workdir: Path) -> PsfModel:
    """Fit the PSF model of an image with PSFEx.

    Parameters
    ----------
    image : `~pathlib.Path`
        The image.
    ldac : `~pathlib.Path`
        What `pass1` returned.
    config : `ExtractionConfig`
        PSFEx keys.
    workdir : `~pathlib.Path`
        Folder for working files.

    Returns
    -------
    `PsfModel`

    Raises
    ------
    NoPsfError
        The image has no star PSFEx accepts; an `InputError`.
    ToolError
        PSFEx is missing or failed.
    """
    return fit_psf_model(open_workspace(image, workdir), ldac, config)


def detect(image: Path, config: ExtractionConfig, workdir: Path) -> DetectionTable:
    """Find every detection of an image and measure all but the PSF columns.

    Parameters
    ----------
    image : `~pathlib.Path`
        FITS file with the image in the primary HDU; may be gzip-compressed.
    config : `ExtractionConfig`
        Keys of pass 2.
    workdir : `~pathlib.Path`
        Folder for working files, made if needed.

    Returns
    -------
    `DetectionTable`
        Without rows if nothing was detected.

    Raises
    ------
    InputError
        The image cannot be used.
    ToolError
        SExtractor is missing or failed.
    """
    with start_pass2(open_workspace(image, workdir), config, "detect") as run:
        return _read_detections(run.wait().output)


def full_pass2(
    image: Path, config: ExtractionConfig, psf: PsfModel, workdir: Path
) -> tuple[DetectionTable, PsfMeasurements]:
    """Find every detection and measure all columns of all of them in one run, as the seed pipelines do.

    Parameters
    ----------
    image : `~pathlib.Path`
        FITS file with the image in the primary HDU; may be gzip-compressed.
    config : `ExtractionConfig`
        Keys of pass 2.
    psf : `PsfModel`
        Model of this image.
    workdir : `~pathlib.Path`
        Folder for working files, made if needed.

    Returns
    -------
    detections : `DetectionTable`
        Equal to what `detect` returns.
    measurements : `PsfMeasurements`
        The PSF columns of every detection, in the same order.

    Raises
    ------
    InputError
        The image cannot be used.
    ToolError
        SExtractor is missing or failed.
    """
    with start_pass2(open_workspace(image, workdir), config, "pass2", psf) as run:
        columns = read_ldac(run.wait().output, {**DETECTION_COLUMNS, **PSF_COLUMNS})
    measurements = PsfMeasurements(columns["NUMBER"], columns["SPREAD_MODEL"], columns["SPREADERR_MODEL"])
    return DetectionTable.from_columns(columns), measurements


def extract_detections_and_psf(
    image: Path, config: ExtractionConfig, workdir: Path, *, processes: int | None = None
) -> Extraction:
    """Find every detection and fit the PSF model, side by side where there are two cores.

    Parameters
    ----------
    image : `~pathlib.Path`
        FITS file with the image in the primary HDU; may be gzip-compressed.
    config : `ExtractionConfig`
        All keys.
    workdir : `~pathlib.Path`
        Folder for working files, made if needed.
    processes : int, optional
        With 1, the tools run one after the other; by default two run at a time where there are two cores.

    Returns
    -------
    `Extraction`

    Raises
    ------
    NoPsfError
        The image has no star PSFEx accepts, an `InputError`; `detect` still gives its detections.
    InputError
        The image cannot be used.
    ToolError
        A tool is missing or failed.
    """
    workspace = open_workspace(image, workdir)
    with start_pass2(workspace, config, "detect") as detecting:
        if (processes or available_cores()) == 1:
            detecting.wait()
        with start_pass1(workspace, config) as run:
            stars = run.wait()
        psf = fit_psf_model(workspace, stars.output, config)
        found = detecting.wait()
    warnings = [f"pass1: {text}" for text in stars.warnings]
    warnings += [f"psf: {text}" for text in psf.warnings]
    warnings += [f"detect: {text}" for text in found.warnings]
    return Extraction(
        detections=_read_detections(found.output),
        psf=psf,
        sextractor_version=find_tool("source-extractor").version,
        warnings=tuple(warnings),
    )


def _read_detections(ldac: Path) -> DetectionTable:
    return DetectionTable.from_columns(read_ldac(ldac, DETECTION_COLUMNS))
