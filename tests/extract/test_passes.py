"""The passes: detections where the stars are, equal numbers by every way, and the measured facts of a real plate."""

import csv
import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from astropy.io import fits

from vascodb.errors import InputError, ToolError
from vascodb.extract import (
    DetectionTable,
    ExtractionConfig,
    NoPsfError,
    PsfMeasurements,
    PsfModel,
    begin_extraction,
    detect,
    extract_detections_and_psf,
    full_pass2,
    load_config,
    measure,
)
from vascodb.extract.config import neural_network_path

from .conftest import SKY, StarField, moffat, noise, write_plate


def assert_identical(one: DetectionTable, other: DetectionTable) -> None:
    for (name, left), right in zip(one.columns().items(), other.columns().values(), strict=True):
        assert left.tobytes() == right.tobytes(), name


def assert_same_bits(one: PsfMeasurements, other: PsfMeasurements) -> None:
    """Compare the rows of ``one`` with those of the same numbers in ``other``."""
    at = np.searchsorted(other.number, one.number)
    np.testing.assert_array_equal(one.number, other.number[at])
    assert one.spread_model.tobytes() == other.spread_model[at].tobytes()
    assert one.spreaderr_model.tobytes() == other.spreaderr_model[at].tobytes()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_star_is_detected_where_it_is(star_field: StarField, seed: ExtractionConfig, tmp_path: Path) -> None:
    table = detect(star_field.path, seed, tmp_path)
    assert len(table) == 100
    np.testing.assert_array_equal(table.number, np.arange(1, 101))
    offset = np.hypot(
        table.xwin_image[:, None] - star_field.x_px[None, :], table.ywin_image[:, None] - star_field.y_px[None, :]
    )
    assert offset.min(axis=0).max() < 0.15
    assert np.all(table.xmin_image <= table.x_image)
    assert np.all(table.x_image <= table.xmax_image)


def test_stars_are_points_and_a_galaxy_is_not(seed: ExtractionConfig, tmp_path: Path, star_field: StarField) -> None:
    pixels = fits.getdata(star_field.path).astype(float) + moffat((300, 300), 150.0, 290.0, 3e5, fwhm_px=7.0)
    image = write_plate(tmp_path / "galaxy.fits", pixels)
    extraction = extract_detections_and_psf(image, seed, tmp_path / "work")
    table = extraction.detections
    spread = measure(image, seed, extraction.psf, table, table.number, tmp_path / "work").spread_model
    is_galaxy = np.hypot(table.x_image - 150.0, table.y_image - 290.0) < 3
    assert is_galaxy.sum() == 1
    assert np.median(np.abs(spread[~is_galaxy])) < 0.005
    assert spread[is_galaxy][0] > 0.02


def test_two_runs_give_the_same_bits(star_field: StarField, seed: ExtractionConfig, tmp_path: Path) -> None:
    one, two = (extract_detections_and_psf(star_field.path, seed, tmp_path / name) for name in "ab")
    assert_identical(one.detections, two.detections)
    assert one.psf.path.read_bytes() == two.psf.path.read_bytes()


def test_side_by_side_equals_one_after_the_other(star_field: StarField, seed: ExtractionConfig, tmp_path: Path) -> None:
    one, two = (extract_detections_and_psf(star_field.path, seed, tmp_path, processes=n) for n in (1, 2))
    assert_identical(one.detections, two.detections)
    assert (one.psf.accepted, one.psf.chi2) == (two.psf.accepted, two.psf.chi2)


def test_detect_then_measure_equals_the_full_pass(
    star_field: StarField, seed: ExtractionConfig, tmp_path: Path
) -> None:
    extraction = extract_detections_and_psf(star_field.path, seed, tmp_path)
    table, everything = full_pass2(star_field.path, seed, extraction.psf, tmp_path)
    assert_identical(extraction.detections, table)
    np.testing.assert_array_equal(everything.number, table.number)
    some = measure(star_field.path, seed, extraction.psf, extraction.detections, table.number[::3], tmp_path)
    assert_same_bits(some, everything)


