"""The gnomonic projection against astropy's."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from vascodb.plates.tangent import plane_to_sky, sky_to_plane

CENTRES = [(150.0, 20.0), (0.0, 0.0), (359.999, -60.0), (77.0, 90.0), (10.0, -90.0), (200.0, 89.9)]


def astropy_tan(ra0: float, dec0: float) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [ra0, dec0], [0, 0], [1 / 3600, 1 / 3600]
    # North is up also at the pole itself, where FITS would turn the plane by default.
    wcs.wcs.lonpole = 180
    return wcs


@pytest.mark.parametrize("centre", CENTRES)
def test_both_ways_agree_with_astropy(centre: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    xi, eta = rng.uniform(-12000, 12000, (2, 300))
    ra, dec = plane_to_sky(xi, eta, *centre)
    expected = SkyCoord(*astropy_tan(*centre).wcs_pix2world(xi, eta, 1), unit="deg")
    assert SkyCoord(ra, dec, unit="deg").separation(expected).arcsec.max() < 1e-8
    assert (ra >= 0).all() and (ra < 360).all()
    back = sky_to_plane(ra, dec, *centre)
    assert np.allclose(back, (xi, eta), rtol=0, atol=1e-7)


@given(
    xi=st.floats(-1e5, 1e5), eta=st.floats(-1e5, 1e5), ra=st.floats(0, 360, exclude_max=True),
    dec=st.floats(-90, 90),
)  # fmt: skip
def test_there_and_back(xi: float, eta: float, ra: float, dec: float) -> None:
    sky = plane_to_sky(xi, eta, ra, dec)
    assert 0 <= sky[0] < 360 and -90 <= sky[1] <= 90
    assert np.allclose(sky_to_plane(*sky, ra, dec), (xi, eta), rtol=1e-9, atol=1e-6)


def test_the_far_side_of_the_sky_has_no_place_on_the_plane() -> None:
    ra, dec = np.array([10.0, 100.0, 100.1, 190.0, 10.0]), np.array([0.0, 0.0, 0.0, 0.0, 89.0])
    xi, _ = sky_to_plane(ra, dec, 10.0, 0.0)
    assert np.array_equal(np.isnan(xi[2:]), [True, True, False])
    assert xi[0] == 0
    distance = SkyCoord(ra[4], dec[4], unit="deg").separation(SkyCoord(10, 0, unit="deg"))
    assert np.hypot(*sky_to_plane(ra[4], dec[4], 10.0, 0.0)) == pytest.approx(np.tan(distance) / u.arcsec.to(u.rad))


def test_nan_stays_nan_and_nothing_gives_nothing() -> None:
    assert np.isnan(plane_to_sky(np.nan, 0.0, 10.0, 10.0)).all()
    assert np.isnan(sky_to_plane(np.nan, 0.0, 10.0, 10.0)).all()
    assert plane_to_sky([], [], 10.0, 10.0)[0].shape == (0,)
    assert plane_to_sky(np.zeros((2, 3)), np.zeros((2, 3)), 10.0, 10.0)[0].shape == (2, 3)
