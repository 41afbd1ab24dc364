"""An answer is whole and sound, or has the name of what is wrong with it."""

import base64
import io
import json
import re
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from askservice import stars_around
from astropy.io.votable import parse
from astropy.table import MaskedColumn, Table
from servers.tableformats import Info, csv, votable

from vascodb.loaders.client.answers import (
    Positions,
    RawTable,
    position_answer,
    read_csv,
    read_json,
    read_votable,
    source_answer,
)
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import catalog

GAIA = catalog("gaia_dr3")
BINDING = GAIA.via["vizier_tap"]
CONE = Cone(132.8, 11.8, 1.0)


def every_kind(n: int = 40) -> Table:
    """A table with a column of every kind that services use, with gaps."""
    gaps = np.arange(n) % 4 == 1
    names = [f"{i:04d}-{i * 7919:07d}{'A' * (i % 3)}" for i in range(n)]
    table = Table()
    table["id"] = np.arange(n) * 3 + 2**60
    table["ra"] = MaskedColumn(np.linspace(0, 359.9, n), unit="deg")
    table["mag"] = MaskedColumn(np.linspace(8, 22, n).astype("f4"), mask=gaps, unit="mag")
    table["n"] = MaskedColumn(np.arange(n).astype("i2"), mask=gaps)
    table["flag"] = (np.arange(n) % 256).astype("u1")
    table["USNO-B1.0"] = MaskedColumn(names, mask=gaps)
    table["field"] = np.arange(n).astype("i4")
    return table


def cause_of(body: bytes, reader: Any = read_votable) -> Cause:
    with pytest.raises(LookupFailure) as caught:
        reader(body)
    assert "\n" not in str(caught.value)
    return caught.value.cause


def lists(table: pa.Table) -> dict[str, list[Any]]:
    return {name: table[name].to_pylist() for name in table.column_names}


# VOTable


@pytest.mark.parametrize("serialization", ["binary2", "tabledata"])
@pytest.mark.parametrize("n", [0, 1, 40])
def test_a_votable_is_read_as_it_was_written(serialization: str, n: int) -> None:
    table = every_kind(n)
    raw = read_votable(votable(table, serialization=serialization))
    assert raw.units == {"ra": "deg", "mag": "mag"}
    expected = {name: np.ma.asarray(table[name]).tolist() for name in table.colnames}
    assert lists(raw.rows) == expected


@pytest.mark.parametrize("kind", ["BINARY", "BINARY2"])
def test_values_of_varying_length_are_found(kind: str) -> None:
    words = [b"", b"2MASS", "Méchain".encode(), b"x" * 300]
    flags = b"\0" if kind == "BINARY2" else b""
    packed = b"".join(
        flags + np.array(i, ">i4").tobytes() + len(w).to_bytes(4, "big") + w + np.array(i / 2, ">f8").tobytes()
        for i, w in enumerate(words)
    )
    body = f"""<VOTABLE><RESOURCE><TABLE><FIELD name="i" datatype="int"/>
        <FIELD name="w" datatype="char" arraysize="17*"/><FIELD name="x" datatype="double"/>
        <DATA><{kind}><STREAM encoding="base64">{base64.encodebytes(packed).decode()}</STREAM></{kind}></DATA>
        </TABLE></RESOURCE></VOTABLE>""".encode()
    assert lists(read_votable(body).rows) == {
        "i": [0, 1, 2, 3],
        "w": [None, "2MASS", "Méchain", "x" * 300],
        "x": [0.0, 0.5, 1.0, 1.5],
    }