def test_name_compression_and_further_hdus_of_the_file_do_not_matter(
    star_field: StarField, seed: ExtractionConfig, tmp_path: Path
) -> None:
    plain = detect(star_field.path, seed, tmp_path / "plain")
    packed = tmp_path / "odd [1] name, 'quoted'.fits.gz"
    packed.write_bytes(gzip.compress(star_field.path.read_bytes()))
    assert_identical(detect(packed, seed, tmp_path / "work dir"), plain)
    several = tmp_path / "several.fits"
    pixels = fits.getdata(star_field.path)
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.arange(9.0))])
    fits.HDUList([fits.PrimaryHDU(pixels), fits.ImageHDU(pixels[:200]), table]).writeto(several)
    assert_identical(detect(several, seed, tmp_path / "several"), plain)


def test_nothing_is_written_outside_the_working_folder(
    star_field: StarField, seed: ExtractionConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    before = names_in(star_field.path.parent)
    extraction = extract_detections_and_psf(star_field.path, seed, tmp_path / "work")
    measure(star_field.path, seed, extraction.psf, extraction.detections, [1, 2], tmp_path / "work")
    assert names_in(tmp_path / "cwd") == []
    assert names_in(tmp_path) == ["cwd", "work"]
    assert names_in(star_field.path.parent) == before


@pytest.mark.parametrize("pixels", [noise((200, 200)), np.full((200, 200), SKY), np.zeros((64, 64))])
def test_an_image_without_detections_gives_an_empty_table(
    seed: ExtractionConfig, tmp_path: Path, pixels: np.ndarray
) -> None:
    assert len(detect(write_plate(tmp_path / "a.fits", pixels), seed, tmp_path / "work")) == 0


def test_the_detections_can_be_used_while_the_psf_is_fitted(
    star_field: StarField, seed: ExtractionConfig, tmp_path: Path
) -> None:
    with begin_extraction(star_field.path, seed, tmp_path) as begun:
        assert len(begun.detections) == 100
        assert begun.psf_fit.wait().accepted > 50


def test_an_image_without_stars_still_gives_its_detections(seed: ExtractionConfig, tmp_path: Path) -> None:
    image = write_plate(tmp_path / "a.fits", noise((200, 200)) + moffat((200, 200), 90, 110, 3e6, fwhm_px=25))
    with begin_extraction(image, seed, tmp_path / "work") as begun:
        assert len(begun.detections) == 1
        with pytest.raises(NoPsfError):
            begun.psf_fit.wait()


def test_warnings_of_an_overflowing_buffer_reach_the_caller(
    star_field: StarField, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    toml = Path(__file__).parents[2] / "vascodb" / "extract" / "configs" / "seed.toml"
    small = tmp_path / "small.toml"
    small.write_text(toml.read_text(encoding="utf-8").replace('"3000000"', '"1000"'), encoding="utf-8")
    pixels = fits.getdata(star_field.path).astype(float) + moffat((300, 300), 150.0, 150.0, 5e6, fwhm_px=40.0)
    image = write_plate(tmp_path / "big.fits", pixels)
    with caplog.at_level("INFO"):
        extraction = extract_detections_and_psf(image, load_config(small), tmp_path / "work")
    assert any(text.startswith("detect: Pixel stack overflow at position") for text in extraction.warnings)
    assert f"{image}: Pixel stack overflow" in caplog.text


def test_a_key_sextractor_does_not_know_is_an_error(star_field: StarField, tmp_path: Path) -> None:
    toml = Path(__file__).parents[2] / "vascodb" / "extract" / "configs" / "seed.toml"
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(
        toml.read_text(encoding="utf-8").replace('[pass2]\nFILTER = "Y"', '[pass2]\nFLITER = "Y"'), encoding="utf-8"
    )
    with pytest.raises(ToolError, match="does not know FLITER"):
        detect(star_field.path, load_config(wrong), tmp_path / "work")


def test_a_cut_image_is_an_input_error(star_field: StarField, seed: ExtractionConfig, tmp_path: Path) -> None:
    cut = tmp_path / "cut.fits"
    cut.write_bytes(star_field.path.read_bytes()[:50_000])
    with pytest.raises(InputError, match=r"cut\.fits: is cut short"):
        extract_detections_and_psf(cut, seed, tmp_path / "work")


class RealPlate(NamedTuple):
    image: Path
    workdir: Path
    psf: PsfModel
    detected: DetectionTable
    full: DetectionTable
    everything: PsfMeasurements


@pytest.fixture(scope="module")
def m67(shared_data: Path, seed: ExtractionConfig, tmp_path_factory: pytest.TempPathFactory) -> RealPlate:
    """A real POSS-I red tile, extracted both ways; takes half a minute."""
    image = shared_data / "tiles" / "POSS1-E_XE486_M67_30arcmin.fits"
    workdir = tmp_path_factory.mktemp("m67")
    extraction = extract_detections_and_psf(image, seed, workdir)
    full, everything = full_pass2(image, seed, extraction.psf, workdir)
    return RealPlate(image, workdir, extraction.psf, extraction.detections, full, everything)


@pytest.mark.slow
def test_m67_has_its_1353_detections_by_both_ways(m67: RealPlate) -> None:
    assert len(m67.detected) == 1353
    assert_identical(m67.detected, m67.full)


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [slice(0, 1353, 9), slice(0, 3), slice(1340, 1353)])
def test_m67_measures_any_subset_to_the_same_bits(m67: RealPlate, seed: ExtractionConfig, chosen: slice) -> None:
    for processes in (1, 2):
        numbers = m67.detected.number[chosen]
        some = measure(m67.image, seed, m67.psf, m67.detected, numbers, m67.workdir, processes=processes)
        assert_same_bits(some, m67.everything)


@pytest.mark.slow
def test_m67_equals_the_recorded_values_of_24_detections(
    m67: RealPlate, seed: ExtractionConfig, shared_data: Path
) -> None:
    with (shared_data / "tiles" / "M67_24_without_gaia.csv").open(newline="", encoding="ascii") as stream:
        recorded = list(csv.DictReader(stream))
    assert len(recorded) == 24
    numbers = [int(row["number"]) for row in recorded]
    measured = measure(m67.image, seed, m67.psf, m67.detected, numbers, m67.workdir)
    table = {**m67.detected.columns(), "spread_model": None, "spreaderr_model": None}
    for row, spread, error in zip(recorded, measured.spread_model, measured.spreaderr_model, strict=True):
        at = int(np.flatnonzero(m67.detected.number == int(row["number"]))[0])
        for name in ("xwin_image", "ywin_image", "flags", "snr_win", "fwhm_image", "elongation", "mag_auto"):
            assert table[name][at] == table[name].dtype.type(row[name]), (row["number"], name)
        assert (spread, error) == (np.float32(row["spread_model"]), np.float32(row["spreaderr_model"]))


@pytest.mark.slow
def test_m67_pixel_stack_is_free_of_consequences(m67: RealPlate, tmp_path: Path) -> None:
    toml = Path(__file__).parents[2] / "vascodb" / "extract" / "configs" / "seed.toml"
    default = tmp_path / "default.toml"
    default.write_text(toml.read_text(encoding="utf-8").replace('"3000000"', '"300000"'), encoding="utf-8")
    assert_identical(detect(m67.image, load_config(default), tmp_path / "work"), m67.detected)


@pytest.mark.slow
def test_headers_and_fields_too_poor_for_a_psf_still_give_detections(
    seed: ExtractionConfig, shared_data: Path, tmp_path: Path
) -> None:
    image = shared_data / "tiles" / "POSS1-E_XE582_HD219829_4arcmin_MASTheader_badtime.fits"
    assert len(detect(image, seed, tmp_path)) > 0


def test_the_neural_network_is_read_in_place(star_field: StarField, seed: ExtractionConfig, tmp_path: Path) -> None:
    detect(star_field.path, seed, tmp_path)
    assert (tmp_path / "star.nnw").readlink() == neural_network_path()
