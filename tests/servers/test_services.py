"""VizieR, MAST, X-Match, SkyBoT, STScI and plain files, asked by astroquery and requests."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import requests
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable import parse, parse_single_table
from astropy.table import Table
from astropy.time import Time
from astroquery import cache_conf
from astroquery.imcce import SkybotClass
from astroquery.imcce import conf as imcce_conf
from astroquery.mast.services import ServiceAPI
from astroquery.vizier import VizierClass
from astroquery.xmatch import XMatchClass

from servers.faults import Kind, faults_of
from servers.files import FileServer
from servers.mast import MastServer
from servers.recorded import RecordedServer
from servers.skybot import MovingObject, SkybotServer
from servers.skytable import SkyTable
from servers.stsci import StsciServer
from servers.vizier import VizierServer
from servers.xmatch import XMatchServer

CENTRE = SkyCoord(0.05, 45.0, unit="deg")


@pytest.fixture(scope="module", autouse=True)
def no_cache() -> Iterator[None]:
    with cache_conf.set_temp("cache_active", False):
        yield


@pytest.fixture(scope="module")
def sky() -> SkyTable:
    generator = np.random.default_rng(11)
    table = Table(
        {
            "Source": np.arange(2000, dtype="i8") + 4 * 10**18,
            "RA_ICRS": generator.uniform(-0.5, 0.6, 2000) % 360 * u.deg,
            "DE_ICRS": generator.uniform(44.6, 45.4, 2000) * u.deg,
            "Gmag": np.where(generator.random(2000) < 0.05, np.nan, generator.uniform(8, 21, 2000)) * u.mag,
            "pmRA": generator.normal(0, 5, 2000) * (u.mas / u.yr),
        }
    )
    return SkyTable("I/355/gaiadr3", table, "RA_ICRS", "DE_ICRS")


def near(sky: SkyTable, radius_deg: float, centre: SkyCoord = CENTRE) -> Table:
    return sky.table[SkyCoord(sky.ra_deg, sky.dec_deg, unit="deg").separation(centre).deg <= radius_deg]


# VizieR


def vizier(server: VizierServer, **options: Any) -> VizierClass:
    client = VizierClass(**options)
    client._server_to_url = lambda return_type="votable": f"{server.url}/viz-bin/{return_type}"
    return client


def test_vizier_gives_fifty_rows_unless_told_otherwise(sky: SkyTable) -> None:
    with VizierServer([sky]) as server:
        answer = vizier(server).query_region(CENTRE, radius=10 * u.arcmin, catalog="I/355/gaiadr3")
        assert len(answer["I/355/gaiadr3"]) == 50
        url = f"{server.url}/viz-bin/votable"
        cut = requests.get(url, params={"-source": "I/355", "-c": "0.05 +45", "-c.r": "10"}, timeout=5).text
        assert 'name="QUERY_STATUS" value="OVERFLOW">truncated result (maxtup=50)' in cut
        silent = requests.get(
            f"{server.url}/viz-bin/asu-tsv", params={"-source": "I/355", "-c": "0.05 +45", "-c.r": "10"}, timeout=5
        )
        assert sum(line[:1].isdigit() for line in silent.text.splitlines()) == 50
        assert "OVERFLOW" not in silent.text


@pytest.mark.parametrize("radius", [3 * u.arcmin, 0.2 * u.deg, 40 * u.arcsec])
def test_vizier_cone_columns_and_filters(sky: SkyTable, radius: u.Quantity) -> None:
    with VizierServer([sky]) as server:
        client = vizier(server, row_limit=-1, columns=["Source", "RA_ICRS", "DE_ICRS", "Gmag", "_r"])
        client.column_filters = {"Gmag": "10..20"}
        found = client.query_region(CENTRE, radius=radius, catalog="I/355/gaiadr3", cache=False)
        expected = near(sky, radius.to_value(u.deg))
        expected = expected[(expected["Gmag"] >= 10) & (expected["Gmag"] <= 20)]
        assert server.requests[-1].first("-out.max") == "unlimited"
    if not len(expected):
        assert len(found) == 0
        return
    table = found["I/355/gaiadr3"]
    assert table.colnames == ["Source", "RA_ICRS", "DE_ICRS", "Gmag", "_r"]
    assert list(table["Source"]) == list(expected["Source"])
    assert np.max(table["_r"].quantity) <= radius
    assert str(table["DE_ICRS"].unit) == "deg"


def test_vizier_sorts_and_lists_positions(sky: SkyTable) -> None:
    with VizierServer([sky]) as server:
        client = vizier(server, row_limit=7, columns=["Source", "+_r"])
        table = client.query_region(CENTRE, radius=12 * u.arcmin, catalog="I/355/gaiadr3", frame="icrs")[0]
        assert list(table["_r"]) == sorted(table["_r"])
        distance = np.sort(SkyCoord(sky.ra_deg, sky.dec_deg, unit="deg").separation(CENTRE).arcmin)
        np.testing.assert_allclose(table["_r"], distance[:7], rtol=1e-6)
        two = SkyCoord([0.05, 359.9], [45.0, 45.1], unit="deg")
        table = vizier(server, row_limit=-1).query_region(two, radius=3 * u.arcmin, catalog="I/355/gaiadr3")[0]
        counts = [len(near(sky, 0.05, one)) for one in two]
        assert [int(np.sum(table["_q"] == number)) for number in (1, 2)] == counts


def test_vizier_tsv_holds_the_same_rows(sky: SkyTable) -> None:
    with VizierServer([sky]) as server:
        asked = {"-source": "I/355/gaiadr3", "-c": "0.05 45.0", "-c.rd": "0.1", "-out.max": "unlimited",
                 "-out": "Source,RA_ICRS,DE_ICRS,Gmag", "-sort": "_r"}  # fmt: skip
        text = requests.post(f"{server.url}/viz-bin/asu-tsv", data=asked, timeout=5).text
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [lines[0].split("\t"), lines[1].split("\t")] == [
        ["Source", "RA_ICRS", "DE_ICRS", "Gmag"],
        ["", "deg", "deg", "mag"],
    ]
    assert {int(line.split("\t")[0]) for line in lines[3:]} == set(near(sky, 0.1)["Source"].tolist())
    assert all(line.count("\t") == 3 for line in lines)


def test_vizier_errors_come_with_status_200(sky: SkyTable) -> None:
    with VizierServer([sky], empty_has_table=False) as server:
        for asked in (
            {"-source": "I/999"},
            {"-source": "I/355", "-c": "M 31 or so"},
            {"-source": "I/355", "-out.max": "x"},
        ):
            answer = requests.get(f"{server.url}/viz-bin/votable", params=asked, timeout=5)
            assert answer.status_code == 200
            document = parse(io.BytesIO(answer.content))
            assert document.get_info_by_id("Error").name == "Error"
            assert 'name="QUERY_STATUS" value="ERROR"' in answer.text
        empty = requests.get(
            f"{server.url}/viz-bin/votable", params={"-source": "I/355", "-c": "180 -45", "-c.rd": "1"}, timeout=5
        )
        assert "<TABLE" not in empty.text
        assert 'name="matches" value="0"' in empty.text
        warned = requests.get(f"{server.url}/viz-bin/votable", params={"-source": "I/355", "-out": "Bmag"}, timeout=5)
        assert "Column 'Bmag' unknown in 'I/355/gaiadr3'" in warned.text.replace("&apos;", "'")


# MAST


@pytest.fixture(scope="module")
def means(sky: SkyTable) -> SkyTable:
    table = Table(
        {
            "objID": sky.table["Source"],
            "raMean": sky.table["RA_ICRS"],
            "decMean": sky.table["DE_ICRS"],
            "nDetections": np.arange(len(sky)) % 30,
            "rMeanPSFMag": sky.table["Gmag"],
        }
    )
    return SkyTable("mean", table, "raMean", "decMean")


def test_mast_pages_and_cuts_silently(means: SkyTable) -> None:
    client = ServiceAPI()
    with MastServer({"dr2/mean": means}, max_pagesize=150) as server:
        client.REQUEST_URL = f"{server.root}/api/v0.1/"
        client.SERVICES = {"panstarrs": {"path": "panstarrs/{data_release}/{table}.json",
                                         "args": {"data_release": "dr2", "table": "mean"}}}  # fmt: skip
        asked = {"ra": 0.05, "dec": 45.0, "radius": 0.3, "columns": ["objID", "raMean", "decMean", "rMeanPSFMag"],
                 "nDetections": [("gte", 2)]}  # fmt: skip
        pages = [
            client._parse_result(
                client.service_request_async("panstarrs", dict(asked), pagesize=150, page=n, use_json=True)
            )
            for n in (1, 2, 3)
        ]
        assert len(pages[0]) == 150
        expected = near(means, 0.3)
        expected = expected[expected["nDetections"] >= 2]
        got = [identifier for page in pages for identifier in page["objID"]]
        assert got == list(expected["objID"][:450])
        url = f"{server.url}/dr2/mean.csv"
        flat: dict[str, str | float] = {"ra": 0.05, "dec": 45.0, "radius": 0.3, "nDetections.gte": 2,
                "pagesize": 100_000,
                "columns": "[objID,raMean,decMean,rMeanPSFMag]"}  # fmt: skip
        table = Table.read(requests.get(url, params=flat, timeout=5).text, format="ascii.csv")
        assert list(table["objID"]) == list(expected["objID"][:150])
        assert requests.get(url, params={**flat, "columns": "[nonsense]"}, timeout=5).status_code == 400
        assert requests.get(f"{server.url}/dr2/mean/metadata.json", timeout=5).json()[1]["column_name"] == "raMean"
        assert requests.get(f"{server.url}/dr1/mean.json", timeout=5).status_code == 404


# X-Match


def xmatch(server: XMatchServer, folder: Path) -> XMatchClass:
    client = XMatchClass()
    client.URL = server.url
    client.cache_location = folder  # it keeps the list of tables there, whatever the global setting says
    return client


def test_xmatch_pairs_like_astropy(sky: SkyTable, tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    listed = Table(
        {"row_id": np.arange(300), "ra": generator.uniform(0, 0.2, 300), "dec": generator.uniform(44.9, 45.1, 300)}
    )
    with XMatchServer([sky], cap=100) as server:
        client = xmatch(server, tmp_path)
        asked = {"max_distance": 60 * u.arcsec, "colRA1": "ra", "colDec1": "dec", "cache": False}
        cut = client.query(listed, "vizier:I/355/gaiadr3", **asked)
        assert len(cut) == 100
        server.cap = None
        found = client.query(listed, "I/355/gaiadr3", **asked)
        assert server.requests[-1].first("cat2") == "vizier:I/355/gaiadr3"
        assert server.requests[-1].files["cat1"].filename == "cat1.csv"
    here = SkyCoord(listed["ra"], listed["dec"], unit="deg")
    there = SkyCoord(sky.ra_deg, sky.dec_deg, unit="deg")
    rows, matched, distance, _ = there.search_around_sky(here, 60 * u.arcsec)
    expected = sorted(zip(rows.tolist(), sky.table["Source"][matched].tolist(), strict=True))
    assert len(expected) > 100
    assert sorted(zip(found["row_id"].tolist(), found["Source"].tolist(), strict=True)) == expected
    np.testing.assert_allclose(np.sort(found["angDist"]), np.sort(distance.arcsec), atol=2e-6)


def test_xmatch_speaks_csv_and_refuses(sky: SkyTable) -> None:
    with XMatchServer([sky], upload_limit=3) as server:
        form = {"request": "xmatch", "distMaxArcsec": "5", "RESPONSEFORMAT": "csv", "cat2": "vizier:I/355/gaiadr3",
                "colRA1": "ra", "colDec1": "dec"}  # fmt: skip
        first = sky.table[0]
        one = {"cat1": ("a.csv", f"name,ra,dec\nx,{first['RA_ICRS']},{first['DE_ICRS']}\ny,10,-60\n")}
        answer = requests.post(server.url, data=form, files=one, timeout=5)
        lines = answer.text.splitlines()
        assert lines[0] == "angDist,name,ra,dec,Source,RA_ICRS,DE_ICRS,Gmag,pmRA"
        assert lines[1].split(",")[1] == "x"
        assert str(first["Source"]) in lines[1]
        many = {"cat1": ("a.csv", "name,ra,dec\n" + "x,1,2\n" * 4)}
        for data, files in (
            ({**form, "cat2": "vizier:nothing"}, one),
            ({**form, "distMaxArcsec": "200"}, one),
            (form, many),
        ):
            refused = requests.post(server.url, data=data, files=files, timeout=5)
            assert refused.status_code == 400
            assert b'value="ERROR"' in refused.content


# SkyBoT

NOON_JD = 2_434_567.0


def point_skybot_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put another address into astroquery, whose configuration accepts no other than the service's own."""
    conf = SimpleNamespace(skybot_server=url, timeout=5, field_names=imcce_conf.field_names)
    monkeypatch.setattr("astroquery.imcce.core.conf", conf)


