"""What the evidence is: status, lookups, audit, and the stories of what could not be looked up."""

import json

import pytest
from commandline import Vascodb, assert_one_line

CONE = "132.850192,11.800202,0.138deg"
GAP = """
INSERT INTO ref.lookup (
    lookup_id, catalog, kind, endpoint, service, parameters, region, status, rows_in, rows_kept, rows_rejected,
    overflow, complete, cause, error, asked_at
)
VALUES (77, '{catalog}', 'area', 'http://toy', 'toy', '{{}}', 'all of it', 'failed', 0, 0, 0, false, false, 'http_5xx',
    '503 Service Unavailable', now() - interval '3 days');
SELECT ref.add_gap('{catalog}', 77, '{{[0,3458764513820540928)}}');
"""


@pytest.fixture(scope="module")
def judged(module_vascodb: Vascodb, small_simulation) -> Vascodb:
    """A tile judged with Gaia from a file, and NEOWISE, which did not answer."""
    module_vascodb.ok("load-reference", "gaia_edr3", small_simulation.reference, "--cone", CONE)
    module_vascodb.sql(GAP.format(catalog="neowise_psd"))
    module_vascodb.sql("INSERT INTO ref.endpoint VALUES ('toy', 'http://toy', NULL, now(), 'http_5xx')")
    module_vascodb.ok("ingest-tile", "--fits", small_simulation.image)
    return module_vascodb


def catalogs(vascodb: Vascodb) -> dict[str, dict]:
    return {row["catalog"]: row for row in vascodb.ok("status", "--format", "json").value}


def test_status_tells_what_is_known_and_what_is_still_to_be_tried(judged):
    found = catalogs(judged)
    gaia, neowise = found["gaia_edr3"], found["neowise_psd"]
    assert (gaia["lookups_complete"], gaia["lookups_incomplete"], gaia["gap_sqdeg"]) == (1, 0, 0)
    assert gaia["sources"] > 100
    assert gaia["sources_exact"] is True
    assert 0 < gaia["coverage_sqdeg"] < 0.06
    assert (gaia["newest_age_d"], gaia["oldest_age_d"]) == (0.0, 0.0)
    assert (
        neowise["sources"],
        neowise["coverage_sqdeg"],
        neowise["lookups_complete"],
        neowise["lookups_incomplete"],
    ) == (0, 0, 0, 1)
    assert neowise["gap_sqdeg"] == pytest.approx(41252.96, abs=0.01)
    printed = judged.ok("status").out
    assert "gap_sqdeg" in printed
    assert "neowise_psd" in printed


def test_status_lists_gaps_and_addresses(judged):
    [gap] = judged.ok("status", "--gaps", "--format", "json").value
    assert (gap["catalog"], gap["cause"], gap["error"]) == ("neowise_psd", "http_5xx", "503 Service Unavailable")
    assert gap["age_d"] == pytest.approx(3.0, abs=0.11)
    [endpoint] = judged.ok("status", "--endpoints", "--format", "json").value
    assert (endpoint["endpoint"], endpoint["good"], endpoint["last_cause"]) == ("http://toy", False, "http_5xx")


def test_lookups_are_listed_of_all_or_one_catalogue_and_those_that_failed(judged):
    every = judged.ok("lookups", "--format", "json").value
    assert [row["catalog"] for row in every] == ["gaia_edr3", "neowise_psd"]
    assert [row["complete"] for row in every] == [True, False]
    [failed] = judged.ok("lookups", "--failed", "--format", "json").value
    assert (failed["catalog"], failed["region"], failed["cause"]) == ("neowise_psd", "all of it", "http_5xx")
    assert judged.ok("lookups", "neowise_psd", "--format", "json").value == [failed]
    assert judged.ok("lookups", "gaia_edr3", "--failed", "--format", "json").value == []
    assert judged.ok("lookups", "gaia_dr3").out.startswith("asked_at")
    assert_one_line(judged.run("lookups", "gaia_dr4"), "unknown catalogue 'gaia_dr4'", "gaia_dr3")


def test_the_sql_of_lookups_gives_the_same_rows(judged):
    script = judged.ok("lookups", "neowise_psd", "--failed", "--sql").out
    answer = judged.run("psql", "-XqAt", stdin=script)
    assert answer.status == 0, answer
    assert len(answer.out.splitlines()) == 1
    assert answer.out.startswith("77|neowise_psd|")


