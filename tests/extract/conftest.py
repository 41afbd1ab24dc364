"""Synthetic plates with a known truth, and stand-ins for the external tools."""

import stat
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from vascodb.extract import ExtractionConfig, load_config

SKY = 3800.0
NOISE = 40.0


def moffat(shape: tuple[int, int], x_px: float, y_px: float, flux: float, fwhm_px: float = 3.2) -> NDArray[np.float64]:
    """Return a Moffat (beta 3) star; (1, 1) is the centre of the first pixel."""
    beta = 3.0
    alpha = fwhm_px / 2 / np.sqrt(2 ** (1 / beta) - 1)
    y, x = np.mgrid[1 : shape[0] + 1, 1 : shape[1] + 1]
    r2 = (x - x_px) ** 2 + (y - y_px) ** 2
    return flux * (beta - 1) / (np.pi * alpha**2) * (1 + r2 / alpha**2) ** -beta


def noise(shape: tuple[int, int], seed: int = 1) -> NDArray[np.float64]:
    return SKY + np.random.default_rng(seed).normal(0, NOISE, shape)


def write_plate(path: Path, pixels: NDArray[np.float64]) -> Path:
    fits.PrimaryHDU(np.clip(pixels, 0, 32767).astype(np.int16)).writeto(path)
    return path


@dataclass(frozen=True)
class StarField:
    """A synthetic plate and the true positions of its stars, px."""

    path: Path
    x_px: NDArray[np.float64]
    y_px: NDArray[np.float64]


def make_star_field(path: Path) -> StarField:
    """Ten by ten stars, 28 px apart and away from the pixel centres, so that none touches another."""
    rng = np.random.default_rng(7)
    shape = (300, 300)
    grid = np.arange(10) * 28.0 + 24.0
    x_px, y_px = (axis.ravel() + rng.uniform(-0.5, 0.5, 100) for axis in np.meshgrid(grid, grid))
    pixels = noise(shape)
    for x, y, flux in zip(x_px, y_px, rng.uniform(2e4, 1e5, 100), strict=True):
        pixels += moffat(shape, x, y, flux)
    write_plate(path, pixels)
    return StarField(path, x_px, y_px)


@pytest.fixture(scope="session")
def seed() -> ExtractionConfig:
    return load_config("seed")


@pytest.fixture(scope="session")
def star_field(tmp_path_factory: pytest.TempPathFactory) -> StarField:
    return make_star_field(tmp_path_factory.mktemp("plates") / "field.fits")


@pytest.fixture
def empty_sky(tmp_path: Path) -> Path:
    return write_plate(tmp_path / "empty.fits", noise((200, 200)))


@pytest.fixture
def fake_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Return a function that puts an executable of our own on the PATH, in front of the real ones."""
    folder = tmp_path / "fake" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def install(name: str, script: str) -> Path:
        path = folder / name
        version = 'if [ "$1" = --version ]; then echo "Tool version 9.9.9 (today)"; exit 0; fi\n'
        path.write_text("#!/bin/sh\n" + version + textwrap.dedent(script), encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return install
