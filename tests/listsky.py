"""Fields of stars that local services know, lists of positions in them, and what became of them."""

from typing import Any

import astropy.units as u
import numpy as np
from asklists import positions_at
from astropy.coordinates import SkyCoord
from astropy.table import Table
from localservice import TABLE, gaia_at, impatient
from servers.skytable import SkyTable
from servers.xmatch import XMatchServer
from sqlalchemy import text

from vascodb.db import Database
from vascodb.loaders.client.answers import Positions
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.fetch.lists import fetch_positions
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.registry import CanaryPosition, CatalogDefinition, SkyPosition, SourceBinding
from vascodb.loaders.sources import ListSource
from vascodb.loaders.sources.registry import list_source
from vascodb.plates.footprint import cells

__all__ = [
    "CANARY",
    "FIELDS",
    "MARGIN_ARCSEC",
    "SKY",
    "STARS",
    "Local",
    "cells_of",
    "covered_cells",
    "gap_cells",
    "look_ups",
    "some_positions",
    "stars_near",
    "uploads",
]

FIELDS = {"plain": (132.85, 11.8), "0h": (0.0, 41.81), "north pole": (10.0, 90.0), "south pole": (200.0, -90.0)}

CANARY = CanaryPosition(ra=30.0, dec=-20.0, radius_arcsec=3.0, empty=SkyPosition(ra=31.0, dec=-20.0))

MARGIN_ARCSEC = 60.0


def still_stars() -> Table:
    """Some hundred stars in each field, and the canary; none moves, so that all services see them in one place."""
    random = np.random.default_rng(11)
    ra, dec = [np.array([CANARY.ra])], [np.array([CANARY.dec + 1e-4])]
    for place in FIELDS.values():
        around = SkyCoord(*place, unit="deg").directional_offset_by(
            random.random(150) * 360 * u.deg, 0.1 * np.sqrt(random.random(150)) * u.deg
        )
        ra.append(around.ra.deg % 360.0)
        dec.append(around.dec.deg)
    n = sum(len(each) for each in ra)
    return Table({
        "Source": np.arange(1, n + 1, dtype=np.int64) + 2**60, "RA_ICRS": np.concatenate(ra) * u.deg,
        "DE_ICRS": np.concatenate(dec) * u.deg, "pmRA": np.zeros(n) * u.mas / u.yr, "pmDE": np.zeros(n) * u.mas / u.yr,
        "Gmag": random.uniform(12, 20, n).astype(np.float32) * u.mag,
    })  # fmt: skip


STARS = still_stars()

SKY = SkyTable(TABLE, STARS, "RA_ICRS", "DE_ICRS")


def some_positions(name: str = "plain", n: int = 40, seed: int = 5) -> Positions:
    """Positions in a field; every fourth is a star, so that some have an answer and some have none."""
    random = np.random.default_rng(seed)
    around = SkyCoord(*FIELDS[name], unit="deg").directional_offset_by(
        random.random(n) * 360 * u.deg, 0.11 * np.sqrt(random.random(n)) * u.deg
    )
    return positions_at(around.ra.deg % 360.0, around.dec.deg)


def stars_near(positions: Positions) -> set[int]:
    """Stars within the margin of any position, by astropy's own separation."""
    stars = SkyCoord(STARS["RA_ICRS"], STARS["DE_ICRS"])
    near: set[int] = set()
    for ra, dec in zip(positions.ra_deg, positions.dec_deg, strict=True):
        inside = stars.separation(SkyCoord(ra, dec, unit="deg")).arcsec <= MARGIN_ARCSEC
        near |= {int(identity) for identity in STARS["Source"][inside]}
    return near


class Local:
    """A catalogue at one local service."""

    def __init__(
        self, server: Any, mode: str = "sync", definition: dict[str, Any] | None = None, **limits: Any
    ) -> None:
        self.name = "cds_xmatch" if isinstance(server, XMatchServer) else "gavo_tap"
        binding = gaia_at(self.name, CANARY).via[self.name].model_dump() | {"mode": mode}
        self.definition: CatalogDefinition = gaia_at(self.name, CANARY).model_copy(
            update={"via": {self.name: SourceBinding.model_validate(binding)}} | (definition or {})
        )
        protocol = "xmatch" if self.name == "cds_xmatch" else "tap"
        self.settings: ServiceSettings = impatient(
            protocol, server.url, **({"first_byte_timeout_s": 5.0, "list_rows": 1000, "row_cap": 5000} | limits)
        )

    @property
    def source(self) -> ListSource:
        return list_source(self.definition, self.name, {self.name: self.settings})

    def fetch(self, database: Database, positions: Positions, **options: Any) -> FetchTotals:
        client = ServiceClient(self.name, self.settings)
        return fetch_positions(database, client, self.definition, self.source, positions, **options)


def covered_cells(database: Database) -> set[int]:
    """Cells of order 29 that are covered, one by one; ranges of lists are of one cell each or of neighbours."""
    with database.connect() as connection:
        return set(
            connection.scalars(
                text("""
                    SELECT generate_series(lower(hpx29), upper(hpx29) - 1) FROM ref.coverage WHERE catalog = 'gaia_dr3'
                """)
            )
        )


def gap_cells(database: Database) -> set[int]:
    with database.connect() as connection:
        return set(connection.scalars(text("SELECT generate_series(lower(hpx29), upper(hpx29) - 1) FROM ref.gap")))


def cells_of(positions: Positions) -> set[int]:
    return set(cells(positions.ra_deg, positions.dec_deg).tolist())


def look_ups(database: Database, kind: str = "list") -> list[Any]:
    with database.connect() as connection:
        query = text("SELECT * FROM ref.lookup WHERE kind = :kind ORDER BY asked_at, lookup_id")
        return list(connection.execute(query, {"kind": kind}).all())


def uploads(server: Any) -> list[int]:
    """Positions in each list that the server was sent."""
    lengths = []
    for request in server.requests:
        for upload in request.files.values():
            n_rows = upload.content.count(b"<TR>") if b"<TR>" in upload.content else upload.content.count(b"\n") - 1
            lengths.append(n_rows)
    return lengths
