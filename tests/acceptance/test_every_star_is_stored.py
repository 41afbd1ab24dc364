"""By brute force: whatever way a region was asked for, no star that could be a counterpart in covered sky is missing.

The pipelines that came before took, for a cone, the partitions whose centres were in it: above a declination of
41.81 degrees half of the stars were missing, and a hundred thousand of them "vanished". Here stars are strewn about
the rims of regions at that declination, at the poles, at 0h and at places of that time, half of them moving as fast as
a margin allows; then every star that comes within the match radius of covered sky in any year of the survey must
be stored.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from astropy.coordinates import Latitude, Longitude, SkyCoord
from astropy.table import Table
from cdshealpix.nested import cone_search, vertices
from hatsfiles import split_by_density, stars, write_cache, write_hats
from localservice import COLUMNS, TABLE, gaia_at, impatient, stored_ids
from mocpy import MOC
from numpy.typing import NDArray
from servers.skytable import SkyTable
from servers.tap import TapServer
from servers.xmatch import XMatchServer
from sqlalchemy import text

from vascodb.db import Database
from vascodb.loaders.client.answers import Positions
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.fetch.coverage import uncovered
from vascodb.loaders.fetch.lists import fetch_positions
from vascodb.loaders.fetch.reference import fetch_areas, plan_areas
from vascodb.loaders.fetch.targets import Target
from vascodb.loaders.partitioned.load import load_partitions
from vascodb.loaders.reference import load_reference
from vascodb.loaders.regions import Cone, MocRegion
from vascodb.loaders.registry import CanaryPosition, CatalogDefinition, catalog
from vascodb.loaders.sources.registry import list_source
from vascodb.plates.footprint import ORDER, polygon

CATALOG = "gaia_dr3"
RADIUS_DEG = 0.2
MATCH_ARCSEC = 5.0
FASTEST_MASYR = 800.0
YEARS = (1949.5, 1954.0, 1958.5)
_RANDOM = np.random.default_rng(41)
PLACES = [
    (10.0, 41.81), (359.95, 41.8103), (0.02, -41.81), (135.0, -41.8), (0.0, 0.0), (123.0, 89.9), (17.0, -90.0),
    (1.662, 59.887), (345.332, 77.776),
    *zip(_RANDOM.uniform(0, 360, 3).tolist(), np.degrees(np.arcsin(_RANDOM.uniform(-1, 1, 3))).tolist(), strict=True),
]  # fmt: skip


@pytest.fixture(scope="module")
def sky() -> pa.Table:
    """Stars about the rims of circles and squares at all places and the corners of cells there, and all over them."""
    random = np.random.default_rng(7)
    n = 360
    centres = SkyCoord(PLACES, unit="deg")
    corners = SkyCoord([corner for place in PLACES for corner in corners_of(place)], unit="deg")
    rim = RADIUS_DEG + random.uniform(-0.03, 0.06, n)
    anywhere = 2.5 * RADIUS_DEG * np.sqrt(random.random(n))
    places = [
        *(c.directional_offset_by(random.random(n) * 360 * u.deg, rim * u.deg) for c in centres),
        *(c.directional_offset_by(random.random(n) * 360 * u.deg, anywhere * u.deg) for c in centres),
        *(c.directional_offset_by(random.random(30) * 360 * u.deg, random.random(30) * 0.03 * u.deg) for c in corners),
        *(
            c.directional_offset_by(random.random(5) * 360 * u.deg, random.random(5) * 60 * u.arcsec)
            for c in cell_corners()
        ),
    ]
    ra = np.concatenate([p.ra.deg for p in places]) % 360.0
    dec = np.concatenate([p.dec.deg for p in places])
    table = stars(ra, dec)
    speed = np.where(random.random(len(ra)) < 0.5, FASTEST_MASYR * np.sqrt(random.random(len(ra))), 0.0)
    angle = random.random(len(ra)) * 2 * np.pi
    for name, values in (("pmra", speed * np.sin(angle)), ("pmdec", speed * np.cos(angle))):
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


def corners_of(place: tuple[float, float]) -> list[tuple[float, float]]:
    """Corners of a square that stands on one of them, in order."""
    centre = SkyCoord(*place, unit="deg")
    around = [centre.directional_offset_by(angle * u.deg, RADIUS_DEG * u.deg) for angle in (20, 110, 200, 290)]
    return [(float(corner.ra.deg) % 360.0, float(corner.dec.deg)) for corner in around]


def cell_corners() -> SkyCoord:
    """Corners of all HEALPix cells of the orders in which regions of this size are asked for."""
    found = []
    for place in PLACES:
        for order in (8, 9):
            index, depth, _ = cone_search(
                Longitude(place[0], u.deg), Latitude(place[1], u.deg), RADIUS_DEG * u.deg, order, flat=True
            )
            ra, dec = vertices(index, depth)
            found.append(np.column_stack([ra.deg.ravel() % 360.0, dec.deg.ravel()]))
    return SkyCoord(np.unique(np.concatenate(found).round(9), axis=0), unit="deg")


def square(place: tuple[float, float]) -> MOC:
    ra, dec = zip(*corners_of(place), strict=True)
    return polygon(np.array(ra), np.array(dec), order=13)


def at_vizier(sky: pa.Table) -> SkyTable:
    names = dict(zip(COLUMNS, ("source_id", "ra", "dec", "pmra", "pmdec", "phot_g_mean_mag"), strict=True))
    table = Table({new: sky[old].to_numpy(zero_copy_only=False) for new, old in names.items()})
    for name, unit in COLUMNS.items():
        if unit:
            table[name].unit = unit
    return SkyTable(TABLE, table, "RA_ICRS", "DE_ICRS")


def definition_of(sky: pa.Table, service: str) -> CatalogDefinition:
    still = int(np.flatnonzero(sky["pmra"].to_numpy() == 0)[0])
    at = CanaryPosition(ra=sky["ra"][still].as_py(), dec=sky["dec"][still].as_py(), radius_arcsec=1.0)
    return gaia_at(service, at)


def at_epoch(sky: pa.Table, year: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where all stars were, by straight motion in space."""
    ra, dec = np.radians(sky["ra"].to_numpy()), np.radians(sky["dec"].to_numpy())
    position = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    east = np.array([-np.sin(ra), np.cos(ra), np.zeros_like(ra)])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    arcsec = (year - 2016.0) / 1000.0 * np.array([sky["pmra"].to_numpy(), sky["pmdec"].to_numpy()])
    x, y, z = position + np.radians(arcsec[0] / 3600) * east + np.radians(arcsec[1] / 3600) * north
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def coverage(database: Database) -> MOC:
    with database.connect() as connection:
        rows = connection.execute(
            text("SELECT lower(hpx29), upper(hpx29) FROM ref.coverage WHERE catalog = :c"), {"c": CATALOG}
        ).all()
    return MOC.from_depth29_ranges(max_depth=ORDER, ranges=np.array([tuple(row) for row in rows], dtype=np.uint64))