def test_a_value_that_stands_for_none_is_none() -> None:
    body = b"""<VOTABLE><RESOURCE><TABLE><FIELD name="n" datatype="int"><VALUES null="-9"/></FIELD>
        <FIELD name="x" datatype="float"><VALUES null="NaN"/></FIELD><FIELD name="w" datatype="char" arraysize="*"/>
        <DATA><TABLEDATA><TR><TD>-9</TD><TD>NaN</TD><TD/></TR>
        <TR><TD>1</TD><TD/><TD><![CDATA[<TD>&]]></TD></TR><TR><TD> 7 </TD><TD> +1.5 </TD><TD> a&amp;b </TD></TR>
        </TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""
    assert lists(read_votable(body).rows) == {"n": [None, 1, 7], "x": [None, None, 1.5], "w": [None, "<TD>&", "a&b"]}


@pytest.mark.parametrize("serialization", ["binary2", "tabledata"])
def test_a_votable_cut_anywhere_is_refused(serialization: str) -> None:
    body = votable(every_kind(3), serialization=serialization).rstrip()
    for length in range(len(body)):
        assert cause_of(body[:length]) in (Cause.TRUNCATED, Cause.NOT_THE_FORMAT), length
    assert read_votable(body).rows.num_rows == 3


def test_data_cut_within_a_document_that_is_whole_are_refused() -> None:
    body = votable(every_kind(10))
    match = re.search(rb"(<STREAM[^>]*>)(.*?)(</STREAM>)", body, re.DOTALL)
    assert match is not None
    for keep in (1, 4, 40, len(match[2]) - 4):
        assert cause_of(body.replace(match[2], match[2][:keep])) is Cause.TRUNCATED
    cells = votable(every_kind(3), serialization="tabledata")
    assert cause_of(cells.replace(b"</TD></TR>", b"</TR>", 1)) is Cause.TRUNCATED
    assert cause_of(re.sub(rb"<TD>[^<]*</TD></TR>", b"</TR>", cells, count=1)) is Cause.TRUNCATED


STATUS = {
    "ERROR before": ((Info("QUERY_STATUS", "ERROR", "no database"),), (), Cause.SERVICE_ERROR),
    "ERROR behind": ((Info("QUERY_STATUS", "OK"),), (Info("QUERY_STATUS", "ERROR", "died"),), Cause.SERVICE_ERROR),
    "Error of VizieR": ((Info("Error", "Table not found"),), (), Cause.SERVICE_ERROR),
    "OVERFLOW before": ((Info("QUERY_STATUS", "OVERFLOW"),), (), Cause.OVERFLOW),
    "OVERFLOW behind": ((Info("QUERY_STATUS", "OK"),), (Info("QUERY_STATUS", "OVERFLOW"),), Cause.OVERFLOW),
    "other case": ((Info("query_status", "error", "x"),), (), Cause.SERVICE_ERROR),
    "fewer rows than matches": ((), (Info("matches", "41"),), Cause.TRUNCATED),
}


@pytest.mark.parametrize("status", STATUS)
@pytest.mark.parametrize("serialization", ["binary2", "tabledata"])
def test_what_a_service_says_of_itself_counts_wherever_it_stands(status: str, serialization: str) -> None:
    before, after, cause = STATUS[status]
    assert cause_of(votable(every_kind(), serialization=serialization, before=before, after=after)) is cause


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"", Cause.TRUNCATED),
        (b"  \n", Cause.TRUNCATED),
        (b"<!DOCTYPE html><html><body>Maintenance</body></html>", Cause.NOT_THE_FORMAT),
        (b"<HTML>", Cause.NOT_THE_FORMAT),
        (b"ra,dec\n1,2\n", Cause.NOT_THE_FORMAT),
        (b'<?xml version="1.0"?><uws:job xmlns:uws="x"/>', Cause.NOT_THE_FORMAT),
        (b"<VOTABLE></VOTABLE>", Cause.TRUNCATED),
        (b"<VOTABLE/>", Cause.TRUNCATED),
        (b"<VOTABLE><RESOURCE></VOTABLE>", Cause.TRUNCATED),
        (votable(every_kind(), data=False), Cause.TRUNCATED),
        (votable(every_kind()).replace(b"</RESOURCE>", votable(every_kind())[119:-12] + b"</RESOURCE>"), None),
    ],
)
def test_what_is_no_votable_with_a_table_is_refused(body: bytes, cause: Cause | None) -> None:
    found = cause_of(body)
    assert cause is None or found is cause


def test_no_table_is_an_empty_answer_only_where_the_service_counts_no_matches() -> None:
    resource = '<VOTABLE><RESOURCE type="results">{}</RESOURCE></VOTABLE>'
    assert read_votable(resource.format('<INFO name="matches" value="0">matching records</INFO>').encode()).said_empty
    assert cause_of(resource.format('<INFO name="matches" value="3"/>').encode()) is Cause.TRUNCATED
    assert cause_of(resource.format('<INFO name="QUERY_STATUS" value="OK"/>').encode()) is Cause.TRUNCATED


RECORDED_ERRORS = {
    "vizier_J_MNRAS_515_1380_NOT_FOUND_error_response.xml": Cause.SERVICE_ERROR,
    "pyvo/dal__query_errorstatus.xml": Cause.SERVICE_ERROR,
    "pyvo/dal__query_overflowstatus.xml": Cause.OVERFLOW,
    "pyvo/dal__query_missingtable.xml": Cause.TRUNCATED,
    "pyvo/dal__query_missingresource.xml": Cause.TRUNCATED,
    "astroquery/vo_conesearch__conesearch_error1.xml": Cause.SERVICE_ERROR,
    "astroquery/vo_conesearch__conesearch_error2.xml": Cause.SERVICE_ERROR,
    "astroquery/vo_conesearch__conesearch_error3.xml": Cause.SERVICE_ERROR,
    "astroquery/vo_conesearch__conesearch_error4.xml": Cause.SERVICE_ERROR,
    "astroquery/ipac_ned__error.xml": Cause.SERVICE_ERROR,
    "lucuma/simbad-npe.xml": Cause.SERVICE_ERROR,
    "astroquery/skyview__query_page.html": Cause.NOT_THE_FORMAT,
    "vizier_J_AJ_159_8_villarroel2020.xml": Cause.NOT_THE_FORMAT,  # two tables
    "astroquery/vizier__kang2010.xml": Cause.ROW_CAP,  # 50 rows, the most it sends unasked
}


@pytest.mark.parametrize("name", RECORDED_ERRORS)
def test_recorded_errors_of_real_services_are_known(shared_data: Path, name: str) -> None:
    assert cause_of((shared_data / "http" / name).read_bytes()) is RECORDED_ERRORS[name]


RECORDED = [
    "lucuma/GP221000-483213-dr3.xml", "lucuma/gaia-blind-offset-test.xml", "astroquery/gaia__job_1.vot",
    "astroquery_history/mast_tap_results.vot", "astroquery/vizier__afgl2591_iram.xml",
    "astroquery_history/vii258.txt", "astroquery_history/II_106_catalog.xml", "pyvo/dal__scs_result.xml",
    "astroquery/gaia__1710099405832VAL-result.vot", "pyvo/mivot__test.header_extraction.xml",
    "astroquery/imcce__skybot_query.vot", "astroquery/ipac_irsa__Polygon.xml",
]  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_tables_are_read_as_astropy_reads_them(shared_data: Path, name: str) -> None:
    body = (shared_data / "http" / name).read_bytes()
    raw = read_votable(body)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = parse(io.BytesIO(body)).get_first_table().to_table(use_names_over_ids=True)
    assert raw.rows.num_rows == len(expected) > 0
    for name_ in raw.rows.column_names:
        column = expected[name_]
        if column.dtype.kind == "f" and column.ndim == 1:
            values = raw.rows[name_].to_numpy().astype(float)
            np.testing.assert_array_equal(values, np.ma.filled(np.ma.asarray(column, dtype=float), np.nan))
        elif column.dtype.kind in "iu":
            # An empty cell is no number here, and 0 to astropy.
            read, expected_ = raw.rows[name_].to_pylist(), np.ma.asarray(column).tolist()
            assert [0 if e == 0 and r is None else r for r, e in zip(read, expected_, strict=True)] == expected_


def test_200_000_rows_are_read_in_two_seconds() -> None:
    n = 200_000
    values = np.random.default_rng(1).random(n)
    table = Table({"Source": np.arange(n), "ra": values, "dec": values, "mag": values.astype("f4")})
    body = votable(table)
    started = time.perf_counter()
    raw = read_votable(body)
    assert time.perf_counter() - started < 2.0
    assert raw.rows["ra"].to_numpy().tolist() == values.tolist()


# CSV and JSON


def test_a_csv_is_read_as_it_was_written() -> None:
    table = every_kind()
    raw = read_csv(csv(table), text_columns=("USNO-B1.0",))
    assert raw.rows["id"].to_pylist() == table["id"].tolist()
    assert raw.rows["ra"].to_pylist() == table["ra"].tolist()
    assert raw.rows["USNO-B1.0"].to_pylist() == np.ma.asarray(table["USNO-B1.0"]).tolist()
    assert read_csv(csv(table[:0])).rows.num_rows == 0


def test_a_csv_cut_within_a_line_is_refused() -> None:
    body = csv(every_kind(3))
    for length in range(len(body)):
        if not body[:length].endswith(b"\n"):
            assert cause_of(body[:length], read_csv) in (Cause.TRUNCATED, Cause.NOT_THE_FORMAT)


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"", Cause.TRUNCATED),
        (b"<html>busy</html>\n", Cause.NOT_THE_FORMAT),
        (b"<?xml version='1.0'?><VOTABLE/>\n", Cause.NOT_THE_FORMAT),
        (b'{"error": 1, "x": 2}\n', Cause.NOT_THE_FORMAT),
        (b"Too many jobs; try later\n", Cause.NOT_THE_FORMAT),
        (b"ra,dec\n1,2\n3\n", Cause.TRUNCATED),
        (b"ra,dec\n1,2,3\n", Cause.TRUNCATED),
    ],
)
def test_what_is_no_csv_table_is_refused(body: bytes, cause: Cause) -> None:
    assert cause_of(body, read_csv) is cause


def test_recorded_answers_of_mast_and_xmatch_are_read(shared_data: Path) -> None:
    raw = read_json((shared_data / "http/astroquery/mast__panstarrs.json").read_bytes())
    assert raw.rows["objID"].to_pylist()[:2] == [68960059717834079, 68960059703893517]
    assert raw.rows["objID"].type == pa.int64()
    raw = read_csv((shared_data / "http/astroquery/xmatch__query_res.csv").read_bytes(), ("2MASS",))
    assert raw.rows["2MASS"].to_pylist()[:2] == ["17485281-2021323", "17485288-2021328"]


INFO = [{"name": "objID", "type": "long"}, {"name": "raMean", "type": "double"}]


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        ({"status": "ERROR", "msg": "no"}, Cause.SERVICE_ERROR),
        ([1, 2], Cause.SERVICE_ERROR),
        ({"info": INFO}, Cause.TRUNCATED),
        ({"info": INFO, "data": [["1", 2.0], ["3"]]}, Cause.TRUNCATED),
        ({"info": [{"no": "name"}], "data": []}, Cause.NOT_THE_FORMAT),
        ({"info": INFO, "data": [["one", 2.0]]}, Cause.BAD_ROWS),
        ({"info": INFO, "data": [["1", "east"]]}, Cause.BAD_ROWS),
    ],
)
def test_json_that_is_no_sound_table_is_refused(document: object, cause: Cause) -> None:
    assert cause_of(json.dumps(document).encode(), read_json) is cause


def test_json_cut_anywhere_is_refused() -> None:
    body = json.dumps({"info": INFO, "data": [["1", 2.0], [None, None]]}).encode()
    for length in range(len(body)):
        assert cause_of(body[:length], read_json) is Cause.TRUNCATED
    assert lists(read_json(body).rows) == {"objID": [1, None], "raMean": [2.0, None]}


# From tables to sources


def answer(change: Any = None, cap: int = 1000) -> Any:
    table = stars_around(CONE, n_stars=60)
    stars = table[np.hypot(table["RA_ICRS"] - CONE.ra_deg, table["DE_ICRS"] - CONE.dec_deg) < 0.9]
    if change is not None:
        stars = change(stars) or stars
    return source_answer(read_votable(votable(stars)), GAIA, BINDING, CONE, cap)


def put(column: str, value: Any) -> Any:
    def change(stars: Table) -> None:
        stars[column] = MaskedColumn(stars[column], mask=np.ma.getmaskarray(np.ma.asarray(stars[column])))
        stars[column][0] = value

    return change


def both(one: Any, other: Any) -> Any:
    def change(stars: Table) -> None:
        one(stars)
        other(stars)

    return change


BAD = {
    "no declination": (lambda t: t.remove_column("DE_ICRS"), Cause.MISSING_COLUMN),
    "no magnitude, which was asked for": (lambda t: t.remove_column("Gmag"), Cause.MISSING_COLUMN),
    "motion in arcsec": (lambda t: setattr(t["pmRA"], "unit", "arcsec/yr"), Cause.WRONG_UNIT),
    "radians": (lambda t: setattr(t["RA_ICRS"], "unit", "rad"), Cause.WRONG_UNIT),
    "nan position": (put("RA_ICRS", np.nan), Cause.BAD_ROWS),
    "RA 400": (put("RA_ICRS", 400.0), Cause.BAD_ROWS),
    "half a motion": (both(put("pmRA", np.ma.masked), put("pmDE", 1.0)), Cause.BAD_ROWS),
    "no id": (put("Source", np.ma.masked), Cause.BAD_ROWS),
    "text for RA": (lambda t: t.replace_column("RA_ICRS", ["8h51m"] * len(t)), Cause.BAD_ROWS),
    "twice the same": (lambda t: t.__class__(t[[0, 1, 2, 1]]), Cause.DUPLICATE_ROWS),
    "the other side of the sky": (put("DE_ICRS", -11.8), Cause.WRONG_SKY),
    "a little outside": (put("DE_ICRS", 12.802), Cause.WRONG_SKY),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_a_table_that_is_not_sound_has_its_cause(fault: str) -> None:
    change, cause = BAD[fault]
    with pytest.raises(LookupFailure) as caught:
        answer(change)
    assert caught.value.cause is cause


def test_units_may_be_written_in_any_way_that_means_the_same() -> None:
    table = stars_around(CONE, n_stars=20)[:0]
    for unit in ("mas/yr", "mas.yr-1", "mas.yr**-1", "mas yr-1", ""):
        raw = RawTable(read_votable(votable(table)).rows, {"pmRA": unit, "RA_ICRS": "deg", "Gmag": "mag"})
        assert source_answer(raw, GAIA, BINDING, CONE, 10).rows_in == 0


def test_as_many_rows_as_the_cap_are_cut_and_one_less_are_not() -> None:
    n = answer().rows_in
    assert answer(cap=n + 1).table.num_rows == n
    with pytest.raises(LookupFailure) as caught:
        answer(cap=n)
    assert caught.value.cause is Cause.ROW_CAP


def test_a_fast_star_may_lie_where_it_is_at_its_own_epoch() -> None:
    def move(speed_masyr: float) -> Any:
        def change(stars: Table) -> None:
            put("RA_ICRS", CONE.ra_deg)(stars)
            put("DE_ICRS", CONE.dec_deg + CONE.radius_deg + 100 / 3600)(stars)
            put("pmRA", 0.0)(stars)
            put("pmDE", speed_masyr)(stars)

        return change

    assert answer(move(10_300.0)).rows_in
    with pytest.raises(LookupFailure, match="lie outside the cone"):
        answer(move(1_000.0))


# Lists of positions

POSITIONS = Positions(np.array([7, 3, 90]), np.array([10.0, 10.0005, 200.0]), np.array([20.0, 20.0, -5.0]))


def near(rows: list[tuple[int, int, float, float]]) -> RawTable:
    """Rows of number of position, source, and place."""
    table = Table(rows=rows or None, names=["row_id", "Source", "RA_ICRS", "DE_ICRS"], dtype=["i8", "i8", "f8", "f8"])
    for name in ("pmRA", "pmDE", "Gmag"):
        table[name] = MaskedColumn(np.zeros(len(table), "f4"), mask=True)
    return read_votable(votable(table))


def test_a_source_may_stand_by_two_positions() -> None:
    raw = near([(3, 1, 10.0004, 20.0), (7, 1, 10.0004, 20.0), (90, 2, 200.001, -5.0)])
    found = position_answer(raw, GAIA, BINDING, POSITIONS, 5.0, 100)
    assert found.row_ids.tolist() == [3, 7, 90]
    assert found.table["source_id"].to_pylist() == [1, 1, 2]
    assert (found.rows_in, found.row_cap) == (3, 100)
    assert position_answer(near([]), GAIA, BINDING, POSITIONS, 5.0, 100).rows_in == 0


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ([(3, 1, 10.0, 20.0), (3, 1, 10.0, 20.0)], Cause.DUPLICATE_ROWS),
        ([(4, 1, 10.0, 20.0)], Cause.WRONG_SKY),
        ([(91, 1, 200.0, -5.0)], Cause.WRONG_SKY),
        ([(90, 1, 200.0, -5.002)], Cause.WRONG_SKY),
        ([(7, 1, 190.0, -20.0)], Cause.WRONG_SKY),
        ([(7, 1, 10.0, 20.0), (3, 1, 10.0, np.nan)], Cause.BAD_ROWS),
        ([(7, i, 10.0, 20.0) for i in range(100)], Cause.ROW_CAP),
    ],
)
def test_a_list_that_is_not_sound_has_its_cause(rows: Any, cause: Cause) -> None:
    with pytest.raises(LookupFailure) as caught:
        position_answer(near(rows), GAIA, BINDING, POSITIONS, 5.0, 100)
    assert caught.value.cause is cause
    with pytest.raises(LookupFailure) as caught:
        position_answer(near([]), GAIA, BINDING, POSITIONS, 5.0, 100, row_id_column="other")
    assert caught.value.cause is Cause.MISSING_COLUMN
