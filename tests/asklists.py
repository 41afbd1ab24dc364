"""Lists of positions for local services, and what they should answer by brute force."""

import numpy as np
from askservice import settings_for
from astropy.coordinates import SkyCoord
from astropy.table import Table

from vascodb.loaders.client.answers import PositionAnswer, Positions
from vascodb.loaders.client.ask import Reply, ServiceClient
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.sources import ListSource

__all__ = ["answered_pairs", "ask_list", "pairs_by_force", "positions_at", "settings_for"]


def positions_at(ra_deg: object, dec_deg: object, first: int = 1) -> Positions:
    """Positions, numbered in steps of 7 so that a number is no place in the list."""
    ra, dec = np.atleast_1d(np.asarray(ra_deg, dtype=float)), np.atleast_1d(np.asarray(dec_deg, dtype=float))
    return Positions(first + 7 * np.arange(len(ra), dtype=np.int64), ra, dec)


def pairs_by_force(table: Table, positions: Positions, radius_arcsec: float) -> set[tuple[int, int]]:
    """Number of the position and id of the star, for all stars of Gaia's columns within the radius."""
    stars = SkyCoord(table["RA_ICRS"], table["DE_ICRS"], unit="deg")
    pairs = set()
    for number, ra, dec in zip(positions.row_id, positions.ra_deg, positions.dec_deg, strict=True):
        near = stars.separation(SkyCoord(ra, dec, unit="deg")).arcsec <= radius_arcsec
        pairs |= {(int(number), int(identity)) for identity in table["Source"][near]}
    return pairs


def ask_list(
    source: ListSource, settings: ServiceSettings, positions: Positions, radius_arcsec: float
) -> Reply[PositionAnswer]:
    """Ask through the client, as often as the settings allow."""
    client = ServiceClient("local", settings)
    return client.ask(lambda session, endpoint: source.ask_positions(session, endpoint, positions, radius_arcsec))


def answered_pairs(reply: Reply[PositionAnswer]) -> set[tuple[int, int]]:
    """The answer in the form of `pairs_by_force`."""
    assert reply.answer is not None, reply.failure
    ids = reply.answer.table["source_id"].to_pylist()
    pairs = list(zip(reply.answer.row_ids.tolist(), ids, strict=True))
    assert len(set(pairs)) == len(pairs)
    return set(pairs)
