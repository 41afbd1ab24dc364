"""What a name stands for: a tile is all sky of its images, and only red images are searched."""

import pytest
from astropy.coordinates import SkyCoord
from sqlalchemy import Connection
from toysky import ToySky

from vascodb.errors import InputError
from vascodb.loaders.fetch.questions import images_of
from vascodb.loaders.fetch.targets import tile_target
from vascodb.loaders.regions import Cone


@pytest.fixture
def toy(connection: Connection) -> ToySky:
    return ToySky(connection)


def same_tile(toy: ToySky, *images: int) -> None:
    toy.execute("UPDATE plate.image SET tile_id = 'tile_1' WHERE image_id = ANY (:images)", images=list(images))


def blue(toy: ToySky, image: int) -> None:
    toy.execute("UPDATE plate.image SET band = 'blue', plate_id = 'XO001' WHERE image_id = :i", i=image)


@pytest.mark.parametrize("dec", [20.0, -89.9])
def test_a_tile_reaches_to_the_corners_of_all_of_its_images(toy: ToySky, dec: float) -> None:
    places = [(0.01, dec, 0.5), (359.95, dec + 0.03, 0.6), (0.02, dec, 0.4)]
    images = [toy.extraction(*place) for place in places]
    same_tile(toy, *images)
    blue(toy, images[0])
    area = tile_target(toy.connection, "tile_1", 60.0).area
    assert isinstance(area, Cone)
    middle = SkyCoord(area.ra_deg, area.dec_deg, unit="deg")
    reach = [middle.separation(SkyCoord(*place[:2], unit="deg")).deg + place[2] for place in places]
    assert area.radius_deg == pytest.approx(max(reach), abs=1e-9)


def test_one_image_is_its_own_circle(toy: ToySky) -> None:
    toy.extraction(150.0, 20.0, 0.5)
    assert tile_target(toy.connection, "tile_1", 60.0).area == Cone(150.0, 20.0, 0.5)


def test_a_tile_without_an_image_is_its_planned_square(toy: ToySky) -> None:
    refused = toy.extraction()
    toy.execute("UPDATE plate.image SET status = 'refused', status_reason = 'toy' WHERE image_id = :i", i=refused)
    same_tile(toy, refused)
    area = tile_target(toy.connection, "tile_RA10.000_DECp20.000", 60.0).area
    assert isinstance(area, Cone)
    assert (area.ra_deg, area.dec_deg) == (10.0, 20.0)
    assert 0.7 < area.radius_deg < 0.72


def test_blue_images_are_asked_about_only_by_the_name_of_their_plate(toy: ToySky) -> None:
    red, compared = toy.extraction(), toy.extraction()
    same_tile(toy, red, compared)
    blue(toy, compared)
    assert images_of(toy.connection, tiles=["tile_1"]) == [red]
    assert images_of(toy.connection, plate="XE001") == [red]
    assert images_of(toy.connection, plate="XO001") == [compared]
    with pytest.raises(InputError, match="no image of XO002 is there yet"):
        images_of(toy.connection, plate="XO002")
