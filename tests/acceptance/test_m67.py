"""The main job on a real plate: M67 on XE486 against Gaia EDR3, in the seed configuration."""

import csv
import json

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude
from commandline import Outcome, Vascodb, assert_one_line
from localsettings import write_settings
from m67 import GAIA_FILE as GAIA
from m67 import vizier_table
from mocpy import MOC
from servers.tap import TapServer
from servers.vizier import VizierServer

IMAGE = "tiles/POSS1-E_XE486_M67_30arcmin.fits"
CONE = "132.8242,11.8010,0.50deg"
DETECTIONS, MATCHED, MATCHED_WITHOUT_PM = 1353, 1329, 1323

# Everything that was measured or decided, but not the rows' places in the tables.
MEASURED = """
    SELECT number, ra, dec, xwin_image, ywin_image, x_image, y_image, elongation, ellipticity, fwhm_image, flux_auto,
        mag_auto, flux_aper, class_star, snr_win, flags, xmin_image, xmax_image, ymin_image, ymax_image
    FROM vasco.detection ORDER BY number
"""
MATCHES = (
    "SELECT number, state, source_id, sep_arcsec, n_within FROM vasco.match WHERE catalog = 'gaia_edr3' ORDER BY 1"
)
# What the stage behind the gates judges is what all of them let through.
PASSED_GATES = "SELECT number FROM vasco.verdict WHERE stage = 'spike' ORDER BY number"
VERDICTS = "SELECT stage, number, outcome, value, reason FROM vasco.verdict ORDER BY stage, number"


def ingest(vascodb: Vascodb, image, *options: str) -> Outcome:
    return vascodb.ok("ingest-tile", "--fits", image, "--profile", "vasco60", "--format", "json", *options)


@pytest.fixture(scope="module")
def image(shared_data):
    return shared_data / IMAGE


@pytest.fixture(scope="module")
def database_of(command_server, new_home, temporary_database):
    """Make a command on a copy of another's database."""
    contexts = []

    def copy(template: str) -> Vascodb:
        context = temporary_database(template)
        contexts.append(context)
        return Vascodb(command_server, new_home(), context.__enter__().libpq_url)

    yield copy
    for context in contexts:
        context.__exit__(None, None, None)


def name_of(vascodb: Vascodb) -> str:
    return vascodb.sql("SELECT current_database()")[0][0]


@pytest.fixture(scope="module")
def without_gaia(database_of, template_database, image):
    vascodb = database_of(template_database)
    return vascodb, ingest(vascodb, image).value


@pytest.fixture(scope="module")
def with_gaia(database_of, without_gaia, shared_data, image):
    vascodb = database_of(name_of(without_gaia[0]))
    vascodb.ok("load-reference", "gaia_edr3", shared_data / GAIA, "--cone", CONE)
    return vascodb, ingest(vascodb, image).value


def test_without_gaia_nothing_is_covered_and_nothing_is_a_candidate(without_gaia):
    vascodb, report = without_gaia
    assert report["detections"] == DETECTIONS
    assert report["catalogs"]["gaia_edr3"] == {"matched": 0, "clear": 0, "unknown": 0, "not_covered": DETECTIONS}
    assert report["candidates"] == 0
    assert report["measured"] == 0
    assert vascodb.ok("candidates", "--format", "json").value == []


def test_stars_are_matched_at_the_epoch_of_the_plate(with_gaia):
    _, report = with_gaia
    assert report["detections"] == DETECTIONS
    clear = DETECTIONS - MATCHED
    assert report["catalogs"]["gaia_edr3"] == {"matched": MATCHED, "clear": clear, "unknown": 0, "not_covered": 0}


def test_without_proper_motions_six_moving_stars_would_vanish(with_gaia):
    vascodb, _ = with_gaia
    [[matched]] = vascodb.sql("""
        SELECT count(*) FROM vasco.detection AS d
        WHERE EXISTS (SELECT 1 FROM ref.gaia_edr3 AS r WHERE q3c_join(d.ra_raw, d.dec_raw, r.ra, r.dec, 5 / 3600.0))
    """)
    assert int(matched) == MATCHED_WITHOUT_PM


