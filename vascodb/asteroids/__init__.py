"""Known asteroids over plates, without a network: from osculating elements back to the 1950s."""

from vascodb.asteroids.elements import Elements
from vascodb.asteroids.integrate import march
from vascodb.asteroids.planets import Planets
from vascodb.asteroids.reading import read_elements

__all__ = ["Elements", "Planets", "march", "read_elements"]
