"""A catalogue of stars as a local TAP service serves it, and settings that point there."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from servers.skytable import SkyTable
from sqlalchemy import text

from vascodb.db import Database
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.registry import CanaryPosition, CatalogDefinition, SourceBinding, catalog

__all__ = ["TABLE", "LocalSky", "gaia_at", "impatient", "local_sky", "stored_ids"]

TABLE = "I/355/gaiadr3"
COLUMNS = {"Source": "", "RA_ICRS": "deg", "DE_ICRS": "deg", "pmRA": "mas/yr", "pmDE": "mas/yr", "Gmag": "mag"}


@dataclass(frozen=True)
class LocalSky:
    """Stars about a place, and one that is known to be there."""

    table: SkyTable
    canary: CanaryPosition

    @property
    def ids(self) -> np.ndarray:
        return np.asarray(self.table.table["Source"])

    def ids_in(self, ra_deg: float, dec_deg: float, radius_deg: float) -> set[int]:
        """Stars within a radius, by astropy's own separation."""
        stars = SkyCoord(self.table.table["RA_ICRS"], self.table.table["DE_ICRS"], unit="deg")
        near = stars.separation(SkyCoord(ra_deg, dec_deg, unit="deg")).deg <= radius_deg
        return {int(i) for i in self.ids[near]}


def local_sky(ra_deg: float, dec_deg: float, radius_deg: float, n_stars: int, seed: int = 1) -> LocalSky:
    """Stars at random in a cone, the first of them the canary, half of them moving."""
    random = np.random.default_rng(seed)
    centre = SkyCoord(ra_deg, dec_deg, unit="deg")
    distance = radius_deg * np.sqrt(random.random(n_stars))
    stars = centre.directional_offset_by(random.random(n_stars) * 360 * u.deg, distance * u.deg)
    moving = random.random(n_stars) < 0.5
    table = Table({
        "Source": np.arange(1, n_stars + 1, dtype=np.int64) + seed * 10_000_000,
        "RA_ICRS": stars.ra.deg % 360.0,
        "DE_ICRS": stars.dec.deg,
        "pmRA": np.ma.array(random.normal(0, 20, n_stars).astype(np.float32), mask=~moving),
        "pmDE": np.ma.array(random.normal(0, 20, n_stars).astype(np.float32), mask=~moving),
        "Gmag": random.uniform(12, 20, n_stars).astype(np.float32),
    })  # fmt: skip
    for name, unit in COLUMNS.items():
        if unit:
            table[name].unit = u.Unit(unit)
    canary = CanaryPosition(ra=float(table["RA_ICRS"][0]), dec=float(table["DE_ICRS"][0]), radius_arcsec=2.0)
    return LocalSky(SkyTable(TABLE, table, "RA_ICRS", "DE_ICRS"), canary)


def gaia_at(service: str, canary: CanaryPosition, **changes: object) -> CatalogDefinition:
    """Gaia DR3 as one service has it, with a canary that is on the local sky."""
    binding = SourceBinding(table=TABLE, ra="RA_ICRS", dec="DE_ICRS", columns=COLUMNS)
    return catalog("gaia_dr3").model_copy(update={"via": {service: binding}, "canary": canary, **changes})


def impatient(protocol: str, *endpoints: str, **limits: object) -> ServiceSettings:
    """Settings of a local service: no manners, one attempt.

    The timeouts bear a busy machine; a test of a timeout gives a shorter one itself.
    """
    values: dict[str, object] = {
        "title": "local",
        "protocol": protocol,
        "endpoints": endpoints,
        "connect_timeout_s": 5.0,
        "first_byte_timeout_s": 15.0,
        "total_timeout_s": 30.0,
        "attempts": 1,
        "backoff_s": 0.0,
        "max_backoff_s": 0.0,
        "per_second": 1000.0,
        "connections": 8,
    }
    return ServiceSettings.model_validate(values | limits)


def stored_ids(database: Database, catalog_name: str) -> set[int]:
    """Ids of all sources that are stored."""
    with database.connect() as connection:
        return set(connection.scalars(text(f'SELECT source_id FROM ref."{catalog_name}"')))
