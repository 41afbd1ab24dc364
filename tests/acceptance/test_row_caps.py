"""A cone with far more stars than a service sends at once comes back whole, in one command."""

import time

import pytest
from commandline import Vascodb
from localservice import LocalSky, local_sky
from localsettings import write_settings
from servers.tap import TapServer

CENTRE, RADIUS_DEG = (80.0, 41.81), 0.5
CONE = f"{CENTRE[0]},{CENTRE[1]},{RADIUS_DEG}deg"
CAP = 50_000


@pytest.fixture(scope="module")
def crowded() -> LocalSky:
    return local_sky(*CENTRE, 0.53, 230_000)


@pytest.mark.slow
def test_200_000_rows_behind_a_cap_of_50_000(vascodb: Vascodb, crowded: LocalSky, tmp_path, record_testsuite_property):
    truth = crowded.ids_in(*CENTRE, RADIUS_DEG)
    assert len(truth) > 200_000
    with TapServer([crowded.table], sync_cap=CAP) as server:
        settings = write_settings(
            tmp_path / "settings.toml", {"vizier_tap": server.url}, {"gaia_dr3": crowded.canary}, row_cap=CAP
        )
        vascodb.environment["VASCODB_SETTINGS"] = str(settings)
        started = time.monotonic()
        said = vascodb.ok("fetch-reference", "gaia_dr3", "--cone", CONE).out
        seconds = time.monotonic() - started
        n_requests = len(server.requests)
        # What was cut once is not asked for as a whole again.
        assert "nothing to ask" in vascodb.ok("fetch-reference", "gaia_dr3", "--cone", CONE).out
        assert len(server.requests) == n_requests
    record_testsuite_property("cone of 205,000 rows behind a cap of 50,000, seconds", round(seconds, 1))
    print(f"{len(truth)} rows in {n_requests} queries, {seconds:.1f} s")
    assert "0 failed" in said
    inside = f"q3c_radial_query(ra, dec, {CENTRE[0]}, {CENTRE[1]}, {RADIUS_DEG})"
    assert {int(row[0]) for row in vascodb.sql(f"SELECT source_id FROM ref.gaia_dr3 WHERE {inside}")} == truth
    [[n_stored, most_rows, n_split]] = vascodb.sql(f"""
        SELECT
            (SELECT count(*) FROM ref.gaia_dr3),
            max(rows_in) FILTER (WHERE complete),
            count(*) FILTER (WHERE status = 'split' AND cause IN ('row_cap', 'overflow') AND row_cap = {CAP})
        FROM ref.lookup
    """)
    # Its rim is there too, and nothing that is not in the sky.
    assert len(crowded.ids_in(*CENTRE, RADIUS_DEG + 60 / 3600)) <= int(n_stored) <= len(crowded.ids)
    assert int(most_rows) < CAP
    assert int(n_split) >= 1
