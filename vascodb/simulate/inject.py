"""What is put on a simulated plate: field stars, fast stars, blends and vanished sources."""

import numpy as np

from vascodb.simulate.defects import LONGEST_HALF_PX
from vascodb.simulate.emulsion import FlawPixels
from vascodb.simulate.place import FreePlaces
from vascodb.simulate.sky import ImageSky
from vascodb.simulate.stars import REFERENCE_EPOCH_JYEAR, Stars, draw_field, draw_moving_stars, make_stars
from vascodb.simulate.truth import ACCEPTANCE_MARGIN_MAG, HALO_EXPOSURE, Vanished

__all__ = ["EDGE_ARCSEC", "FROM_STARS_ARCSEC", "draw_stars", "draw_vanished", "take_pixels"]

# An isolated source: no reference star within 10 arcsec, then or now (the counterpart search
# reaches 5), and no star above the plate limit within 12 arcsec of its halo.
_FROM_REFERENCE_ARCSEC = 10.5
FROM_STARS_ARCSEC = 12.0
_APART_ARCSEC = 25.0
EDGE_ARCSEC = 25.0
_VANISHED_RANGE_MAG = 4.5
_BLEND_ARCSEC = (3.0, 8.0)
_BLENDED_ARCSEC = (4.0, 8.0)


def draw_stars(sky: ImageSky, free: FreePlaces, field_rng: np.random.Generator, rng: np.random.Generator) -> Stars:
    """Field stars, blends and fast stars; afterwards ``free`` knows where all of them are."""
    spec = sky.spec
    n_y, n_x = spec.shape
    stars = draw_field(spec, sky.cone, n_x * n_y * (spec.scan.scale_arcsec_px / 60.0) ** 2, sky.limit_mag, field_rng)
    _take(sky, free, stars)
    x, y = free.pick(spec.n_blends, sky.pixels(_APART_ARCSEC), rng)
    apart = sky.pixels(1.0) * rng.uniform(*_BLEND_ARCSEC, spec.n_blends)
    angle = rng.uniform(0, 2 * np.pi, spec.n_blends)
    both = sky.solution.pixel_to_sky(
        np.concatenate([x, x + apart * np.cos(angle)]), np.concatenate([y, y + apart * np.sin(angle)])
    )
    mag = rng.uniform(sky.limit_mag - 4.0, sky.limit_mag - 0.8, spec.n_blends)
    fainter = np.minimum(mag + rng.uniform(0, 2, spec.n_blends), sky.limit_mag - 0.2)
    still = np.zeros(2 * spec.n_blends)
    number = np.tile(np.arange(1, spec.n_blends + 1), 2)
    blends = make_stars(*both, still, still, np.concatenate([mag, fainter]), rng, kind="blend", pair=number)
    _take(sky, free, blends)
    places = sky.solution.pixel_to_sky(*free.pick(spec.n_high_pm, sky.pixels(FROM_STARS_ARCSEC), rng))
    fast = draw_moving_stars(*places, REFERENCE_EPOCH_JYEAR - sky.epoch_jyear, sky.limit_mag, rng)
    _take(sky, free, fast)
    return stars.joined(blends).joined(fast)


def _take(sky: ImageSky, free: FreePlaces, stars: Stars) -> None:
    """Take the places of stars on the plate and in the catalogue, and their halos on the plate."""
    around = np.full(len(stars), sky.pixels(_FROM_REFERENCE_ARCSEC))
    halo = sky.psf.reach_px(stars.mag, HALO_EXPOSURE)
    visible = stars.mag < sky.limit_mag
    free.take(*sky.on_plate(stars), np.where(visible, sky.pixels(FROM_STARS_ARCSEC) + halo, around))
    free.take(*sky.solution.sky_to_pixel(stars.ra_deg, stars.dec_deg), around)


def take_pixels(sky: ImageSky, free: FreePlaces, pixels: FlawPixels) -> None:
    """Take the surroundings of flaw pixels; of so many neighbours some are enough."""
    row, column = pixels.row[::10].astype(np.float64), pixels.column[::10].astype(np.float64)
    free.take(column + 1, row + 1, np.full(len(row), sky.pixels(FROM_STARS_ARCSEC)))


def draw_vanished(sky: ImageSky, free: FreePlaces, stars: Stars, rng: np.random.Generator) -> Vanished:
    """Isolated vanished sources and some beside stars; afterwards ``free`` knows where they are."""
    spec = sky.spec
    host_x, host_y = sky.on_plate(stars)
    n_y, n_x = spec.shape
    edge = sky.pixels(EDGE_ARCSEC)
    suitable = np.flatnonzero(
        (host_x > edge) & (host_x < n_x - edge) & (host_y > edge) & (host_y < n_y - edge)
        & (np.abs(stars.mag - (sky.limit_mag - 2.5)) < 1.5) & (stars.kind == "star")
    )  # fmt: skip
    n_blended = min(spec.n_vanished_blended, len(suitable))
    host = rng.choice(suitable, n_blended, replace=False)
    apart = sky.pixels(1.0) * rng.uniform(*_BLENDED_ARCSEC, n_blended)
    angle = rng.uniform(0, 2 * np.pi, n_blended)
    beside_x, beside_y = host_x[host] + apart * np.cos(angle), host_y[host] + apart * np.sin(angle)
    free.take(beside_x, beside_y, np.full(n_blended, sky.pixels(_APART_ARCSEC)))
    beside_mag = rng.uniform(sky.limit_mag - 3.0, sky.limit_mag - ACCEPTANCE_MARGIN_MAG, n_blended)
    x, y = free.pick(spec.n_vanished, sky.pixels(_APART_ARCSEC), rng)
    mag = rng.uniform(sky.limit_mag - _VANISHED_RANGE_MAG, sky.limit_mag, spec.n_vanished)
    # Whatever is placed next, defects, may be long.
    free.take(x, y, np.full(len(x), sky.pixels(FROM_STARS_ARCSEC) + LONGEST_HALF_PX))
    kind = np.repeat(np.array(["vanished", "vanished_blended"]), [spec.n_vanished, n_blended])
    return Vanished(
        kind, np.concatenate([x, beside_x]), np.concatenate([y, beside_y]),
        np.concatenate([mag, beside_mag]).round(4),
    )  # fmt: skip