def test_skybot_finds_what_is_there_at_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = [
        MovingObject("Ceres", 100.0, 20.0, NOON_JD, 30.0, -12.0, 8.1, 0.1, "1"),
        MovingObject("2099 XY", 100.1, 20.0, NOON_JD),
    ]
    with SkybotServer(objects, parallax_arcsec={"675": (4.0, -3.0)}) as server:
        point_skybot_at(server.url, monkeypatch)
        client = SkybotClass()
        field = SkyCoord(100.0, 20.0, unit="deg")
        table = client.cone_search(field, 0.2 * u.deg, Time(NOON_JD, format="jd"), cache=False)
        assert list(table["Name"]) == ["Ceres", "2099 XY"]
        assert abs(float(table["RA"][0].value) - 100.0) < 1e-6
        with pytest.raises(ValueError, match="No table found"):  # 6 arcmin on: out of a cone of 3 arcmin
            client.cone_search(field, 0.05 * u.deg, Time(NOON_JD + 0.5, format="jd"), cache=False)
        asked: dict[str, str | float] = {"-ep": NOON_JD + 0.5,
                "-ra": 100.0, "-dec": 20.0, "-rs": 3600, "-observer": "675", "-mime": "votable",
                 "-output": "all", "-refsys": "EQJ2000", "-from": "test"}  # fmt: skip
        answer = requests.get(server.url, params=asked, timeout=5)
        rows = parse_single_table(io.BytesIO(answer.content)).to_table()
        (row,) = rows[rows["name"] == "Ceres"]
        assert row["_decj2000"] == pytest.approx(20.0 + (-12.0 * 12 - 3.0) / 3600, abs=1e-9)
        assert row["_raj2000"] == pytest.approx(100.0 + (30.0 * 12 + 4.0) / 3600 / np.cos(np.radians(20)), abs=1e-9)
        text = requests.get(server.url, params={**asked, "-mime": "text"}, timeout=5).text
        assert text.splitlines()[0] == "# Flag: 1"
        assert text.splitlines()[3].split(" | ")[1] == "2099 XY"


