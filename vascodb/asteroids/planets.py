"""Where Sun, planets, Moon and the heaviest asteroids are, and how they pull: JPL's ephemeris DE421."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vascodb.errors import InputError

__all__ = ["Planets"]

Floats = NDArray[np.float64]

_BODIES = {
    "sun": "GMS", "mercury": "GM1", "venus": "GM2", "earth": "", "moon": "", "mars": "GM4", "jupiter": "GM5",
    "saturn": "GM6", "uranus": "GM7", "neptune": "GM8", "pluto": "GM9",
}  # fmt: skip
_LIGHT_KM_S = 299792.458
_LEAST_GM_SUNS = 1e-11
"""Asteroids lighter than that are left out: one more moves few others by as much as 0.1 arcsec in 70 years."""


class Planets:
    """The ephemeris DE421, whose years are 1900 to 2050, from the package of that name.

    References
    ----------
    .. [1] Folkner, Williams and Boggs 2009, IPN Progress Report 42-178.
    """

    name = "DE421"

    def __init__(self) -> None:
        try:
            import de421  # noqa: PLC0415
            from jplephem.ephem import Ephemeris  # noqa: PLC0415
        except ImportError as error:
            raise InputError(
                f"predicting asteroids needs an ephemeris of the planets ({error.name} is not installed); "
                "pip install 'vascodb[asteroids]'"
            ) from error
        self._ephemeris: Any = Ephemeris(de421)

    @property
    def au_km(self) -> float:
        """Astronomical unit [km]."""
        return float(self._ephemeris.AU)

    @property
    def light_au_d(self) -> float:
        """Speed of light [au/d]."""
        return _LIGHT_KM_S * 86400.0 / self.au_km

    @property
    def sun_gm(self) -> float:
        """GM of the Sun [au3/d2]."""
        return float(self._ephemeris.GMS)

    @cached_property
    def gm(self) -> Floats:
        """GM of the bodies of `positions`, in their order [au3/d2]."""
        e = self._ephemeris
        earth, moon = e.GMB * e.EMRAT / (1 + e.EMRAT), e.GMB / (1 + e.EMRAT)
        own = {"earth": earth, "moon": moon}
        return np.array([own.get(name) or getattr(e, constant) for name, constant in _BODIES.items()])

    @cached_property
    def asteroid_gm(self) -> dict[int, float]:
        """GM of the asteroids that pull others noticeably, by number [au3/d2]."""
        named = {
            int(k[2:]): float(v) for k, v in vars(self._ephemeris).items() if k.startswith("MA0") and k[2:].isdigit()
        }
        return {number: gm for number, gm in named.items() if gm >= _LEAST_GM_SUNS * self.sun_gm}

    def positions(self, jd_tdb: float) -> Floats:
        """Barycentric places of Sun, planets and Moon at a time, shape (11, 3) [au]."""
        at = np.array([jd_tdb])
        found = {name: self._ephemeris.position(_in_file(name), at)[:, 0] for name in _BODIES}
        # The ephemeris has the centre of mass of Earth and Moon, and the Moon as seen from the Earth.
        earth = found["earth"] - found["moon"] * self._ephemeris.earth_share
        found["moon"] = earth + found["moon"]
        found["earth"] = earth
        return np.array(list(found.values())) / self.au_km

    def sun(self, jd_tdb: Floats) -> tuple[Floats, Floats]:
        """Barycentric place and velocity of the Sun at some times, shape (3, n) each [au, au/d]."""
        place, velocity = self._ephemeris.position_and_velocity("sun", jd_tdb)
        return place / self.au_km, velocity / self.au_km

    def earth(self, jd_tdb: Floats) -> tuple[Floats, Floats]:
        """Barycentric place and velocity of the Earth's centre at some times, shape (3, n) each [au, au/d]."""
        both = self._ephemeris.position_and_velocity("earthmoon", jd_tdb)
        moon = self._ephemeris.position_and_velocity("moon", jd_tdb)
        place, velocity = (b - m * self._ephemeris.earth_share for b, m in zip(both, moon, strict=True))
        return place / self.au_km, velocity / self.au_km


def _in_file(name: str) -> str:
    return "earthmoon" if name == "earth" else name
