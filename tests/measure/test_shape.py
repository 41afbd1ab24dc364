import numpy as np
import pytest

from vascodb.measure.background import without_background
from vascodb.measure.profile import normalised, profile_difference, radial_profile
from vascodb.measure.shape import measure_direct, measure_inverted

from .stars import detections, gaussians, star_grid


def sigmas(measure) -> float:
    return (np.log(measure.profile_diff) - measure.profile_log_median) / measure.profile_log_sigma


def test_neighbours_are_of_like_flux_nearest_first_without_itself():
    flux = np.array([100.0, 110.0, 90.0, 110.1, 89.9, 100.0])
    stars = detections(np.array([0.0, 30.0, 10.0, 1.0, 1.0, 20.0]), np.zeros(6), flux)
    assert stars.like(0, np.ones(6, bool)).tolist() == [2, 5, 1]
    assert stars.like(0, np.array([True, True, False, True, True, True])).tolist() == [5, 1]
    assert stars.like(3, np.ones(6, bool)).tolist() == [0, 5, 1]


def test_a_direct_measure_is_what_its_parts_say():
    image, stars = star_grid(12)
    [measure] = measure_direct(image, stars, [4])
    flat = without_background(image, 64)
    profile = [normalised(radial_profile(flat, x, y)) for x, y in zip(stars.x, stars.y, strict=True)]
    others = [i for i in range(12) if i != 4]
    assert measure.profile_diff == pytest.approx(
        profile_difference(profile[4], np.mean([profile[i] for i in others], axis=0))
    )
    own = [profile_difference(profile[i], np.mean([profile[j] for j in others if j != i], axis=0)) for i in others]
    assert measure.profile_log_median == pytest.approx(np.median(np.log(own)))
    mad = np.median(np.abs(np.log(own) - measure.profile_log_median))
    assert measure.profile_log_sigma == pytest.approx(1.4826 * mad)
    assert (measure.number, measure.n_neighbours, measure.elongation) == (5, 11, 1.05)


def test_a_star_is_like_its_neighbours_and_what_is_wide_or_sharp_is_not():
    image, stars = star_grid(25)
    x, y = stars.x[12], stars.y[12]
    assert sigmas(measure_direct(image, stars, [12])[0]) < 2.5
    alone = gaussians(image.shape, [x], [y], [3000.0], [1.3])
    for sigma in (0.6, 2.2):
        other = image - alone + gaussians(image.shape, [x], [y], [3000.0], [sigma])
        assert sigmas(measure_direct(other, stars, [12])[0]) > 2.5


def test_a_streak_is_less_round_than_stars():
    image, stars = star_grid(25)
    rows, columns = np.indices(image.shape)
    along = (columns - stars.x[12]) + (rows - stars.y[12])
    across = (columns - stars.x[12]) - (rows - stars.y[12])
    streak = 3000 * np.exp(-(along**2) / (4 * 3.5**2) - across**2 / (4 * 1.1**2))
    image += streak - gaussians(image.shape, [stars.x[12]], [stars.y[12]], [3000.0], [1.3]) + 4000
    [measure] = measure_direct(image, stars, [12])
    assert measure.contour.circularity < measure.circularity_median - 0.2


def test_no_more_than_thirty_neighbours_are_taken():
    image, stars = star_grid(36)
    assert measure_direct(image, stars, [0])[0].n_neighbours == 30


def test_only_known_stars_are_neighbours():
    image, stars = star_grid(16)
    stars.is_star[5:] = False
    assert measure_direct(image, stars, [0, 10])[0].n_neighbours == 4
    assert measure_direct(image, stars, [0, 10])[1].n_neighbours == 5


@pytest.mark.parametrize("n", [1, 2])
def test_without_neighbours_nothing_is_compared(n):
    image, stars = star_grid(4)
    stars.is_star[:] = np.arange(4) < n
    [measure] = measure_direct(image, stars, [0])
    assert measure.n_neighbours == n - 1
    assert np.isnan(measure.profile_diff) == (n == 1)
    assert np.isnan([measure.profile_log_sigma, measure.circularity_sigma]).all()
    assert measure.contour.circularity > 0.9


def test_an_unknown_pixel_spoils_no_other_star():
    image, stars = star_grid(25)
    image[round(stars.y[3]) - 1 : round(stars.y[3]) + 2, round(stars.x[3]) - 1 : round(stars.x[3]) + 2] = np.nan
    spoilt, whole = measure_direct(image, stars, [3, 12])
    assert np.isnan([spoilt.profile_diff, spoilt.contour.circularity]).all()
    assert sigmas(whole) < 2.5
    assert whole.n_neighbours == 23


def test_a_detection_at_the_edge_is_measured_as_far_as_it_is_there():
    image, stars = star_grid(25)
    cut = image[:, round(stars.x[0]) :]
    moved = detections(stars.x - round(stars.x[0]), stars.y)
    [measure] = measure_direct(cut, moved, [0])
    assert np.isfinite(measure.profile_diff)
    assert np.isnan(measure.contour.circularity)


def test_the_seeds_compare_within_eight_arcmin_on_a_negative():
    image, stars = star_grid(25)
    stars.is_star[:] = False
    # 100 pixels: stars 0 to 2, 5 to 7 and so on about star 6.
    [measure] = measure_inverted(image, stars, [6], scale_arcsec_px=4.8)
    assert measure.n_neighbours == 8
    x, y = stars.x[6], stars.y[6]
    left, low = round(x - 50), round(y - 50)
    flat = without_background(65535 - image[low : round(y + 50), left : round(x + 50)], 40)
    profile = [
        normalised(radial_profile(flat, stars.x[i] - left, stars.y[i] - low)) for i in (6, 0, 1, 2, 5, 7, 10, 11, 12)
    ]
    assert measure.profile_diff == pytest.approx(profile_difference(profile[0], np.mean(profile[1:], axis=0)), rel=1e-3)
    assert np.argmin(profile[0]) < 3
    assert np.isnan([measure.profile_log_median, measure.circularity_median]).all()


def test_a_lonely_detection_has_no_seed_profile_but_an_outline():
    image, stars = star_grid(4)
    lonely = detections(stars.x, stars.y, np.array([1.0, 2.0, 3.0, 4.0]) * 1e4)
    [measure] = measure_inverted(image, lonely, [0], scale_arcsec_px=1.7)
    assert np.isnan(measure.profile_diff)
    assert measure.n_neighbours == 0
    assert measure.contour.area_px > 7