def test_skybot_says_error_for_an_empty_field_and_for_a_failure() -> None:
    with SkybotServer([]) as server:
        asked: dict[str, str | float] = {"-ep": NOON_JD, "-ra": 1, "-dec": 2, "-rs": 60}
        empty = requests.get(server.url, params=asked, timeout=5)
        assert empty.status_code == 200
        assert 'value="ERROR">No solar system object was found' in empty.text
        server.fail("service_error")
        failed = requests.get(server.url, params=asked, timeout=5)
        assert failed.status_code == 200
        assert 'value="ERROR">' in failed.text
        assert "No solar system object" not in failed.text


# Content faults of all of them


def _ask(server: Any, form: str) -> requests.Response:
    if isinstance(server, VizierServer):
        path = "votable" if form == "votable" else "asu-tsv"
        asked = {"-source": "I/355/gaiadr3", "-c": "0.05 45.0", "-c.rd": "0.15", "-out.max": "600"}
        return requests.get(f"{server.url}/viz-bin/{path}", params=asked, timeout=5)
    if isinstance(server, MastServer):
        query: dict[str, str | float] = {"ra": 0.05, "dec": 45, "radius": 0.2, "pagesize": 600}
        return requests.get(f"{server.url}/dr2/mean.{form}", params=query, timeout=5)
    if isinstance(server, SkybotServer):
        field: dict[str, str | float] = {"-ep": NOON_JD, "-ra": 0.05, "-dec": 45.0, "-rd": 0.2, "-mime": form}
        return requests.get(server.url, params=field, timeout=5)
    data = {"request": "xmatch", "distMaxArcsec": "180", "RESPONSEFORMAT": form, "cat2": "vizier:I/355/gaiadr3",
            "colRA1": "ra", "colDec1": "dec", "MAXREC": "600"}  # fmt: skip
    return requests.post(server.url, data=data, files={"cat1": ("a.csv", "ra,dec\n0.05,45\n0.1,45\n")}, timeout=5)


