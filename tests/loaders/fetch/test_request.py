"""From a wish to a fetch: which questions a tile, a plan, a cone or a local copy comes to."""

from pathlib import Path

import numpy as np
import pytest
from hatsfiles import scattered, write_cache
from localservice import LocalSky, gaia_at, impatient, local_sky, stored_ids
from servers.tap import TapServer
from sqlalchemy import text

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.fetch.coverage import uncovered
from vascodb.loaders.fetch.request import Job, Wish, prepare
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.fetch.units import sky_of_cone
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import catalog

TILE = "tile_RA132.850_DECp11.800"
HEADER = "plate_id,plate_tile_idx,tile_id,ra_deg,dec_deg,size_arcmin,survey\n"


@pytest.fixture(scope="module")
def sky() -> LocalSky:
    return local_sky(132.85, 11.8, 2.0, 3000)


def ask(database: Database, sky: LocalSky, wish: Wish, **limits: object) -> tuple[Job, FetchTotals, TapServer]:
    with TapServer([sky.table]) as server:
        services: dict[str, ServiceSettings] = {"vizier_tap": impatient("tap", server.url, **limits)}
        job = prepare(database, services, gaia_at("vizier_tap", sky.canary), wish)
        return job, job.run(None, lambda _: None), server


def is_covered(database: Database, *cones: Cone) -> bool:
    with database.connect() as connection:
        return all(uncovered(connection, "gaia_dr3", sky_of_cone(cone)).empty() for cone in cones)


def test_a_tile_is_covered_to_its_corners(database: Database, sky: LocalSky) -> None:
    job, totals, _ = ask(database, sky, Wish(tile=TILE, size_arcmin=60.0))
    assert (job.size, totals.complete) == (1, 1)
    assert is_covered(database, Cone(132.85, 11.8, 30 * np.sqrt(2) / 60))


def test_a_plan_asks_for_each_tile_once(database: Database, sky: LocalSky, tmp_path: Path) -> None:
    plan = tmp_path / "plan.csv"
    rows = [
        f"XE486,0,{TILE},132.850000,11.800000,30,dss1-red",
        "XE486,1,tile_RA133.400_DECp11.800,133.400000,11.800000,30,dss1-red",
        "XE487,0,tile_RA132.850_DECp12.300,132.850000,12.300000,30,dss1-red",
    ]
    plan.write_text(HEADER + "\n".join(rows) + "\n")
    job, totals, _ = ask(database, sky, Wish(plan=plan))
    assert (job.size, totals.complete) == (3, 3)
    again, _, server = ask(database, sky, Wish(plan=plan))
    assert again.size == 0
    assert server.requests == []
    narrowed = prepare(
        database,
        {"vizier_tap": impatient("tap", "http://127.0.0.1:1")},
        gaia_at("vizier_tap", sky.canary),
        Wish(plan=plan, plate="XE486", again=True),
    )
    assert narrowed.size == 2


def test_a_wide_cone_comes_in_parts(database: Database, sky: LocalSky) -> None:
    job, totals, _ = ask(database, sky, Wish(cone="132.85,11.8,0.9deg"), max_radius_deg=0.6)
    assert job.size == totals.complete > 3
    assert is_covered(database, Cone(132.85, 11.8, 0.9))


def test_an_unknown_tile_name_is_an_error_and_never_the_origin(database: Database, sky: LocalSky) -> None:
    with pytest.raises(InputError, match="tile"):
        prepare(
            database,
            {"vizier_tap": impatient("tap", "http://127.0.0.1:1")},
            gaia_at("vizier_tap", sky.canary),
            Wish(tile="poss1_red_field"),
        )


def test_an_unknown_service_is_an_error_that_names_those_there_are(database: Database, sky: LocalSky) -> None:
    with pytest.raises(InputError, match="vizier_tap"):
        prepare(
            database,
            {"vizier_tap": impatient("tap", "http://127.0.0.1:1")},
            gaia_at("vizier_tap", sky.canary),
            Wish(tile=TILE, via="mast_catalogs"),
        )


def test_a_target_outside_the_survey_is_said_once_and_asked_nowhere(database: Database, sky: LocalSky) -> None:
    southern = gaia_at("vizier_tap", sky.canary, dec_min=20.0)
    services = {"vizier_tap": impatient("tap", "http://127.0.0.1:1")}
    job = prepare(database, services, southern, Wish(tile=TILE))
    assert job.size == 0
    assert TILE in job.notes[0]
    assert "not covered" in job.notes[0]


def test_a_local_copy_is_read_instead_of_asking(database: Database, tmp_path: Path) -> None:
    stars = scattered(4000, (132.85, 11.8), 1.5)
    folder = write_cache(stars, tmp_path / "cache")
    wish = Wish(tile=TILE, size_arcmin=30.0, local_copy=folder)
    totals = prepare(database, {}, catalog("gaia_dr3"), wish).run(2, lambda _: None)
    assert totals.failed == 0
    assert totals.complete >= 1
    assert is_covered(database, Cone(132.85, 11.8, 15 * np.sqrt(2) / 60))
    near = Cone(132.85, 11.8, 0.37).contains(stars["ra"].to_numpy(), stars["dec"].to_numpy())
    assert stored_ids(database, "gaia_dr3") >= set(stars["source_id"].to_numpy()[near].tolist())
    with database.connect() as connection:
        assert set(connection.scalars(text("SELECT kind FROM ref.lookup"))) == {"bulk"}


def test_settings_that_are_not_as_shipped_are_recorded_with_every_lookup(
    database: Database, sky: LocalSky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VASCO_PS1_ATTEMPTS", "7")
    ask(database, sky, Wish(tile=TILE))
    with database.connect() as connection:
        recorded = connection.scalars(text("SELECT parameters -> 'settings' -> 'variables' FROM ref.lookup")).all()
    assert len(recorded) == 2
    assert all(found["VASCO_PS1_ATTEMPTS"]["value"] == "7" for found in recorded)
