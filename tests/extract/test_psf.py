"""PSF models: what PSFEx says about them, and that an empty one is not taken for one."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import vascodb.extract.psf as psf_module
from vascodb.errors import InputError, ToolError
from vascodb.extract import ExtractionConfig, NoPsfError, extract_detections_and_psf
from vascodb.extract.passes import fit_psf, pass1
from vascodb.extract.psf import read_psf_model

from .conftest import StarField, moffat, noise, write_plate


def test_the_model_of_a_star_field_knows_its_stars(
    star_field: StarField, seed: ExtractionConfig, tmp_path: Path
) -> None:
    model = fit_psf(star_field.path, pass1(star_field.path, seed, tmp_path), seed, tmp_path)
    assert 80 <= model.accepted <= model.loaded <= 100
    # Half the light of a Moffat profile lies within alpha sqrt(2^(1/(beta - 1)) - 1); alpha = 3.14 px for 3.2 px FWHM.
    half_light_radius_px = 3.2 / 2 / np.sqrt(2 ** (1 / 3) - 1) * np.sqrt(2 ** (1 / 2) - 1)
    assert model.fwhm_px == pytest.approx(2 * half_light_radius_px, rel=0.05)
    assert 0.5 < model.chi2 < 2.0
    assert model.path.parent == tmp_path


def test_the_diagnostics_left_out_do_not_change_the_model(
    star_field: StarField, seed: ExtractionConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ldac = pass1(star_field.path, seed, tmp_path)
    quick = fit_psf(star_field.path, ldac, seed, tmp_path).path.read_bytes()
    monkeypatch.setitem(psf_module._RUN_KEYS, "PSFVAR_NSNAP", "9")
    assert fit_psf(star_field.path, ldac, seed, tmp_path).path.read_bytes() == quick


def test_an_image_without_stars_is_a_clear_error(empty_sky: Path, seed: ExtractionConfig, tmp_path: Path) -> None:
    with pytest.raises(NoPsfError) as raised:
        extract_detections_and_psf(empty_sky, seed, tmp_path / "work")
    assert str(raised.value) == f"{empty_sky}: PSFEx accepted 0 of 0 stars; the image has no usable stars"
    assert isinstance(raised.value, InputError)


def test_an_image_with_one_galaxy_only_has_no_usable_star(seed: ExtractionConfig, tmp_path: Path) -> None:
    image = write_plate(tmp_path / "one.fits", noise((200, 200)) + moffat((200, 200), 100, 100, 3e6, fwhm_px=25))
    with pytest.raises(NoPsfError, match="no usable stars"):
        extract_detections_and_psf(image, seed, tmp_path / "work")


def test_a_model_of_another_camera_is_read(shared_data: Path) -> None:
    model = read_psf_model(shared_data / "sex" / "DECam_00154912_12_psfcat.psf", tool_version="3")
    assert model.accepted == 483
    assert model.fwhm_px > 2


@pytest.mark.parametrize("content", [b"", b"no FITS"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.psf"
    path.write_bytes(content)
    with pytest.raises(ToolError, match=r"a\.psf: is not a PSF model"):
        read_psf_model(path, tool_version="3")


def test_a_table_without_the_keys_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.psf"
    table = fits.BinTableHDU.from_columns([fits.Column("PSF_MASK", "E", array=[1.0])], name="PSF_DATA")
    table.writeto(path)
    with pytest.raises(ToolError, match=r"a\.psf: is not a PSF model.*ACCEPTED"):
        read_psf_model(path, tool_version="3")
