"""Images in the database whose files are there, so that shapes can be measured from them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from sqlalchemy import Connection
from toysky import ToySky

from vascodb.extract import detect, load_config
from vascodb.ids import file_sha256
from vascodb.measure.shape import ImageDetections
from vascodb.plates.images import read_image


@pytest.fixture
def toy(connection: Connection) -> ToySky:
    """A toy sky without anything on it, in a transaction that is rolled back."""
    return ToySky(connection)


def point_to(toy: ToySky, extraction_id: int, path: Path, **columns: Any) -> None:
    """Make an extraction one of that file."""
    toy.execute(
        "UPDATE plate.image SET path = :path, file_name = :name, sha256 = :sha WHERE image_id = :e",
        path=str(path), name=path.name, sha=file_sha256(path), e=extraction_id,
    )  # fmt: skip


@pytest.fixture
def recorded(toy: ToySky, tmp_path: Path) -> Callable[..., tuple[int, Path]]:
    """Write an image, and put it and its detections into the database; all are known stars, one arcmin apart."""

    def record(image: np.ndarray, detections: ImageDetections, **columns: Any) -> tuple[int, Path]:
        path = tmp_path / f"image{len(list(tmp_path.iterdir()))}.fits"
        fits.PrimaryHDU(image.astype(np.float32)).writeto(path)
        e = toy.extraction()
        point_to(toy, e, path)
        n = len(detections.x)
        ra, dec = 150 + np.arange(n) / 60, np.full(n, 20.0)
        toy.detections(
            e, ra, dec, xwin_image=detections.x + 1, ywin_image=detections.y + 1, flux_auto=detections.flux,
            elongation=detections.elongation, **columns,
        )  # fmt: skip
        if not toy.scalar("SELECT count(*) FROM ref.gaia_dr3"):
            toy.sources("gaia_dr3", ra, dec)
            toy.lookup("gaia_dr3")
        toy.match(e, "gaia_dr3")
        return e, path

    return record


@pytest.fixture
def extracted(toy: ToySky, tmp_path: Path) -> Callable[[Path, Mapping[str, Any]], int]:
    """Extract an image without a PSF, and match it against stars: arrays ra, dec, pmra, pmdec, mag."""

    def extract(path: Path, stars: Mapping[str, Any]) -> int:
        table = detect(path, load_config("seed"), tmp_path / "work")
        image = read_image(path)
        ra, dec = image.astrometry.solution.pixel_to_sky(table.xwin_image, table.ywin_image)
        e = toy.extraction(*image.centre, radius_deg=0.5)
        point_to(toy, e, path)
        columns = {name: values for name, values in table.columns().items() if name != "number"}
        toy.detections(e, ra, dec, **columns)
        toy.sources("gaia_edr3", **stars)
        toy.lookup("gaia_edr3")
        toy.match(e, "gaia_edr3")
        return e

    return extract
