"""Plate headers into the database: all of a folder or nothing, and twice is once."""

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from astropy.coordinates import SkyCoord
from plateimages import cutout_header, image_file, plate_header
from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.plates.headers import PlateLoad, load_plates, read_plate_headers


def sidecar(folder: Path, name: str = "plate.json", **changes: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"meta": {}, "header": plate_header(**changes)}))
    return path


def load(connection: Connection, path: Path) -> PlateLoad:
    return load_plates(connection, read_plate_headers(path))


def fingerprint(connection: Connection) -> list[str]:
    return list(connection.scalars(text("SELECT fingerprint FROM api.fingerprint ORDER BY table_name")))


def test_a_plate_is_stored_with_its_place_scale_solution_and_times(connection: Connection, tmp_path: Path) -> None:
    assert load(connection, sidecar(tmp_path)) == PlateLoad(1, 1)
    row = connection.execute(text("SELECT * FROM plate.plate JOIN plate.solution USING (solution_id)")).one()
    assert (row.plate_id, row.band, row.survey, row.plate_label) == ("XE901", "red", "POSSI-E", "E9901")
    assert (row.naxis1, row.naxis2, row.exposure_minutes, row.wcs_kind) == (14000, 13999, 45.0, "dss")
    assert row.scale_arcsec_px == pytest.approx(1.69912)
    assert (row.ra, row.dec) == (pytest.approx(142.6, abs=0.3), pytest.approx(24.0, abs=0.3))
    assert (row.date_obs_raw, row.time_quality) == ("1952-03-04T07:50:00", "conflicting")
    assert (len(row.amdx), row.header["PLTLABEL"]) == (13, "E9901")
    times = connection.execute(text("SELECT reading, start_utc::text FROM plate.exposure_time ORDER BY 1")).all()
    assert [tuple(t) for t in times] == [
        ("decimal_hours", "1952-03-04 07:30:00+00"), ("literal", "1952-03-04 07:50:00+00")
    ]  # fmt: skip


def test_the_same_plates_again_write_nothing(connection: Connection, tmp_path: Path) -> None:
    for i in range(3):
        sidecar(tmp_path, f"{i}.json", REGION=f"XE90{i}")
    assert load(connection, tmp_path) == PlateLoad(3, 3)
    before = fingerprint(connection)
    assert load(connection, tmp_path) == PlateLoad(3, 0)
    assert fingerprint(connection) == before


def test_file_archive_and_folder_give_the_same_plate(module_database, tmp_path: Path) -> None:
    one = sidecar(tmp_path / "one")
    with tarfile.open(tmp_path / "plates.tar.gz", "w:gz") as archive:
        archive.add(one, "deep/down/plate.json")
        information = tarfile.TarInfo("deep/readme.txt")
        archive.addfile(information, io.BytesIO())
    found = []
    for source in (one, tmp_path / "one", tmp_path / "plates.tar.gz"):
        with module_database.connect() as connection:
            load(connection, source)
            found.append(fingerprint(connection))
            connection.rollback()
    assert found[0] == found[1] == found[2]


def test_a_plates_fits_file_is_read_too(connection: Connection, tmp_path: Path) -> None:
    # A plate scanned with coarse pixels, so that the file is small.
    header = plate_header(NAXIS1=120, NAXIS2=120, XPIXELSZ=2949.9, YPIXELSZ=2949.9)
    assert load(connection, image_file(tmp_path / "plate.fits", header)) == PlateLoad(1, 1)


@pytest.mark.parametrize(
    ("region", "survey", "band"), [("XO901", None, "blue"), ("XE901", None, "red"), ("S901", "SERC-J", "other")]
)
def test_band_comes_from_survey_or_region(connection: Connection, tmp_path: Path, region, survey, band) -> None:
    load(connection, sidecar(tmp_path, REGION=region, SURVEY=survey))
    assert connection.scalar(text("SELECT band FROM plate.plate")) == band


def test_a_plate_of_unknown_time_is_kept_as_such(connection: Connection, tmp_path: Path) -> None:
    load(connection, sidecar(tmp_path, **{"DATE-OBS": "1952-13-40T07:50:00"}))
    row = connection.execute(text("SELECT epoch_jyear, time_quality, date_obs_raw FROM plate.plate")).one()
    assert tuple(row) == (None, "unknown", "1952-13-40T07:50:00")


