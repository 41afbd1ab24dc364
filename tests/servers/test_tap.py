"""The TAP service, asked by pyvo: answers, caps, uploads, jobs, errors."""

import io
import time
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import pyvo
import requests
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io.votable import parse_single_table
from astropy.table import Table
from pyvo.dal.exceptions import DALOverflowWarning, DALQueryError, DALServiceError

from servers.skytable import SkyTable
from servers.tap import TapServer

CONE = "SELECT {} FROM \"I/350/gaiaedr3\" AS g WHERE 1=CONTAINS(POINT('ICRS',g.ra,g.dec),CIRCLE('ICRS',{},{},{}))"


def stars(count: int, seed: int = 1) -> SkyTable:
    """Stars all over a field across right ascension 0, and at the pole."""
    generator = np.random.default_rng(seed)
    table = Table(
        {
            "source_id": np.arange(count, dtype="i8") + 10**17,
            "ra": generator.uniform(-1.5, 1.5, count) % 360.0 * u.deg,
            "dec": np.append(generator.uniform(-1.0, 1.0, count - 5), [89.9, 89.95, 90.0, 89.99, -89.9]) * u.deg,
            "mag": np.where(generator.random(count) < 0.1, np.nan, generator.uniform(8, 21, count)).astype("f4")
            * u.mag,
            "kind": generator.choice(["star", "galaxy", "q<&>so"], count),
        }
    )
    table["ra"].info.meta = {"ucd": "pos.eq.ra;meta.main"}
    return SkyTable("I/350/gaiaedr3", table)


@pytest.fixture(scope="module")
def sky() -> SkyTable:
    return stars(4000)


@pytest.fixture
def server(sky: SkyTable) -> Iterator[TapServer]:
    with TapServer([sky], sync_cap=3000) as running:
        yield running


@pytest.mark.parametrize(
    ("ra", "dec", "radius"), [(0.0, 0.0, 0.7), (359.5, 0.3, 0.2), (123.0, 90.0, 0.08), (50, 50, 1)]
)
def test_cone_holds_exactly_what_lies_in_it(
    server: TapServer, sky: SkyTable, ra: float, dec: float, radius: float
) -> None:
    result = pyvo.dal.TAPService(server.url).search(CONE.format("*", ra, dec, radius))
    near = SkyCoord(sky.ra_deg, sky.dec_deg, unit="deg").separation(SkyCoord(ra, dec, unit="deg")).deg <= radius
    expected = sky.table[near]
    answer = result.to_table()
    assert list(answer["source_id"]) == list(expected["source_id"])
    np.testing.assert_array_equal(np.ma.filled(answer["ra"], np.nan), expected["ra"])
    np.testing.assert_array_equal(np.ma.filled(answer["mag"].astype("f4"), np.nan), expected["mag"])
    assert list(answer["kind"]) == list(expected["kind"])
    assert str(answer["ra"].unit) == "deg"
    assert result.query_status == "OK"


@pytest.mark.parametrize("form", ["votable", "votable/td", "csv"])
def test_every_format_says_the_same(server: TapServer, sky: SkyTable, form: str) -> None:
    asked = {"QUERY": CONE.format('g."source_id", ra, mag, g.kind', 0, 0, 0.2), "LANG": "ADQL", "REQUEST": "doQuery"}
    answer = requests.get(f"{server.url}/sync", params={**asked, "RESPONSEFORMAT": form}, timeout=10)
    if form == "csv":
        assert answer.headers["Content-Type"].startswith("text/csv")
        table = Table.read(answer.text, format="ascii.csv")
    else:
        table = parse_single_table(io.BytesIO(answer.content)).to_table()
    rows = sky.table[sky.cone(0, 0, 0.2)]
    assert table.colnames == ["source_id", "ra", "mag", "kind"]
    assert list(table["source_id"]) == list(rows["source_id"])
    assert list(table["kind"]) == list(rows["kind"])
    np.testing.assert_allclose(np.ma.filled(np.ma.asarray(table["mag"], dtype=float), np.nan), rows["mag"], rtol=1e-6)


