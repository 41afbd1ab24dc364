"""Every variable of the earlier pipelines works here or says why not; none is taken silently."""

import re
from pathlib import Path
from typing import Any

import pytest

from vascodb.errors import InputError
from vascodb.loaders.client.configured import Effective, effective, load_catalog
from vascodb.loaders.client.seed_environment import SEED_VARIABLES
from vascodb.loaders.client.services import default_services
from vascodb.loaders.registry import catalogs
from vascodb.settings import Settings

XMATCH = "services.cds_xmatch"
IRSA = "services.irsa_tap"
FAST = {
    "VASCO_CDS_MODE": "single", "VASCO_CDS_MAX_RETRIES": "2", "VASCO_CDS_BASE_BACKOFF": "1.5",
    "VASCO_CDS_BLOCKSIZE": "omit", "VASCO_CDS_INTER_CHUNK_DELAY": "0", "VASCO_CDS_JITTER": "0",
    "VASCO_CDS_PRECALL_SLEEP": "0", "VASCO_CDS_GAIA_TABLE": "I/355/gaiadr3", "VASCO_CDS_PS1_TABLE": "II/389/ps1_dr2",
    "VASCO_SPIKES_ENGINE": "vectorized", "VASCO_SPIKES_DEBUG": "1", "VASCO_CIRCLE_ARCMIN": "30",
}  # fmt: skip
PATIENT = {
    "VASCO_CDS_MODE": "chunked", "VASCO_CDS_CHUNK_ROWS": "500", "VASCO_CDS_BLOCKSIZE": "omit",
    "VASCO_CDS_MAX_RETRIES": "2", "VASCO_CDS_BASE_BACKOFF": "2.0", "VASCO_CDS_INTER_CHUNK_DELAY": "1.0",
    "VASCO_CDS_JITTER": "1.0", "VASCO_CDS_PRECALL_SLEEP": "1",
}  # fmt: skip


def found(tmp_path: Path, **environment: str) -> Effective:
    return effective(Settings(home=tmp_path), environment)


def values(tmp_path: Path, **environment: str) -> dict[str, Any]:
    return found(tmp_path, **environment).values()


def members(family: str) -> list[str]:
    return [definition.name for definition in catalogs().values() if definition.family == family]


