import numpy as np
import pytest

from vascodb.simulate.emulsion import Emulsion, FlawPixels

NO_FLAWS = FlawPixels(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


def develop(light, flaws=NO_FLAWS, seed=1):
    return Emulsion().develop(light, flaws, np.random.default_rng(seed)).astype(float)


@pytest.fixture(scope="module")
def blank():
    """The sky alone, over more than one strip of rows."""
    return develop(np.zeros((800, 600), np.float32))


def test_the_characteristic_curve_has_a_toe_and_a_shoulder():
    exposure = np.geomspace(1e-3, 1e3, 200).astype(np.float32)
    density = Emulsion().density(exposure)
    slope = np.diff(density) / np.diff(np.log10(exposure))
    assert (np.diff(density) > 0).all()
    assert slope[0] < 0.1 * slope.max()
    assert slope[-1] < 0.1 * slope.max()
    assert density[0] == pytest.approx(Emulsion().fog, abs=2)
    assert density[-1] == pytest.approx(Emulsion().fog + Emulsion().density_range, rel=0.001)


def test_the_sky_looks_like_that_of_real_plates(blank):
    # XE486 and XE410: level 3708 and 3725, deviation 186 and 189.
    assert np.median(blank) == pytest.approx(3720, abs=60)
    assert blank.std() == pytest.approx(187, abs=10)


def test_the_grain_is_correlated_like_that_of_real_plates(blank):
    noise = blank - blank.mean()
    variance = noise.var()
    by_lag = [np.mean(noise[:, lag:] * noise[:, : noise.shape[1] - lag]) / variance for lag in (1, 2, 4)]
    # XE486: 0.41-0.50, 0.13-0.18, 0.07; XE410: 0.62, 0.27, 0.05.
    assert by_lag == pytest.approx([0.50, 0.20, 0.05], abs=0.06)


def test_strips_leave_no_seam(blank):
    noise = blank - blank.mean()
    along_rows = np.mean(noise[1:] * noise[:-1], axis=1) / noise.var()
    seams = along_rows[[255, 511]]
    assert seams == pytest.approx([along_rows.mean()] * 2, abs=5 * along_rows.std())


def test_grain_grows_with_density():
    light = np.zeros((200, 400), np.float32)
    light[:, 200:] = 5.0
    image = develop(light)
    assert image[:, 220:380].std() > 1.5 * image[:, 20:180].std()


def test_a_flaw_is_where_it_was_put_and_nowhere_else():
    shape = (600, 300)
    places = np.array([0, 255, 256, 400, 599])
    flaws = FlawPixels(places, np.full(5, 150), np.full(5, 9000, np.float32))
    with_flaws, without = develop(np.zeros(shape, np.float32), flaws), develop(np.zeros(shape, np.float32))
    difference = with_flaws - without
    assert (difference[places, 150] > 3000).all()
    far = np.abs(np.arange(600)[:, None] - places).min(axis=1) > 12
    assert (difference[far] == 0).all()


def test_pixel_values_stay_in_range():
    assert develop(np.full((64, 64), 1e6, np.float32)).max() < 16000
