"""The fit in the tangent plane finds what a solution is wrong by, anywhere on the sky, and says when it cannot."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from astropy.modeling.fitting import LinearLSQFitter
from astropy.modeling.models import Polynomial2D
from astropy.wcs import WCS
from tiescenes import bent, frame, scene

from vascodb.plates.polynomial import n_terms
from vascodb.plates.tangent_fit import PlateFitParameters, fit_tangent_plane
from vascodb.plates.ties import Ties

DEFAULT = PlateFitParameters()


def separation_arcsec(ra1, dec1, ra2, dec2):
    return 3600 * np.degrees(angular_separation(*map(np.radians, (ra1, dec1, ra2, dec2))))


def displaced(ties: Ties, which, arcsec: float) -> Ties:
    """Some detections moved to the north."""
    return replace(ties, dec_raw=ties.dec_raw + np.where(which, arcsec / 3600, 0))


def unrelated(image, n: int, seed: int = 5) -> Ties:
    """Detections with stars that are nearest by chance: anywhere within the radius."""
    ties = scene(image, n, distortion=lambda x, y: (0 * x, 0 * y), noise_arcsec=0.0)
    rng = np.random.default_rng(seed)
    radius, angle = 5 * np.sqrt(rng.uniform(size=n)), rng.uniform(0, 2 * np.pi, n)
    cos_dec = np.cos(np.radians(ties.dec))
    return replace(
        ties,
        ra_raw=ties.ra + radius * np.cos(angle) / cos_dec / 3600,
        dec_raw=ties.dec + radius * np.sin(angle) / 3600,
    )


@pytest.mark.parametrize(
    ("ra", "dec"),
    [(150.0, 20.0), (0.0, 0.0), (359.9999, 45.0), (0.0001, -60.0), (10.0, 89.5), (200.0, -89.9), (0.0, 90.0)],
)
def test_an_injected_distortion_is_taken_out_everywhere_on_the_sky(ra: float, dec: float) -> None:
    image = frame(ra, dec)
    found = fit_tangent_plane(scene(image, noise_arcsec=0.1), image, DEFAULT)
    assert found.accepted, found.reason
    assert found.solution is not None
    assert (found.solution.degree, found.coverage, found.n_ties) == (3, 1.0, 600)
    assert found.n_kept > 590
    assert found.sigma_arcsec == pytest.approx(0.1, rel=0.1)
    assert found.sigma_before_arcsec is not None
    assert found.sigma_before_arcsec > 0.2
    without_noise = scene(image, noise_arcsec=0.0, seed=2)
    before = separation_arcsec(without_noise.ra_raw, without_noise.dec_raw, without_noise.ra, without_noise.dec)
    corrected = found.solution.correct(without_noise.ra_raw, without_noise.dec_raw)
    after = separation_arcsec(*corrected, without_noise.ra, without_noise.dec)
    assert before.max() > 1.5
    assert after.max() < 0.1
    assert np.median(after) < 0.03
    assert ((corrected[0] >= 0) & (corrected[0] < 360)).all()


def test_it_is_the_least_squares_fit_that_others_make() -> None:
    """astropy projects and fits the ties that were kept."""
    image = frame(359.9, 70.0)
    ties = scene(image, n=300)
    found = fit_tangent_plane(ties, image, DEFAULT)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [image.ra, image.dec]
    raw = np.array(wcs.wcs_world2pix(ties.ra_raw, ties.dec_raw, 0))
    star = np.array(wcs.wcs_world2pix(ties.ra, ties.dec, 0))
    own = found.solution.correct(ties.ra_raw, ties.dec_raw)
    kept = separation_arcsec(*own, ties.ra, ties.dec) <= found.clip_arcsec
    assert kept.sum() == found.n_kept
    # In units of the image's radius, for which the fitter is well conditioned.
    unit = raw / image.radius_deg
    moves = [
        LinearLSQFitter()(Polynomial2D(3), *unit[:, kept], 3600 * (star - raw)[axis, kept])(*unit) for axis in (0, 1)
    ]
    others = wcs.wcs_pix2world(*(raw + np.array(moves) / 3600), 0)
    assert separation_arcsec(*own, *others).max() < 1e-4


def test_wrong_stars_do_not_bend_it() -> None:
    image = frame()
    ties = scene(image)
    stray = np.arange(600) % 6 == 0
    found = fit_tangent_plane(displaced(ties, stray, 3.5), image, DEFAULT)
    clean = fit_tangent_plane(ties.select(~stray), image, DEFAULT)
    assert found.accepted
    assert found.n_kept == clean.n_kept
    assert found.solution == clean.solution


@pytest.mark.parametrize(
    ("n", "degree"), [(3, None), (9, None), (10, 0), (29, 0), (30, 1), (59, 1), (60, 2), (99, 2), (100, 3), (9999, 3)]
)
def test_the_degree_follows_from_the_number_of_ties(n: int, degree: int | None) -> None:
    assert DEFAULT.degree(n) == degree
    assert [n_terms(d) for d in range(4)] == [1, 3, 6, 10]


def test_few_ties_make_a_simple_fit_and_fewer_none() -> None:
    image = frame()
    found = fit_tangent_plane(scene(image, n=40, distortion=lambda x, y: (0.5 * x, 0.3 + 0 * y)), image, DEFAULT)
    assert found.accepted, found.reason
    assert found.solution is not None
    assert found.solution.degree == 1
    none = fit_tangent_plane(scene(image, n=7), image, DEFAULT)
    assert (none.accepted, none.solution, none.n_ties) == (False, None, 7)
    assert none.reason == "7 ties to stars of known position, 10 needed"
    empty = fit_tangent_plane(scene(image, n=0), image, DEFAULT)
    assert empty.reason == "0 ties to stars of known position, 10 needed"


def test_ties_in_one_corner_say_nothing_of_the_rest() -> None:
    image = frame()
    found = fit_tangent_plane(scene(image, within=(0.2, 1.0)), image, DEFAULT)
    assert not found.accepted
    assert found.coverage == pytest.approx(4 / 25)
    assert found.reason == "ties in 0.16 of the image, 0.6 needed"


def test_ties_on_one_point_determine_nothing() -> None:
    image = frame()
    ties = scene(image, within=(0.3, 0.3))
    found = fit_tangent_plane(replace(ties, ra_raw=0 * ties.ra + 150, dec_raw=0 * ties.dec + 20), image, DEFAULT)
    assert (found.accepted, found.solution) == (False, None)
    assert found.reason == "600 ties do not determine a polynomial of degree 3"


def test_ties_that_the_plane_does_not_show_determine_nothing() -> None:
    found = fit_tangent_plane(scene(frame(150.0, 20.0)), frame(330.0, -20.0), DEFAULT)
    assert (found.accepted, found.solution) == (False, None)


@pytest.mark.parametrize("n", [12, 40, 80, 600])
def test_a_wrong_field_is_refused_by_its_scatter(n: int) -> None:
    image = frame()
    found = fit_tangent_plane(unrelated(image, n), image, DEFAULT)
    assert not found.accepted
    assert found.sigma_arcsec is not None
    assert found.sigma_arcsec > 1.5
    assert f"residuals of {found.sigma_arcsec:.2f} arcsec, up to 0.8 allowed" in str(found.reason)


def test_one_bad_part_of_the_image_condemns_it_where_a_median_over_all_would_not() -> None:
    image = frame()
    ties = scene(image)
    corner = (ties.x > 0.8 * image.naxis1) & (ties.y > 0.8 * image.naxis2)
    found = fit_tangent_plane(displaced(ties, corner, 4.0), image, DEFAULT)
    assert found.sigma_arcsec is not None
    assert found.sigma_arcsec < 0.2
    assert found.worst_cell_arcsec == pytest.approx(4.0, abs=0.5)
    assert not found.accepted
    assert str(found.reason).startswith("residual of 3.9") or str(found.reason).startswith("residual of 4.")


def test_where_detections_find_no_stars_the_solution_is_not_trusted() -> None:
    """Off by more than the radius, stars are not found at all."""
    image = frame()
    ties = scene(image)
    corner = (ties.x > 0.8 * image.naxis1) & (ties.y > 0.8 * image.naxis2)
    lost = replace(ties, ra=np.where(corner, np.nan, ties.ra), dec=np.where(corner, np.nan, ties.dec))
    found = fit_tangent_plane(lost, image, DEFAULT)
    assert found.n_eligible - found.n_ties == corner.sum() > 10
    assert (found.accepted, found.worst_cell_arcsec) == (False, 5.0)


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        ({"sigma_max_arcsec": 0.05}, "residuals of 0.1"),
        ({"worst_max_arcsec": 0.1}, "worst part"),
        ({"n_min": 600}, "left after clipping"),
    ],
)
def test_each_limit_is_a_parameter(limits: dict[str, float], word: str) -> None:
    image = frame()
    # One stray, so that not all are kept.
    ties = displaced(scene(image), np.arange(600) == 0, 4.5)
    assert fit_tangent_plane(ties, image, DEFAULT).accepted
    found = fit_tangent_plane(ties, image, PlateFitParameters.model_validate(limits))
    assert not found.accepted
    assert word in str(found.reason)


def test_the_same_ties_in_any_order_give_the_same_fit() -> None:
    image = frame()
    ties = scene(image)
    found = fit_tangent_plane(ties, image, DEFAULT)
    assert found == fit_tangent_plane(ties, image, DEFAULT)
    other = fit_tangent_plane(ties.select(np.random.default_rng(3).permutation(600)), image, DEFAULT)
    assert (other.n_kept, other.iterations) == (found.n_kept, found.iterations)
    assert np.allclose(other.solution.coef_x + other.solution.coef_y, found.solution.coef_x + found.solution.coef_y,
                       rtol=0, atol=2e-6)  # fmt: skip


def test_half_of_the_ties_foretell_the_other_half() -> None:
    image = frame()
    ties = scene(image, noise_arcsec=0.1)
    first = np.arange(600) < 300
    found = fit_tangent_plane(ties.select(first), image, DEFAULT)
    other = ties.select(~first)
    corrected = found.solution.correct(other.ra_raw, other.dec_raw)
    # Of normal errors in two coordinates half are within 1.18 sigma.
    assert np.median(separation_arcsec(*corrected, other.ra, other.dec)) == pytest.approx(0.118, rel=0.15)


def test_the_distortion_of_these_tests_is_one() -> None:
    x = np.linspace(-1, 1, 50)
    assert np.hypot(*bent(x, x)).max() > 1.0