def test_overflow_is_flagged_in_votables_and_silent_in_csv(server: TapServer) -> None:
    service = pyvo.dal.TAPService(server.url)
    with pytest.warns(DALOverflowWarning):
        result = service.search(CONE.format("*", 0, 0, 3))
    assert len(result) == 3000
    assert result.query_status == "OVERFLOW"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DALOverflowWarning)
        result = service.search(CONE.format("*", 0, 0, 3), maxrec=10)
    assert (len(result), result.query_status) == (10, "OVERFLOW")
    assert len(service.search(CONE.format("TOP 10 *", 0, 0, 3))) == 10
    asked = {"QUERY": CONE.format("ra", 0, 0, 3), "LANG": "ADQL", "RESPONSEFORMAT": "csv"}
    assert requests.post(f"{server.url}/sync", data=asked, timeout=10).text.count("\n") == 3001


def test_count_conditions_and_distinct(server: TapServer, sky: SkyTable) -> None:
    service = pyvo.dal.TAPService(server.url)
    rows = sky.table[sky.cone(0, 0, 0.7)]
    assert service.search(CONE.format("COUNT(*) AS n", 0, 0, 0.7))["n"][0] == len(rows)
    bright = service.search(CONE.format("mag", 0, 0, 0.7) + " AND mag<=15.5 AND kind='star'")
    assert len(bright) == np.sum((rows["mag"] <= 15.5) & (rows["kind"] == "star"))
    assert len(service.search(CONE.format("DISTINCT kind", 0, 0, 0.7))) == 3
    unknown = service.search(CONE.format("*", 0, 0, 0.7) + " AND (mag IS NULL OR COALESCE(mag, 0) < 1)")
    assert len(unknown) == np.sum(np.isnan(rows["mag"]))


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_upload_join_pairs_like_astropy(server: TapServer, sky: SkyTable, mode: str) -> None:
    generator = np.random.default_rng(3)
    ra = np.append(generator.uniform(-1, 1, 200) % 360, [77.0, 200.0])
    dec = np.append(generator.uniform(-1, 1, 200), [89.97, -45.0])
    upload = Table({"row_id": np.arange(202), "ra": ra, "dec": dec})
    query = (
        "SELECT u.row_id, s.source_id, DISTANCE(POINT('ICRS',s.ra,s.dec), POINT('ICRS',u.ra,u.dec)) AS dist "
        'FROM TAP_UPLOAD.t1 AS u JOIN "I/350/gaiaedr3" AS s '
        "ON 1=CONTAINS(POINT('ICRS',s.ra,s.dec), CIRCLE('ICRS',u.ra,u.dec,120./3600.)) WHERE s.mag < 99"
    )
    service = pyvo.dal.TAPService(server.url)
    ask = service.search if mode == "sync" else service.run_async
    result = ask(query, uploads={"t1": upload})
    here, there = SkyCoord(ra, dec, unit="deg"), SkyCoord(sky.ra_deg, sky.dec_deg, unit="deg")
    far, near, distance, _ = there.search_around_sky(here, 120 * u.arcsec)
    known = ~np.isnan(sky.table["mag"][near])
    expected = sorted(zip(far[known].tolist(), sky.table["source_id"][near][known].tolist(), strict=True))
    assert len(expected) > 10
    assert sorted(zip(result["row_id"].tolist(), result["source_id"].tolist(), strict=True)) == expected
    assert np.max(result["dist"]) <= 120 / 3600
    np.testing.assert_allclose(np.sort(result["dist"]), np.sort(distance[known].deg), atol=1e-9)


