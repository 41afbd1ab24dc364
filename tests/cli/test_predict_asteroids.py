"""predict-asteroids: from a file of elements to what passed over stored images."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commandline import Vascodb, assert_one_line
from pydantic import SecretStr
from sqlalchemy import make_url
from toysky import ToySky

from vascodb.db import Database
from vascodb.settings import Settings

pytest.importorskip("de421")
pytest.importorskip("jplephem")
pytest.importorskip("scipy")

CERES = (
    "00001    3.34  0.15 K2555 188.70269   73.27343   80.25221   10.58780  0.0794013  0.21424651   2.7660512  "
    "0 E2024-V47  7330 125 1801-2024 0.80 M-v 30k MPCLINUX   4000      (1) Ceres              20241101"
)
# Like Ceres elsewhere on its way, and much smaller.
FAINT = "A0000   18.00" + CERES[13:166].replace("188.70269", "288.70269") + "(100000) Astronautica"
KORONIS_PLATE, KORONIS_CANDIDATE = "XE467", "tile_RA19.885_DECp9.912:164"


def store_image(vascodb: Vascodb, ra: float, dec: float, plate_id: str) -> None:
    """An image of half a degree about a position, with one detection there."""
    url = make_url(vascodb.url).set(drivername="postgresql").render_as_string(hide_password=False)
    database = Database(Settings(home=vascodb.home, url=SecretStr(url)))
    with database.connect() as connection:
        sky = ToySky(connection)
        identity = sky.extraction(ra, dec)
        sky.execute(
            "UPDATE plate.image SET plate_id = :p, exposure_minutes = 50 WHERE image_id = :i", p=plate_id, i=identity
        )
        sky.detections(identity, [ra], [dec])
    database.close()


def time_of(vascodb: Vascodb, plate_id: str, mid_utc: str) -> None:
    quality = "agreed" if mid_utc else "conflicting"
    mid = f"'{mid_utc}'" if mid_utc else "NULL"
    vascodb.sql(
        "INSERT INTO plate.exposure_time (plate_id, source, reading, start_utc, mid_utc, uncertainty_minutes, "
        f"time_quality, evidence) VALUES ('{plate_id}', 'solution', 'corrected', {mid}, {mid}, "
        f"{0.5 if mid_utc else 'NULL'}, '{quality}', 'toy')"
    )


@pytest.fixture
def elements(tmp_path: Path) -> Path:
    path = tmp_path / "MPCORB.DAT"
    path.write_text(CERES + "\n" + FAINT + "\n")
    return path


def jpl_elements(shared_data: Path, names: Sequence[str], path: Path) -> Path:
    """Some bodies of JPL's answer."""
    document = json.loads(gzip.decompress((shared_data / "benchmark" / "asteroid_elements_7099.json.gz").read_bytes()))
    column = document["fields"].index("full_name")
    document["data"] = [row for row in document["data"] if any(f" {name} " in row[column] for name in names)]
    document["count"] = len(document["data"])
    path.write_bytes(gzip.compress(json.dumps(document).encode()))
    return path


def test_an_asteroid_of_the_published_candidates_is_found_where_they_have_it(
    vascodb: Vascodb, shared_data: Path, tmp_path: Path
) -> None:
    published = pd.read_csv(shared_data / "published" / "poss1-plate-slice_s0-642-20260814" / "stage_S0.csv.gz")
    candidate = published[published["src_id"] == KORONIS_CANDIDATE].iloc[0]
    ra, dec = float(candidate["ra"]), float(candidate["dec"])
    vascodb.ok("load-plates", shared_data / "plates" / "dss1red_headers_932.tar.gz")
    store_image(vascodb, ra, dec, KORONIS_PLATE)
    # With the heaviest: without their pull it is a few tenths of an arcsec off.
    path = jpl_elements(shared_data, ["Koronis", "Ceres", "Pallas", "Vesta", "Pluto"], tmp_path / "elements.json.gz")
    told = vascodb.ok("predict-asteroids", path, "--plate", KORONIS_PLATE)
    assert told.out.startswith(
        "4 bodies, 1 left out (Pluto) over 1 images: 1 passages, 0 images known already, 0 without"
    )
    assert told.err == ""
    ((name, found_ra, found_dec, state),) = vascodb.sql(
        "SELECT name, asteroids_ra, asteroids_dec, state FROM api.moving_agreement"
    )
    assert (name, state) == ("Koronis", "not asked")
    apart = 3600 * np.hypot((float(found_ra) - ra) * np.cos(np.radians(dec)), float(found_dec) - dec)
    assert apart < 1.0
    [story] = vascodb.ok("explain", "tile_1:1", "--format", "json").value
    ((row),) = story["moving"]
    assert (row["name"], row["catalog"], row["others"]) == ("Koronis", "asteroids_offline", "skybot was not asked")
    assert "skybot was not asked" in " ".join(vascodb.ok("explain", "tile_1:1", COLUMNS="250").out.split())
    # The same again is known.
    again = vascodb.ok("predict-asteroids", path)
    assert "over 0 images: 0 passages, 1 images known already, 0 without a time" in again.out


