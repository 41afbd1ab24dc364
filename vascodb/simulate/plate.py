"""Simulate a plate: the image, the modern catalogue of the same sky, and the truth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray

from vascodb.plates.dates import read_exposure_times
from vascodb.plates.solution import PixelSolution, read_astrometry
from vascodb.simulate.defects import LONGEST_HALF_PX, draw_defects, draw_trails
from vascodb.simulate.emulsion import Emulsion, FlawPixels
from vascodb.simulate.header import make_header
from vascodb.simulate.limit import background_rms, limit_5sigma_mag
from vascodb.simulate.motion import separation_arcsec, unit_vectors
from vascodb.simulate.place import FreePlaces
from vascodb.simulate.psf import Psf
from vascodb.simulate.spec import SimulationSpec
from vascodb.simulate.stars import (
    REFERENCE_EPOCH_JYEAR,
    Cone,
    Stars,
    draw_field,
    draw_moving_stars,
    make_stars,
)
from vascodb.simulate.truth import ACCEPTANCE_MARGIN_MAG, HALO_EXPOSURE, Vanished, truth_table

__all__ = ["SimulatedPlate", "simulate_plate"]

Floats = NDArray[np.float64]

# An isolated source: no reference star within 10 arcsec, then or now (the counterpart search
# reaches 5), and no star above the plate limit within 12 arcsec of its halo.
_FROM_REFERENCE_ARCSEC = 10.5
_FROM_STARS_ARCSEC = 12.0
_APART_ARCSEC = 25.0
_EDGE_ARCSEC = 25.0
_VANISHED_RANGE_MAG = 4.5
_BLEND_ARCSEC = (3.0, 8.0)
_BLENDED_ARCSEC = (4.0, 8.0)


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


@dataclass(frozen=True)
class _Sky:
    """Where stars fall on the image, and how far the catalogue must reach."""

    spec: SimulationSpec
    solution: PixelSolution
    psf: Psf
    epoch_jyear: float
    limit_mag: float
    cone: Cone
    corners: tuple[Floats, Floats]

    def pixels(self, arcsec: float) -> float:
        return arcsec / self.spec.scan.scale_arcsec_px

    def on_plate(self, stars: Stars) -> tuple[Floats, Floats]:
        """Pixels at the plate's epoch."""
        return self.solution.sky_to_pixel(*stars.at_epoch(self.epoch_jyear))


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
    sky = _make_sky(spec, header, emulsion)
    free = FreePlaces(spec.shape, sky.pixels(_EDGE_ARCSEC))
    stars = _draw_stars(sky, free, streams[1], streams[2])
    trails = draw_trails(spec.n_trails, spec.shape, streams[4])
    _take_pixels(sky, free, trails.pixels)
    vanished = _draw_vanished(sky, free, stars, streams[3])
    free.take(vanished.x, vanished.y, np.full(len(vanished.x), sky.pixels(_FROM_STARS_ARCSEC) + LONGEST_HALF_PX))
    places = free.pick(spec.n_defects, sky.pixels(_FROM_STARS_ARCSEC), streams[5])
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


def _make_sky(spec: SimulationSpec, header: fits.Header, emulsion: Emulsion) -> _Sky:
    astrometry = read_astrometry(header)
    epoch = read_exposure_times(header).epoch_jyear
    assert epoch is not None  # make_header writes a readable DATE-OBS
    centre = astrometry.solution.sky_to_pixel(float(header["PLATERA"]), float(header["PLATEDEC"]))
    half_size = max(spec.scan.n_x, spec.scan.n_y) / 2
    psf = Psf(spec.psf_fwhm_arcsec, spec.scan.scale_arcsec_px, (float(centre[0]), float(centre[1])), half_size)
    n_y, n_x = spec.shape
    corners = astrometry.solution.pixel_to_sky([0.5, n_x + 0.5, n_x + 0.5, 0.5], [0.5, 0.5, n_y + 0.5, n_y + 0.5])
    ra, dec = astrometry.solution.pixel_to_sky((n_x + 1) / 2, (n_y + 1) / 2)
    to_corner = separation_arcsec(unit_vectors(*corners), unit_vectors(ra, dec)).max() / 3600.0
    # Upwards to a thousandth of a degree, so that the number in the metadata is the number used.
    radius = float(np.ceil((to_corner + spec.reference_pad_arcmin / 60.0) * 1000) / 1000)
    cone = Cone(round(float(ra), 6) % 360.0, round(float(dec), 6), radius)
    limit = limit_5sigma_mag(psf, emulsion, emulsion.sky_rms, shape=spec.shape)
    return _Sky(spec, astrometry.solution, psf, epoch, limit, cone, corners)


def _draw_stars(sky: _Sky, free: FreePlaces, field_rng: np.random.Generator, rng: np.random.Generator) -> Stars:
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
    places = sky.solution.pixel_to_sky(*free.pick(spec.n_high_pm, sky.pixels(_FROM_STARS_ARCSEC), rng))
    fast = draw_moving_stars(*places, REFERENCE_EPOCH_JYEAR - sky.epoch_jyear, sky.limit_mag, rng)
    _take(sky, free, fast)
    return stars.joined(blends).joined(fast)


def _take(sky: _Sky, free: FreePlaces, stars: Stars) -> None:
    """Take the places of stars on the plate and in the catalogue, and their halos on the plate."""
    around = np.full(len(stars), sky.pixels(_FROM_REFERENCE_ARCSEC))
    halo = sky.psf.reach_px(stars.mag, HALO_EXPOSURE)
    visible = stars.mag < sky.limit_mag
    free.take(*sky.on_plate(stars), np.where(visible, sky.pixels(_FROM_STARS_ARCSEC) + halo, around))
    free.take(*sky.solution.sky_to_pixel(stars.ra_deg, stars.dec_deg), around)


def _take_pixels(sky: _Sky, free: FreePlaces, pixels: FlawPixels) -> None:
    """Take the surroundings of flaw pixels; of so many neighbours some are enough."""
    row, column = pixels.row[::10].astype(np.float64), pixels.column[::10].astype(np.float64)
    free.take(column + 1, row + 1, np.full(len(row), sky.pixels(_FROM_STARS_ARCSEC)))


def _draw_vanished(sky: _Sky, free: FreePlaces, stars: Stars, rng: np.random.Generator) -> Vanished:
    spec = sky.spec
    x, y = free.pick(spec.n_vanished, sky.pixels(_APART_ARCSEC), rng)
    mag = rng.uniform(sky.limit_mag - _VANISHED_RANGE_MAG, sky.limit_mag, spec.n_vanished)
    host_x, host_y = sky.on_plate(stars)
    n_y, n_x = spec.shape
    edge = sky.pixels(_EDGE_ARCSEC)
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
    kind = np.repeat(np.array(["vanished", "vanished_blended"]), [spec.n_vanished, n_blended])
    return Vanished(
        kind, np.concatenate([x, beside_x]), np.concatenate([y, beside_y]),
        np.concatenate([mag, beside_mag]).round(4),
    )  # fmt: skip


def _join(parts: list[FlawPixels]) -> FlawPixels:
    row, column, density = (np.concatenate([getattr(p, name) for p in parts]) for name in ("row", "column", "density"))
    return FlawPixels.sorted_by_row(row, column, density)


def _reference_table(stars: Stars, sky: _Sky) -> Table:
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


def _truth_meta(sky: _Sky, limit_mag: float, rms: float) -> dict[str, Any]:
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
