"""Elements: Kepler's equation, and which bodies can ever be bright."""

import numpy as np
import pytest

from vascodb.asteroids.elements import Elements, solve_kepler


def test_keplers_equation_is_solved_for_all_shapes_of_orbits() -> None:
    e, m = (grid.ravel() for grid in np.meshgrid([0.0, 0.1, 0.9, 0.999, 1.001, 3.0], np.linspace(-3.1, 3.1, 63)))
    x = solve_kepler(m, e)
    back = np.where(e < 1, x - e * np.sin(x), e * np.sinh(x) - x)
    np.testing.assert_allclose(back, m, atol=1e-12)


@pytest.mark.parametrize(
    ("a", "e", "h", "brightest"),
    [
        # By hand: 5 log10(2 x (2 - 1.017)), 5 log10(30 x 28.983), 5 log10(1 x 0.1).
        (2.5, 0.2, 10.0, 11.468), (30.0, 0.0, 5.0, 19.697), (2.0, 0.5, 20.0, 15.0), (2.0, 0.7, 20.0, 13.891),
    ],
)  # fmt: skip
def test_bodies_are_taken_that_can_come_to_be_as_bright(a: float, e: float, h: float, brightest: float) -> None:
    one = [np.array([value]) for value in (1, 2451545.5, a, e, 0.1, 1.0, 2.0, 3.0, h, 0.15)]
    body = Elements(["toy"], one[0], [""], *one[1:])
    assert len(body.brighter_than(brightest + 0.001)) == 1
    assert len(body.brighter_than(brightest - 0.001)) == 0
    assert body.brighter_than(19.0).limit_mag == 19.0
    # So bright it is where it is nearest to the Sun and to the Earth.
    perihelion = a * (1 - e)
    assert brightest == pytest.approx(h + 5 * np.log10(perihelion * max(perihelion - 1.017, 0.1)), abs=0.001)