BAD = {
    "no region": ({"REGION": None}, "REGION is missing"),
    "a cutout": ({"NAXIS1": 1059}, "not the header of a whole plate"),
    "no solution": ({"AMDX1": None}, "no astrometric solution"),
    "half a solution": ({"AMDY7": None}, "AMDY7 is missing"),
    "text": ({"PPO3": "west"}, "PPO3 is not a finite number"),
    "no size": ({"NAXIS1": None}, "not the header of a whole plate"),
    "a zero byte": ({"PLTLABEL": "E\0"}, "zero byte"),
    "a list": ({"REGION": ["XE901"], "NAXIS1": [1]}, "NAXIS1|int"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_header_names_file_and_reason_and_nothing_is_stored(connection, tmp_path: Path, fault: str) -> None:
    changes, reason = BAD[fault]
    sidecar(tmp_path, "a_good.json", REGION="XE900")
    bad = sidecar(tmp_path, "b_bad.json", **changes)
    before = fingerprint(connection)
    with pytest.raises(InputError, match=reason) as caught, connection.begin_nested():
        load(connection, tmp_path)
    assert str(caught.value).startswith(f"{bad}: ")
    assert "\n" not in str(caught.value)
    assert fingerprint(connection) == before


def test_another_header_of_a_stored_plate_says_what_differs(connection: Connection, tmp_path: Path) -> None:
    load(connection, sidecar(tmp_path))
    with pytest.raises(InputError, match=r"XE901 is stored with another header: EXPOSURE 45.0 -> 50.0"):
        load(connection, sidecar(tmp_path, EXPOSURE=50.0))


def test_two_headers_of_one_plate_in_one_folder_are_refused(connection: Connection, tmp_path: Path) -> None:
    sidecar(tmp_path, "a.json")
    sidecar(tmp_path, "b.json", EXPOSURE=50.0)
    with pytest.raises(InputError, match="stored with another header"):
        load(connection, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.json", b"{", "is not JSON"), ("x.json", b"[]", "no object 'header'"), ("x.json", b"", "is not JSON"),
        ("x.json", b'{"header": 5}', "no object 'header'"), ("x.tar.gz", b"nonsense", "not a readable tar archive"),
        ("x.fits", b"nonsense", "not a FITS file"), ("x.txt", b"", "neither a JSON sidecar"),
        ("x.json", b"\xff\xfe\x00", "is not JSON: 'utf-8'"), ("x.json", b'{"header": {"A": NaN}}', "the value NaN"),
        ("x.json", b"[" * 100_000, "is not JSON"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_header_is_refused(connection, tmp_path: Path, name, content, reason) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        load(connection, tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_and_a_missing_one_are_refused(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no plate header below this folder"):
        load(connection, tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        load(connection, tmp_path / "none")


def test_a_cutouts_file_is_no_plate(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the header of a whole plate"):
        load(connection, image_file(tmp_path / "cutout.fits", cutout_header()))


def test_932_real_headers_load(connection: Connection, shared_data: Path) -> None:
    source = shared_data / "plates" / "dss1red_headers_932.tar.gz"
    assert load(connection, source) == PlateLoad(932, 932)
    rows = connection.execute(
        text("""
            SELECT count(*) AS n, count(*) FILTER (WHERE band = 'red') AS red, count(epoch_jyear) AS dated,
                min(epoch_jyear) AS first, max(epoch_jyear) AS last,
                count(*) FILTER (WHERE round(scale_arcsec_px::numeric, 2) = 1.01) AS fine,
                count(*) FILTER (WHERE round(scale_arcsec_px::numeric, 1) = 1.7) AS coarse
            FROM plate.plate
        """)
    ).one()
    assert (rows.n, rows.red, rows.dated) == (932, 932, 932)
    assert 1949 < rows.first < rows.last < 1959
    assert rows.fine + rows.coarse == 932
    assert rows.fine > 100
    # The archive's headers were written with the minutes carried into hours; both readings are kept.
    qualities = connection.execute(text("SELECT time_quality, count(*) FROM plate.plate GROUP BY 1")).all()
    assert {row[0] for row in qualities} == {"single", "conflicting"}
    assert connection.scalar(text("SELECT count(*) FROM plate.exposure_time")) == 2 * 932


def test_the_middles_of_real_plates_are_where_others_found_them(connection: Connection, shared_data: Path) -> None:
    load(connection, shared_data / "plates" / "dss1red_headers_932.tar.gz")
    ours = {
        row.plate_id: (row.ra, row.dec) for row in connection.execute(text("SELECT plate_id, ra, dec FROM plate.plate"))
    }
    with (shared_data / "plates" / "plate_manifest.csv").open(newline="") as stream:
        theirs = {row["plate_id"]: (float(row["ra_deg"]), float(row["dec_deg"])) for row in csv.DictReader(stream)}
    common = sorted(ours.keys() & theirs.keys())
    assert len(common) > 600
    places = [SkyCoord([table[name] for name in common], unit="deg") for table in (ours, theirs)]
    # Among them are plates whose PLTRA and PLTDEC name a corner, 4.4 degrees away.
    assert places[0].separation(places[1]).arcsec.max() < 60
