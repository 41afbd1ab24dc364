"""Osculating elements of asteroids, and the states that they mean."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vascodb.errors import InputError

__all__ = ["PLUTO", "USUAL_SLOPE", "Elements", "require_bodies", "solve_kepler"]

Floats = NDArray[np.float64]

PLUTO = 134340
"""Its elements are of its way about Charon as well as about the Sun: years later they point elsewhere."""
USUAL_SLOPE = 0.15
_OBLIQUITY_RAD = np.radians(84381.448 / 3600.0)
"""Of the ecliptic of J2000 (IAU 1976), to which JPL and the Minor Planet Center refer their elements."""
_EARTH_APHELION_AU = 1.017
_NEAREST_AU = 0.1


@dataclass(frozen=True)
class Elements:
    """Osculating elements, heliocentric, of ecliptic and equinox J2000; one entry per body.

    Parameters
    ----------
    names : sequence of str
        Name or provisional designation, without the number.
    numbers : array of int
        Number of the body, 0 if it has none.
    classes : sequence of str
        Dynamical class, empty if the file has none.
    epoch_jd : array of float
        Time at which they osculate, Julian date, TDB.
    semimajor_au, eccentricity : array of float
        Size and shape of the orbit; both ``a`` < 0 and ``e`` > 1 for a hyperbola.
    inclination_rad, node_rad, perihelion_rad, anomaly_rad : array of float
        Inclination, longitude of the ascending node, argument of perihelion, mean anomaly.
    absolute_mag, slope : array of float
        ``H`` and ``G`` of the magnitude system of 1985; ``G`` = 0.15 where the file has none.
    source : str
        Name of the file.
    sha256 : str
        Of the file's bytes as they lie.
    left_out : tuple of str
        Bodies of the file whose orbit is not complete there, and Pluto.
    error_arcsec : float
        Uncertainty of positions of numbered bodies 70 years before the elements. As given: three times what known ones
        on plates scatter by.
    limit_mag : float or None
        Only bodies that can be as bright as that were taken from the file; see `brighter_than`.
    """

    names: Sequence[str]
    numbers: NDArray[np.int64]
    classes: Sequence[str]
    epoch_jd: Floats
    semimajor_au: Floats
    eccentricity: Floats
    inclination_rad: Floats
    node_rad: Floats
    perihelion_rad: Floats
    anomaly_rad: Floats
    absolute_mag: Floats
    slope: Floats
    source: str = ""
    sha256: str = ""
    left_out: tuple[str, ...] = ()
    error_arcsec: float = 0.5
    limit_mag: float | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, which: NDArray[Any]) -> "Elements":
        """The bodies of an index or a mask, in its order."""
        rows = np.arange(len(self))[which]
        values: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                values[field.name] = value[rows]
            elif field.name in ("names", "classes"):
                values[field.name] = [value[row] for row in rows]
            else:
                values[field.name] = value
        return Elements(**values)

    def brighter_than(self, limit_mag: float) -> "Elements":
        """The bodies that can come to be brighter than a V magnitude: at perihelion, opposite the Sun.

        Taken is that none comes nearer than 0.1 au; within that a body may be brighter for a few days.

        Parameters
        ----------
        limit_mag : float
            V.
        """
        perihelion = self.semimajor_au * (1.0 - self.eccentricity)
        distance = np.maximum(perihelion - _EARTH_APHELION_AU, _NEAREST_AU)
        brightest = self.absolute_mag + 5.0 * np.log10(perihelion * distance)
        return replace(self.take(brightest < limit_mag), limit_mag=limit_mag)

    def states(self, sun_gm: float) -> tuple[Floats, Floats]:
        """Heliocentric positions and velocities at the epochs, on the axes of the ICRS.

        Parameters
        ----------
        sun_gm : float
            GM of the Sun [au3/d2].

        Returns
        -------
        position, velocity : array of float, shape (3, n)
            In au and au/d.

        References
        ----------
        .. [1] Murray and Dermott 1999, Solar System Dynamics, sections 2.4 and 2.8.
        """
        e, a = self.eccentricity, self.semimajor_au
        bound = e < 1.0
        anomaly = solve_kepler(self.anomaly_rad, e)
        cos_e = np.where(bound, np.cos(anomaly), np.cosh(anomaly))
        sin_e = np.where(bound, np.sin(anomaly), np.sinh(anomaly))
        root = np.sqrt(np.abs(1.0 - e * e))
        x, y = a * (cos_e - e), np.abs(a) * root * sin_e
        # Rate of the eccentric anomaly.
        rate = np.sqrt(sun_gm / np.abs(a) ** 3) / np.abs(1.0 - e * cos_e)
        vx, vy = -np.abs(a) * sin_e * rate, np.abs(a) * root * cos_e * rate
        p, q = self._axes()
        return x * p + y * q, vx * p + vy * q

    def _axes(self) -> tuple[Floats, Floats]:
        """Unit vectors to perihelion and a quarter of a turn ahead of it, shape (3, n) each."""
        cos_w, sin_w = np.cos(self.perihelion_rad), np.sin(self.perihelion_rad)
        cos_o, sin_o = np.cos(self.node_rad), np.sin(self.node_rad)
        cos_i, sin_i = np.cos(self.inclination_rad), np.sin(self.inclination_rad)
        p = np.array([cos_o * cos_w - sin_o * sin_w * cos_i, sin_o * cos_w + cos_o * sin_w * cos_i, sin_w * sin_i])
        q = np.array([-cos_o * sin_w - sin_o * cos_w * cos_i, -sin_o * sin_w + cos_o * cos_w * cos_i, cos_w * sin_i])
        turn_cos, turn_sin = np.cos(_OBLIQUITY_RAD), np.sin(_OBLIQUITY_RAD)
        turn = np.array([[1.0, 0.0, 0.0], [0.0, turn_cos, -turn_sin], [0.0, turn_sin, turn_cos]])
        return turn @ p, turn @ q


def solve_kepler(mean_anomaly_rad: Floats, eccentricity: Floats) -> Floats:
    """Eccentric anomaly of ellipses, its hyperbolic fellow of hyperbolas, by Newton's method.

    Parameters
    ----------
    mean_anomaly_rad, eccentricity : array of float
        One entry per body.

    References
    ----------
    .. [1] Danby 1988, Fundamentals of Celestial Mechanics, section 6.6.
    """
    e, bound = eccentricity, eccentricity < 1.0
    turned = np.remainder(mean_anomaly_rad + np.pi, 2 * np.pi) - np.pi
    m = np.where(bound, turned, mean_anomaly_rad)
    start = np.where(bound, m + 0.85 * e * np.sign(m), np.arcsinh(m / np.maximum(e, 1.0)))
    x = np.asarray(start, dtype=np.float64)
    for _ in range(100):
        sin_x, cos_x = np.where(bound, np.sin(x), np.sinh(x)), np.where(bound, np.cos(x), np.cosh(x))
        sign = np.where(bound, 1.0, -1.0)
        step = (sign * (x - e * sin_x) - m) / (sign * (1.0 - e * cos_x))
        # Near the perihelion of a long ellipse a full step can leap far away.
        x = x - np.clip(step, -1.0, 1.0)
        if np.all(np.abs(step) < 1e-14 * np.maximum(1.0, np.abs(x))):
            break
    return x


def require_bodies(path: Path, elements: Elements) -> Elements:
    """The elements read from a file, if there are any and no body is there twice.

    Raises
    ------
    InputError
        Otherwise.
    """
    identities = list(zip(elements.numbers.tolist(), elements.names, strict=True))
    if len(set(identities)) < len(identities):
        raise InputError(f"{path}: {len(identities) - len(set(identities))} bodies occur more than once")
    if not identities:
        raise InputError(f"{path}: there is no body in it")
    return elements