def test_what_is_not_required_is_matched_and_told_but_decides_nothing(judged, small_simulation):
    outcome = judged.ok("ingest-tile", "--fits", small_simulation.image, "--format", "json")
    report = outcome.value
    assert report["catalogs"]["neowise_psd"]["unknown"] == report["detections"]
    assert "usnob1" not in report["catalogs"]
    assert "neowise" not in report["vetoes"]
    assert report["vetoes"]["gaia"]["unknown"] == 0
    assert report["candidates"] == len(judged.ok("candidates", "--format", "json").value) > 0


def test_a_required_family_that_failed_leaves_everything_unknown_until_it_answers(judged, small_simulation):
    outcome = judged.run("ingest-tile", "--fits", small_simulation.image, "--require", "neowise", "--format", "json")
    report = outcome.value
    assert (outcome.status, report["run"], report["candidates"]) == (3, "default+neowise", 0)
    assert report["vetoes"]["neowise"] == {"pass": 0, "fail": 0, "unknown": report["detections"], "not_covered": 0}
    assert judged.ok("candidates", "default+neowise", "--format", "json").value == []
    plain = judged.ok("candidates", "default", "--format", "json").value
    assert plain

    printed = judged.run("ingest-tile", "--fits", small_simulation.image, "--require", "neowise").out
    assert any(
        line.split() == ["neowise", "0", "0", str(report["detections"]), "0", "0"] for line in printed.splitlines()
    )

    text = " ".join(judged.ok("explain", plain[0]["src_id"]).out.split())
    assert "failed 3.0 d ago: http_5xx: 503 Service Unavailable" in text
    assert "cone 132.850192,11.800202,0.138deg, 0.0 h ago" in text
    [story] = judged.ok("explain", plain[0]["src_id"], "--format", "json").value
    neowise = next(s for s in story["sources"] if s["catalog"] == "neowise_psd")
    assert (neowise["state"], neowise["failure"]) == ("unknown", "http_5xx: 503 Service Unavailable")
    assert neowise["failed_at"][:2] == "20"
    assert story["moving"] == []
    assert story["is_candidate"] == {"default": True, "default+neowise": False}


def test_two_families_in_any_order_are_one_run_and_an_unknown_one_is_refused(judged, small_simulation):
    image = ("ingest-tile", "--fits", small_simulation.image)
    for families in (["usnob", "ps1"], ["ps1", "usnob"]):
        arguments = [word for family in families for word in ("--require", family)]
        report = json.loads(judged.run(*image, *arguments, "--format", "json").out)
        assert report["run"] == "default+ps1+usnob"
    before = judged.fingerprint()
    assert_one_line(judged.run(*image, "--require", "ps3"), "'ps3'", "there are:", "ps1", "2mass", "skybot")
    assert judged.fingerprint() == before


def test_audits_find_nothing_and_say_what_they_look_for(judged):
    rows = judged.ok("audit", "--format", "json").value
    assert {row["found"] for row in rows} == {0}
    assert {"veto_leaks", "clear_without_evidence", "gaps_in_coverage"} <= {row["audit"] for row in rows}
    assert "gaps_in_coverage" in judged.ok("audit").out
    assert judged.ok("audit", "veto_leaks", "--format", "json").value == []
    assert_one_line(judged.run("audit", "no_such"), "unknown audit 'no_such'", "veto_leaks")


def test_an_audit_that_finds_something_is_exit_status_1(judged):
    candidate = judged.ok("candidates", "default", "--format", "json").value[0]
    judged.sql(f"""
        INSERT INTO ref.gaia_edr3 (source_id, ra, dec, ra_j1954, dec_j1954, epoch_jyear)
        VALUES (-1, {candidate["ra"]}, {candidate["dec"]}, {candidate["ra"]}, {candidate["dec"]}, 2016)
    """)
    try:
        outcome = judged.run("audit", "--format", "json")
        assert outcome.status == 1
        assert {row["audit"]: row["found"] for row in outcome.value if row["found"]} == {"veto_leaks": 1}
        outcome = judged.run("audit", "veto_leaks", "--format", "json")
        assert (outcome.status, outcome.err) == (1, "")
        assert [(row["src_id"], row["source_id"]) for row in outcome.value] == [(candidate["src_id"], -1)]
    finally:
        judged.sql("DELETE FROM ref.gaia_edr3 WHERE source_id = -1")


def test_audits_are_files_that_psql_runs(judged, tmp_path):
    (tmp_path / "audits.sql").write_text(judged.ok("audit", "--sql").out)
    answer = judged.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", tmp_path / "audits.sql")
    assert (answer.status, answer.out, answer.err) == (0, "", "")