def test_counts_per_uploaded_row(server: TapServer) -> None:
    upload = Table({"row_id": [7, 8], "ra": [0.0, 180.0], "dec": [0.0, 0.0]})
    query = (
        'SELECT u.row_id, COUNT(*) AS n FROM TAP_UPLOAD.t1 AS u, "I/350/gaiaedr3" AS s '
        "WHERE 1=CONTAINS(POINT('ICRS',s.ra,s.dec),CIRCLE('ICRS',u.ra,u.dec,0.5)) GROUP BY u.row_id"
    )
    rows = pyvo.dal.TAPService(server.url).search(query, uploads={"t1": upload})
    count = pyvo.dal.TAPService(server.url).search(CONE.format("COUNT(*) AS n", 0, 0, 0.5))["n"][0]
    assert [(r["row_id"], r["n"]) for r in rows] == [(7, count)]


def test_jobs_pass_through_their_phases(sky: SkyTable) -> None:
    with TapServer([sky], queued_s=0.2, executing_s=0.3) as server:
        job = pyvo.dal.TAPService(server.url).submit_job(CONE.format("*", 0, 0, 0.5))
        assert job.phase == "PENDING"
        job.run()
        seen = []
        while (phase := requests.get(f"{job.url}/phase", timeout=5).text) not in {"COMPLETED", "ERROR"}:
            seen.append(phase)
            time.sleep(0.02)
        assert list(dict.fromkeys(seen)) == ["QUEUED", "EXECUTING"]
        job.wait()
        assert len(job.fetch_result()) == len(sky.cone(0, 0, 0.5))
        job.delete()
        assert not server.jobs
        aborted = pyvo.dal.TAPService(server.url).submit_job(CONE.format("*", 0, 0, 0.5))
        aborted.run().abort()
        assert aborted.phase == "ABORTED"


@pytest.mark.parametrize(
    "query",
    ["SELECT * FROM nowhere", "SELECT nothing FROM \"I/350/gaiaedr3\"", "DELETE FROM x",
     'SELECT * FROM "I/350/gaiaedr3" WHERE',
     CONE.format("*", 0, 0, 1) + " AND kind > 3", "SELECT * FROM \"I/350/gaiaedr3\" AS g WHERE g.ra LIKE '1%'"],
)  # fmt: skip
def test_what_it_does_not_know_it_refuses(server: TapServer, query: str) -> None:
    answer = requests.post(f"{server.url}/sync", data={"QUERY": query, "LANG": "ADQL"}, timeout=5)
    assert answer.status_code == 400
    assert b'name="QUERY_STATUS" value="ERROR"' in answer.content
    job = pyvo.dal.TAPService(server.url).submit_job(query)
    job.run()
    job.wait()
    with pytest.raises((DALQueryError, DALServiceError)):
        job.raise_if_error()


def test_metadata_and_upload_limit(sky: SkyTable) -> None:
    with TapServer([sky], upload_limit=2) as server:
        service = pyvo.dal.TAPService(server.url)
        assert '"I/350/gaiaedr3"' in service.tables
        assert service.upload_methods
        with pytest.raises((DALQueryError, DALServiceError), match="at most 2"):
            service.search(
                'SELECT u.ra FROM TAP_UPLOAD.t AS u JOIN "I/350/gaiaedr3" AS s '
                "ON 1=CONTAINS(POINT('ICRS',s.ra,s.dec),CIRCLE('ICRS',u.ra,u.dec,1))",
                uploads={"t": Table({"ra": [1.0, 2, 3], "dec": [0.0, 0, 0]})},
            )


@pytest.mark.parametrize("form", ["votable/b2", "csv"])
def test_a_quarter_of_a_million_rows_behind_a_cap_is_quick(form: str) -> None:
    big = stars(250_000)
    with TapServer([big], sync_cap=50_000) as server:
        asked = {"QUERY": CONE.format("*", 0, 0, 2), "LANG": "ADQL", "RESPONSEFORMAT": form}
        took = []
        for _ in range(3):
            start = time.perf_counter()
            answer = requests.post(f"{server.url}/sync", data=asked, timeout=30)
            took.append(time.perf_counter() - start)
        assert answer.status_code == 200
        assert len(answer.content) > 1_000_000
        assert min(took) < 0.5, took
