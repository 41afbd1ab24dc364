"""A simulated plate with a known truth, for the demonstration, the tests and completeness."""

from vascodb.simulate.files import SimulatedFiles, write_simulation
from vascodb.simulate.plate import SimulatedPlate, simulate_plate
from vascodb.simulate.score import Score, score
from vascodb.simulate.spec import SimulationSpec

__all__ = [
    "Score",
    "SimulatedFiles",
    "SimulatedPlate",
    "SimulationSpec",
    "score",
    "simulate_plate",
    "write_simulation",
]
