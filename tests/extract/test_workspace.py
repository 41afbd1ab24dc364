"""Staging an image for the tools: any name, gzip, more HDUs; damaged images are refused."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from vascodb.errors import InputError
from vascodb.extract.workspace import open_workspace

PIXELS = np.arange(12_000, dtype=np.int16).reshape(100, 120)


def staged_pixels(image: Path, workdir: Path) -> np.ndarray:
    workspace = open_workspace(image, workdir)
    name, _, extension = workspace.fits_name.partition("[")
    assert extension == "0]"
    return fits.getdata(workspace.folder / name)


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(PIXELS).writeto(path)
    return path


@pytest.mark.parametrize("name", ["a.fits", "a plate [2], 50% (copy).fits", "tête é.fits", "-flag.fits"])
def test_any_name_is_staged_under_a_plain_one(tmp_path: Path, name: str) -> None:
    image = write(tmp_path / "in put" / name)
    np.testing.assert_array_equal(staged_pixels(image, tmp_path / "work dir"), PIXELS)
    staged = open_workspace(image, tmp_path / "work dir").fits_name
    assert staged.replace("-", "").replace(".", "").replace("[0]", "").isalnum()


def test_a_relative_path_is_staged_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.fits")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(staged_pixels(Path("a.fits"), Path("work")), PIXELS)


@pytest.mark.parametrize("name", ["a.fits.gz", "compressed_without_saying_so.fits"])
def test_gzip_is_told_by_content(tmp_path: Path, name: str) -> None:
    image = tmp_path / name
    image.write_bytes(gzip.compress(write(tmp_path / "plain.fits").read_bytes()))
    np.testing.assert_array_equal(staged_pixels(image, tmp_path / "work"), PIXELS)


def test_nothing_is_written_beside_the_image(tmp_path: Path) -> None:
    image = write(tmp_path / "in" / "a.fits")
    open_workspace(image, tmp_path / "work")
    assert [path.name for path in image.parent.iterdir()] == ["a.fits"]


def test_a_changed_image_is_staged_anew(tmp_path: Path) -> None:
    image = tmp_path / "a.fits.gz"
    image.write_bytes(gzip.compress(write(tmp_path / "one.fits").read_bytes()))
    staged_pixels(image, tmp_path / "work")
    fits.PrimaryHDU(PIXELS[:50] + 1).writeto(tmp_path / "two.fits")
    image.write_bytes(gzip.compress((tmp_path / "two.fits").read_bytes()))
    np.testing.assert_array_equal(staged_pixels(image, tmp_path / "work"), PIXELS[:50] + 1)


def test_a_cut_image_is_refused(tmp_path: Path) -> None:
    image = write(tmp_path / "a.fits")
    image.write_bytes(image.read_bytes()[: 2880 + PIXELS.nbytes - 1])
    for _ in range(2):
        with pytest.raises(InputError, match=r"a\.fits: is cut short at 26879 of 26880 bytes"):
            open_workspace(image, tmp_path / "work")


def test_an_image_without_the_last_padding_is_whole(tmp_path: Path) -> None:
    image = write(tmp_path / "a.fits")
    image.write_bytes(image.read_bytes()[: 2880 + PIXELS.nbytes])
    assert open_workspace(image, tmp_path / "work").image == image


def test_a_cut_gzip_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    image = tmp_path / "a.fits.gz"
    image.write_bytes(gzip.compress(write(tmp_path / "plain.fits").read_bytes())[:-20])
    with pytest.raises(InputError, match=r"a\.fits\.gz: is a damaged gzip file"):
        open_workspace(image, tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_what_is_not_fits_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "a.fits"
    image.write_text("<html>Service unavailable</html>", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.fits: is not a FITS file"):
        open_workspace(image, tmp_path / "work")


def test_a_missing_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.fits: cannot be read: No such file"):
        open_workspace(tmp_path / "none.fits", tmp_path / "work")


def test_a_file_without_a_primary_image_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(PIXELS)]).writeto(image)
    with pytest.raises(InputError, match=r"a\.fits: its primary HDU has the shape \(\), not two dimensions"):
        open_workspace(image, tmp_path / "work")


def test_a_cube_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "a.fits"
    fits.PrimaryHDU(np.zeros((3, 10, 10), np.int16)).writeto(image)
    with pytest.raises(InputError, match=r"shape \(3, 10, 10\)"):
        open_workspace(image, tmp_path / "work")