def contains(moc: MOC, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(moc.contains_lonlat(Longitude(ra_deg, u.deg), Latitude(dec_deg, u.deg)))


def assert_every_star_is_stored(database: Database, sky: pa.Table, telling: int = 30) -> None:
    """And there are so many that would be missing, if regions were asked for without a margin."""
    covered = coverage(database)
    needed = np.zeros(sky.num_rows, dtype=bool)
    for year in YEARS:
        ra, dec = at_epoch(sky, year)
        needed |= contains(covered, ra, dec)
        there = SkyCoord(ra, dec, unit="deg")
        for angle in range(0, 360, 30):
            rim = there.directional_offset_by(angle * u.deg, MATCH_ARCSEC * u.arcsec)
            needed |= contains(covered, rim.ra.deg % 360.0, rim.dec.deg)
    ids = sky["source_id"].to_numpy()
    missing = set(ids[needed].tolist()) - stored_ids(database, CATALOG)
    assert not missing, f"{len(missing)} of {needed.sum()} stars are missing"
    outside = needed & ~contains(covered, sky["ra"].to_numpy(), sky["dec"].to_numpy())
    assert outside.sum() >= telling, outside.sum()


def assert_covered(database: Database, skies: Sequence[MOC]) -> None:
    with database.connect() as connection:
        assert all(uncovered(connection, CATALOG, each).empty() for each in skies)


@pytest.fixture(scope="module")
def tap(sky: pa.Table) -> Iterator[TapServer]:
    with TapServer([at_vizier(sky)]) as running:
        yield running


CONES = [Target(f"cone {number}", Cone(*place, RADIUS_DEG)) for number, place in enumerate(PLACES)]
SQUARES = [Target(f"square {number}", square(place)) for number, place in enumerate(PLACES)]


@pytest.mark.parametrize(
    ("targets", "limits"),
    [
        (CONES, {}),
        # Some are cut, and split; all are, because they are too wide.
        (CONES, {"row_cap": 490}),
        (CONES[:6], {"max_radius_deg": 0.15}),
        (SQUARES[::2], {"max_radius_deg": 0.3}),
    ],
    ids=["cones", "cut cones", "wide cones", "squares"],
)
def test_areas_by_query(
    database: Database, sky: pa.Table, tap: TapServer, targets: list[Target], limits: dict[str, float]
) -> None:
    services = {"vizier_tap": impatient("tap", tap.url, **limits)}
    definition = definition_of(sky, "vizier_tap")
    plan = plan_areas(database, services, definition, targets, service_name="vizier_tap")
    totals = fetch_areas(database, services, definition, plan)
    assert totals.failed == 0
    assert (totals.split > 0) == ("row_cap" in limits)
    assert_covered(database, [target.sky for target in targets])
    assert_every_star_is_stored(database, sky)


def test_positions_by_list(database: Database, sky: pa.Table) -> None:
    random = np.random.default_rng(3)
    ra, dec = at_epoch(sky, 1952.0)
    # Beside stars as they were then, nearer and farther than a match; and one in eight anywhere near.
    chosen = random.choice(len(ra), 600, replace=False)
    away = np.where(np.arange(600) % 8 == 0, 60.0, 6.0) * random.random(600) * u.arcsec
    asked = SkyCoord(ra[chosen], dec[chosen], unit="deg").directional_offset_by(random.random(600) * 360 * u.deg, away)
    positions = Positions(np.arange(600), asked.ra.deg % 360.0, asked.dec.deg)
    definition = definition_of(sky, "cds_xmatch")
    with XMatchServer([at_vizier(sky)]) as server:
        settings = impatient("xmatch", server.url, list_rows=100)
        source = list_source(definition, "cds_xmatch", {"cds_xmatch": settings})
        assert (
            fetch_positions(database, ServiceClient("cds_xmatch", settings), definition, source, positions).failed == 0
        )
    stored = stored_ids(database, CATALOG)
    covered = coverage(database)
    assert contains(covered, positions.ra_deg, positions.dec_deg).all()
    n_needed = 0
    for year in YEARS:
        there = SkyCoord(*at_epoch(sky, year), unit="deg")
        _, near, _, _ = there.search_around_sky(asked, MATCH_ARCSEC * u.arcsec)
        needed = set(sky["source_id"].to_numpy()[near].tolist())
        assert needed <= stored
        n_needed += len(needed)
    assert n_needed > 600


def written_as_hats(sky: pa.Table, folder: Path) -> Path:
    """Partitions of 14 arcmin, so that many of their borders lie among the stars."""
    return write_hats(split_by_density(sky, 8, sky.num_rows), folder, row_group_size=60)


@pytest.mark.parametrize(
    ("write", "telling"),
    # The cache's partitions are so wide that hardly a star is near a border.
    [(written_as_hats, 30), (write_cache, 0)],
    ids=["hats", "cache"],
)
def test_partitions_that_a_cone_needs(
    database: Database, sky: pa.Table, tmp_path: Path, write: Callable[[pa.Table, Path], Path], telling: int
) -> None:
    folder = write(sky, tmp_path / "stars")
    n_read = 0
    for place in PLACES:
        done = load_partitions(database, catalog(CATALOG), folder, Cone(*place, RADIUS_DEG))
        assert done.failures == ()
        n_read += done.rows_in
    assert n_read <= sky.num_rows
    assert_covered(database, [target.sky for target in CONES])
    assert_every_star_is_stored(database, sky, telling)


def test_a_file_that_is_complete_in_a_cone_or_a_moc(database: Database, sky: pa.Table, tmp_path: Path) -> None:
    definition = catalog(CATALOG)
    ra, dec = sky["ra"].to_numpy(), sky["dec"].to_numpy()
    names = ["source_id", "ra", "dec", "pmra", "pmdec", "phot_g_mean_mag"]
    for number, place in enumerate(PLACES):
        if number % 2:
            # A MOC loses some arcmin at its rim.
            around = MOC.from_cone(
                Longitude(place[0], u.deg), Latitude(place[1], u.deg), radius=1.5 * RADIUS_DEG * u.deg, max_depth=13
            )
            around.save(str(tmp_path / f"{number}.fits"), format="fits")
            region: Cone | MocRegion = MocRegion.read(tmp_path / f"{number}.fits")
        else:
            region = Cone(*place, RADIUS_DEG)
        # Nothing but what lies in the region, to the last row.
        rows = sky.select(names).filter(pa.array(region.contains(ra, dec)))
        pa.parquet.write_table(rows, tmp_path / f"{number}.parquet")
        load_reference(database, definition, tmp_path / f"{number}.parquet", region)
    assert_every_star_is_stored(database, sky)
