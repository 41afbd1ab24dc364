"""What MORPH and SHAPE measured, as published, for the tables in which our own measurements are."""

import re

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vascodb.releases.reading import Release
from vascodb.releases.stages import PublishedStage

__all__ = ["MORPH_COLUMNS", "SHAPE_COLUMNS", "morph_rows", "shape_rows"]

# Columns of vasco.morph_measure and vasco.shape_measure by the columns of the flags that they come from.
MORPH_COLUMNS = {
    "fwhm_ratio": "fwhm_ratio",
    "spread_snr": "spread_snr",
    "psf_fwhm_median": "psf_fwhm_median",
    "psf_spread_median": "psf_spread_median",
    "n_stars": "psf_star_count",
}
SHAPE_COLUMNS = {
    "profile_diff": "profile_diff",
    "circularity": "circularity",
    "elongation": "elongation",
    "area_px": "area",
    "shape_defect": "shape_defect",
    "circle_deviation": "circle_deviation",
    "n_neighbours": "stars_used",
}
_WIDEST = 1e12
# elongation=1.197>1.1
_REJECTION = re.compile(r"(\w+)=[^<>;]*([<>][^;]+)")


def morph_rows(release: Release, extraction_of: NDArray[np.int64]) -> pa.Table | None:
    """Widths and sharpness against the stars of each tile; None if the release has no MORPH stage."""
    stage = next((stage for stage in release.stages if stage.kind == "MORPH"), None)
    return None if stage is None else pa.table(_numbers(release, stage, extraction_of, MORPH_COLUMNS))


def shape_rows(release: Release, extraction_of: NDArray[np.int64]) -> pa.Table | None:
    """Profiles and outlines of the inverted kind; None if the release has no SHAPE stage.

    ``rejections`` are the criteria that the release says are broken, such as ``elongation>1.1``, between
    semicolons; ``failure`` is why nothing was measured.
    """
    stage = next((stage for stage in release.stages if stage.kind == "SHAPE"), None)
    if stage is None:
        return None
    columns = _numbers(release, stage, extraction_of, SHAPE_COLUMNS)
    flags = stage.flags
    failed = flags.flags("shape_failed") if flags.has("shape_failed") else np.zeros(flags.n_rows, dtype=bool)
    causes = flags.text("failure_reason").to_pylist() if flags.has("failure_reason") else [""] * flags.n_rows
    reasons = flags.text("reject_reason").to_pylist() if flags.has("reject_reason") else [""] * flags.n_rows
    confidences = flags.text("shape_confidence").to_pylist() if flags.has("shape_confidence") else [""] * flags.n_rows
    columns["failure"] = pa.array(
        [(cause or "failed") if is_failed else None for cause, is_failed in zip(causes, failed.tolist(), strict=True)],
        pa.string(),
    )
    columns["rejections"] = pa.array(
        [";".join(f"{name}{rest}" for name, rest in _REJECTION.findall(reason)) for reason in reasons], pa.string()
    )
    columns["confidence"] = pa.array([confidence or None for confidence in confidences], pa.string())
    return pa.table(columns)


def _numbers(
    release: Release, stage: PublishedStage, extraction_of: NDArray[np.int64], names: dict[str, str]
) -> dict[str, pa.Array]:
    columns = {
        "extraction_id": pa.array(extraction_of[stage.index]),
        "number": pa.array(release.detections.number[stage.index], pa.int32()),
    }
    for name, published in names.items():
        values = np.full(len(stage.index), np.nan)
        if stage.flags.has(published):
            values = stage.flags.numbers(published, -_WIDEST, _WIDEST, optional=True)
        columns[name] = pa.array(values, mask=np.isnan(values))
    return columns
