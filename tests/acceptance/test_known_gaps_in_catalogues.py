"""The ways in which catalogues were incomplete and nobody noticed, each as a test that fails where that happens.

The numbers in the comments are those of a list of such ways in a pipeline that came before: B1 to B6, B12 and B13;
B7 to B11, B14 and B15 are in test_known_gaps_in_judging. B1 has a test by brute force, test_every_star_is_stored.
"""

from contextlib import closing
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import vstack
from astropy.time import Time
from cdshealpix.nested import lonlat_to_healpix
from gapsky import at_service, fetch, image_of, judge, match, published, vetoes
from hatsfiles import ring, scattered, split_by_density, write_cache, write_hats
from localservice import gaia_at, impatient, local_sky, stored_ids
from localsettings import write_settings
from mocpy import MOC
from servers.skytable import SkyTable
from servers.tap import TapServer
from sqlalchemy import text

from vascodb.audits import audits
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.configured import load_services
from vascodb.loaders.fetch.reference import fetch_areas, plan_areas
from vascodb.loaders.fetch.targets import Target, tile_target
from vascodb.loaders.partitioned.load import load_partitions
from vascodb.loaders.partitioned.partitions import Partition, overlapping
from vascodb.loaders.reference import load_reference
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import catalog

ARCSEC = 1 / 3600
AT = (132.85, 11.8)
AREA = Cone(*AT, 0.1)


# B1
@pytest.mark.parametrize(
    "centre", [(1.662, 59.887), (345.332, 77.776), (10.0, 41.81), (10.0, -41.82), (0.0, 90.0), (359.99, 0.01)]
)
@pytest.mark.parametrize("radius_deg", [0.02, 0.76, 3.0])
def test_a_cone_takes_every_partition_that_it_touches(centre: tuple[float, float], radius_deg: float) -> None:
    order = 5
    partitions = [Partition(order, pixel, Path()) for pixel in range(12 * 4**order)]
    chosen = {partition.pixel for partition in overlapping(partitions, Cone(*centre, radius_deg).touched())}
    middle = SkyCoord(*centre, unit="deg")
    random = np.random.default_rng(2)
    # Dense on the rim, where a partition's edge or corner may just reach in.
    angle, distance = random.random(20_000) * 360 * u.deg, radius_deg * np.sqrt(random.random(20_000)) * u.deg
    inside = middle.directional_offset_by(angle, np.where(np.arange(20_000) % 2, distance, radius_deg * u.deg))
    touched = set(np.asarray(lonlat_to_healpix(inside.ra, inside.dec, depth=order), dtype=int).tolist())
    assert touched <= chosen
    # Nor all of the sky: at most the neighbours.
    assert len(chosen) <= 4 * len(touched) + 9


# B2
def test_rows_of_another_sky_are_refused_and_so_is_a_catalogue_of_it(database: Database) -> None:
    sky = local_sky(*AT, 0.3, 300)
    with TapServer([sky.table]) as server:
        server.fail("wrong_sky", times=None, when=lambda request: len(server.requests) > 2)
        totals = fetch(database, gaia_at("vizier_tap", sky.canary), "vizier_tap", impatient("tap", server.url), AREA)
    assert (totals.failed, totals.complete) == (1, 0)
    assert "wrong_sky" in totals.failures[0]
    assert stored_ids(database, "gaia_dr3") == set()
    assert match(database, image_of(database, *np.array([AT]).T.tolist()), "gaia_dr3") == ["unknown"]


