"""`vascodb settings` says what is in effect and why; wrong settings are one line."""

from pathlib import Path

import pytest
from commandline import Vascodb, assert_one_line


@pytest.fixture(autouse=True)
def no_file(module_vascodb: Vascodb) -> None:
    (module_vascodb.home / "settings.toml").unlink(missing_ok=True)


def test_everything_in_effect_is_named_with_where_it_comes_from(module_vascodb: Vascodb, tmp_path: Path) -> None:
    (module_vascodb.home / "settings.toml").write_text("[services.vizier_tap]\nattempts = 9\n")
    told = module_vascodb.ok("settings", "--format", "json", VASCO_CDS_MAX_RETRIES="5", VASCO_CIRCLE_ARCMIN="30").value
    settings = told["settings"]
    assert settings["home"] == {"value": str(module_vascodb.home), "from": "VASCODB_HOME"}
    assert settings["url"] == {"value": "(set)", "from": "VASCODB_URL"}
    assert settings["services.vizier_tap.attempts"] == {"value": 9, "from": str(module_vascodb.home / "settings.toml")}
    assert settings["services.cds_xmatch.attempts"] == {"value": 6, "from": "VASCO_CDS_MAX_RETRIES"}
    assert settings["services.skybot.attempts"]["from"] == "default"
    assert set(told["variables"]) == {"VASCO_CDS_MAX_RETRIES", "VASCO_CIRCLE_ARCMIN"}
    assert "profile" in told["variables"]["VASCO_CIRCLE_ARCMIN"]["effect"]


def test_people_get_a_table_and_what_became_of_each_variable(module_vascodb: Vascodb) -> None:
    told = module_vascodb.ok("settings", "--changed", VASCO_DISABLE_PS1="1", VASCO_GAYA_CACHE="/x")
    rows = [line.split() for line in told.out.splitlines()]
    assert ["fetch.without", "ps1", "VASCO_DISABLE_PS1"] in rows
    assert not any(row[0].startswith("services.") for row in rows)
    assert "VASCO_GAYA_CACHE=/x: unknown variable; it does nothing" in told.out
    warnings = told.err.splitlines()
    assert len(warnings) == 2
    assert all(line.startswith("vascodb: warning: VASCO_") for line in warnings)
    assert "neither fetched nor required" in warnings[0]


def test_a_wrong_file_and_a_wrong_variable_are_one_line(module_vascodb: Vascodb) -> None:
    assert_one_line(module_vascodb.run("settings", VASCO_CDS_MAX_RETRIES="many"), "VASCO_CDS_MAX_RETRIES=many: ")
    assert_one_line(module_vascodb.run("settings", VASCODB_SETTINGS="/no/such.toml"), "/no/such.toml: cannot be read")
    path = module_vascodb.home / "settings.toml"
    path.write_text("[services.vizier_tap]\natempts = 9\n")
    assert_one_line(module_vascodb.run("settings"), f"{path}: services.vizier_tap.atempts: unknown key")
    assert_one_line(module_vascodb.run("fetch-plate", "XE486"), "services.vizier_tap.atempts")
