"""Images with stars of known position: stars at random places, and where an imperfect solution puts them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from toysky import ToySky

from vascodb.plates.tangent import plane_to_sky
from vascodb.plates.ties import Frame, Ties

__all__ = ["GAIA", "NAXIS", "bent", "exposed", "frame", "image_of", "known", "scene"]

Array = NDArray[np.float64]
Distortion = Callable[[Array, Array], tuple[Array, Array]]
NAXIS = 1000
GAIA = "gaia_dr3"


def bent(x: Array, y: Array) -> tuple[Array, Array]:
    """Errors of a solution in arcsec, up to about 1.5 where the image ends (x and y between -1 and 1)."""
    return 0.4 - 0.3 * x + 0.5 * x * y - 0.3 * y**3, -0.5 + 0.2 * y - 0.4 * x**2 + 0.3 * x**2 * y


def frame(ra: float = 150.0, dec: float = 20.0, half_side_deg: float = 0.5) -> Frame:
    """A square image, and a tile with the same centre."""
    return Frame(ra, dec, half_side_deg * 2**0.5, NAXIS, NAXIS, 1952.0, ra, dec)


def scene(
    image: Frame,
    n: int = 600,
    noise_arcsec: float = 0.1,
    distortion: Distortion = bent,
    within: tuple[float, float] = (-1.0, 1.0),
    seed: int = 1,
) -> Ties:
    """Stars at random within a part of each axis of an image, each with its detection."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(*within, (2, n))
    side = image.radius_deg / 2**0.5 * 3600.0
    error_x, error_y = distortion(x, y)
    star = plane_to_sky(side * x, side * y, image.ra, image.dec)
    raw = plane_to_sky(
        side * x + error_x + rng.normal(0, noise_arcsec, n), side * y + error_y + rng.normal(0, noise_arcsec, n),
        image.ra, image.dec,
    )  # fmt: skip
    pixels = ((1 - x) / 2 * NAXIS + 0.5, (y + 1) / 2 * NAXIS + 0.5)
    return Ties(5.0, *pixels, *raw, *star)


def image_of(toy: ToySky, place: Frame) -> int:
    """An extraction of an image at that place, without detections."""
    extraction_id = toy.extraction(place.ra, place.dec, place.radius_deg, place.epoch_jyear)
    toy.execute("UPDATE plate.image SET naxis1 = :n, naxis2 = :n WHERE image_id = :e", n=NAXIS, e=extraction_id)
    return extraction_id


def exposed(toy: ToySky, place: Frame, ties: Ties, *, with_stars: bool = True, **columns: Any) -> int:
    """An image with the detections and the stars of a scene; stars that do not move."""
    extraction_id = image_of(toy, place)
    toy.detections(
        extraction_id, ties.ra_raw, ties.dec_raw, xwin_image=ties.x, ywin_image=ties.y, **{"snr_win": 50.0} | columns
    )
    if with_stars:
        known(toy, ties)
    return extraction_id


def known(toy: ToySky, ties: Ties) -> None:
    """Gaia has the stars of a scene."""
    toy.sources(GAIA, ties.ra, ties.dec)
    toy.lookup(GAIA)
