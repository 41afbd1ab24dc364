"""Measuring chosen detections: exactly those, whatever lies next to them, and never one too few."""

from pathlib import Path

import numpy as np
import pytest

from vascodb.errors import InputError, ToolError
from vascodb.extract import ExtractionConfig, detect, extract_detections_and_psf, full_pass2, measure
from vascodb.extract.passes import fit_psf, pass1

from .conftest import StarField, moffat, noise, write_plate
from .test_passes import assert_same_bits


def test_an_empty_list_measures_nothing(star_field: StarField, seed: ExtractionConfig, tmp_path: Path) -> None:
    extraction = extract_detections_and_psf(star_field.path, seed, tmp_path)
    none = measure(star_field.path, seed, extraction.psf, extraction.detections, [], tmp_path)
    assert (len(none), none.number.dtype, none.spread_model.dtype) == (0, np.int32, np.float32)


def test_rows_come_by_number_and_once(star_field: StarField, seed: ExtractionConfig, tmp_path: Path) -> None:
    extraction = extract_detections_and_psf(star_field.path, seed, tmp_path)
    some = measure(star_field.path, seed, extraction.psf, extraction.detections, [70, 3, 70, 12], tmp_path)
    assert some.number.tolist() == [3, 12, 70]


@pytest.mark.parametrize("number", [0, 101, -1])
def test_a_number_that_is_none_is_refused(
    star_field: StarField, seed: ExtractionConfig, tmp_path: Path, number: int
) -> None:
    extraction = extract_detections_and_psf(star_field.path, seed, tmp_path)
    with pytest.raises(InputError, match=rf"no detection number {number}; numbers are 1 to 100"):
        measure(star_field.path, seed, extraction.psf, extraction.detections, [5, number], tmp_path)


def test_any_number_of_processes_gives_the_same_bits(
    star_field: StarField, seed: ExtractionConfig, tmp_path: Path
) -> None:
    extraction = extract_detections_and_psf(star_field.path, seed, tmp_path)
    _, everything = full_pass2(star_field.path, seed, extraction.psf, tmp_path)
    numbers = extraction.detections.number
    for processes in (1, 3):
        shared = measure(
            star_field.path, seed, extraction.psf, extraction.detections, numbers, tmp_path, processes=processes
        )
        assert len(shared) == 100
        assert_same_bits(shared, everything)


def test_one_of_two_close_neighbours_is_measured_as_itself(
    star_field: StarField, seed: ExtractionConfig, tmp_path: Path
) -> None:
    psf = fit_psf(star_field.path, pass1(star_field.path, seed, tmp_path), seed, tmp_path)
    pixels = noise((120, 120)) + moffat((120, 120), 60.0, 60.0, 9e4) + moffat((120, 120), 65.6, 61.0, 6e4)
    pair = write_plate(tmp_path / "pair.fits", pixels)
    table, everything = full_pass2(pair, seed, psf, tmp_path / "pair")
    assert len(table) == 2
    assert np.hypot(*np.diff([table.x_image, table.y_image])).item() < 7
    for number in (1, 2):
        one = measure(pair, seed, psf, table, [number], tmp_path / "pair")
        assert one.number.tolist() == [number]
        assert_same_bits(one, everything)


def test_objects_on_all_four_edges_are_measured(star_field: StarField, seed: ExtractionConfig, tmp_path: Path) -> None:
    """SExtractor cannot associate an object in the topmost row; it must be measured all the same."""
    psf = fit_psf(star_field.path, pass1(star_field.path, seed, tmp_path), seed, tmp_path)
    shape = (150, 150)
    pixels = noise(shape)
    for x, y in [(40, 0.8), (0.8, 60), (150.2, 90), (110, 150.2), (75, 75)]:
        pixels += moffat(shape, x, y, 9e4)
    pixels[149, 20:27] += 3000.0
    edges = write_plate(tmp_path / "edges.fits", pixels)
    table, everything = full_pass2(edges, seed, psf, tmp_path / "edges")
    topmost = table.number[table.y_image > 149.5]
    assert len(table) == 6
    assert len(topmost) == 1
    assert_same_bits(measure(edges, seed, psf, table, topmost, tmp_path / "edges"), everything)
    assert_same_bits(measure(edges, seed, psf, table, table.number, tmp_path / "edges"), everything)


def test_detections_of_another_image_are_not_measured_on_this_one(
    star_field: StarField, seed: ExtractionConfig, tmp_path: Path
) -> None:
    psf = fit_psf(star_field.path, pass1(star_field.path, seed, tmp_path), seed, tmp_path)
    # The same stars on other noise: every position is off by far less than a pixel.
    other = noise((300, 300), seed=2)
    for x, y in zip(star_field.x_px, star_field.y_px, strict=True):
        other += moffat((300, 300), x, y, 5e4)
    image = write_plate(tmp_path / "other.fits", other)
    table = detect(star_field.path, seed, tmp_path)
    with pytest.raises(ToolError, match=r"other\.fits: source-extractor did not return 2 of the detections"):
        measure(image, seed, psf, table, [4, 8], tmp_path / "other")
