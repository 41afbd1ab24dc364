"""The passes over one image, one by one and in the order that takes the least time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vascodb.extract.assoc import available_cores, measure
from vascodb.extract.config import ExtractionConfig
from vascodb.extract.ldac import DETECTION_COLUMNS, PSF_COLUMNS, DetectionTable, PsfMeasurements, read_ldac
from vascodb.extract.psf import PsfFit, PsfModel
from vascodb.extract.sextractor import start_pass1, start_pass2
from vascodb.extract.tools import find_tool
from vascodb.extract.workspace import open_workspace

__all__ = [
    "BegunExtraction",
    "Extraction",
    "begin_extraction",
    "detect",
    "extract_detections_and_psf",
    "fit_psf",
    "full_pass2",
    "measure",
    "pass1",
]


@dataclass(frozen=True, eq=False)
class BegunExtraction:
    """The detections of an image whose PSF model is still being fitted.

    Parameters
    ----------
    detections : `DetectionTable`
        Every detection.
    psf_fit : `~vascodb.extract.psf.PsfFit`
        The fit at work; its ``wait()`` gives the model, or raises `NoPsfError`.
    sextractor_version : str
        Version of the tool.
    warnings : tuple of str
        SExtractor's warnings, each preceded by the pass that gave it.
    seconds : mapping of str to float
        Wall time of ``pass1`` and ``detect``, which may have run side by side, s.
    """

    detections: DetectionTable
    psf_fit: PsfFit
    sextractor_version: str
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]


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
    seconds : mapping of str to float
        Wall time of ``pass1``, ``psf`` and ``detect``, of which some may have run side by side, s.
    """

    detections: DetectionTable
    psf: PsfModel
    sextractor_version: str
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]


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
    with PsfFit(open_workspace(image, workdir), ldac, config) as fit:
        return fit.wait()


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


@contextmanager
def begin_extraction(
    image: Path, config: ExtractionConfig, workdir: Path, *, processes: int | None = None
) -> Iterator[BegunExtraction]:
    """Find every detection and leave PSFEx at work.

    The PSF is not needed until something is measured against it, and on images with narrow stars (below 3 px) its fit
    takes far longer than anything else here: what is done to the detections within the block takes no extra time.

    Parameters
    ----------
    image : `~pathlib.Path`
        FITS file with the image in the primary HDU; may be gzip-compressed.
    config : `ExtractionConfig`
        All keys.
    workdir : `~pathlib.Path`
        Folder for working files, made if needed.
    processes : int, optional
        With 1, the two passes run one after the other; by default side by side where there are two cores.

    Yields
    ------
    `BegunExtraction`

    Raises
    ------
    InputError
        The image cannot be used.
    ToolError
        A tool is missing or failed.
    """
    workspace = open_workspace(image, workdir)
    with start_pass2(workspace, config, "detect") as detecting:
        if (processes or available_cores()) == 1:
            detecting.wait()
        with start_pass1(workspace, config) as finding_stars:
            stars = finding_stars.wait()
        with PsfFit(workspace, stars.output, config) as psf_fit:
            found = detecting.wait()
            yield BegunExtraction(
                detections=_read_detections(found.output),
                psf_fit=psf_fit,
                sextractor_version=find_tool("source-extractor").version,
                warnings=_labelled("pass1", stars.warnings) + _labelled("detect", found.warnings),
                seconds={"pass1": stars.seconds, "detect": found.seconds},
            )


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
        With 1, the two passes run one after the other; by default side by side where there are two cores.

    Returns
    -------
    `Extraction`

    Raises
    ------
    NoPsfError
        The image has no star PSFEx accepts, an `InputError`; `begin_extraction` and `detect` still give its detections.
    InputError
        The image cannot be used.
    ToolError
        A tool is missing or failed.
    """
    with begin_extraction(image, config, workdir, processes=processes) as begun:
        psf = begun.psf_fit.wait()
        warnings = begun.warnings + _labelled("psf", psf.warnings)
        seconds = {**begun.seconds, "psf": psf.seconds}
        return Extraction(begun.detections, psf, begun.sextractor_version, warnings, seconds)


def _labelled(step: str, warnings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{step}: {warning}" for warning in warnings)


def _read_detections(ldac: Path) -> DetectionTable:
    return DetectionTable.from_columns(read_ldac(ldac, DETECTION_COLUMNS))
