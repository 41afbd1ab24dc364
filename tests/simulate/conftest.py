import pytest

from vascodb.simulate import SimulatedPlate, SimulationSpec, simulate_plate


@pytest.fixture(scope="session")
def small_spec() -> SimulationSpec:
    return SimulationSpec(
        seed=7,
        size_arcmin=10.0,
        n_stars=400,
        n_high_pm=6,
        n_blends=4,
        n_vanished=12,
        n_vanished_blended=3,
        n_defects=4,
        n_trails=1,
    )


@pytest.fixture(scope="session")
def small_plate(small_spec) -> SimulatedPlate:
    return simulate_plate(small_spec)
