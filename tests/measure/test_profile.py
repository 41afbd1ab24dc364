import numpy as np
import pytest
from photutils.profiles import RadialProfile

from vascodb.measure.background import without_background
from vascodb.measure.profile import EDGE_RADII_PX, normalised, profile_difference, radial_profile

from .stars import SKY, gaussians

N_RINGS = 29


def gaussian_rings(sigma: float) -> np.ndarray:
    """Mean of a Gaussian of height 1 over each ring."""
    inner, outer = EDGE_RADII_PX[:-1], EDGE_RADII_PX[1:]
    integral = np.exp(-(inner**2) / (2 * sigma**2)) - np.exp(-(outer**2) / (2 * sigma**2))
    return 2 * sigma**2 * integral / (outer**2 - inner**2)


@pytest.mark.parametrize("at", [(50.0, 50.0), (50.4, 49.7), (20.5, 60.5)])
def test_a_gaussian_has_the_profile_of_a_gaussian(at):
    image = gaussians((101, 101), [at[0]], [at[1]], [1.0], [4.0]) - SKY
    np.testing.assert_allclose(radial_profile(image, *at), gaussian_rings(4.0), atol=0.02)


def test_at_an_edge_only_the_pixels_there_are_count():
    image = gaussians((101, 101), [3.0], [2.0], [1.0], [4.0]) - SKY
    np.testing.assert_allclose(radial_profile(image, 3.0, 2.0), gaussian_rings(4.0), atol=0.02)


@pytest.mark.parametrize("at", [(50.0, 50.0), (50.37, 48.81), (3.2, 98.4), (0.2, 40.0)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_it_is_the_profile_of_photutils(at, kind):
    image = gaussians((101, 101), [50.0], [50.0], [3000.0], [2.0], noise=50.0).astype(kind)
    image[47, 52] = np.nan
    expected = RadialProfile(image, at, EDGE_RADII_PX, mask=np.isnan(image)).profile
    np.testing.assert_allclose(radial_profile(image, *at), expected, rtol=1e-6 if kind is np.float32 else 1e-12)


def test_pixels_without_a_value_count_for_nothing():
    image = gaussians((101, 101), [50.0], [50.0], [1.0], [4.0]) - SKY
    image[50:, 53:55] = np.nan
    np.testing.assert_allclose(radial_profile(image, 50.0, 50.0), gaussian_rings(4.0), atol=0.02)
    image[49:52, 49:52] = np.nan
    assert np.isnan(radial_profile(image, 50.0, 50.0)[0])


@pytest.mark.parametrize("at", [(-40.0, 50.0), (50.0, 300.0)])
def test_beyond_the_image_nothing_is_known(at):
    profile = radial_profile(np.ones((101, 101)), *at)
    assert profile.shape == (N_RINGS,)
    assert np.isnan(profile).all()


def test_a_normalised_profile_is_between_0_and_1():
    np.testing.assert_allclose(normalised(np.array([5.0, np.nan, 1.0, 2.0])), [1, np.nan, 0, 0.25])
    assert np.isnan(normalised(np.full(3, 7.0))).all()
    assert np.isnan(normalised(np.full(3, np.nan))).all()


def test_the_difference_is_weighted_by_the_mean_without_core_and_sky():
    rng = np.random.default_rng(1)
    target, mean = rng.uniform(0, 1, N_RINGS), rng.uniform(0, 1, N_RINGS)
    expected = 0.0
    for i in range(2, N_RINGS):
        if mean[i] > 0.1:
            expected += ((target[i] - mean[i]) * mean[i]) ** 2
    assert profile_difference(target, mean) == pytest.approx(np.sqrt(expected / 29))
    changed = target.copy()
    changed[:2] = 9
    changed[mean <= 0.1] = 9
    assert profile_difference(changed, mean) == profile_difference(target, mean)
    assert profile_difference(mean, mean) == 0


def test_what_is_unknown_has_no_difference():
    mean = np.linspace(1, 0, N_RINGS)
    target = mean.copy()
    target[5] = np.nan
    assert np.isnan(profile_difference(target, mean))
    assert np.isnan(profile_difference(mean, np.full(N_RINGS, np.nan)))
    assert np.isnan(profile_difference(mean, np.array([np.nan])))


@pytest.mark.parametrize(
    ("ratio", "inverted", "direct"), [(1.0, 0.0022, 0.0006), (1.69, 0.104, 0.036), (2.54, 0.217, 0.051)]
)
def test_on_a_negative_wide_stars_differ_three_to_four_times_as_much(ratio, inverted, direct):
    """Figures of an independent script for the seeds' measure and for the right one."""
    star, wide = (
        gaussians((282, 282), [140.0], [140.0], [8000.0], [1.15 * r], noise=20, seed=seed)
        for seed, r in ((1, 1.0), (2, ratio))
    )
    for pixels, expected in ((lambda p: 65535 - p, inverted), (lambda p: p, direct)):
        profiles = [normalised(radial_profile(without_background(pixels(p), 40), 140, 140)) for p in (wide, star)]
        if ratio == 1:
            assert profile_difference(*profiles) <= expected
        else:
            assert profile_difference(*profiles) == pytest.approx(expected, rel=0.1)


def test_the_background_is_taken_off_whatever_its_slope():
    rows, columns = np.indices((200, 200))
    image = SKY + 0.5 * columns - 0.3 * rows + np.random.default_rng(1).normal(0, 10, (200, 200))
    flat = without_background(image, 40)
    assert abs(np.median(flat)) < 3
    assert flat[20:-20, 20:-20].std() < 15


def test_a_background_knows_unknown_pixels_and_small_images():
    image = np.full((30, 50), SKY)
    image[10:12, 10:12] = np.nan
    flat = without_background(image, 64)
    assert np.isnan(flat).sum() == 4
    assert np.nanmax(np.abs(flat)) == 0
