"""Which solution of a header is used, and the plate's own scale."""

from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from plateimages import cutout_header, plate_header, tan_keys

from vascodb.errors import InputError
from vascodb.plates.solution import TanSolution, read_astrometry, solution_kinds

TAN = tan_keys(30.5, 142.5, 24.0)


@pytest.mark.parametrize(
    ("header", "kinds"),
    [
        (plate_header(), ("dss",)),
        (cutout_header(**TAN), ("tan", "dss")),
        (cutout_header(**TAN, ORIGIN="CASB -- STScI"), ("dss", "tan")),
        (TAN, ("tan",)),
        (cutout_header(**TAN | {"CTYPE1": "RA---SIN"}), ("dss",)),
        ({}, ()),
        ({"CRVAL1": 1.0, "CTYPE1": "RA---TAN"}, ()),
    ],
)
def test_the_better_solution_comes_first(header: dict[str, object], kinds: tuple[str, ...]) -> None:
    assert solution_kinds(header) == kinds
    if kinds:
        astrometry = read_astrometry(header)
        assert (astrometry.kind, astrometry.available) == (kinds[0], kinds)


def test_a_solution_can_be_asked_for() -> None:
    assert read_astrometry(cutout_header(**TAN), kind="dss").kind == "dss"
    with pytest.raises(InputError, match="has no tan solution, only dss"):
        read_astrometry(plate_header(), kind="tan")
    with pytest.raises(InputError, match="no astrometric solution"):
        read_astrometry({})


@pytest.mark.parametrize("centre", [(142.5, 24.0), (0.001, 0.0), (10.0, 89.99), (200.0, -90.0)])
def test_tan_agrees_with_astropy_both_ways(centre: tuple[float, float]) -> None:
    angle = np.radians(3.0)
    keys = tan_keys(30.5, *centre) | {"CD1_2": np.sin(angle) * 5e-4, "CD2_1": -np.sin(angle) * 4e-4}
    wcs = WCS(fits.Header(keys))
    solution = read_astrometry(keys).solution
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-3000, 3000, (2, 200))
    got = SkyCoord(*solution.pixel_to_sky(x, y), unit="deg")
    assert got.separation(SkyCoord(*wcs.wcs_pix2world(x, y, 1), unit="deg")).arcsec.max() < 1e-6
    assert np.allclose(solution.sky_to_pixel(got.ra.deg, got.dec.deg), (x, y), rtol=0, atol=1e-6)


def test_a_missing_off_diagonal_of_the_matrix_is_zero() -> None:
    header = {key: value for key, value in TAN.items() if key not in ("CD1_2", "CD2_1")}
    assert read_astrometry(header).solution == read_astrometry(TAN).solution


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"CD1_1": 0.0}, "singular CD matrix"), ({"CRVAL2": float("nan")}, "CRVAL2"), ({"CRPIX1": "x"}, "CRPIX1"),
        ({"CRVAL1": None}, "CRVAL1|no astrometric solution"),
    ],
)  # fmt: skip
def test_a_tan_solution_that_is_none_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_astrometry(TAN | change)


def test_the_scale_is_the_plates_own() -> None:
    assert read_astrometry(plate_header()).scale_arcsec_px == pytest.approx(67.2 * 25.2845 / 1000)
    assert read_astrometry(plate_header(XPIXELSZ=15.0, YPIXELSZ=15.0)).scale_arcsec_px == pytest.approx(
        67.2 * 15.0 / 1000
    )
    assert read_astrometry(TAN).scale_arcsec_px == pytest.approx(1.7)
    bare = plate_header(PLTSCALE=None)
    assert read_astrometry(bare).scale_arcsec_px == pytest.approx(np.hypot(67.24, 0.71) * 25.2845 / 1000)


def test_half_a_pixel_of_convention_is_right_on_a_real_plate(shared_data: Path) -> None:
    """Where DSS and TAN of a CD-ROM cutout are the same fit, they agree in the middle of the image."""
    header = dict(fits.getheader(shared_data / "tiles" / "POSS1-E_XE410_midas_wcstest_10arcmin.fits"))
    dss, tan = (read_astrometry(header, kind=kind) for kind in ("dss", "tan"))
    assert isinstance(tan.solution, TanSolution)
    assert (read_astrometry(header).kind, dss.available) == ("dss", ("dss", "tan"))
    middle = (header["NAXIS1"] + 1) / 2
    places = [SkyCoord(*a.solution.pixel_to_sky(middle, middle), unit="deg") for a in (dss, tan)]
    assert places[0].separation(places[1]).arcsec < 0.1