def test_the_usual_sets_of_variables_are_taken_as_they_are(tmp_path: Path) -> None:
    fast = values(tmp_path, **FAST)
    assert (fast[f"{XMATCH}.attempts"], fast[f"{XMATCH}.backoff_s"], fast[f"{XMATCH}.jitter_s"]) == (3, 1.5, 0.0)
    assert fast[f"{XMATCH}.list_rows"] == fast[f"{XMATCH}.row_cap"]
    assert fast[f"{XMATCH}.per_second"] == default_services()["cds_xmatch"].per_second
    assert (fast["families.gaia"], fast["families.ps1"]) == ("gaia_dr3", "ps1_dr2")
    patient = values(tmp_path, **PATIENT)
    assert (patient[f"{XMATCH}.list_rows"], patient[f"{XMATCH}.jitter_s"]) == (500, 1.0)
    assert patient[f"{XMATCH}.per_second"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("VASCO_CDS_MODE", "chunked", f"{XMATCH}.list_rows", 500),
        ("VASCO_CDS_CHUNK_ROWS", "300", f"{XMATCH}.list_rows", 300),
        ("VASCO_CDS_CHUNK_ROWS", "10", f"{XMATCH}.list_rows", 50),
        ("VASCO_CDS_BLOCKSIZE", "700", f"{XMATCH}.list_rows", 700),
        ("VASCO_CDS_MAX_RETRIES", "0", f"{XMATCH}.attempts", 1),
        ("VASCO_CDS_BASE_BACKOFF", "0.5", f"{XMATCH}.backoff_s", 0.5),
        ("VASCO_CDS_INTER_CHUNK_DELAY", "4", f"{XMATCH}.per_second", 0.25),
        ("VASCO_CDS_JITTER", "0.2", f"{XMATCH}.jitter_s", 0.2),
        ("VASCO_CDS_PRECALL_SLEEP", "true", f"{XMATCH}.per_second", 0.1),
        ("VASCO_STEP4_NO_FETCH", "1", "fetch.offline", True),
        ("VASCO_FORCE_DOWNLOAD", "yes", "fetch.images_again", True),
        ("VASCO_FORCE_FETCH_GAIA", "1", "fetch.again", ["gaia"]),
        ("VASCO_FORCE_FETCH_PS1", "1", "fetch.again", ["ps1"]),
        ("VASCO_FORCE_FETCH_USNOB", "1", "fetch.again", ["usnob"]),
        ("VASCO_DISABLE_PS1", "1", "fetch.without", ["ps1"]),
        ("VASCO_DISABLE_USNOB", "TRUE", "fetch.without", ["usnob"]),
        ("TAP_BASE", "https://example.org/TAP/", f"{IRSA}.endpoints", ["https://example.org/TAP"]),
        ("MAX_ASYNC_RETRIES", "6", f"{IRSA}.attempts", 7), ("BACKOFF_BASE", "10", f"{IRSA}.backoff_s", 10.0),
        ("BACKOFF_CAP", "180", f"{IRSA}.max_backoff_s", 180.0), ("JITTER_MAX", "1", f"{IRSA}.jitter_s", 1.0),
        ("MAX_EXEC", "3600", f"{IRSA}.total_timeout_s", 3600.0),
        ("MAX_EXEC_SECS", "7200", f"{IRSA}.total_timeout_s", 7200.0),
    ],
)  # fmt: skip
def test_each_sets_what_it_used_to_set(tmp_path: Path, name: str, value: str, key: str, expected: object) -> None:
    assert values(tmp_path).get(key) != expected
    assert values(tmp_path, **{name: value})[key] == pytest.approx(expected)
    assert found(tmp_path, **{name: value}).origin(key) == name


@pytest.mark.parametrize(
    ("name", "value", "family", "key", "expected"),
    [
        ("VASCO_PS1_ATTEMPTS", "5", "ps1", "attempts", 5),
        ("VASCO_PS1_TIMEOUT", "33", "ps1", "first_byte_timeout_s", 33.0),
        ("VASCO_PS1_RADIUS_DEG", "0.3", "ps1", "max_radius_deg", 0.3),
        ("VASCO_PS1_MAX_RADIUS_DEG", "0.2", "ps1", "max_radius_deg", 0.2),
        ("VASCO_USNOB_ATTEMPTS", "6", "usnob", "attempts", 6),
    ],
)  # fmt: skip
def test_what_was_of_one_family_is_of_all_its_catalogues(
    tmp_path: Path, name: str, value: str, family: str, key: str, expected: object
) -> None:
    assert members(family)
    now = values(tmp_path, **{name: value})
    assert [now[f"catalogs.{member}.{key}"] for member in members(family)] == [expected] * len(members(family))
    assert {k for k in now if k.startswith("catalogs.")} == {f"catalogs.{member}.{key}" for member in members(family)}


def test_the_smaller_of_two_radii_counts(tmp_path: Path) -> None:
    now = values(tmp_path, VASCO_PS1_RADIUS_DEG="0.1", VASCO_PS1_MAX_RADIUS_DEG="0.4")
    assert now[f"catalogs.{members('ps1')[0]}.max_radius_deg"] == 0.1


@pytest.mark.parametrize(
    ("table", "name"),
    [("I/350/gaiaedr3", "gaia_edr3"), ("I/355/gaiadr3", "gaia_dr3"), ("vizier:I/355/GaiaDR3", "gaia_dr3")],
)  # fmt: skip
def test_a_table_names_the_catalogue_of_its_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, name: str
) -> None:
    monkeypatch.setenv("VASCO_CDS_GAIA_TABLE", table)
    assert load_catalog(Settings(home=tmp_path), "gaia").name == name


