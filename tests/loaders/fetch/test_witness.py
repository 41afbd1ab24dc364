"""A survey whose outline nobody publishes says nothing where it shows no other source near by."""

import numpy as np
import pytest
from localservice import LocalSky, gaia_at, impatient, local_sky
from servers.xmatch import XMatchServer
from sqlalchemy import text

from vascodb.db import Database
from vascodb.loaders.client.answers import Positions
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.fetch.coverage import uncovered
from vascodb.loaders.fetch.lists import fetch_positions
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.fetch.units import sky_of_cone
from vascodb.loaders.regions import Cone
from vascodb.loaders.sources.registry import list_source
from vascodb.plates.footprint import cells

WITNESS_ARCSEC = 120.0


@pytest.fixture(scope="module")
def sky() -> LocalSky:
    """Some two stars per square arcminute, and none beyond half a degree."""
    return local_sky(100.0, 20.0, 0.5, 6000)


def fetch(
    database: Database, sky: LocalSky, ra_deg: list[float], dec_deg: list[float], fault: str | None = None
) -> FetchTotals:
    definition = gaia_at("cds_xmatch", sky.canary, witness_radius_arcsec=WITNESS_ARCSEC, coverage_margin_arcsec=6.0)
    positions = Positions(np.arange(len(ra_deg)) + 1, np.array(ra_deg), np.array(dec_deg))
    with XMatchServer([sky.table]) as server:
        if fault:
            server.fail(fault, times=None)
        settings = impatient("xmatch", server.url)
        source = list_source(definition, "cds_xmatch", {"cds_xmatch": settings})
        return fetch_positions(database, ServiceClient("cds_xmatch", settings), definition, source, positions)


def n_gaps(database: Database) -> int:
    with database.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM ref.gap")) or 0)


def is_covered(database: Database, ra_deg: float, dec_deg: float) -> bool:
    cell = cells(np.array([ra_deg]), np.array([dec_deg]))[0]
    with database.connect() as connection:
        open_sky = uncovered(connection, "gaia_dr3", sky_of_cone(Cone(ra_deg, dec_deg, 1e-4)))
    ranges = np.asarray(open_sky.to_depth29_ranges, dtype=np.int64).reshape(-1, 2)
    return not ((ranges[:, 0] <= cell) & (cell < ranges[:, 1])).any()


def test_only_where_a_neighbour_bears_witness_is_a_position_covered(database: Database, sky: LocalSky) -> None:
    totals = fetch(database, sky, [100.0, 103.0], [20.0, 20.0])
    assert (totals.complete, totals.outside, totals.failed) == (1, 1, 0)
    assert is_covered(database, 100.0, 20.0)
    assert not is_covered(database, 103.0, 20.0)


def test_a_position_without_a_witness_is_asked_about_again(database: Database, sky: LocalSky) -> None:
    fetch(database, sky, [100.0, 103.0], [20.0, 20.0])
    again = fetch(database, sky, [100.0, 103.0], [20.0, 20.0])
    assert (again.complete, again.outside) == (1, 1)
    known = fetch(database, sky, [100.0], [20.0])
    assert (known.complete, known.skipped) == (0, 1)


def test_where_the_survey_did_not_look_nothing_is_left_to_be_tried_again(database: Database, sky: LocalSky) -> None:
    fetch(database, sky, [100.0, 103.0], [20.0, 20.0], fault="http_503")
    assert n_gaps(database) == 2
    totals = fetch(database, sky, [100.0, 103.0], [20.0, 20.0])
    assert (totals.complete, totals.outside) == (1, 1)
    assert n_gaps(database) == 0
