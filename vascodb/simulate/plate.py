"""Simulate a plate: the image, the modern catalogue of the same sky, and the truth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray

from vascodb.simulate.defects import draw_defects, draw_trails
from vascodb.simulate.emulsion import Emulsion, FlawPixels
from vascodb.simulate.header import make_header
from vascodb.simulate.inject import EDGE_ARCSEC, FROM_STARS_ARCSEC, draw_stars, draw_vanished, take_pixels
from vascodb.simulate.limit import background_rms, limit_5sigma_mag
from vascodb.simulate.place import FreePlaces
from vascodb.simulate.sky import ImageSky, make_sky
from vascodb.simulate.spec import SimulationSpec
from vascodb.simulate.stars import REFERENCE_EPOCH_JYEAR, Stars
from vascodb.simulate.truth import truth_table

__all__ = ["SimulatedPlate", "simulate_plate"]


@dataclass(frozen=True)
class SimulatedPlate:
    """A simulated plate.

    Parameters
    ----------
    spec : SimulationSpec
        What was asked for.
    header : astropy.io.fits.Header
        Header of the image.
    image : ndarray of int16, shape (n_y, n_x)
        Pixel values.
    reference : astropy.table.Table
        The modern catalogue at 2016.0, with Gaia's column names; ``meta['cone']`` is the circle
        it covers completely.
    truth : astropy.table.Table
        See `vascodb.simulate.truth`; ``meta`` has the limit, the epoch and the image's corners.
    """

    spec: SimulationSpec
    header: fits.Header
    image: NDArray[np.int16]
    reference: Table
    truth: Table


def simulate_plate(spec: SimulationSpec) -> SimulatedPlate:
    """Simulate a digitised plate with a known truth.

    Parameters
    ----------
    spec : SimulationSpec
        What to simulate.

    Returns
    -------
    SimulatedPlate
        The same for the same specification.

    Raises
    ------
    InputError
        If the image does not fit on its plate or the field has no room for the injected objects.
    """
    # One stream per purpose: asking for more of one kind leaves the others' draws alone.
    streams = [np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(spec.seed).spawn(7)]
    header = make_header(spec, streams[0])
    emulsion = Emulsion()
    sky = make_sky(spec, header, emulsion)
    free = FreePlaces(spec.shape, sky.pixels(EDGE_ARCSEC))
    stars = draw_stars(sky, free, streams[1], streams[2])
    trails = draw_trails(spec.n_trails, spec.shape, streams[4])
    take_pixels(sky, free, trails.pixels)
    vanished = draw_vanished(sky, free, stars, streams[3])
    places = free.pick(spec.n_defects, sky.pixels(FROM_STARS_ARCSEC), streams[5])
    defects = [draw_defects(*places, spec.shape, streams[5]), trails]

    x, y = sky.on_plate(stars)
    light = np.zeros(spec.shape, np.float32)
    sky.psf.render(
        light, np.concatenate([x, vanished.x]), np.concatenate([y, vanished.y]),
        np.concatenate([stars.mag, vanished.mag]),
    )  # fmt: skip
    image = emulsion.develop(light, _join([d.pixels for d in defects]), streams[6])
    rms = background_rms(image)
    limit = limit_5sigma_mag(sky.psf, emulsion, rms, shape=spec.shape)
    truth = truth_table(stars, (x, y), stars.at_epoch(sky.epoch_jyear), vanished, defects, sky.solution, sky.psf,
                        spec.shape, limit)  # fmt: skip
    truth.meta.update(_truth_meta(sky, limit, rms))
    return SimulatedPlate(spec, header, image, _reference_table(stars, sky), truth)


def _join(parts: list[FlawPixels]) -> FlawPixels:
    row, column, density = (np.concatenate([getattr(p, name) for p in parts]) for name in ("row", "column", "density"))
    return FlawPixels.sorted_by_row(row, column, density)


def _reference_table(stars: Stars, sky: ImageSky) -> Table:
    unknown = ~stars.has_motion
    table = Table({
        "source_id": stars.source_id,
        "ra": stars.ra_deg,
        "dec": stars.dec_deg,
        "pmra": MaskedColumn(stars.pmra, mask=unknown),
        "pmdec": MaskedColumn(stars.pmdec, mask=unknown),
        "phot_g_mean_mag": stars.g_mag,
    })  # fmt: skip
    table["ra"].unit = table["dec"].unit = "deg"
    table["pmra"].unit = table["pmdec"].unit = "mas / yr"
    table["phot_g_mean_mag"].unit = "mag"
    cone = sky.cone
    table.meta.update({
        "simulated": True,
        "seed": sky.spec.seed,
        "ref_epoch": REFERENCE_EPOCH_JYEAR,
        "cone": {"ra_deg": cone.ra_deg, "dec_deg": cone.dec_deg, "radius_deg": cone.radius_deg},
    })  # fmt: skip
    return table


def _truth_meta(sky: ImageSky, limit_mag: float, rms: float) -> dict[str, Any]:
    spec = sky.spec
    return {
        "simulated": True,
        "seed": spec.seed,
        "region": spec.region,
        "epoch_jyear": round(sky.epoch_jyear, 9),
        "limit_5sigma_mag": limit_mag,
        "limit_definition": "half of the stars of this magnitude have 5 pixels above 5 sigma after the 3x3 filter",
        "background_rms": round(rms, 2),
        "n_pixels": [spec.shape[1], spec.shape[0]],
        "scale_arcsec_px": round(spec.scan.scale_arcsec_px, 6),
        "corner_ra_deg": [round(float(v), 9) for v in sky.corners[0]],
        "corner_dec_deg": [round(float(v), 9) for v in sky.corners[1]],
    }
