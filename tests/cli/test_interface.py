"""What others rely on: verbs, their output, the places of files, and exit statuses."""

import os
import re
import stat
from pathlib import Path

import pytest
from commandline import Vascodb, assert_one_line
from sqlalchemy import make_url

from vascodb.cli.main import cli

CONE = "132.850192,11.800202,0.138deg"


@pytest.fixture(scope="module")
def private(command_server, new_home, tmp_path_factory) -> Vascodb:
    """A command with a home that does not exist yet, in a folder of its own and with a HOME and TMPDIR to watch."""
    elsewhere = {name: str(tmp_path_factory.mktemp(name)) for name in ("HOME", "TMPDIR", "XDG_DATA_HOME")}
    return Vascodb(command_server, new_home() / "a new home", environment=elsewhere)


class TestPrivateDatabase:
    """One life of a home, in order."""

    def test_init_makes_it_all_and_says_so(self, private):
        assert private.ok("init").out == "the schema was brought up to date\n"
        assert private.ok("init").out == "the schema is up to date; nothing was changed\n"

    def test_url_leads_psql_there(self, private):
        url = private.ok("url").out.strip()
        assert url.startswith("postgresql://")
        assert private.run("psql", "-XAtc", "SELECT 1 + 1").out == "2\n"
        answer = private.run("psql", "-XAt", "-v", "x=5", stdin="SELECT :x;\n")
        assert (answer.status, answer.out) == (0, "5\n")
        assert private.run("psql", "-Xc", "SELECT nonsense").status == 1
        assert private.run("psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", "/nowhere").status == 1

    def test_an_ingest_reports_what_is_documented(self, private, small_simulation):
        private.ok("load-reference", "gaia_edr3", small_simulation.reference, "--cone", CONE)
        outcome = private.ok("ingest-tile", "--fits", small_simulation.image, "--format", "json")
        assert outcome.err == ""
        report = outcome.value
        assert set(report) >= {
            "image", "tile_id", "detections", "catalogs", "measured", "gates", "candidates", "seconds",
        }  # fmt: skip
        assert report["image"] == str(small_simulation.image)
        assert re.fullmatch(r"tile_RA132\.850_DECp11\.800", report["tile_id"])
        for counts in report["catalogs"].values():
            assert set(counts) >= {"matched", "clear", "unknown", "not_covered"}
            assert sum(counts.values()) == report["detections"] > 0
        assert {"gaia_edr3", "gaia_dr3"} <= set(report["catalogs"])
        assert report["gates"]
        for counts in report["gates"].values():
            assert set(counts) >= {"pass", "fail"}
        assert set(report["seconds"]) >= {"pass1", "psf", "detect", "load", "match", "measure", "total"}
        assert all(seconds > 0 for part, seconds in report["seconds"].items()), report["seconds"]
        assert report["seconds"]["total"] >= report["seconds"]["measure"]
        candidates = private.ok("candidates", "--format", "json").value
        assert len(candidates) == report["candidates"] > 0

    def test_the_same_for_people_names_every_part(self, private, small_simulation):
        printed = private.ok("ingest-tile", "--fits", small_simulation.image).out
        report = private.ok("ingest-tile", "--fits", small_simulation.image, "--format", "json").value
        for words in (report["tile_id"], report["plate_id"], *report["catalogs"], *report["gates"]):
            assert words in printed
        assert f"{report['detections']} detections, {report['measured']} measured" in printed
        assert f"{report['candidates']} candidates" in printed

    def test_the_fingerprint_has_a_hash_per_table_and_one_for_all(self, private):
        fingerprint = private.fingerprint()
        logical = {
            f"{schema}.{table}"
            for schema, table in private.sql(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('plate', 'ref', 'vasco')"
            )
        }
        how_services_answered = {"ref.endpoint", "ref.async_job", "ref.gap", "plate.fetch"}
        assert set(fingerprint) == (logical | {"all"}) - {"ref.source_template"} - how_services_answered
        assert all(re.fullmatch(r"[0-9a-f]{32}", value) for _, value in fingerprint.values())
        for table, (n_rows, _) in fingerprint.items():
            if table != "all":
                assert private.sql(f"SELECT count(*) FROM {table}") == [[str(n_rows)]]

    def test_the_fingerprint_is_that_of_the_content_not_of_the_order(self, private):
        before = private.fingerprint()
        private.sql("CREATE TABLE vasco.copy AS TABLE vasco.match; TRUNCATE vasco.match")
        private.sql("INSERT INTO vasco.match SELECT * FROM vasco.copy ORDER BY number DESC")
        private.sql("DROP TABLE vasco.copy")
        assert private.fingerprint() == before
        [[number]] = private.sql("SELECT min(number) FROM vasco.match WHERE state = 'matched'")
        private.sql(f"UPDATE vasco.match SET sep_arcsec = sep_arcsec * 1.000000001 WHERE number = {number}")
        changed = {table for table, value in private.fingerprint().items() if value != before[table]}
        assert changed == {"vasco.match", "all"}

    def test_all_files_lie_in_its_home(self, private):
        for name in ("HOME", "TMPDIR", "XDG_DATA_HOME"):
            assert list(Path(private.environment[name]).iterdir()) == []
        assert {p.name for p in private.home.iterdir()} <= {
            "database",
            "database.lock",
            "logs",
            "run",
            "work",
            "images",
        }

    def test_nobody_else_can_enter_the_database(self, private):
        folder = make_url(private.ok("url").out.strip()).query["host"]
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
        assert stat.S_IMODE((private.home / "database").stat().st_mode) == 0o700

    def test_down_stops_it_and_up_brings_it_back(self, private):
        before = private.fingerprint()
        assert "is down" in private.ok("down").out
        assert not (private.home / "database" / "postmaster.pid").exists()
        assert "is down" in private.ok("down").out
        assert "is up" in private.ok("up").out
        assert private.fingerprint() == before

    def test_doctor_has_nothing_to_complain_of(self, private):
        outcome = private.run("doctor")
        assert outcome.status == 0, outcome
        assert "✗" not in outcome.out

    def test_doctor_names_what_is_missing(self, private, tmp_path):
        outcome = private.run("doctor", PATH=str(tmp_path))
        assert outcome.status == 1
        assert "apt-get install" in outcome.out
        assert "source-extractor" in outcome.out
        assert "psfex" in outcome.out