def test_the_24_without_counterpart_have_the_measured_values_of_a_full_pass_2(with_gaia, shared_data):
    vascodb, _ = with_gaia
    doubles = ["xwin_image", "ywin_image"]
    floats = ["snr_win", "fwhm_image", "elongation", "spread_model", "spreaderr_model", "mag_auto"]
    rows = vascodb.sql(f"""
        SELECT d.number, round(d.ra_raw::numeric, 6)::float8, round(d.dec_raw::numeric, 6)::float8,
            round(n.sep_arcsec::numeric, 3), d.flags, {", ".join(f"d.{c}" for c in doubles + floats)}
        FROM vasco.match AS m
        JOIN vasco.detection AS d USING (extraction_id, number)
        CROSS JOIN plate.image AS i
        CROSS JOIN LATERAL (
            SELECT * FROM sky.neighbours('gaia_edr3', d.ra_raw, d.dec_raw, 600, i.epoch_jyear) LIMIT 1
        ) AS n
        WHERE m.state = 'clear' AND m.catalog = 'gaia_edr3'
        ORDER BY number
    """)
    with (shared_data / "tiles/M67_24_without_gaia.csv").open(newline="") as stream:
        expected = list(csv.DictReader(stream))
    assert len(rows) == len(expected) == 24
    for row, truth in zip(rows, expected, strict=True):
        assert row[:3] == [truth["number"], truth["ra"], truth["dec"]]
        assert float(row[3]) == pytest.approx(float(truth["nearest_gaia_arcsec"]), abs=0.0015)
        assert row[4] == truth["flags"]
        assert [float(v) for v in row[5:7]] == [float(truth[c]) for c in doubles]
        assert [np.float32(v) for v in row[7:]] == [np.float32(truth[c]) for c in floats]


def test_three_pass_all_gates_but_the_mad_clip_which_takes_one_of_them(with_gaia):
    vascodb, report = with_gaia
    rows = vascodb.sql("""
        SELECT round(d.ra_raw::numeric, 4), round(d.dec_raw::numeric, 4),
            max(v.outcome::text) FILTER (WHERE v.stage = 'mad_clip')
        FROM vasco.verdict AS v JOIN vasco.detection AS d USING (extraction_id, number)
        WHERE v.stage IN ('gaia', 'flags', 'snr', 'mad_clip', 'spread_model', 'fwhm', 'elongation', 'extent')
        GROUP BY d.number, d.ra_raw, d.dec_raw
        HAVING bool_and(v.outcome = 'pass') FILTER (WHERE v.stage <> 'mad_clip') AND count(*) = 8
        ORDER BY d.dec_raw DESC
    """)
    assert rows == [["132.7242", "11.9851", "pass"], ["132.8452", "11.9396", "pass"], ["132.8204", "11.9134", "fail"]]
    assert report["remaining"]["extent"] == report["remaining"]["duplicates"] == 2
    assert vascodb.sql(PASSED_GATES) == [["169"], ["278"]]


def test_the_seeds_shapes_turn_both_away_as_they_do_most_real_stars(with_gaia):
    vascodb, report = with_gaia
    assert report["candidates"] == 0
    assert [report["gates"][stage]["pass"] for stage in ("spike", "duplicates")] == [0, 2]
    fates = vascodb.sql("SELECT number, stage, outcome FROM api.fates WHERE number IN (169, 278) ORDER BY number")
    assert {(stage, outcome) for _, stage, outcome in fates} <= {("morph", "fail"), ("shape", "fail")}


def test_full_pass_2_measures_and_judges_the_same(with_gaia, database_of, image):
    veto_first, _ = with_gaia
    everything = database_of(name_of(veto_first))
    report = ingest(everything, image, "--full-pass2").value
    assert report["measured"] == DETECTIONS
    assert everything.sql(MEASURED) == veto_first.sql(MEASURED)
    psf = "SELECT number, spread_model, spreaderr_model FROM vasco.detection WHERE number IN ({}) ORDER BY number"
    [[measured]] = veto_first.sql(
        "SELECT string_agg(number::text, ',') FROM vasco.detection WHERE spread_model IS NOT NULL"
    )
    assert len(measured.split(",")) == 224
    assert everything.sql(psf.format(measured)) == veto_first.sql(psf.format(measured))
    assert everything.sql(VERDICTS) == veto_first.sql(VERDICTS)


