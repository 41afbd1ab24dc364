"""Images into the database: what they show, which sky they cover, and once."""

from pathlib import Path

import numpy as np
import pytest
from plateimages import cutout_header, image_file, tan_keys
from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.ids import content_id
from vascodb.plates.footprint import cells
from vascodb.plates.images import read_image
from vascodb.plates.register import image_id, record_image, record_refused_image, tile_of


def test_a_tile_is_named_after_the_middle_of_the_image_or_as_asked(tmp_path: Path) -> None:
    image = read_image(image_file(tmp_path / "x.fits", cutout_header()))
    ra, dec = image.centre
    assert tile_of(image) == f"tile_RA{ra:.3f}_DECp{dec:.3f}"
    near = f"tile_RA{ra + 0.003:.3f}_DECp{dec:.3f}"
    assert tile_of(image, near) == near


@pytest.mark.parametrize("name", ["tile_RA10.000_DECp10.000", "tile_RA400.000_DECp10.000", "tile_RA10.000_DECp91.000"])
def test_a_tile_elsewhere_is_not_on_the_image(tmp_path: Path, name: str) -> None:
    image = read_image(image_file(tmp_path / "x.fits", cutout_header()))
    with pytest.raises(InputError, match=r"not on this image|not the name of a tile"):
        tile_of(image, name)


@pytest.mark.parametrize(
    "name", ["", "tile", "RA10_DEC10", "tile_RA10.0_DECp1.000", "tile_RA10.000_DEC-1.000", "x' OR '1'='1"]
)
def test_what_is_no_tile_name_is_refused(tmp_path: Path, name: str) -> None:
    image = read_image(image_file(tmp_path / "x.fits", cutout_header()))
    with pytest.raises(InputError, match="is not the name of a tile"):
        tile_of(image, name)


def test_an_image_is_recorded_once_with_everything_a_search_needs(connection: Connection, tmp_path: Path) -> None:
    image = read_image(image_file(tmp_path / "x.fits", cutout_header(**tan_keys(30.5, 142.5, 24.0))))
    tile = tile_of(image)
    identity = record_image(connection, image, tile)
    assert identity == image_id(image) == content_id("image", image.sha256)
    assert record_image(connection, image, tile) == identity
    row = connection.execute(text("SELECT * FROM plate.image")).one()
    assert (row.status, row.plate_id, row.band, row.tile_id) == ("ok", "XE901", "red", tile)
    assert (row.wcs_kind, row.wcs_available) == ("tan", ["tan", "dss"])
    assert row.scale_arcsec_px == pytest.approx(1.7, rel=1e-3)
    assert (row.ra, row.dec) == pytest.approx((142.5, 24.0))
    assert row.radius_deg * 3600 == pytest.approx(30 * np.sqrt(2) * 1.7, rel=1e-4)
    assert row.epoch_jyear == pytest.approx(image.times.epoch_jyear)
    ra, dec = image.astrometry.solution.pixel_to_sky([1, 30, 60, 90], [1, 30, 60, 30])
    inside = text("SELECT footprint @> CAST(:cell AS bigint) FROM plate.image")
    assert [connection.scalar(inside, {"cell": int(c)}) for c in cells(ra, dec)] == [True, True, True, False]
    assert connection.scalar(text("SELECT count(*) FROM plate.exposure_time WHERE source LIKE 'image %'")) == 2


def test_one_file_is_of_one_tile(connection: Connection, tmp_path: Path) -> None:
    image = read_image(image_file(tmp_path / "x.fits", cutout_header()))
    record_image(connection, image, tile_of(image))
    ra, dec = image.centre
    with pytest.raises(InputError, match=r"is stored as .* already"):
        record_image(connection, image, f"tile_RA{ra + 0.004:.3f}_DECp{dec:.3f}")


def test_two_images_of_one_plate_share_nothing_but_its_name(connection: Connection, tmp_path: Path) -> None:
    for n in (1, 2):
        image = read_image(image_file(tmp_path / f"{n}.fits", cutout_header(), seed=n))
        record_image(connection, image, tile_of(image))
    counts = "SELECT count(*), count(DISTINCT tile_id), count(DISTINCT solution_id) FROM plate.image"
    assert tuple(connection.execute(text(counts)).one()) == (2, 1, 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"DATE-OBS": None}, "no DATE-OBS; without a date"),
        ({"DATE-OBS": "yesterday"}, "no known form; without a date"),
        ({"DATE-OBS": "1990-01-01T10:00:00"}, "POSS-I was exposed from 1949 to 1958"),
        ({"AMDX1": None}, "no astrometric"),
    ],
)  # fmt: skip
def test_an_image_that_cannot_be_searched_leaves_no_row(connection, tmp_path: Path, changes, reason) -> None:
    image = read_image(image_file(tmp_path / "x.fits", cutout_header(**changes)))
    with pytest.raises(InputError, match=reason), connection.begin_nested():
        record_image(connection, image, tile_of(image))
    assert connection.scalar(text("SELECT count(*) FROM plate.image")) == 0
    assert connection.scalar(text("SELECT count(*) FROM plate.solution")) == 0


def test_a_refused_image_is_recorded_once_with_the_reason(connection: Connection, tmp_path: Path) -> None:
    image = read_image(image_file(tmp_path / "x.fits", cutout_header(SURVEY="SERC-J", REGION="S134")))
    record_refused_image(connection, image, image.refusal)
    record_refused_image(connection, image, image.refusal)
    row = connection.execute(text("SELECT * FROM plate.image")).one()
    assert (row.status, row.plate_id, row.survey, row.band, row.tile_id) == ("refused", "S134", "SERC-J", "other", None)
    assert "SERC-J" in row.status_reason
