"""The file of headers of the CD-ROMs: read strictly, stored once."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.plates.cdrom_headers import CdromHeader, load_cdrom_headers, read_cdrom_headers

CARDS = ["SIMPLE  =                    T /FITS header", "PLTLABEL= '!!!!!!!!!!        ' /Observatory plate label",
         "REGION  = 'X!!!!!            ' /GSSS Region Name", "DATE-OBS= '!!/!!/!!          ' /UT date of Observation",
         "UT      = '!!:!!:00.00       ' /UT time of observation",
         "EXPOSURE=  !.!000000000000E+0! /Exposure time minutes", "        Copyright (c)", "!!! ! !!"]  # fmt: skip
TEMPLATE = "".join(card.ljust(80) for card in CARDS)
GOOD = "E438      E486 2911511207501END   "


def written(path: Path, *records: str, template: str = TEMPLATE) -> Path:
    path.write_text(template + "".join(records))
    return path


def test_a_record_fills_the_holes_of_the_template(tmp_path: Path) -> None:
    (header,) = read_cdrom_headers(written(tmp_path / "x.dat", GOOD))
    assert (header.plate_id, header.plate_label) == ("XE486", "E438")
    assert header.times.literal_start == header.times.decimal_hours_start == datetime(1951, 11, 29, 12, 7, tzinfo=UTC)
    assert (header.times.exposure_minutes, header.times.quality) == (50.0, "single")
    assert header.times.evidence == "CD-ROM header: DATE-OBS 29/11/51, UT 12:07:00.00"


def test_records_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    path = written(tmp_path / "x.dat", GOOD, GOOD.replace("E486 29", "E487 30"), GOOD.replace("E486 ", "E1001"))
    assert [h.plate_id for h in read_cdrom_headers(path)] == ["XE486", "XE487", "XE1001"]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ((), "is cut off: 0 bytes"),
        ((GOOD[:-1],), "is cut off: 33 bytes of records are not a whole number of 34 bytes each"),
        ((GOOD, GOOD[:7]), "is cut off"),
        ((GOOD, GOOD), "record 2: plate XE486 is there twice"),
        ((GOOD.replace("291151", "310251"),), r"record 1 \(XE486\): DATE-OBS '31/02/51'"),
        ((GOOD.replace("291151", "  1151"),), "is not a date|has no known form"),
        ((GOOD.replace("1207", "noon"),), r"\(XE486\): DATE-OBS '29/11/51' with UT 'no:on:00.00' is not"),
        ((GOOD.replace("501END", "001END"),), r"\(XE486\): EXPOSURE '0.0000000000000E\+01' is no exposure"),
        ((GOOD.replace("501END", "x01END"),), "is no exposure"),
        ((GOOD.replace("E486 ", "    "  + " "),), "REGION 'X' is not the name of a plate"),
        ((GOOD.replace("E438      ", " " * 10),), "header key PLTLABEL is missing"),
        ((GOOD.replace("END   ", "      "),), "does not fill the template"),
        ((GOOD[1:] + " ",), "record 1"),
    ],
)  # fmt: skip
def test_what_is_not_whole_and_sound_is_refused(tmp_path: Path, records: tuple[str, ...], message: str) -> None:
    path = written(tmp_path / "x.dat", *records)
    with pytest.raises(InputError, match=message) as caught:
        read_cdrom_headers(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"nonsense", TEMPLATE[80:].encode(), TEMPLATE[:-80].encode(), b"\xff" * 900])
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.dat"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no file of CD-ROM headers"):
        read_cdrom_headers(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_cdrom_headers(tmp_path)


def headers(tmp_path: Path, *records: str) -> list[CdromHeader]:
    return read_cdrom_headers(written(tmp_path / "x.dat", *records))


def test_times_are_stored_once_and_another_time_is_refused(connection: Connection, tmp_path: Path) -> None:
    assert load_cdrom_headers(connection, headers(tmp_path, GOOD)) == 1
    assert load_cdrom_headers(connection, headers(tmp_path, GOOD, GOOD.replace("E486", "E487"))) == 1
    rows = connection.execute(
        text(
            "SELECT plate_id, reading, start_utc, mid_utc FROM plate.exposure_time WHERE source = 'cdrom' ORDER BY 1, 2"
        )
    ).all()
    assert [(r.plate_id, r.reading) for r in rows] == [
        ("XE486", "decimal_hours"), ("XE486", "literal"), ("XE487", "decimal_hours"), ("XE487", "literal")
    ]  # fmt: skip
    assert rows[0].mid_utc == datetime(1951, 11, 29, 12, 32, tzinfo=UTC)
    message = "XE486 is stored with another time from a CD-ROM: 1951-11-29 12:07 -> 1951-11-29 12:08"
    with pytest.raises(InputError, match=message):
        load_cdrom_headers(connection, headers(tmp_path, GOOD.replace("1207", "1208")))


def test_the_real_file(shared_data: Path) -> None:
    found = read_cdrom_headers(shared_data / "plates" / "dss_cd_headers_hhh.dat")
    assert len(found) == 765
    assert Counter(header.plate_id[:2] for header in found) == {"XE": 764, "XX": 1}
    by_name = {header.plate_id: header for header in found}
    assert by_name["XE486"].times.literal_start == datetime(1951, 11, 29, 12, 7, tzinfo=UTC)
    assert (by_name["XE486"].plate_label, by_name["XE486"].times.exposure_minutes) == ("E438", 50.0)