def test_where_coverage_ends_candidates_end(without_gaia, database_of, shared_data, image, tmp_path):
    vascodb = database_of(name_of(without_gaia[0]))
    # East of the middle of the tile, and well inside the cone of the Gaia file.
    middle_ra, ra, dec = 132.834, [132.834, 133.15, 133.15, 132.834], [11.5, 11.5, 12.1, 12.1]
    moc = MOC.from_polygon(Longitude(ra, u.deg), Latitude(dec, u.deg), max_depth=14)
    moc.save(tmp_path / "east.fits", format="fits")
    vascodb.ok("load-reference", "gaia_edr3", shared_data / GAIA, "--moc", tmp_path / "east.fits")
    report = ingest(vascodb, image).value
    states = vascodb.sql("""
        SELECT m.state, count(*), min(d.ra),
            count(*) FILTER (WHERE d.ra BETWEEN 132.96 AND 133.02 AND d.dec BETWEEN 11.65 AND 11.95)
        FROM vasco.match AS m JOIN vasco.detection AS d USING (extraction_id, number)
        WHERE m.catalog = 'gaia_edr3' GROUP BY m.state
    """)
    by_state = {state: (int(n), float(westernmost), int(middle)) for state, n, westernmost, middle in states}
    # A counterpart is one wherever it is; to have none needs coverage.
    assert set(by_state) == {"matched", "clear", "not_covered"}
    assert by_state["matched"][0] == MATCHED
    assert by_state["clear"][1] > middle_ra
    # Its rim, which does not count, is narrower than 0.12 degrees.
    assert by_state["clear"][2] > 0
    assert by_state["not_covered"][2] == 0
    assert by_state["clear"][0] + by_state["not_covered"][0] == DETECTIONS - MATCHED
    assert report["catalogs"]["gaia_edr3"]["not_covered"] == by_state["not_covered"][0]
    candidates = vascodb.ok("candidates", "--format", "json").value
    assert all(row["ra"] > middle_ra for row in candidates)
    outside = vascodb.sql(f"""
        SELECT count(*) FROM vasco.verdict AS v JOIN vasco.detection AS d USING (extraction_id, number)
        WHERE v.stage <> 'gaia' AND d.ra < {middle_ra}
    """)
    assert outside == [["0"]]


def test_the_same_tile_again_writes_nothing(with_gaia, image):
    vascodb, report = with_gaia
    written = "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY relid"
    before, stored = vascodb.fingerprint(), vascodb.sql(written)
    again = ingest(vascodb, image).value
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in report.items() if k != "seconds"}
    assert vascodb.fingerprint() == before
    assert vascodb.sql(written) == stored


def test_the_story_of_what_passed_the_gates(with_gaia):
    vascodb, report = with_gaia
    src_id = f"{report['tile_id']}:169"
    [story] = vascodb.ok("explain", src_id, "--format", "json").value
    assert story["is_candidate"] == {"vasco60": False}
    nearest = {s["catalog"]: s for s in story["sources"]}
    assert nearest["gaia_edr3"]["state"] == "clear"
    assert nearest["gaia_edr3"]["sep_plate_epoch_arcsec"] > 5
    assert "gaia_edr3_M67_6179rows.csv" in nearest["gaia_edr3"]["covered_by"]
    assert nearest["gaia_dr3"]["state"] == "not_covered"
    assert nearest["gaia_dr3"]["covered_by"] is None
    stages = [v["stage"] for v in story["verdicts"]]
    assert stages[:3] == ["gaia", "ps1", "usnob"]
    by_stage = {v["stage"]: v for v in story["verdicts"]}
    assert {by_stage[gate]["outcome"] for gate in ("flags", "snr", "mad_clip", "spread_model", "extent")} == {"pass"}
    assert by_stage["ps1"]["outcome"] == "not_covered"
    assert by_stage["snr"]["parameters"] == {"min": 30}
    assert by_stage["snr"]["value"] == pytest.approx(story["detection"]["snr_win"])
    printed = vascodb.ok("explain", src_id).out
    for words in (src_id, "XE486", "gaia_edr3", "clear", "spread_model", "run vasco60: no candidate"):
        assert words in printed


def test_the_story_of_a_star_that_moved_away_has_both_distances(with_gaia):
    vascodb, _ = with_gaia
    [[src_id]] = vascodb.sql("""
        SELECT d.src_id
        FROM api.detections AS d
        JOIN vasco.match AS m USING (extraction_id, number)
        JOIN ref.gaia_edr3 AS r USING (source_id)
        WHERE m.catalog = 'gaia_edr3' AND q3c_dist(d.ra, d.dec, r.ra, r.dec) > 5 / 3600.0
        ORDER BY d.number LIMIT 1
    """)
    [story] = vascodb.ok("explain", src_id, "--format", "json").value
    star = next(s for s in story["sources"] if s["catalog"] == "gaia_edr3")
    assert star["state"] == "matched"
    assert star["sep_plate_epoch_arcsec"] < 5 < star["sep_catalog_epoch_arcsec"]
    assert np.hypot(star["pmra_masyr"], star["pmdec_masyr"]) > 50
    assert story["is_candidate"] == {"vasco60": False}
    assert json.dumps(star["source_id"]).isdigit()


@pytest.fixture(scope="module")
def gaia_services(shared_data, tmp_path_factory):
    """VizieR with Gaia EDR3 by two of its interfaces, and a settings file that points there."""
    stars = vizier_table(shared_data)
    settings = tmp_path_factory.mktemp("settings") / "settings.toml"
    with TapServer([stars]) as tap, VizierServer([stars]) as asu:
        write_settings(settings, {"vizier_tap": tap.url, "vizier_asu": asu.url})
        yield {"vizier_tap": tap, "vizier_asu": asu}, settings


