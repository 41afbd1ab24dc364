"""The ways in which earlier pipelines lost evidence after it had come, each as a test that fails where it is lost.

Numbers in the comments are those of two lists of such ways in the pipelines that came before: 19 to 22 of the one, B7
to B15 of the other. B9 asks that an audit blocks: it is its exit status that does. Not here, because nothing
publishes a release yet: that one is refused while an audit finds anything (B15).
"""

import socket
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from commandline import Vascodb
from gapsky import vetoes
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from toysky import ToySky, gates_of

from vascodb.audits import audits, count_rows
from vascodb.db import Database
from vascodb.errors import InputError, ToolError
from vascodb.extract.ldac import DETECTION_COLUMNS, read_ldac
from vascodb.pipeline.ingest import ingest_image
from vascodb.pipeline.judging import judge
from vascodb.profiles import Profile, StageDefinition, load_profile
from vascodb.simulate import SimulatedFiles

ARCSEC = 1 / 3600


# 19
def test_a_list_of_detections_without_a_byte_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "pass2.ldac"
    path.touch()
    with pytest.raises(ToolError, match=r"pass2\.ldac"):
        read_ldac(path, DETECTION_COLUMNS)


def test_a_tile_without_candidates_is_not_a_tile_that_was_lost(connection: Connection) -> None:
    toy = ToySky(connection)
    empty, known, lost = toy.extraction(), toy.extraction(), toy.extraction()
    toy.detections(known, [10.0, 11.0], [0.0, 0.0])
    toy.detections(lost, [12.0], [0.0])
    toy.sources("gaia_dr3", [10.0, 11.0], [0.0, 0.0])
    toy.lookup("gaia_dr3")
    profile = vetoes("gaia")
    for extraction_id in (empty, known):
        toy.match(extraction_id, "gaia_dr3")
        run_id = toy.judge(profile, extraction_id)
    funnel = toy.execute("SELECT extraction_id, judged, remaining FROM api.funnel WHERE run_id = :r", r=run_id)
    assert {row.extraction_id: (row.judged, row.remaining) for row in funnel} == {empty: (0, 0), known: (2, 0)}
    assert lost not in toy.execute("SELECT extraction_id FROM vasco.run_image").scalars().all()


# 20
@pytest.mark.parametrize("content", [b"<html><body>Too many requests</body></html>\n", b"", b"ERROR: no such plate\n"])
def test_a_page_in_place_of_an_image_is_an_error(database: Database, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tile.fits"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"tile\.fits"):
        ingest_image(database, path, load_profile("default"))
    with database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM plate.image")) == 0


# 21
def test_an_image_with_nothing_but_the_plates_polynomial_has_true_positions(
    database: Database, small_simulation: SimulatedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    # And no step of it asks anybody anything: what is known is in the database, or is not known.
    monkeypatch.setattr(socket.socket, "connect", _refuse_to_connect)
    report = ingest_image(database, small_simulation.image, load_profile("vasco60"))
    assert report.candidates == 0
    truth = Table.read(small_simulation.truth, format="ascii.ecsv")
    with database.connect() as connection:
        found = np.array(connection.execute(text("SELECT ra, dec FROM vasco.detection")).all(), dtype=float)
    assert len(found) > 50
    ra, dec = np.asarray(truth["ra"]), np.asarray(truth["dec"])
    x = (found[:, :1] - ra) * np.cos(np.radians(dec))
    nearest_arcsec = np.hypot(x, found[:, 1:] - dec).min(axis=1) / ARCSEC
    assert np.median(nearest_arcsec) < 0.5


def _refuse_to_connect(*_: object) -> None:
    raise AssertionError("somebody asks a service")


# 22
@pytest.mark.parametrize(
    ("stage", "columns"),
    [
        ("spread_model", {"spread_model": None, "spreaderr_model": None}),
        ("spread_model", {"spread_model": np.nan}),
        ("snr", {"snr_win": np.nan}),
        ("fwhm", {"fwhm_image": np.nan}),
        ("elongation", {"elongation": np.nan}),
        ("mad_clip", {"elongation": np.nan}),
    ],
)
def test_a_gate_whose_value_is_missing_does_not_open(
    connection: Connection, stage: str, columns: dict[str, float | None]
) -> None:
    toy = ToySky(connection)
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0], [0.0])
    toy.detections(extraction_id, [11.0], [0.0], first=2, **columns)
    toy.lookup("gaia_dr3")
    toy.match(extraction_id, "gaia_dr3")
    run_id = toy.judge(gates_of("vasco60"), extraction_id)
    assert toy.outcomes(run_id, stage) == {1: "pass", 2: "unknown"}
    assert toy.candidates(run_id) == [1]


