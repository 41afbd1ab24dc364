"""The seeds' way with the same tools: full pass 2 of everything, then a KD-tree match and the gates in Python."""

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vascodb.extract.config import load_config
from vascodb.extract.ldac import DetectionTable, PsfMeasurements
from vascodb.extract.passes import fit_psf, full_pass2, pass1
from vascodb.loaders.registry import catalog
from vascodb.loaders.tables import read_sources
from vascodb.plates.images import read_image
from vascodb.plates.register import tile_of
from vascodb.plates.tiles import tile_centre

__all__ = ["candidates_the_seed_way"]

Floats = NDArray[np.float64]
MATCH_RADIUS_ARCSEC = 5.0
CIRCLE_ARCMIN = 30.0


def candidates_the_seed_way(image_path: Path, reference_path: Path, folder: Path) -> dict[str, Any]:
    """Numbers of the detections that are candidates under vasco60's rules, and the seconds of each part."""
    seconds: dict[str, float] = {}
    started = perf_counter()

    def lap(part: str) -> None:
        nonlocal started
        now = perf_counter()
        seconds[part] = now - started
        started = now

    image, config = read_image(image_path), load_config("seed")
    lap("read")
    stars = pass1(image_path, config, folder)
    lap("pass1")
    psf = fit_psf(image_path, stars, config, folder)
    lap("psf")
    detections, measured = full_pass2(image_path, config, psf, folder)
    lap("full pass 2")
    assert image.times.epoch_jyear is not None
    sources = read_sources(reference_path, catalog("gaia_edr3"))
    star = _at_epoch(
        *(sources[name].to_numpy().astype(np.float64) for name in ("ra", "dec", "pmra_masyr", "pmdec_masyr")),
        image.times.epoch_jyear - sources["epoch_jyear"].to_numpy().astype(np.float64),
    )
    found = _unit(*image.astrometry.solution.pixel_to_sky(detections.xwin_image, detections.ywin_image))
    chord = 2 * np.sin(np.radians(MATCH_RADIUS_ARCSEC / 3600) / 2)
    distance, _ = cKDTree(star).query(found, distance_upper_bound=chord)
    left = ~np.isfinite(distance)
    centre = _unit(*(np.atleast_1d(angle) for angle in tile_centre(tile_of(image))))
    left &= np.linalg.norm(found - centre, axis=1) <= 2 * np.sin(np.radians(CIRCLE_ARCMIN / 60) / 2)
    lap("match")
    numbers = detections.number[_gates(detections, measured, left)]
    lap("gates")
    return {
        "candidates": sorted(int(n) for n in numbers),
        "detections": len(detections),
        "unmatched": int(np.isinf(distance).sum()),
        "psf_fwhm_px": psf.fwhm_px,
        "psf_stars": psf.accepted,
        "seconds": seconds,
    }


def _unit(ra_deg: Floats, dec_deg: Floats) -> Floats:
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def _at_epoch(ra_deg: Floats, dec_deg: Floats, pmra: Floats, pmdec: Floats, years: Floats) -> Floats:
    """Unit vectors of stars moved along their tangent planes; a missing motion is none."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    east = np.column_stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)])
    north = np.column_stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    per_year = np.radians(1 / 3.6e6)
    step = np.nan_to_num(pmra)[:, None] * east + np.nan_to_num(pmdec)[:, None] * north
    moved = _unit(ra_deg, dec_deg) + step * (per_year * years)[:, None]
    unit: Floats = moved / np.linalg.norm(moved, axis=1)[:, None]
    return unit


def _gates(d: DetectionTable, measured: PsfMeasurements, left: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """vasco60's gates, written anew here so that they check the SQL."""
    keep = left & (d.flags == 0) & (d.snr_win > 30)
    for values in (d.fwhm_image, d.elongation):
        population = values[left & (d.flags == 0) & (d.snr_win > 30)].astype(np.float64)
        if len(population) == 0:
            continue
        median = np.median(population)
        sigma = 1.4826 * np.median(np.abs(population - median))
        if sigma > 0:
            keep &= np.abs(values - median) <= 2 * sigma
    dx, dy = d.xmax_image - d.xmin_image, d.ymax_image - d.ymin_image
    keep &= (measured.spread_model > -0.002) & (d.fwhm_image > 2) & (d.fwhm_image < 7) & (d.elongation < 1.3)
    return keep & (np.abs(dx - dy) < 2) & (dx > 1) & (dy > 1)
