"""M67 from end to end with Gaia from a real service of the Virtual Observatory."""

import csv

import pytest
from commandline import Vascodb
from localsettings import write_settings

pytestmark = pytest.mark.dachs

IMAGE = "tiles/POSS1-E_XE486_M67_30arcmin.fits"
CONE = "132.8242,11.8010,0.50deg"


def test_gaia_from_a_real_service_leaves_the_same_24(vascodb: Vascodb, dachs_tap_url: str, shared_data, tmp_path):
    vascodb.environment["VASCODB_SETTINGS"] = str(
        write_settings(tmp_path / "settings.toml", {"vizier_tap": dachs_tap_url}, first_byte_timeout_s=60.0)
    )
    said = vascodb.ok("fetch-reference", "gaia_edr3", "--cone", CONE).out
    assert "1 look-ups complete" in said
    image = shared_data / IMAGE
    report = vascodb.ok("ingest-tile", "--fits", image, "--profile", "vasco60", "--format", "json").value
    assert report["catalogs"]["gaia_edr3"] == {"matched": 1329, "clear": 24, "unknown": 0, "not_covered": 0}
    assert report["candidates"] == 2
    clear = vascodb.sql("SELECT number FROM vasco.match WHERE state = 'clear' ORDER BY number")
    with (shared_data / "tiles/M67_24_without_gaia.csv").open(newline="") as stream:
        assert [number for [number] in clear] == [row["number"] for row in csv.DictReader(stream)]


def test_a_cone_behind_the_services_cap_comes_in_parts(vascodb: Vascodb, dachs_tap_url: str, tmp_path):
    vascodb.environment["VASCODB_SETTINGS"] = str(
        write_settings(tmp_path / "settings.toml", {"vizier_tap": dachs_tap_url}, row_cap=1500)
    )
    said = vascodb.ok("fetch-reference", "gaia_edr3", "--cone", CONE).out
    assert "0 failed" in said
    [[whole, split, most]] = vascodb.sql(
        "SELECT count(*) FILTER (WHERE complete), count(*) FILTER (WHERE status = 'split'), "
        "max(rows_in) FILTER (WHERE complete) FROM ref.lookup WHERE kind = 'area'"
    )
    assert (int(split) >= 1, int(whole) >= 4, int(most) < 1500) == (True, True, True)
    inside = "SELECT count(*) FROM ref.gaia_edr3 WHERE q3c_radial_query(ra, dec, 132.8242, 11.8010, 0.5)"
    # As many as the recorded file has there; 13 more of its 6,179 rows lie just outside.
    assert vascodb.sql(inside) == [["6166"]]
