"""Extraction: SExtractor and PSFEx on the pixels of one image, veto first and PSF measurements after.

Nothing here knows the database or the sky; positions are pixels.
"""

from vascodb.extract.config import ExtractionConfig, load_config
from vascodb.extract.ldac import DetectionTable, PsfMeasurements
from vascodb.extract.passes import (
    BegunExtraction,
    Extraction,
    begin_extraction,
    detect,
    extract_detections_and_psf,
    full_pass2,
    measure,
)
from vascodb.extract.psf import NoPsfError, PsfModel

__all__ = [
    "BegunExtraction",
    "DetectionTable",
    "Extraction",
    "ExtractionConfig",
    "NoPsfError",
    "PsfMeasurements",
    "PsfModel",
    "begin_extraction",
    "detect",
    "extract_detections_and_psf",
    "full_pass2",
    "load_config",
    "measure",
]
