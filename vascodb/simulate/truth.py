"""The truth table: what was put on the plate, where, and what should become of it.

====================  =======================================================  ==================
kind                  what it is                                               expected
====================  =======================================================  ==================
``star``              in the reference catalogue, moved to the plate's epoch   ``matched``
``high_pm``           the same, with 0.1 to 3 arcsec per year                  ``matched``
``blend``             the same, one of a pair 3 to 8 arcsec apart              ``matched``
``vanished``          a point source that is not in the reference catalogue,   ``candidate``;
                      12 arcsec from every star and outside halos              ``marginal`` within
                                                                               0.5 mag of the limit
``vanished_blended``  the same, 4 to 8 arcsec from a star                      ``blended``
``defect``            a flaw or a trail; its sort is in ``subkind``            ``rejected``
====================  =======================================================  ==================
"""

from dataclasses import dataclass

import numpy as np
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray

from vascodb.plates.solution import PixelSolution
from vascodb.simulate.defects import Defects
from vascodb.simulate.motion import separation_arcsec, unit_vectors
from vascodb.simulate.psf import Psf
from vascodb.simulate.stars import Stars

__all__ = ["ACCEPTANCE_MARGIN_MAG", "Vanished", "truth_table"]

Floats = NDArray[np.float64]

ACCEPTANCE_MARGIN_MAG = 0.5
# Exposure at which a star's halo is at about half of the sky's noise.
HALO_EXPOSURE = 0.02
_EXPECTED = {"star": "matched", "high_pm": "matched", "blend": "matched", "vanished_blended": "blended"}
_DESCRIPTIONS = {
    "id": ("", "number in this table"),
    "kind": ("", "what the object is"),
    "subkind": ("", "sort of defect"),
    "ra": ("deg", "right ascension on the plate, at its epoch, J2000 axes"),
    "dec": ("deg", "declination on the plate, at its epoch, J2000 axes"),
    "x": ("pix", "FITS pixel coordinate, first pixel centre at 1"),
    "y": ("pix", "FITS pixel coordinate, first pixel centre at 1"),
    "mag": ("mag", "magnitude on the plate"),
    "expected": ("", "what a faultless search makes of it"),
    "extent_arcsec": ("arcsec", "radius of the halo, or of the defect"),
    "moved_arcsec": ("arcsec", "from the plate's epoch to 2016.0"),
    "source_id": ("", "in the reference catalogue"),
    "pair": ("", "number of the blend"),
}


@dataclass(frozen=True)
class Vanished:
    """Sources that are on the plate and in no catalogue.

    Parameters
    ----------
    kind : ndarray of str, shape (n,)
        ``vanished`` or ``vanished_blended``.
    x, y, mag : ndarray, shape (n,)
        FITS pixels and plate magnitudes.
    """

    kind: NDArray[np.str_]
    x: Floats
    y: Floats
    mag: Floats


def truth_table(
    stars: Stars,
    star_xy: tuple[Floats, Floats],
    star_sky: tuple[Floats, Floats],
    vanished: Vanished,
    defects: list[Defects],
    solution: PixelSolution,
    psf: Psf,
    shape: tuple[int, int],
    limit_mag: float,
) -> Table:
    """The truth table of everything whose centre is on the image.

    Parameters
    ----------
    stars : Stars
        The reference stars.
    star_xy, star_sky : tuple of 2 ndarray
        Their pixels and their positions in degrees, at the plate's epoch.
    vanished : Vanished
        Injected sources.
    defects : list of Defects
        Injected flaws and trails.
    solution : PixelSolution
        The image's astrometry.
    psf : Psf
        For the size of the halos.
    shape : tuple of 2 int
        Rows and columns of the image.
    limit_mag : float
        The plate's 5 sigma limit.
    """
    x, y = star_xy
    on_image = (x >= 0.5) & (x < shape[1] + 0.5) & (y >= 0.5) & (y < shape[0] + 0.5)
    flaw_x = np.concatenate([np.zeros(0), *(d.x for d in defects)])
    flaw_y = np.concatenate([np.zeros(0), *(d.y for d in defects)])
    flaw_kind = np.concatenate([np.zeros(0, "U16"), *(d.kind for d in defects)])
    flaw_extent = np.concatenate([np.zeros(0), *(d.extent_px for d in defects)])
    n_stars, n_vanished, n_flaws = int(on_image.sum()), len(vanished.mag), len(flaw_x)
    n_others = n_vanished + n_flaws
    other_x, other_y = np.concatenate([vanished.x, flaw_x]), np.concatenate([vanished.y, flaw_y])
    other_ra, other_dec = solution.pixel_to_sky(other_x, other_y)
    mag = np.concatenate([stars.mag[on_image], vanished.mag, np.zeros(n_flaws)])
    kind = np.concatenate([stars.kind[on_image], vanished.kind, np.full(n_flaws, "defect")])
    no_mag = kind == "defect"
    moved = separation_arcsec(unit_vectors(stars.ra_deg, stars.dec_deg), unit_vectors(*star_sky))[on_image]
    halo = psf.reach_px(mag, HALO_EXPOSURE)
    halo[no_mag] = flaw_extent
    no_star = np.arange(n_stars + n_others) >= n_stars
    zeros = np.zeros(n_others, np.int64)
    columns = {
        "id": np.arange(1, n_stars + n_others + 1),
        "kind": kind,
        "subkind": np.concatenate([np.full(n_stars + n_vanished, ""), flaw_kind]),
        "ra": np.concatenate([star_sky[0][on_image], other_ra]).round(10),
        "dec": np.concatenate([star_sky[1][on_image], other_dec]).round(10),
        "x": np.concatenate([x[on_image], other_x]).round(5),
        "y": np.concatenate([y[on_image], other_y]).round(5),
        "mag": MaskedColumn(mag, mask=no_mag),
        "expected": _expected(kind, mag, limit_mag),
        "extent_arcsec": (halo * psf.scale_arcsec_px).round(2),
        "moved_arcsec": np.concatenate([moved, np.zeros(n_others)]).round(5),
        "source_id": MaskedColumn(np.concatenate([stars.source_id[on_image], zeros]), mask=no_star),
        "pair": MaskedColumn(np.concatenate([stars.pair[on_image], zeros - 1])),
    }
    columns["pair"].mask = columns["pair"] < 0
    table = Table(columns)
    for name, (unit, description) in _DESCRIPTIONS.items():
        table[name].unit, table[name].description = unit or None, description
    return table


def _expected(kind: NDArray[np.str_], mag: Floats, limit_mag: float) -> NDArray[np.str_]:
    expected = np.array([_EXPECTED.get(word, "rejected") for word in kind.tolist()], dtype="U16")
    vanished = kind == "vanished"
    expected[vanished] = np.where(mag[vanished] <= limit_mag - ACCEPTANCE_MARGIN_MAG, "candidate", "marginal")
    return expected
