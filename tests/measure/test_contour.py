import numpy as np
import pytest
from scipy.special import ellipe

from vascodb.measure.contour import half_maximum_contour, seed_contour

from .stars import SKY, gaussians

HALF = np.sqrt(2 * np.log(2))


def disc(radius: float, size: int = 41) -> np.ndarray:
    rows, columns = np.indices((size, size))
    return (np.hypot(columns - size // 2, rows - size // 2) <= radius) * 1000.0


def ellipse(a: float, b: float, angle: float) -> np.ndarray:
    rows, columns = np.indices((61, 61))
    u = (columns - 30) * np.cos(angle) + (rows - 30) * np.sin(angle)
    v = (rows - 30) * np.cos(angle) - (columns - 30) * np.sin(angle)
    return 1000 * np.exp(-(u**2) / (2 * a**2) - v**2 / (2 * b**2))


@pytest.mark.parametrize("sigma", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("shift", [0.0, 0.3, 0.5])
def test_a_star_is_a_disc_as_wide_as_its_half_maximum(sigma, shift):
    image = gaussians((41, 41), [20 + shift], [20 - shift], [5000.0], [sigma]) - SKY
    contour = half_maximum_contour(image, 20 + shift, 20 - shift)
    assert 0.94 < contour.circularity <= 1
    assert contour.area_px == pytest.approx(np.pi * (HALF * sigma) ** 2, rel=0.2 if sigma < 1.5 else 0.1)
    assert contour.circle_deviation < 0.02
    assert contour.defect < 0.01


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.2])
@pytest.mark.parametrize(("a", "b"), [(4.0, 2.0), (4.0, 3.0), (5.0, 1.5)])
def test_an_ellipse_is_as_round_as_an_ellipse_is(a, b, angle):
    contour = half_maximum_contour(ellipse(a, b, angle), 30, 30)
    expected = 4 * np.pi * np.pi * a * b / (4 * a * ellipe(1 - (b / a) ** 2)) ** 2
    assert contour.circularity == pytest.approx(expected, abs=0.04)


def test_two_stars_in_one_outline_have_a_dent():
    image = gaussians((61, 61), [26.8, 33.2], [30.0, 30.0], [900.0, 1000.0], [2.2, 2.2]) - SKY
    contour = half_maximum_contour(image, 33.2, 30)
    assert contour.circularity < 0.7
    assert contour.defect > 0.1


def test_another_star_nearby_is_not_the_stars_outline():
    one = gaussians((61, 61), [30.0], [30.0], [1000.0], [1.5]) - SKY
    both = one + gaussians((61, 61), [38.0], [30.0], [5000.0], [1.5]) - SKY
    assert half_maximum_contour(both, 30, 30).area_px == pytest.approx(
        half_maximum_contour(one, 30, 30).area_px, rel=0.05
    )


def nowhere() -> np.ndarray:
    image = gaussians((41, 41), [20.0], [20.0], [1000.0], [1.5]) - SKY
    image[18, 22] = np.nan
    return image


@pytest.mark.parametrize(
    ("image", "at"),
    [
        (nowhere(), (20, 20)),
        (np.zeros((41, 41)), (20, 20)),
        (np.full((41, 41), -5.0), (20, 20)),
        (disc(100), (20, 20)),
        (gaussians((41, 41), [0.0], [20.0], [1000.0], [2.0]) - SKY, (0, 20)),
        (disc(5), (500, 20)),
        (disc(5), (20, -500)),
        (np.zeros((41, 41)) + np.eye(41) * 100, (20, 20)),
    ],
    ids=["a pixel is unknown", "nothing there", "below the sky", "too wide", "cut by the edge", "beyond x", "beyond y",
         "a scratch through it all"],
)  # fmt: skip
def test_without_a_whole_outline_nothing_is_measured(image, at):
    contour = half_maximum_contour(image, *at)
    assert np.isnan([contour.circularity, contour.area_px, contour.defect, contour.circle_deviation]).all()


def test_the_seeds_outlines_of_few_pixels_are_octagons():
    """The greatest circularity of the published release is 0.943271, with an area of 14."""
    image = gaussians((41, 41), [20.0], [20.0], [5000.0], [1.5])
    contour = seed_contour(image, 20, 20)
    assert contour.area_px == 14
    assert contour.circularity == pytest.approx(0.943271, abs=1e-6)
    assert contour.circle_deviation == pytest.approx(0, abs=1e-4)


def test_the_last_of_the_seeds_outlines_counts_and_the_dents_of_all():
    """At 21 of 255 two stars are one outline, at 45 they are two; OpenCV lists the upper one last."""
    image = SKY + np.zeros((41, 41))
    image[15:26, 15:26] += 30.0
    image[17:24, 17:19] = image[17:24, 22:24] = SKY
    image[18:23, 19:22] = SKY + 255.0
    contour = seed_contour(image, 20, 20)
    assert contour.area_px == 8
    assert contour.circularity == pytest.approx(4 * np.pi * 8 / 12**2)


@pytest.mark.parametrize(
    ("image", "at"),
    [
        (np.full((41, 41), SKY), (20, 20)),
        (SKY + disc(1.5), (20, 20)),
        (nowhere(), (20, 20)),
        (SKY + disc(5), (20, 500)),
    ],
    ids=["flat", "a speck", "a pixel is unknown", "beyond the image"],
)
def test_where_the_seeds_have_no_outline(image, at):
    assert np.isnan(seed_contour(image, *at).circularity)


def test_the_seeds_cutout_is_of_raw_pixels_about_the_star():
    bright_beyond = gaussians((61, 61), [30.0, 45.0], [30.0, 30.0], [2000.0, 30000.0], [1.5, 1.5])
    assert seed_contour(bright_beyond, 30, 30) == seed_contour(
        gaussians((61, 61), [30.0], [30.0], [2000.0], [1.5]), 30, 30
    )