@pytest.mark.parametrize("family", ["gaia", "ps1", "usnob"])
def test_a_cache_is_a_folder_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    (tmp_path / "cache").mkdir()
    monkeypatch.chdir(tmp_path)
    variable = f"VASCO_{family.upper()}_CACHE"
    assert getattr(found(tmp_path, **{variable: "cache"}).configuration.bulk, family) == tmp_path / "cache"
    with pytest.raises(InputError, match=rf"^{variable}=nowhere: bulk\.{family}: .*nowhere is not a folder$"):
        found(tmp_path, **{variable: "nowhere"})


def test_images_go_where_tiles_went(tmp_path: Path) -> None:
    assert found(tmp_path, VASCO_TILES_ROOT=str(tmp_path)).configuration.fetch.images == tmp_path


def test_chunks_are_chunks_unless_there_is_one(tmp_path: Path) -> None:
    one = found(tmp_path, VASCO_CDS_MODE="single", VASCO_CDS_CHUNK_ROWS="500")
    assert one.values()[f"{XMATCH}.list_rows"] == one.values()[f"{XMATCH}.row_cap"]
    assert any(v.name == "VASCO_CDS_CHUNK_ROWS" and "changes nothing" in v.effect for v in one.variables)
    assert values(tmp_path, VASCO_CDS_CHUNK_ROWS="500", VASCO_CDS_BLOCKSIZE="300")[f"{XMATCH}.list_rows"] == 300
    assert values(tmp_path, VASCO_CDS_CHUNK_ROWS="200", VASCO_CDS_BLOCKSIZE="300")[f"{XMATCH}.list_rows"] == 200


