"""Settings: what is shipped, changed by one validated file, changed by the environment; and where each comes from."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from vascodb.errors import InputError
from vascodb.loaders.client.configured import effective, effective_settings, load_catalog, load_services
from vascodb.loaders.client.services import default_services
from vascodb.loaders.registry import catalogs
from vascodb.settings import Settings

EMPTY: Mapping[str, str] = {}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VASCODB_SETTINGS", raising=False)


def with_file(tmp_path: Path, content: str) -> Settings:
    (tmp_path / "settings.toml").write_text(content)
    return Settings(home=tmp_path)


def test_without_a_file_and_variables_everything_is_as_shipped(tmp_path: Path) -> None:
    found = effective(Settings(home=tmp_path), EMPTY)
    assert found.configuration.services == default_services()
    assert (found.origins, found.variables, found.warnings, found.settings_file) == ({}, (), (), None)
    assert effective_settings(Settings(home=tmp_path))["changed"] == {}


def test_the_file_is_the_one_in_the_home_or_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings(home=tmp_path).settings_file is None
    usual = tmp_path / "settings.toml"
    usual.write_text("")
    assert Settings(home=tmp_path).settings_file == usual
    named = tmp_path / "mine.toml"
    monkeypatch.setenv("VASCODB_SETTINGS", str(named))
    assert Settings(home=tmp_path).settings_file == named
    with pytest.raises(InputError, match=r"mine.toml: cannot be read"):
        effective(Settings(home=tmp_path), EMPTY)


def test_the_file_changes_any_field_of_a_service_and_nothing_else(tmp_path: Path) -> None:
    settings = with_file(
        tmp_path, '[services.vizier_tap]\nendpoints = ["http://localhost:8080/tap"]\nattempts = 9\nper_second = 2\n'
    )
    changed = load_services(settings)
    assert changed["vizier_tap"].endpoints == ("http://localhost:8080/tap",)
    assert (changed["vizier_tap"].attempts, changed["vizier_tap"].per_second) == (9, 2.0)
    assert changed["vizier_tap"].row_cap == default_services()["vizier_tap"].row_cap
    assert {n: s for n, s in changed.items() if n != "vizier_tap"} == {
        n: s for n, s in default_services().items() if n != "vizier_tap"
    }
    found = effective(settings, EMPTY)
    assert found.origin("services.vizier_tap.attempts") == str(tmp_path / "settings.toml")
    assert found.origin("services.vizier_tap.row_cap") == "default"


def test_every_field_of_every_service_can_be_written_as_it_is_shipped(tmp_path: Path) -> None:
    lines = []
    for name, entry in default_services().items():
        lines.append(f"[services.{name}]")
        lines += [f"{k} = {json.dumps(v)}" for k, v in entry.model_dump(mode="json", exclude_none=True).items()]
    assert load_services(with_file(tmp_path, "\n".join(lines))) == default_services()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[services.vizier_tap]\natempts = 3", r"services\.vizier_tap\.atempts: unknown key; there are: .*attempts"),
        ("[services.vizir]\nattempts = 3", r"services\.vizir: unknown; there are: .*vizier_tap"),
        ("[servces.vizier_tap]\nattempts = 3", r"servces: unknown key; there are: services, "),
        ("[catalogs.gaia]\nvia = 'x'", r"catalogs\.gaia: unknown; there are: .*gaia_dr3"),
        ("[catalogs.gaia_dr3]\nvai = 'x'", r"catalogs\.gaia_dr3\.vai: unknown key; there are: via, table"),
        ("[catalogs.gaia_dr3]\nvia = 'skybot'", r"catalogs\.gaia_dr3\.via: no service 'skybot' has this catalogue"),
        ("[catalogs.gaia_dr3]\ncanary = {ra=1, dec=2}", r"catalogs\.gaia_dr3\.canary\.radius_arcsec: is missing"),
        ("[catalogs.gaia_dr3]\ncanary = {ra=400, dec=2, radius_arcsec=5}", r"canary\.ra: .*less than 360"),
        ("[catalogs.gaia_dr3]\ncanary = {ra=1, dec=2, radius_arcsec=5, x=1}", r"canary\.x: unknown key"),
        ("[catalogs.gaia_dr3]\ntable = \"x'; DROP\"", r"catalogs\.gaia_dr3\.table: "),
        ("[services.vizier_tap]\nattempts = 0", r"services\.vizier_tap\.attempts: .*greater than or equal to 1, not 0"),
        ("[services.vizier_tap]\nattempts = true", r"services\.vizier_tap\.attempts: .*integer"),
        ("[services.vizier_tap]\nattempts = '3'", r"services\.vizier_tap\.attempts: .*integer"),
        ("[services.vizier_tap]\nattempts = 1979-05-27", r"services\.vizier_tap\.attempts: .*integer"),
        ("[services.vizier_tap]\nper_second = nan", r"services\.vizier_tap\.per_second: .*finite"),
        ("[services.vizier_tap]\ntotal_timeout_s = inf", r"services\.vizier_tap\.total_timeout_s: .*finite"),
        ("[services.vizier_tap]\nendpoints = []", r"services\.vizier_tap\.endpoints: "),
        ("[services.vizier_tap]\nendpoints = ['ftp://x']", r"services\.vizier_tap\.endpoints\.0: "),
        ("[services.vizier_tap]\nrow_cap = 999999999", r"services\.vizier_tap\.row_cap: it can only be lowered"),
        ("services = 3", r"services: "),
        ("[services]\nvizier_tap = 3", r"services\.vizier_tap: "),
        ("[bulk]\ngaia = 'no/such/folder'", r"bulk\.gaia: .*no/such/folder is not a folder"),
        ("[bulk]\ngaja = 'x'", r"bulk\.gaja: unknown key; there are: gaia, ps1, usnob"),
        ("[bulk]\ngaia = 3", r"bulk\.gaia: "),
        ("[fetch]\nworkers = 0", r"fetch\.workers: "),
        ("[fetch]\nwithout = ['sdss']", r"fetch\.without: no family 'sdss'; there are: .*gaia"),
        ("[families]\ngaia = 'usnob1'", r"families\.gaia: 'usnob1' is none of: gaia_edr3, gaia_dr3"),
        ("[services.vizier_tap\n", r"is not TOML: .*line 1"),
        ("x = 1\nx = 2", r"is not TOML: "),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_in_one_line_that_names_file_and_key(
    tmp_path: Path, content: str, message: str
) -> None:
    settings = with_file(tmp_path, content)
    with pytest.raises(InputError, match=message) as caught:
        effective(settings, EMPTY)
    assert str(caught.value).startswith(f"{tmp_path / 'settings.toml'}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not a text in UTF-8"):
        effective(Settings(home=tmp_path), EMPTY)
    (tmp_path / "settings.toml").unlink()
    (tmp_path / "settings.toml").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        effective(Settings(home=tmp_path), EMPTY)


def test_a_cap_may_be_raised_for_another_server(tmp_path: Path) -> None:
    content = '[services.vizier_tap]\nendpoints = ["http://localhost/tap"]\nrow_cap = 3000000'
    assert load_services(with_file(tmp_path, content))["vizier_tap"].row_cap == 3_000_000


def test_a_catalogue_may_be_asked_elsewhere_with_another_table_and_canary(tmp_path: Path) -> None:
    shipped = catalogs()["gaia_dr3"]
    other = list(shipped.via)[-1]
    assert len(shipped.via) > 1
    content = (
        f'[catalogs.gaia_dr3]\nvia = "{other}"\ntable = "my.table"\ncanary = {{ra=1, dec=2, radius_arcsec=5}}\n'
        "attempts = 7\nmax_radius_deg = 0.25\n"
    )
    settings = with_file(tmp_path, content)
    changed = load_catalog(settings, "gaia_dr3")
    assert next(iter(changed.via)) == other
    assert set(changed.via) == set(shipped.via)
    assert changed.via[other].table == "my.table"
    assert changed.via[other].columns == shipped.via[other].columns
    assert changed.canary is not None
    assert (changed.canary.ra, changed.canary.dec, changed.canary.radius_arcsec) == (1, 2, 5)
    assert load_catalog(settings, "gaia_edr3") == catalogs()["gaia_edr3"]
    own = load_services(settings, "gaia_dr3")[other]
    assert (own.attempts, own.max_radius_deg) == (7, 0.25)
    assert load_services(settings, "gaia_edr3") == load_services(settings) == default_services()


def test_a_family_can_stand_for_one_of_its_catalogues(tmp_path: Path) -> None:
    assert load_catalog(with_file(tmp_path, '[families]\ngaia = "gaia_edr3"'), "gaia").name == "gaia_edr3"
    with pytest.raises(InputError, match="unknown catalogue 'sdss'"):
        load_catalog(Settings(home=tmp_path), "sdss")


def test_folders_in_the_file_are_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gaia").mkdir()
    monkeypatch.chdir("/")
    content = '[bulk]\ngaia = "gaia"\n[fetch]\nimages = "plates"'
    found = effective(with_file(tmp_path, content), {"VASCO_USNOB_ATTEMPTS": "2"}).configuration
    assert found.bulk.gaia == tmp_path / "gaia"
    assert found.fetch.images == tmp_path / "plates"


def test_leaving_a_family_out_is_said_wherever_it_was_set(tmp_path: Path) -> None:
    settings = with_file(tmp_path, '[fetch]\nwithout = ["usnob"]')
    found = effective(settings, {"VASCO_DISABLE_PS1": "1"})
    assert found.configuration.fetch.without == ("ps1", "usnob")
    assert any("ps1" in line for line in found.warnings)
    (line,) = effective(settings, EMPTY).warnings
    assert line == f"{tmp_path / 'settings.toml'}: usnob is neither fetched nor required"


def test_what_is_set_is_recorded_with_what_it_did_and_without_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = with_file(tmp_path, '[services.vizier_tap]\nendpoints = ["https://me:secret@localhost/tap"]')
    monkeypatch.setenv("VASCO_CDS_MAX_RETRIES", "5")
    monkeypatch.setenv("TAP_BASE", "https://me:secret@localhost/TAP")
    record = effective_settings(settings)
    assert json.loads(json.dumps(record)) == record
    assert record["changed"]["services.cds_xmatch.attempts"] == {"value": 6, "from": "VASCO_CDS_MAX_RETRIES"}
    assert record["changed"]["services.vizier_tap.endpoints"]["from"] == record["settings_file"]
    assert record["variables"]["VASCO_CDS_MAX_RETRIES"]["value"] == "5"
    assert len(record["settings_sha256"]) == 64
    assert "secret" not in json.dumps(record)
    assert "localhost" in json.dumps(record)


def test_no_network_means_none(tmp_path: Path) -> None:
    effective(Settings(home=tmp_path), EMPTY).require_network()
    with pytest.raises(InputError, match="nothing is asked of any service, because of VASCO_STEP4_NO_FETCH"):
        effective(Settings(home=tmp_path), {"VASCO_STEP4_NO_FETCH": "1"}).require_network()
