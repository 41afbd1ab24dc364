"""Fixtures of the toy sky."""

from collections.abc import Callable

import astropy.units as u
import pytest
from astropy.coordinates import Latitude, Longitude
from mocpy import MOC
from sqlalchemy import Connection
from toysky import ToySky


@pytest.fixture
def toy(connection: Connection) -> ToySky:
    """A toy sky without anything on it, in a transaction that is rolled back."""
    return ToySky(connection)


@pytest.fixture(scope="session")
def cone_moc() -> Callable[[float, float, float], MOC]:
    """A MOC of about a circle: right ascension, declination, radius in degrees."""

    def make(ra: float, dec: float, radius_deg: float) -> MOC:
        return MOC.from_cone(Longitude(ra, u.deg), Latitude(dec, u.deg), radius=radius_deg * u.deg, max_depth=14)

    return make
