"""Verbs on exposure times: load headers, list times, explain one."""

import json
from pathlib import Path

import pytest
from astropy.table import Table
from commandline import Vascodb, assert_one_line
from plateimages import plate_header


def header_file(folder: Path, plate_id: str, **changes: object) -> Path:
    path = folder / f"{plate_id}.json"
    # The hour angle of 1952-03-05 07:30 at this plate's centre, by astropy.
    header = plate_header(**{"REGION": plate_id, "OBSHA": -1.1237, "PLTLABEL": "E7"} | changes)
    path.write_text(json.dumps({"header": header}))
    return path


@pytest.fixture(scope="module")
def loaded(module_vascodb: Vascodb, tmp_path_factory) -> Vascodb:
    folder = tmp_path_factory.mktemp("headers")
    header_file(folder, "XE901")
    header_file(folder, "XE902", OBSHA=5.0, PLTLABEL="E9")
    told = module_vascodb.ok("load-plates", folder)
    assert told.out.splitlines() == [
        "plates: 2 read, 2 new, 0 stored already", "times of 2 plates: 0 agreed, 1 single, 1 conflicting, 0 unknown"
    ]  # fmt: skip
    return module_vascodb


def test_times_are_listed_with_totals(loaded: Vascodb) -> None:
    told = loaded.ok("plate-times")
    assert "1952-03-05T07:30:00+00:00" in told.out
    assert told.out.splitlines()[-1] == "times of 2 plates: 0 agreed, 1 single, 1 conflicting, 0 unknown"
    told = loaded.ok("plate-times", "--quality", "conflicting")
    assert "XE902" in told.out and "XE901" not in told.out


def test_other_forms_have_all_columns_and_keep_the_totals_apart(loaded: Vascodb) -> None:
    told = loaded.ok("plate-times", "--format", "ecsv")
    table = Table.read(told.out, format="ascii.ecsv")
    assert list(table["time_quality"]) == ["single", "conflicting"]
    assert table["start_utc"][0] == "1952-03-05T07:30:00+00:00" and table["start_utc"].mask[1]
    assert table["literal_start_utc"][0] == "1952-03-04T07:50:00+00:00"
    assert str(table["uncertainty_minutes"].unit) == "min"
    assert told.err.strip() == "times of 2 plates: 0 agreed, 1 single, 1 conflicting, 0 unknown"
    assert loaded.ok("plate-times", "--sql").out.startswith("\\set quality ''")


def test_the_reasoning_about_a_plate_is_told(loaded: Vascodb) -> None:
    told = loaded.ok("explain-plate", "XE901").out
    lines = told.splitlines()
    assert lines[0] == "XE901, label E7"
    assert "DATE-OBS 1952-03-04T07:50:00, exposure of 45 min, hour angle -1.124 h east" in lines[1]
    (chosen,) = (line for line in lines if "this one" in line)
    assert chosen.split()[:5] == ["1952-03-05", "07:30", "+1", "as", "written"]
    assert lines[-1] == "single: start 1952-03-05 07:30, middle 1952-03-05 07:52:30 UTC, ± 0.5 min"
    conflict = loaded.ok("explain-plate", "XE902").out
    assert "conflicting: no time; " in conflict
    assert "this one" not in conflict


def test_the_same_as_json(loaded: Vascodb) -> None:
    value = loaded.ok("explain-plate", "XE901", "--format", "json").value
    assert (value["plate_id"], value["start_utc"]) == ("XE901", "1952-03-05T07:30:00+00:00")
    assert [w["kind"] for w in value["witnesses"]][-3:] == ["hour_angle", "label_order", "label_block"]


def test_a_plate_that_is_not_there_is_one_line(loaded: Vascodb) -> None:
    told = loaded.run("explain-plate", "XE999")
    assert_one_line(told, "no time of plate 'XE999'")


def test_a_broken_file_of_the_cdroms_changes_nothing(loaded: Vascodb, tmp_path: Path) -> None:
    path = tmp_path / "headers.dat"
    path.write_text("SIMPLE  = T")
    told = loaded.run("load-plates", path)
    assert_one_line(told, "is no file of CD-ROM headers")


def test_the_real_file_of_the_cdroms_is_loaded_once(vascodb: Vascodb, shared_data: Path) -> None:
    path = shared_data / "plates" / "dss_cd_headers_hhh.dat"
    first, again = vascodb.ok("load-plates", path), vascodb.ok("load-plates", path)
    assert first.out.startswith("plates: 765 read, 765 new") and again.out.startswith("plates: 765 read, 0 new")
    assert "times of 765 plates: 0 agreed, 765 single" in again.out
