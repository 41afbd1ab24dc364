import pytest

from vascodb.errors import InputError
from vascodb.simulate import SimulationSpec


def test_presets_say_what_they_are_for():
    assert SimulationSpec.demo().size_arcmin == 20
    assert SimulationSpec.dense().shape == (2119, 2119)
    assert SimulationSpec.plate().shape == (13999, 14000)
    assert SimulationSpec.plate(high_resolution=True).shape == (23040, 23040)


def test_presets_take_changes():
    assert SimulationSpec.demo(seed=9, ra_deg=0.0).seed == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed"),
        ({"ra_deg": 360.0}, "not on the sky"),
        ({"dec_deg": -90.5}, "not on the sky"),
        ({"ra_deg": float("nan")}, "not on the sky"),
        ({"size_arcmin": 1.0}, "4 arcmin"),
        ({"n_vanished": -1}, "negative"),
        ({"cluster_fraction": 1.5}, "cluster"),
        ({"psf_fwhm_arcsec": 0.2}, "arcsec wide"),
        ({"year": 1999}, "1949 to 1958"),
        ({"exposure_minutes": 0.0}, "exposure"),
        ({"reference_pad_arcmin": 1.0}, "padding"),
    ],
)
def test_impossible_values_are_refused_with_a_reason(change, message):
    with pytest.raises(InputError, match=message):
        SimulationSpec.demo(**change)