def test_a_home_may_begin_with_a_tilde_or_be_relative(command_server, new_home):
    base = new_home()
    for home, folder in (("~/h", Path("/")), ("h", base)):
        vascodb = Vascodb(command_server, Path(home), environment={"HOME": str(base), "PATH": "/nowhere"})
        vascodb.run("psql", "-c", "SELECT 1", folder=folder)
        assert {p.name for p in base.iterdir()} == {"h"}
    Vascodb(command_server, base / "h").ok("down")


def test_empty_variables_are_none(command_server, new_home):
    vascodb = Vascodb(command_server, new_home(), environment={"VASCODB_URL": ""})
    assert vascodb.ok("url").out.startswith("postgresql://")
    vascodb.ok("down")


def test_a_home_that_cannot_be_used_is_told(vascodb, small_simulation, tmp_path):
    (tmp_path / "file").write_text("")
    vascodb.home = tmp_path / "file"
    assert_one_line(
        vascodb.run("ingest-tile", "--fits", small_simulation.image), str(tmp_path / "file"), "VASCODB_HOME"
    )
    vascodb.url = None
    assert_one_line(vascodb.run("status"), str(tmp_path / "file"))


class TestSchemaVersion:
    @pytest.mark.parametrize("verb", [["status"], ["candidates"], ["ingest-tile"], ["load-reference"]])
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ("UPDATE meta.alembic_version SET version_num = '9999'", ["newer", "install the newer vascodb"]),
            ("UPDATE meta.sql_object SET sha256 = 'another' WHERE path LIKE '%api.sql'", ["older", "vascodb init"]),
            ("DROP SCHEMA meta CASCADE", ["no vascodb schema", "vascodb init"]),
        ],
        ids=["newer", "older", "none"],
    )
    def test_another_is_refused_with_exit_status_5(self, change, words, verb, vascodb, small_simulation):
        vascodb.sql(change)
        arguments = {
            "ingest-tile": ["--fits", small_simulation.image],
            "load-reference": ["gaia_edr3", small_simulation.reference, "--cone", CONE],
        }.get(verb[0], [])
        assert_one_line(vascodb.run(*verb, *arguments), *words, status=5)

    def test_a_newer_one_is_not_touched_by_init(self, vascodb):
        vascodb.sql("UPDATE meta.alembic_version SET version_num = '9999'")
        assert_one_line(vascodb.run("init"), "newer", status=5)

    def test_an_older_one_is_mended_by_init(self, vascodb):
        before = vascodb.fingerprint()
        vascodb.sql("UPDATE meta.sql_object SET sha256 = 'another' WHERE path LIKE '%api.sql'; DROP VIEW api.funnel")
        vascodb.ok("init")
        assert vascodb.fingerprint() == before
        vascodb.sql("SELECT * FROM api.funnel")