def test_bodies_that_are_never_bright_are_not_followed(vascodb: Vascodb, elements: Path) -> None:
    store_image(vascodb, 10.0, 0.0, "XE001")
    time_of(vascodb, "XE001", "1952-03-05 07:30+00")
    told = vascodb.ok("predict-asteroids", elements, "--brighter-than", "19")
    assert told.out.startswith("1 bodies, 1 never brighter than V = 19 over 1 images: ")
    # Without the limit it is another set of bodies, which is predicted on its own.
    told = vascodb.ok("predict-asteroids", elements)
    assert told.out.startswith("2 bodies over 1 images: ")
    rows = vascodb.sql("SELECT parameters ->> 'numbers' FROM ref.lookup WHERE parameters ? 'numbers' ORDER BY rows_in")
    assert rows == [["{[1,2)}"], ["{[1,2),[100000,100001)}"]]
    assert vascodb.ok("audit").status == 0


def test_an_image_whose_time_is_in_conflict_is_counted_and_not_predicted(vascodb: Vascodb, elements: Path) -> None:
    store_image(vascodb, 10.0, 0.0, "XE001")
    time_of(vascodb, "XE001", "")
    told = vascodb.ok("predict-asteroids", elements)
    assert "over 0 images: 0 passages, 0 images known already, 1 without a time" in told.out
    assert vascodb.sql("SELECT count(*) FROM ref.moving_look") == [["0"]]


def test_without_an_image_it_is_told_what_to_do(vascodb: Vascodb, elements: Path) -> None:
    assert_one_line(vascodb.run("predict-asteroids", elements), "no image is stored yet; run: vascodb ingest-tile FILE")


def test_a_plate_without_an_image_is_named(vascodb: Vascodb, elements: Path) -> None:
    store_image(vascodb, 10.0, 0.0, "XE001")
    time_of(vascodb, "XE001", "1952-03-05 07:30+00")
    told = vascodb.run("predict-asteroids", elements, "--plate", "XE001", "--plate", "XE999")
    assert_one_line(told, "no image of plate 'XE999' is stored")
    assert vascodb.sql("SELECT count(*) FROM ref.lookup") == [["0"]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"), (b"\x00\xff" * 500, "no number"), (b"no\n" * 99, "MPCORB.DAT"),
        (CERES[:90].encode(), "line 1 has 90 characters"),
        ((CERES + "\n" + CERES[:100]).encode(), "line 2 is cut short"), (b'{"fields": 1}', "it has no fields"),
        ((CERES.replace(" 3.34", " 3.3a")).encode(), "line 1, columns 9 to 13"),
        (gzip.compress(CERES.encode(), mtime=0)[:-9], "not a readable file of elements"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_line_and_changes_nothing(vascodb: Vascodb, tmp_path: Path, content, words) -> None:
    path = tmp_path / "elements"
    path.write_bytes(content)
    assert_one_line(vascodb.run("predict-asteroids", path), str(path), words)
    assert vascodb.sql("SELECT count(*) FROM ref.lookup") == [["0"]]


def test_a_file_that_is_not_there_is_one_line(vascodb: Vascodb, tmp_path: Path) -> None:
    outcome = vascodb.run("predict-asteroids", tmp_path / "none")
    assert outcome.status in (1, 2)
    assert str(tmp_path / "none") in outcome.err
    assert "Traceback" not in outcome.err


def test_without_the_ephemeris_it_is_told_how_to_get_it(vascodb: Vascodb, elements: Path, tmp_path: Path) -> None:
    store_image(vascodb, 10.0, 0.0, "XE001")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "de421.py").write_text("raise ModuleNotFoundError(\"No module named 'de421'\", name='de421')\n")
    process = vascodb.start("predict-asteroids", elements, PYTHONPATH=str(broken))
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert err.strip() == (
        "vascodb: predicting asteroids needs an ephemeris of the planets (de421 is not installed); "
        "pip install 'vascodb[asteroids]'"
    )


def test_how_far_it_is_can_be_seen_on_a_terminal(vascodb: Vascodb, elements: Path) -> None:
    store_image(vascodb, 10.0, 0.0, "XE001")
    time_of(vascodb, "XE001", "1952-03-05 07:30+00")
    told = vascodb.ok("predict-asteroids", elements, FORCE_COLOR="1", COLUMNS="100")
    assert "images" in told.err and "1/1" in told.err
    assert told.out.startswith("2 bodies over 1 images: ")