def test_a_file_of_another_sky_is_refused(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "gaia.csv"
    path.write_text("source_id,ra,dec,pmra,pmdec,phot_g_mean_mag\n1,0.0,0.0,,,15\n2,0.01,0.0,,,15\n")
    with pytest.raises(InputError, match="is it the right sky"):
        load_reference(database, catalog("gaia_dr3"), path, AREA)


# B3: what an empty answer needs to be believed, and what finds one that was believed wrongly.
@pytest.mark.parametrize("fault", ["empty", "header_only", "empty_body", "truncated_body", "http_503"])
def test_a_catalogue_that_is_empty_absent_or_unreadable_covers_nothing(database: Database, fault: str) -> None:
    sky = local_sky(*AT, 0.3, 300)
    with TapServer([sky.table]) as server:
        # Once with the canary, which sees nothing either; once from the question itself on.
        for n_answered in (0, 2):
            asked = len(server.requests)
            server.fail(fault, times=None, when=lambda request: request.number >= asked + n_answered)  # noqa: B023
            totals = fetch(
                database, gaia_at("vizier_tap", sky.canary), "vizier_tap", impatient("tap", server.url), AREA
            )
            server.heal()
            assert (totals.complete, totals.failed) == (0, 1)
    with database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM ref.coverage")) == 0
    assert match(database, image_of(database, [AT[0]], [AT[1]]), "gaia_dr3") == ["unknown"]


def test_a_partition_without_rows_covers_nothing(database: Database, tmp_path: Path) -> None:
    parts = split_by_density(scattered(600, AT, 1.5), 5, 1000)
    empty = next(iter(parts))
    folder = write_hats(parts | {empty: parts[empty][:0]}, tmp_path / "gaia", counts=False)
    done = load_partitions(database, catalog("gaia_dr3"), folder)
    assert len(done.failures) == 1
    assert "no rows" in done.failures[0]
    with database.connect() as connection:
        covered = connection.execute(text("SELECT lower(hpx29), upper(hpx29) FROM ref.coverage")).all()
    moc = MOC.from_depth29_ranges(max_depth=29, ranges=np.array([tuple(row) for row in covered], dtype=np.uint64))
    hole = MOC.from_healpix_cells(np.array([empty[1]], dtype=np.uint64), np.array([empty[0]], dtype=np.uint8), 5)
    assert moc.intersection(hole).empty()


def test_no_wide_sky_is_believed_to_be_empty_even_of_a_service_that_sees_its_canary(database: Database) -> None:
    lonely = published("gaia_dr3", "vizier_tap", [AT[0] + 20.0], [AT[1]])
    fewest = catalog("gaia_dr3").fewest_per_sqdeg
    assert fewest is not None
    definition = at_service("gaia_dr3", AT[0] + 20.0, AT[1], fewest_per_sqdeg=fewest)
    with TapServer([lonely]) as server:
        settings = impatient("tap", server.url)
        wide = fetch(database, definition, "vizier_tap", settings, Cone(*AT, 0.75))
        assert (wide.complete, wide.failed) == (0, 1)
        assert "0 rows" in wide.failures[0]
        # In a small circle there may be nothing. Asked beside the canary, before and after: the one after counts.
        asked = len(server.requests)
        assert fetch(database, definition, "vizier_tap", settings, AREA).complete == 1
        assert len(server.requests) - asked == 2 + 1 + 2 + 1
    assert match(database, image_of(database, [AT[0]] * 2, [AT[1], AT[1] + 0.5]), "gaia_dr3") == ["clear", "unknown"]


def test_wide_empty_sky_of_a_rare_kind_of_star_is_found_by_an_audit(database: Database) -> None:
    lonely = published("vsx", "vizier_tap", [AT[0] + 20.0], [AT[1]])
    definition = at_service("vsx", AT[0] + 20.0, AT[1])
    found = []
    with TapServer([lonely]) as server:
        for radius_deg in (0.1, 0.75):
            area = Cone(*AT, radius_deg)
            assert fetch(database, definition, "vizier_tap", impatient("tap", server.url), area).complete == 1
            with database.connect() as connection:
                rows = connection.execute(text(audits()["empty_coverage"].query)).all()
            found.append({row.catalog for row in rows})
    assert found == [set(), {"vsx"}]


# B4
def test_the_corners_of_a_square_are_not_covered_by_a_circle_made_for_a_circle(
    database: Database, tmp_path: Path
) -> None:
    sky = local_sky(*AT, 1.0, 2000)
    columns = {"source_id": "Source", "ra": "RA_ICRS", "dec": "DE_ICRS", "pmra": "pmRA", "pmdec": "pmDE", "mag": "Gmag"}
    prewarmed = Cone(*AT, 31 / 60)
    near = prewarmed.contains(sky.table.ra_deg, sky.table.dec_deg)
    sky.table.table[near].write(tmp_path / "gaia.ecsv", format="ascii.ecsv")
    load_reference(database, catalog("gaia_dr3"), tmp_path / "gaia.ecsv", prewarmed, columns)
    corner = SkyCoord(*AT, unit="deg").directional_offset_by(45 * u.deg, 42.42 * u.arcmin)
    edge = SkyCoord(*AT, unit="deg").directional_offset_by(0 * u.deg, 29 * u.arcmin)
    extraction_id = image_of(database, [edge.ra.deg, corner.ra.deg], [edge.dec.deg, corner.dec.deg])
    covered = match(database, extraction_id, "gaia_dr3")
    assert covered[0] in ("clear", "matched")
    assert covered[1] == "not_covered"
    with database.connect() as connection:
        assert 2 not in judge(connection, vetoes("gaia"), extraction_id)
    with TapServer([sky.table]) as server:
        settings = impatient("tap", server.url)
        with database.connect() as connection:
            square = tile_target(connection, "tile_RA132.850_DECp11.800", 60.0).area
        assert isinstance(square, Cone)
        fetch(database, gaia_at("vizier_tap", sky.canary), "vizier_tap", settings, square)
    assert match(database, extraction_id, "gaia_dr3")[1] in ("clear", "matched")


# B5
def test_the_settings_of_a_fetch_are_on_record_with_every_look_up(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sky = local_sky(*AT, 0.3, 100)
    definition = gaia_at("vizier_tap", sky.canary)
    with TapServer([sky.table]) as server:
        path = write_settings(tmp_path / "settings.toml", {"vizier_tap": server.url}, row_cap=77_777)
        monkeypatch.setenv("VASCO_STEP4_NO_FETCH", "0")
        settings = database.settings.model_copy(update={"settings": path})
        services = load_services(settings, "gaia_dr3")
        with closing(Database(settings)) as own:
            plan = plan_areas(own, services, definition, [Target("here", AREA)], service_name="vizier_tap")
            fetch_areas(own, services, definition, plan)
    with database.connect() as connection:
        recorded = connection.execute(text("SELECT kind, row_cap, parameters FROM ref.lookup ORDER BY kind")).all()
    assert [row.kind for row in recorded] == ["area", "canary"]
    for row in recorded:
        changed = row.parameters["settings"]["changed"]
        assert changed["services.vizier_tap.row_cap"] == {"value": 77_777, "from": str(path)}
        assert row.parameters["settings"]["variables"]["VASCO_STEP4_NO_FETCH"]["value"] == "0"
    assert recorded[0].row_cap == recorded[0].parameters["maxrec"] == 77_777


# B6
def test_partitions_numbered_in_the_ring_scheme_are_refused(database: Database, tmp_path: Path) -> None:
    folder = write_cache(scattered(500, AT, 2.0), tmp_path / "gaia", filing=ring)
    done = load_partitions(database, catalog("gaia_dr3"), folder)
    assert (done.n_loaded, len(done.failures)) == (0, done.n_wanted)
    assert "RING" in done.failures[0]
    assert stored_ids(database, "gaia_dr3") == set()


# B12
def test_eleven_fast_stars_have_their_counterparts_at_the_plates_epoch_and_nowhere_else(database: Database) -> None:
    random = np.random.default_rng(12)
    n = 11
    ra, dec = AT[0] + np.linspace(-0.08, 0.08, n), np.full(n, AT[1])
    speed, angle = random.uniform(120, 800, n), random.random(n) * 2 * np.pi
    stars = SkyCoord(
        ra * u.deg, dec * u.deg, distance=np.full(n, 1.0) * u.kpc,
        pm_ra_cosdec=speed * np.sin(angle) * u.mas / u.yr, pm_dec=speed * np.cos(angle) * u.mas / u.yr,
        obstime=Time("J2016"),
    )  # fmt: skip
    then = stars.apply_space_motion(new_obstime=Time("J1952"))
    sky = published("gaia_dr3", "vizier_tap", ra, dec, speed * np.sin(angle), speed * np.cos(angle))
    definition = at_service("gaia_dr3", AT[0], AT[1] - 0.05)
    lonely = published("gaia_dr3", "vizier_tap", [AT[0]], [AT[1] - 0.05], Source=[99])
    both = SkyTable(sky.name, vstack([sky.table, lonely.table]), sky.ra_column, sky.dec_column)
    with TapServer([both]) as server:
        assert fetch(database, definition, "vizier_tap", impatient("tap", server.url), AREA).rows == n + 1
    extraction_id = image_of(
        database, [*then.ra.deg.tolist(), *ra.tolist()], [*then.dec.deg.tolist(), *dec.tolist()], 1952.0
    )
    assert match(database, extraction_id, "gaia_dr3") == ["matched"] * n + ["clear"] * n


# B13
def test_a_motion_that_only_usnob_claims_vetoes_nothing_but_its_own_place(database: Database) -> None:
    years, masyr = 48.0, 140.0
    moved = masyr / 1000 * years * ARCSEC
    dec = AT[1] + np.array([-0.04, -0.02, 0.0, 0.02, 0.04])
    # Seen on the first epoch's plates only; too few plates; improbable; too fast; and one that is confirmed.
    entries = published(
        "usnob1", "vizier_tap", [AT[0]] * 5, dec, pmdec=[masyr, masyr, masyr, 310.0, masyr],
        B2mag=[None, 15.0, 15.0, 15.0, 15.0], R2mag=[None, 15.0, 15.0, 15.0, None],
        Ndet=[5, 3, 5, 5, 4], muPr=[9, 9, 5, 9, 9],
    )  # fmt: skip
    claimed = dec - np.array([moved, moved, moved, 310 / masyr * moved, moved])
    with TapServer([entries]) as server:
        settings = impatient("tap", server.url)
        assert fetch(database, at_service("usnob1", AT[0], AT[1]), "vizier_tap", settings, AREA).rows == 5
    extraction_id = image_of(database, [AT[0]] * 10, [*dec.tolist(), *claimed.tolist()], 2000.0 - years)
    states = match(database, extraction_id, "usnob1")
    assert states[:5] == ["matched", "matched", "matched", "matched", "clear"]
    assert states[5:] == ["clear", "clear", "clear", "clear", "matched"]
    with database.connect() as connection:
        assert connection.scalar(text("SELECT count(pmdec_masyr) FROM ref.usnob1")) == 1