def _rows(answer: requests.Response, form: str) -> Table:
    if form == "votable":
        return parse_single_table(io.BytesIO(answer.content)).to_table(use_names_over_ids=True)
    if form == "json":
        document = answer.json()
        names = [info["name"] for info in document["info"]]
        return Table(rows=document["data"], names=names) if document["data"] else Table(names=names)
    lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    if form == "tsv":
        return Table.read([lines[0], *lines[3:]], format="ascii.fast_tab")
    return Table.read(lines, format="ascii.csv")


_FORMS = {"vizier": ("votable", "tsv"), "mast": ("json", "csv"), "xmatch": ("votable", "csv"), "skybot": ("votable",)}


@pytest.mark.parametrize(
    ("protocol", "form", "name"),
    [(p, form, name) for p, forms in _FORMS.items() for form in forms for name in faults_of(p, Kind.CONTENT)],
)
def test_content_faults(sky: SkyTable, means: SkyTable, protocol: str, form: str, name: str) -> None:
    moving = [MovingObject(f"{n}", 0.0 + n / 100, 45.0, NOON_JD) for n in range(6)]
    made: dict[str, Any] = {
        "vizier": lambda: VizierServer([sky]), "mast": lambda: MastServer({"dr2/mean": means}),
        "xmatch": lambda: XMatchServer([sky]), "skybot": lambda: SkybotServer(moving),
    }  # fmt: skip
    dec = {"mast": "decMean", "skybot": "_DECJ2000"}.get(protocol, "DE_ICRS")
    with made[protocol]() as server:
        whole = _ask(server, form)
        right = _rows(whole, form)
        assert 5 < len(right) < 600
        server.fail(name)
        answer = _ask(server, form)
        assert server.requests[-1].fault == name
        assert answer.status_code == 200
        assert answer.content != whole.content
        assert _ask(server, form).content == whole.content
    if name == "service_error" or (protocol == "skybot" and name == "empty"):
        assert b"ERROR" in answer.content
        return
    assert b'value="ERROR"' not in answer.content
    assert (b'value="OVERFLOW"' in answer.content) == (
        name == "overflow" and form == "votable" and protocol != "xmatch"
    )
    table = _rows(answer, form)
    counts = {"empty": 0, "header_only": 0, "exactly_cap": 600, "overflow": (len(right) + 1) // 2}
    if name != "duplicate_rows":
        assert len(table) == counts.get(name, len(right))
    else:
        assert len(table) > len(right)
    if name == "missing_column":
        assert dec not in table.colnames
    elif name == "wrong_unit":
        np.testing.assert_allclose(table[dec], np.radians(right[dec]), rtol=1e-6)
        assert form != "votable" or str(table[dec].unit) == "rad"
    elif name == "wrong_sky":
        np.testing.assert_allclose(np.sort(table[dec]), np.sort(-np.asarray(right[dec])), rtol=1e-9)
    elif name == "nan_position":
        values: Any = np.ma.filled(np.ma.asarray(table[dec], dtype=float), np.nan)
        assert np.sum(np.isnan(values) | (values == -999)) == 1


# STScI, files, recordings


def test_stsci_gives_fits_or_a_page() -> None:
    def cut_out(ra: float, dec: float, size: tuple[float, float], survey: str) -> bytes | None:
        if survey != "poss1_red":
            return None
        buffer = io.BytesIO()
        fits.PrimaryHDU(
            np.zeros((8, 8), "i2"), fits.Header({"SURVEY": "POSSI-E", "CRVAL1": ra, "CRVAL2": dec})
        ).writeto(buffer)
        return buffer.getvalue()

    with StsciServer(cut_out) as server:
        asked = {"v": "poss1_red", "r": "10.5", "d": "-3.25", "e": "J2000", "h": "30.00", "w": "30.00", "f": "fits",
                 "c": "none", "fov": "NONE", "v3": ""}  # fmt: skip
        image = requests.get(server.url, params=asked, timeout=5)
        assert fits.getheader(io.BytesIO(image.content))["CRVAL2"] == -3.25
        packed = requests.get(server.url, params={**asked, "c": "gz"}, timeout=5)
        assert packed.content[:2] == b"\x1f\x8b"
        none = requests.get(server.url, params={**asked, "v": "2"}, timeout=5)
        server.fail("service_error")
        broken = requests.get(server.url, params=asked, timeout=5)
        for page in (none, broken):
            assert (page.status_code, page.headers["Content-Type"].split(";")[0]) == (200, "text/html")
        server.fail("truncated_body")
        half = requests.get(server.url, params=asked, timeout=5)
        assert image.content.startswith(half.content)
        assert len(half.content) == len(image.content) // 2


def test_files_resume(tmp_path: Path) -> None:
    content = np.random.default_rng(1).bytes(10_000)
    (tmp_path / "b.fits").write_bytes(content[::-1])
    with FileServer({"/plates/a.fits": content, "/plates/b.fits": tmp_path / "b.fits"}) as server:
        url = f"{server.url}/plates/a.fits"
        head = requests.head(url, timeout=5)
        assert (head.headers["Content-Length"], head.headers["Accept-Ranges"], head.content) == ("10000", "bytes", b"")
        etag = head.headers["ETag"]
        part = requests.get(url, headers={"Range": "bytes=4000-", "If-Range": etag}, timeout=5)
        assert (part.status_code, part.content) == (206, content[4000:])
        assert part.headers["Content-Range"] == "bytes 4000-9999/10000"
        assert requests.get(url, headers={"Range": "bytes=-10"}, timeout=5).content == content[-10:]
        assert requests.get(url, headers={"Range": "bytes=10000-"}, timeout=5).status_code == 416
        assert requests.get(url, headers={"If-None-Match": etag}, timeout=5).status_code == 304
        server.put("/plates/a.fits", content[:5000])
        changed = requests.get(url, headers={"Range": "bytes=4000-", "If-Range": etag}, timeout=5)
        assert (changed.status_code, changed.content) == (200, content[:5000])
        assert requests.get(f"{server.url}/plates/b.fits", timeout=5).content == content[::-1]
        assert requests.get(f"{server.url}/none", timeout=5).status_code == 404
        server.fail("short_body")
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
            requests.get(url, timeout=5)


def test_recordings_come_back_byte_by_byte(tmp_path: Path) -> None:
    recording = tmp_path / "answer.vot"
    recording.write_bytes(b"<VOTABLE/>\n")
    with RecordedServer({"/viz-bin/votable": recording}) as server:
        answer = requests.post(f"{server.url}/viz-bin/votable", data={"-source": "x"}, timeout=5)
        assert (answer.content, answer.headers["Content-Type"]) == (b"<VOTABLE/>\n", "text/xml")
        assert requests.get(f"{server.url}/other", timeout=5).status_code == 404


def test_a_recorded_skybot_answer_serves_astroquery(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = shared_data / "http" / "astroquery" / "imcce__skybot_query.vot"
    with RecordedServer({"/skybot": file}) as server:
        point_skybot_at(f"{server.url}/skybot", monkeypatch)
        field = SkyCoord(81.28, 4.49, unit="deg")
        table = SkybotClass().cone_search(field, 0.2 * u.deg, Time("2025-01-02"), cache=False)
    assert len(table) == 4