@pytest.fixture
def to_fetch(without_gaia, database_of, gaia_services):
    """A command on the tile without Gaia, which knows where Gaia can be asked for."""
    vascodb = database_of(name_of(without_gaia[0]))
    vascodb.environment["VASCODB_SETTINGS"] = str(gaia_services[1])
    return vascodb


COUNTERPARTS = "SELECT number, state FROM vasco.match WHERE catalog = 'gaia_edr3' ORDER BY number"


def match(vascodb: Vascodb) -> list[list[str]]:
    """Match the tile against Gaia without fitting its positions and the measuring that follows: who has a star."""
    vascodb.sql("SELECT stage.match(extraction_id, 'gaia_edr3') FROM vasco.extraction")
    return vascodb.sql(COUNTERPARTS)


def test_with_gaia_by_query_everything_is_as_with_gaia_from_the_file(with_gaia, to_fetch, gaia_services, image):
    from_file, report_of_file = with_gaia
    assert "asking vizier_tap: 1 queries" in to_fetch.ok("fetch-reference", "gaia_edr3", "--cone", CONE).out
    assert gaia_services[0]["vizier_tap"].requests
    report = ingest(to_fetch, image).value
    assert {k: v for k, v in report.items() if k != "seconds"} == {
        k: v for k, v in report_of_file.items() if k != "seconds"
    }
    for rows in (MATCHES, MEASURED, VERDICTS):
        assert to_fetch.sql(rows) == from_file.sql(rows)
    listed = "SELECT number, ra, dec, spread_model FROM vasco.detection WHERE number IN (169, 278) ORDER BY number"
    assert to_fetch.sql(PASSED_GATES) == from_file.sql(PASSED_GATES) == [["169"], ["278"]]
    assert to_fetch.sql(listed) == from_file.sql(listed)
    kinds = to_fetch.sql("SELECT kind, service, complete, count(*) FROM ref.lookup GROUP BY 1, 2, 3 ORDER BY 1")
    assert kinds == [["area", "vizier_tap", "t", "1"], ["canary", "vizier_tap", "t", "1"]]
    assert to_fetch.run("audit").status == 0


@pytest.mark.parametrize(
    ("service", "target"),
    [
        ("vizier_tap", ("--tile", "tile_RA132.834_DECp11.811", "--size", "30arcmin")),
        ("vizier_tap", ("--tile", "{tile_id}")),
        ("vizier_asu", ("--cone", CONE)),
    ],
)
def test_gaia_for_the_tile_or_by_the_other_interface_matches_the_same(
    service, target, with_gaia, without_gaia, to_fetch
):
    arguments = [word.format(tile_id=without_gaia[1]["tile_id"]) for word in target]
    to_fetch.ok("fetch-reference", "gaia_edr3", *arguments, "--via", service)
    assert {row[0] for row in to_fetch.sql("SELECT service FROM ref.lookup")} == {service}
    assert match(to_fetch) == with_gaia[0].sql(COUNTERPARTS)


def test_gaia_that_does_not_answer_makes_no_candidate_and_the_next_try_completes(
    with_gaia, to_fetch, gaia_services, image
):
    fetch = ("fetch-reference", "gaia_edr3", "--cone", CONE)
    server = gaia_services[0]["vizier_tap"]
    server.fail("html_maintenance", times=None)
    try:
        outcome = to_fetch.run(*fetch)
    finally:
        server.heal()
    assert outcome.status == 4, outcome
    assert "unknown, not empty; safe to run again" in outcome.err
    unknown = to_fetch.run("ingest-tile", "--fits", image, "--profile", "vasco60", "--format", "json")
    assert unknown.status == 3
    states = unknown.value["catalogs"]["gaia_edr3"]
    assert states == {"matched": 0, "clear": 0, "unknown": DETECTIONS, "not_covered": 0}
    assert unknown.value["candidates"] == 0
    assert to_fetch.ok("candidates", "--format", "json").value == []
    to_fetch.ok(*fetch)
    assert match(to_fetch) == with_gaia[0].sql(COUNTERPARTS)


def test_what_it_would_ask_can_be_known_before(to_fetch, gaia_services):
    server = gaia_services[0]["vizier_tap"]
    asked = len(server.requests)
    said = to_fetch.ok("fetch-reference", "gaia_edr3", "--cone", CONE, "--dry-run").out
    assert "would ask vizier_tap: 1 queries" in said
    assert len(server.requests) == asked
    assert to_fetch.sql("SELECT count(*) FROM ref.lookup") == [["0"]]
    assert_one_line(to_fetch.run("fetch-reference", "gaia_edr3"), "--tile", "--candidates")