def test_a_gate_on_what_does_not_exist_does_not_open(connection: Connection) -> None:
    toy = ToySky(connection)
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0], [0.0])
    clip = next(stage for stage in load_profile("vasco60").stages if stage.stage == "mad_clip")
    of_nothing = clip.parameters | {"quantities": ["spread_modell"], "of_stages": []}
    run_id = toy.judge(
        _profile_of(StageDefinition(stage="gate", function="mad_clip", step=1, parameters=of_nothing)), extraction_id
    )
    assert toy.outcomes(run_id, "gate") == {1: "unknown"}
    assert toy.candidates(run_id) == []
    # A limit that nobody set is refused by the database, which takes no failure without a reason.
    no_limit = StageDefinition(stage="gate", function="snr", step=1, parameters={"minimum": 30})
    with pytest.raises(IntegrityError, match="verdict"), connection.begin_nested():
        toy.judge(_profile_of(no_limit), extraction_id)


def _profile_of(stage: StageDefinition) -> Profile:
    return Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=(stage,))


# The clip of vasco60 takes its window from whatever the vetoes leave, so every fault of a veto moves it.
# Three narrow leaked stars pull it down and clip the widest of five true ones.
TRUE_FWHM = [3.9, 4.0, 4.1, 4.3, 4.5]
LEAKED_FWHM = [3.80, 3.81, 3.82, 3.83, 3.84, 3.85]


class LeakyImage:
    """Five true candidates, then known stars; those of the second half came into the catalogue late."""

    def __init__(self, toy: ToySky, **columns_of_leaked: object) -> None:
        self.toy = toy
        self.extraction_id = toy.extraction()
        n_true, n_leaked = len(TRUE_FWHM), len(LEAKED_FWHM)
        self.true = list(range(1, n_true + 1))
        self.ra = [10.0 + i / 100 for i in range(n_true + n_leaked)]
        toy.detections(self.extraction_id, self.ra[:n_true], [0.0] * n_true, fwhm_image=TRUE_FWHM)
        toy.detections(
            self.extraction_id, self.ra[n_true:], [0.0] * n_leaked, first=n_true + 1, fwhm_image=LEAKED_FWHM,
            **columns_of_leaked,
        )  # fmt: skip
        toy.lookup("gaia_dr3")

    def add_stars(self) -> None:
        """The stars that were missing."""
        at = self.ra[len(TRUE_FWHM) :]
        self.toy.sources("gaia_dr3", at, [0.0] * len(at))

    def candidates(self) -> list[int]:
        """What is left after matching and judging."""
        self.toy.match(self.extraction_id, "gaia_dr3")
        return self.toy.candidates(self.toy.judge(gates_of("vasco60"), self.extraction_id))


# B7
def test_a_repaired_catalogue_gives_what_the_whole_one_would_have_given(connection: Connection) -> None:
    leaky = LeakyImage(ToySky(connection))
    broken = leaky.candidates()
    # Too many, and a true one is lost: asking the survivors again could not bring it back.
    assert set(broken) - set(leaky.true)
    assert set(leaky.true) - set(broken)
    leaky.add_stars()
    assert leaky.candidates() == leaky.true


# B8
def test_that_no_candidate_is_a_known_star_does_not_make_a_tile_right(connection: Connection) -> None:
    # The leaked stars fail the last gate, after they have moved the window.
    leaky = LeakyImage(ToySky(connection), xmin_image=96, xmax_image=97)
    broken = leaky.candidates()
    assert set(broken) < set(leaky.true)
    leaky.add_stars()
    assert count_rows(connection, audits()["veto_leaks"]) == 0
    assert leaky.candidates() == leaky.true


def test_a_tile_is_right_where_each_candidate_is_covered(connection: Connection) -> None:
    leaky = LeakyImage(ToySky(connection))
    leaky.add_stars()
    assert leaky.candidates() == leaky.true
    outside = audits()["candidates_outside_coverage"]
    assert count_rows(connection, outside) == 0
    connection.execute(text("DELETE FROM ref.coverage"))
    assert count_rows(connection, outside) == len(leaky.true)
    assert leaky.candidates() == []


