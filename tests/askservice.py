"""Put one question to a local service through the client, and stars to ask it for."""

from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table
from servers.http import ServiceServer
from servers.skytable import SkyTable

from vascodb.loaders.client.answers import SourceAnswer
from vascodb.loaders.client.ask import Reply, ServiceClient
from vascodb.loaders.client.failure import Cause
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.regions import Cone

__all__ = ["CONES", "CONTENT_CAUSES", "TRANSPORT_CAUSES", "ask", "cause_of", "ids_in", "rows_in", "rows_of",
           "settings_for", "sky_table", "stars_around"]  # fmt: skip

CONES = {
    "plain": Cone(132.8, 11.8, 0.5),
    "across RA 0 from the west": Cone(359.9, -25.0, 0.5),
    "across RA 0 from the east": Cone(0.1, 41.81, 0.5),
    "centred on RA 0": Cone(0.0, 0.0, 0.5),
    "north pole": Cone(37.0, 90.0, 0.5),
    "holds the north pole": Cone(200.0, 89.8, 0.5),
    "south pole": Cone(0.0, -90.0, 0.5),
    "holds the south pole": Cone(310.0, -89.7, 0.5),
    "tiny": Cone(132.8, 11.8, 0.01),
}

# What is wrong with a VOTable of a cone.
CONTENT_CAUSES = {
    "service_error": Cause.SERVICE_ERROR,
    "overflow": Cause.OVERFLOW,
    "exactly_cap": Cause.ROW_CAP,
    "header_only": Cause.TRUNCATED,
    "missing_column": Cause.MISSING_COLUMN,
    "wrong_unit": Cause.WRONG_UNIT,
    "duplicate_rows": Cause.DUPLICATE_ROWS,
    "wrong_sky": Cause.WRONG_SKY,
    "nan_position": Cause.BAD_ROWS,
}

TRANSPORT_CAUSES = {
    "html_maintenance": Cause.NOT_THE_FORMAT,
    "truncated_body": Cause.TRUNCATED,
    "truncated_gzip": Cause.TRUNCATED,
    "short_body": Cause.RESET,
    "empty_body": Cause.TRUNCATED,
    "reset_mid_body": Cause.RESET,
    "http_503": Cause.UNAVAILABLE,
}


def stars_around(*cones: Cone, n_stars: int = 400, seed: int = 3) -> Table:
    """Stars in twice the radius of each cone, so that many lie just outside; a third without motion."""
    random = np.random.default_rng(seed)
    places = []
    for cone in cones:
        distance = 2 * cone.radius_deg * np.sqrt(random.random(n_stars))
        centre = SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg")
        places.append(centre.directional_offset_by(random.random(n_stars) * 360 * u.deg, distance * u.deg))
    ra, dec = np.concatenate([p.ra.deg for p in places]) % 360.0, np.concatenate([p.dec.deg for p in places])
    n = len(ra)
    still = np.arange(n) % 3 == 0
    table = Table()
    table["Source"] = random.permutation(np.arange(n)) + 2**62
    table["RA_ICRS"], table["DE_ICRS"] = ra * u.deg, dec * u.deg
    table["pmRA"] = MaskedColumn(random.normal(0, 30, n).astype("f4"), mask=still, unit="mas/yr")
    table["pmDE"] = MaskedColumn(random.normal(0, 30, n).astype("f4"), mask=still, unit="mas/yr")
    table["Gmag"] = MaskedColumn(random.uniform(8, 21, n).astype("f4"), mask=np.arange(n) % 5 == 0, unit="mag")
    return table


def ids_in(table: Table, cone: Cone) -> set[int]:
    """Stars in a cone, by astropy's own separation."""
    stars = SkyCoord(table["RA_ICRS"], table["DE_ICRS"])
    near = stars.separation(SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg")).deg <= cone.radius_deg
    return {int(i) for i in table["Source"][near]}


def rows_in(table: Table, cone: Cone) -> list[tuple[object, ...]]:
    """The stars in a cone as an answer should have them."""
    near = table[np.isin(table["Source"], list(ids_in(table, cone)))]
    near.sort("Source")
    columns = [np.ma.asarray(near[name]).tolist() for name in near.colnames]
    return list(zip(*columns, strict=True))


def rows_of(reply: Reply[SourceAnswer]) -> list[tuple[object, ...]]:
    """An answer's rows in the order of `rows_in`."""
    assert reply.answer is not None, reply.failure
    names = ["source_id", "ra", "dec", "pmra_masyr", "pmdec_masyr", "mag"]
    table = reply.answer.table.sort_by("source_id")
    assert set(table["epoch_jyear"].to_pylist()) <= {2016.0}
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def settings_for(server: ServiceServer, **changes: Any) -> ServiceSettings:
    """Settings of a server that is asked once, without pauses."""
    protocol = {"vizier": "asu"}.get(server.protocol, server.protocol)
    defaults: dict[str, Any] = {
        "title": "local",
        "protocol": protocol,
        "endpoints": (server.url,),
        "attempts": 1,
        "backoff_s": 0.0,
        "per_second": 10_000.0,
        "row_cap": 5_000,
        "first_byte_timeout_s": 5.0,
    }
    return ServiceSettings(**(defaults | changes))


def ask(source: Any, settings: ServiceSettings, cone: Cone) -> Reply[SourceAnswer]:
    """Ask once through the client."""
    client = ServiceClient("local", settings)
    return client.ask(lambda session, endpoint: source.ask_cone(session, endpoint, cone), attempts=1)


def cause_of(reply: Reply[SourceAnswer]) -> Cause | None:
    """Why it failed, if it did; a failure never carries an answer."""
    if reply.failure is None:
        return None
    assert reply.answer is None
    return reply.failure.cause


def sky_table(name: str, table: Table) -> SkyTable:
    """The stars as a service publishes them."""
    return SkyTable(name, table, "RA_ICRS", "DE_ICRS")