def test_unknown_verdicts_are_exit_status_3(vascodb, small_simulation):
    """A value that SExtractor could not measure decides nothing: nobody knows, and the exit status says so."""
    vascodb.ok("load-reference", "gaia_edr3", small_simulation.reference, "--cone", CONE)
    vascodb.ok("ingest-tile", "--fits", small_simulation.image)
    [[number]] = vascodb.sql("SELECT min(number) FROM vasco.match WHERE catalog = 'gaia_edr3' AND state = 'clear'")
    vascodb.sql(f"UPDATE vasco.detection SET snr_win = 'NaN' WHERE number = {number}")
    outcome = vascodb.run("ingest-tile", "--fits", small_simulation.image, "--format", "json")
    assert outcome.status == 3
    assert outcome.value["gates"]["snr"]["unknown"] == 1
    candidates = vascodb.ok("candidates", "--format", "json").value
    assert number not in {row["src_id"].rpartition(":")[2] for row in candidates}


@pytest.mark.parametrize("verb", sorted(set(cli.commands) - {"psql"}))
def test_every_verb_explains_itself(verb, module_vascodb):
    for option in ("--help", "-h"):
        outcome = module_vascodb.ok(verb, option)
        usage, text = outcome.out.split("\n", 1)
        assert usage.startswith(f"Usage: vascodb {verb}")
        assert len(text.split("Options:")[0].split()) > 3


def test_the_program_lists_its_verbs_and_exit_statuses(module_vascodb):
    printed = module_vascodb.ok("--help").out
    for verb in cli.commands:
        assert verb in printed
    assert "Exit status" in printed
    assert re.fullmatch(r"vascodb, version \d+\.\d+\.\d+\n", module_vascodb.ok("--version").out)


@pytest.mark.parametrize(
    "arguments", [["no-such-verb"], ["status", "--format", "xls"], ["load-reference"], ["explain"]]
)
def test_wrong_usage_is_exit_status_2(arguments, module_vascodb):
    outcome = module_vascodb.run(*arguments)
    assert outcome.status == 2
    assert "Error: " in outcome.err
    assert "Traceback" not in outcome.err


def test_the_terminal_is_no_condition(module_vascodb):
    """Commands run from cron, without a terminal or a language."""
    module_vascodb.ok("status", LANG="C", LC_ALL="C", TERM="dumb")
    assert os.environ.get("VASCODB_URL") is None


def test_stars_are_not_asked_for_at_a_time(module_vascodb: Vascodb) -> None:
    told = module_vascodb.run("fetch-reference", "gaia_dr3", "--cone", "1,1,0.1deg", "--reading", "literal")
    assert_one_line(told, "--reading is for", "moving objects", "gaia_dr3 is of fixed ones")