def test_no_variable_makes_queries_more_frequent_than_the_service_bears(tmp_path: Path) -> None:
    shipped = default_services()["cds_xmatch"].per_second
    for delay in ("0", "0.001", "0.5"):
        assert values(tmp_path, VASCO_CDS_INTER_CHUNK_DELAY=delay)[f"{XMATCH}.per_second"] == shipped


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VASCO_CDS_MODE", "Single"), ("VASCO_CDS_CHUNK_ROWS", "many"), ("VASCO_CDS_CHUNK_ROWS", "1e3"),
        ("VASCO_CDS_CHUNK_ROWS", "-5"), ("VASCO_CDS_CHUNK_ROWS", "0"), ("VASCO_CDS_BLOCKSIZE", "none"),
        ("VASCO_CDS_MAX_RETRIES", "2.5"), ("VASCO_CDS_MAX_RETRIES", "-1"), ("VASCO_CDS_MAX_RETRIES", "9999999999999"),
        ("VASCO_CDS_BASE_BACKOFF", "nan"), ("VASCO_CDS_BASE_BACKOFF", "inf"), ("VASCO_CDS_BASE_BACKOFF", "1_0"),
        ("VASCO_CDS_INTER_CHUNK_DELAY", "-1"), ("VASCO_CDS_JITTER", "a"), ("VASCO_CDS_PRECALL_SLEEP", "10"),
        ("VASCO_CDS_GAIA_TABLE", "II/389/ps1_dr2"), ("VASCO_CDS_GAIA_TABLE", "I/999"),
        ("VASCO_CDS_PS1_TABLE", "gaiadr3"), ("VASCO_DISABLE_PS1", "maybe"), ("VASCO_FORCE_FETCH_GAIA", "2"),
        ("VASCO_STEP4_NO_FETCH", "x"), ("VASCO_PS1_RADIUS_DEG", "0"), ("VASCO_PS1_RADIUS_DEG", "91"),
        ("VASCO_PS1_ATTEMPTS", "0"), ("VASCO_PS1_TIMEOUT", "0"), ("VASCO_USNOB_ATTEMPTS", "x"),
        ("VASCO_IMAGE_SERVICE", "skyview"), ("TAP_BASE", "irsa"), ("TAP_BASE", "ftp://x/y"),
        ("MAX_ASYNC_RETRIES", "-1"), ("BACKOFF_BASE", "x"), ("BACKOFF_CAP", "1e9"), ("MAX_EXEC", "0"),
    ],
)  # fmt: skip
def test_a_bad_value_is_one_line_with_variable_and_value(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(InputError) as caught:
        found(tmp_path, **{name: value})
    assert str(caught.value).startswith(f"{name}={value}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [n for n, variable in SEED_VARIABLES.items() if variable.convert is not None])
def test_no_value_whatsoever_is_more_than_one_line(tmp_path: Path, name: str) -> None:
    for value in ("x\ny", "☃", "'", "0" * 5000, "-", "1e400", "\x01", "../..", "true;false", "9" * 400, "~nobody/x"):
        try:
            outcome = found(tmp_path, **{name: value})
        except InputError as error:
            assert len(str(error).splitlines()) <= 2, error
        else:
            assert outcome.variables


def test_switched_off_is_as_not_set(tmp_path: Path) -> None:
    switches = [n for n in SEED_VARIABLES if re.match("VASCO_(DISABLE|FORCE|STEP4_NO)", n)]
    assert len(switches) == 7
    for value in ("0", "false", "no", "off", "OFF", "", "  "):
        assert values(tmp_path, **dict.fromkeys(switches, value)) == values(tmp_path)


def test_what_takes_something_away_is_said(tmp_path: Path) -> None:
    off = found(tmp_path, VASCO_DISABLE_PS1="1", VASCO_DISABLE_USNOB="1", VASCO_STEP4_NO_FETCH="1")
    assert len(off.warnings) == 3
    assert all(line.startswith("VASCO_") for line in off.warnings)
    assert off.configuration.fetch.without == ("ps1", "usnob")


def test_what_belongs_elsewhere_says_where(tmp_path: Path) -> None:
    elsewhere = [name for name, variable in SEED_VARIABLES.items() if variable.convert is None]
    outcome = found(tmp_path, **dict.fromkeys(elsewhere, "1"))
    assert outcome.values() == values(tmp_path)
    assert [variable.name for variable in outcome.variables] == elsewhere
    assert all(variable.effect.startswith("does nothing") for variable in outcome.variables)
    assert {"VASCO_CIRCLE_ARCMIN", "VASCO_WCSFIX_DEGREE", "VASCO_SPIKES_ENGINE", "VASCO_SKIP_RENDER"} <= set(elsewhere)


def test_an_unknown_variable_is_warned_of(tmp_path: Path) -> None:
    (line,) = found(tmp_path, VASCO_DISABLE_PSI="1").warnings
    assert line == "VASCO_DISABLE_PSI=1: unknown variable; it does nothing"
    assert found(tmp_path, VASCODB_HOEM="/x").warnings
    assert not found(tmp_path, VASCODB_HOME="/x", VASCODB_URL="y", VASCODB_SETTINGS="z", VASCO="1", PATH="/").warnings


def test_a_variable_outranks_the_file(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(f'[{XMATCH}]\nattempts = 9\nbackoff_s = 9\n[fetch]\nwithout = ["usnob"]\n')
    now = found(tmp_path, VASCO_CDS_MAX_RETRIES="1", VASCO_DISABLE_PS1="1")
    assert (now.values()[f"{XMATCH}.attempts"], now.values()[f"{XMATCH}.backoff_s"]) == (2, 9.0)
    assert now.origin(f"{XMATCH}.attempts") == "VASCO_CDS_MAX_RETRIES"
    assert now.origin(f"{XMATCH}.backoff_s").endswith("settings.toml")
    assert now.configuration.fetch.without == ("ps1", "usnob")


def test_the_documentation_names_every_variable_and_whether_it_sets_anything() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "settings.md").read_text()
    sets, _, sets_nothing = page.partition("These set nothing:")
    for name, variable in SEED_VARIABLES.items():
        # Those of the staging folders are named once for all three families.
        name_of_gaia = re.sub("_(PS1|USNOB)_((CACHE_)?STAGING)", r"_GAIA_\2", name)
        assert f"`{name_of_gaia}`" in (sets if variable.convert is not None else sets_nothing), name