# B9
def test_an_audit_that_finds_something_fails(vascodb: Vascodb) -> None:
    assert vascodb.run("audit").status == 0
    vascodb.sql("""
        INSERT INTO ref.lookup (
            lookup_id, catalog, kind, endpoint, parameters, region, status, rows_in, rows_kept, rows_rejected,
            overflow, complete, response_sha256
        )
        VALUES (1, 'gaia_dr3', 'file', 'gaia.csv', '{}', 'everything', 'ok', 0, 0, 0, false, true, 'none');
        SELECT ref.add_coverage('gaia_dr3', 1, '{[0,3458764513820540928)}')
    """)
    outcome = vascodb.run("audit", "--format", "json")
    assert outcome.status == 1
    assert {row["audit"] for row in outcome.value if row["found"]} == {"empty_coverage"}


# B10
def test_one_known_star_among_hundreds_of_candidates_is_found_at_either_epoch(connection: Connection) -> None:
    toy = ToySky(connection)
    extraction_id = toy.extraction(epoch_jyear=1952.0)
    n = 250
    ra = 10.0 + np.arange(n) / 100
    toy.detections(extraction_id, ra, np.zeros(n))
    toy.lookup("gaia_dr3")
    toy.match(extraction_id, "gaia_dr3")
    run_id = toy.judge(vetoes("gaia"), extraction_id)
    assert len(toy.candidates(run_id)) == n
    leaks = [audits()[name] for name in ("veto_leaks", "veto_leaks_own_epoch")]
    assert [count_rows(connection, audit) for audit in leaks] == [0, 0]
    # 12.8 arcsec in 64 years: the one was there on the night of the plate, the other is there now.
    toy.sources("gaia_dr3", [ra[123], ra[201]], [12.8 * ARCSEC, 0.0], pmra=[0, 0], pmdec=[200, 200])
    found = [connection.execute(text(audit.query)).all() for audit in leaks]
    assert [[row.src_id.rpartition(":")[2] for row in rows] for rows in found] == [["124"], ["202"]]


# B11
def test_a_tiny_tile_is_counted_and_not_held_against_a_fraction(connection: Connection) -> None:
    toy = ToySky(connection)
    extraction_id = toy.extraction(10.0, 0.0)
    toy.detections(extraction_id, [10.0, 10.2], [0.0, 0.0])
    toy.sources("gaia_dr3", [10.0], [0.0])
    toy.lookup("gaia_dr3")
    toy.match(extraction_id, "gaia_dr3")
    assert toy.candidates(toy.judge(vetoes("gaia"), extraction_id)) == [2]
    assert {name: count_rows(connection, audit) for name, audit in audits().items()} == dict.fromkeys(audits(), 0)


# B14
def test_what_a_catalogue_more_takes_away_is_a_run_of_its_own_and_no_difference(connection: Connection) -> None:
    toy = ToySky(connection)
    leaky = LeakyImage(toy)
    plain = gates_of("vasco60")
    stricter = plain.requiring(["usnob"])
    # USNO-B alone knows the narrow stars.
    at = leaky.ra[len(TRUE_FWHM) :]
    toy.sources("usnob1", at, [0.0] * len(at))
    toy.lookup("usnob1")
    for catalog in ("gaia_dr3", "usnob1"):
        toy.match(leaky.extraction_id, catalog)
    runs = [toy.judge(profile, leaky.extraction_id) for profile in (plain, stricter)]
    without, required = (set(toy.candidates(run_id)) for run_id in runs)
    assert without - required
    assert required - without
    assert required == set(leaky.true)
    # Each again, in the other order, is as it was.
    assert [judge(connection, run_id, leaky.extraction_id) for run_id in reversed(runs)] == [0, 0]


# B15
def test_without_any_catalogue_every_detection_says_that_nobody_looked(connection: Connection) -> None:
    toy = ToySky(connection)
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0, 11.0, 12.0], [0.0] * 3)
    # It may have been matched against an empty catalogue, or not at all.
    for families in (["gaia"], ["gaia", "ps1", "usnob"]):
        run_id = toy.judge(vetoes(*families), extraction_id)
        for family in families:
            assert toy.outcomes(run_id, family) == dict.fromkeys([1, 2, 3], "not_covered")
        assert toy.candidates(run_id) == []
        toy.match(extraction_id, "gaia_dr3")


def test_a_release_without_evidence_cannot_be_written(connection: Connection) -> None:
    toy = ToySky(connection)
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0], [0.0])
    failed = toy.service_lookup("gaia_dr3", complete=False)
    for lookup_id, complete in ((None, None), (failed, True), (failed, False)):
        with pytest.raises(IntegrityError), connection.begin_nested():
            toy.execute(
                "INSERT INTO vasco.match VALUES (:e, 1, 'gaia_dr3', 'clear', NULL, NULL, 0, :id, :complete, NULL)",
                e=extraction_id, id=lookup_id, complete=complete,
            )  # fmt: skip
