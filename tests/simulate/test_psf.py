import numpy as np
import pytest

from vascodb.simulate.psf import Psf

CENTRE = Psf(fwhm_arcsec=2.7, scale_arcsec_px=1.7, centre_px=(100.0, 100.0), half_size_px=7000.0)


def render(psf, x, y, mag, shape=(200, 200)):
    light = np.zeros(shape, np.float32)
    psf.render(
        light, np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float)), np.full(np.size(x), float(mag))
    )
    return light


def test_a_star_is_centred_on_fits_pixels():
    light = render(CENTRE, 100.0, 90.0, 15.0)
    assert np.unravel_index(light.argmax(), light.shape) == (89, 99)
    assert np.average(np.arange(200), weights=light.sum(axis=0)) + 1 == pytest.approx(100.0, abs=0.01)


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.49])
def test_the_centroid_follows_the_position_within_a_pixel(phase):
    light = render(CENTRE, 100.0 + phase, 100.0 - phase, 15.0)
    rows, columns = np.indices(light.shape)
    assert np.average(columns, weights=light) + 1 == pytest.approx(100.0 + phase, abs=0.02)
    assert np.average(rows, weights=light) + 1 == pytest.approx(100.0 - phase, abs=0.02)


def test_five_magnitudes_are_a_factor_of_a_hundred():
    assert render(CENTRE, 100, 100, 12.0).max() == pytest.approx(100 * render(CENTRE, 100, 100, 17.0).max(), rel=0.01)


def test_the_width_is_the_one_asked_for():
    fine = Psf(fwhm_arcsec=2.7, scale_arcsec_px=0.1, centre_px=(300.0, 300.0), half_size_px=120_000.0)
    light = render(fine, 300, 300, 15.0, shape=(600, 600))
    across = np.count_nonzero(light[299] > light.max() / 2) * 0.1
    assert across == pytest.approx(2.7, abs=0.15)


def test_light_is_kept_when_the_image_is_broader():
    sharp, soft = (render(Psf(width, 1.7, (100.0, 100.0), 7000.0), 100, 100, 14.0).sum() for width in (2.7, 4.0))
    assert soft == pytest.approx(sharp, rel=0.03)


def test_stars_are_stretched_along_the_radius_at_the_rim():
    def moments(x0, y0):
        psf = Psf(2.7, 1.7, (100.0 - x0, 100.0 - y0), 7000.0)
        light = render(psf, 100, 100, 17.0)
        rows, columns = np.indices(light.shape) - 99.0
        near = np.hypot(rows, columns) < 6
        return np.average(columns**2, weights=light * near) / np.average(rows**2, weights=light * near)

    assert moments(7000, 0) > 1.08
    assert moments(0, 7000) < 0.95
    assert moments(0, 0) == pytest.approx(1.0, abs=0.06)


def test_a_bright_star_has_four_spikes():
    light = render(CENTRE, 100, 100, 8.0)
    along = [light[99, 140], light[99, 58], light[140, 99], light[58, 99]]
    between = light[99 + 29, 99 + 29]
    assert min(along) > 1.5 * between


def test_a_star_beyond_the_edge_sheds_its_light_inside_and_not_on_the_other_side():
    light = render(CENTRE, -3.0, 100.0, 9.0)
    assert light[99, 0] > 0.1
    assert light[99, -1] < 0.01 * light[99, 0]


def test_a_far_star_changes_nothing():
    assert render(CENTRE, -500.0, 100.0, 15.0).max() == 0


def test_stars_of_one_place_add_up():
    both = render(CENTRE, [100.0, 100.0], [100.0, 100.0], 15.0)
    np.testing.assert_allclose(both, 2 * render(CENTRE, 100.0, 100.0, 15.0), rtol=1e-5)
