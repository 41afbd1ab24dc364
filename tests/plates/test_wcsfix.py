"""The seeds' refinement of positions, with its faults."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.modeling.fitting import LinearLSQFitter
from astropy.modeling.models import Polynomial2D
from tiescenes import frame, scene

from vascodb.plates.tangent_fit import PlateFitParameters, fit_tangent_plane
from vascodb.plates.ties import Ties
from vascodb.plates.wcsfix import WcsfixParameters, fit_wcsfix

SEED = WcsfixParameters()


def none(x, y):
    return 0 * x, 0 * y


def only(ties: Ties):
    """The same ties whatever the radius."""
    return lambda radius_arcsec: replace(ties, radius_arcsec=radius_arcsec)


@pytest.mark.parametrize(("dec", "lost_percent"), [(20.0, 4.5), (84.8, 18), (86.8, 36), (88.0, 57), (89.4, 86)])
def test_towards_the_pole_it_loses_ties_that_the_tangent_plane_keeps(dec: float, lost_percent: float) -> None:
    """Errors of 0.6 arcsec in each coordinate, seen through 1 / cos(dec) and cut at no more than 10 arcsec."""
    image = frame(150.0, dec)
    ties = scene(image, n=2000, noise_arcsec=0.6, distortion=none)
    lost = 100 * (1 - fit_wcsfix(only(ties), image, SEED).n_kept / 2000)
    assert lost == pytest.approx(lost_percent, abs=2.5)
    ours = fit_tangent_plane(ties, image, PlateFitParameters(clip_sigmas=2.5))
    assert ours.accepted
    assert ours.n_kept / 2000 == pytest.approx(0.955, abs=0.01)
    assert ours.sigma_arcsec == pytest.approx(0.6, rel=0.05)


def test_the_scale_of_its_residuals_grows_towards_the_pole() -> None:
    image = frame(150.0, 84.8)
    ties = scene(image, n=2000, noise_arcsec=0.6, distortion=none)
    assert fit_wcsfix(only(ties), image, SEED).sigma_arcsec == pytest.approx(3.0, rel=0.1)
    equator = frame(150.0, 0.0)
    found = fit_wcsfix(only(scene(equator, n=2000, noise_arcsec=0.6, distortion=none)), equator, SEED)
    assert found.sigma_arcsec == pytest.approx(0.37, rel=0.05)


@pytest.mark.parametrize("ra", [150.0, 0.0])
def test_positions_are_those_of_a_polynomial_in_plain_degrees_to_ten_decimals(ra: float) -> None:
    image = frame(ra, 40.0)
    ties = scene(image, n=200, noise_arcsec=0.1)
    found = fit_wcsfix(only(ties), image, SEED)
    assert (found.n_kept, found.clip_arcsec, found.iterations) == (200, 1.5, 1)
    x, y = (ties.ra_raw - ra + 180) % 360 - 180, ties.dec_raw - 40.0
    targets = ((ties.ra - ties.ra_raw + 180) % 360 - 180, ties.dec - ties.dec_raw)
    model = [LinearLSQFitter()(Polynomial2D(2), x, y, target)(x, y) for target in targets]
    corrected = found.solution.correct(ties.ra_raw, ties.dec_raw)
    assert np.abs((corrected[0] - ties.ra_raw - model[0] + 180) % 360 - 180).max() < 2e-10
    assert np.abs(corrected[1] - ties.dec_raw - model[1]).max() < 2e-10
    assert all((np.round(column, 10) == column).all() for column in corrected)
    assert ((corrected[0] >= 0) & (corrected[0] < 360)).all()


def test_outliers_are_dropped_in_at_most_three_rounds_at_no_less_than_one_and_a_half_arcsec() -> None:
    image = frame(150.0, 0.0)
    ties = scene(image, n=100, noise_arcsec=0.1, distortion=none)
    shifts = np.zeros(100)
    shifts[:3] = [1.2, 2.5, 4.0]
    found = fit_wcsfix(only(replace(ties, dec_raw=ties.dec_raw + shifts / 3600)), image, SEED)
    assert (found.n_kept, found.clip_arcsec) == (98, 1.5)
    assert found.iterations <= 3


def test_only_for_too_few_ties_it_looks_farther_and_fits_a_plane() -> None:
    image = frame()
    asked: list[float] = []

    def within(n_near: int, n_far: int):
        def ties_within(radius_arcsec: float) -> Ties:
            asked.append(radius_arcsec)
            return replace(scene(image, n=n_near if radius_arcsec == 5 else n_far), radius_arcsec=radius_arcsec)

        return ties_within

    assert fit_wcsfix(within(20, 50), image, SEED).solution.degree == 2
    assert asked == [5.0]
    found = fit_wcsfix(within(19, 19), image, SEED)
    assert (found.accepted, found.solution.degree, found.radius_arcsec, found.n_ties) == (True, 1, 15.0, 19)
    none_left = fit_wcsfix(within(9, 9), image, SEED)
    assert (none_left.accepted, none_left.solution) == (False, None)
    assert none_left.reason == "too few tie points: 9 within 15 arcsec, 10 needed"


def test_it_takes_a_wrong_field_for_a_good_one() -> None:
    image = frame(150.0, 0.0)
    rng = np.random.default_rng(4)
    ties = scene(image, n=200, noise_arcsec=0.0, distortion=none)
    radius, angle = 5 * np.sqrt(rng.uniform(size=200)), rng.uniform(0, 2 * np.pi, 200)
    wrong = replace(
        ties, ra_raw=ties.ra_raw + radius * np.cos(angle) / 3600, dec_raw=ties.dec_raw + radius * np.sin(angle) / 3600
    )
    found = fit_wcsfix(only(wrong), image, SEED)
    assert found.accepted
    assert found.worst_cell_arcsec > 3
    assert not fit_tangent_plane(wrong, image, PlateFitParameters()).accepted
