"""Audits find nothing on a healthy sky, and find each fault that is planted by hand."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mocpy import MOC
from toysky import ToySky, gates_of

from vascodb.audits import audits, count_rows
from vascodb.db import Database
from vascodb.profiles import Profile, StageDefinition

ARCSEC = 1 / 3600


@pytest.fixture
def healthy(all_well: ToySky) -> Iterator[ToySky]:
    """The sky on which all is well, for one test."""
    savepoint = all_well.connection.begin_nested()
    yield all_well
    savepoint.rollback()


@pytest.fixture(scope="module")
def all_well(module_database: Database, cone_moc) -> Iterator[ToySky]:
    """Two candidates among known stars, an asteroid, what failed, what moved away, and what nobody asked for."""
    with module_database.connect() as connection:
        toy = ToySky(connection)
        make_all_well(toy, cone_moc)
        yield toy
        connection.rollback()


def make_all_well(toy: ToySky, cone_moc: Callable[[float, float, float], MOC]) -> None:
    toy.catalog("asteroids", "asteroids", moving=True)
    toy.catalog("scans", "scans")
    toy.catalog("charts", "charts", has_pm=True)
    e = toy.extraction(10.0, 0.0, radius_deg=1.5, epoch_jyear=1951.5)
    toy.execute("UPDATE plate.image SET exposure_minutes = 50; UPDATE plate.tile SET size_arcmin = 180")
    toy.detections(
        e, [10.0, 10.1, 10.2, 10.3, 10.4, 11.3, 10.0], [0.0] * 6 + [1.4],
        fwhm_image=[4.0, 3.9, 4.1, 4.0, 4.0, 4.0, 4.0],
    )  # fmt: skip
    # A star, a star that moved 39 arcsec since, and one a minute beside a candidate.
    toy.sources("gaia_dr3", [10.0, 10.3, 10.1], [0.0, 39 * ARCSEC, 60 * ARCSEC], [0.0, 0.0, None], [0.0, 600.0, None])
    # The scans know the candidates, and not the star.
    toy.sources("scans", [10.1, 10.2, 10.3], [1 * ARCSEC] * 3)
    toy.sources("charts", [10.0], [0.5])
    for catalog, radius in (("gaia_dr3", 1.0), ("scans", 1.0), ("charts", 2.0)):
        toy.lookup(catalog, cone_moc(10.0, 0.0, radius))
    toy.gap("gaia_dr3", cone_moc(11.0, 0.0, 0.6))
    toy.service_lookup("gaia_dr3", row_cap=2)
    toy.service_lookup("gaia_dr3", complete=False, rows_in=50, rows_kept=50, row_cap=50)
    toy.moving_look("asteroids", e, 10.0, 0.0, 1.5, [{"ra": 10.4, "dec": 0.0}, {"ra": 10.1, "dec": 20 * ARCSEC}])
    for catalog in ("gaia_dr3", "asteroids", "scans", "charts"):
        toy.match(e, catalog)
    toy.extraction_id = e
    for profile in (gates_of("vasco60"), requiring_asteroids(), with_every_look()):
        run_id = toy.judge(profile, e)
        assert toy.outcomes(run_id, "gaia") == {
            1: "fail", 2: "pass", 3: "pass", 4: "fail", 5: "pass", 6: "unknown", 7: "not_covered"
        }  # fmt: skip
    assert toy.candidates(run_id) == [2, 3]
    assert list(toy.outcomes(run_id, "scans").values()) == ["fail"] + ["pass"] * 3 + ["fail"] + ["not_covered"] * 2


def requiring_asteroids() -> Profile:
    plain = gates_of("vasco60")
    veto = plain.stages[0].model_copy(update={"stage": "asteroids", "parameters": {"family": "asteroids"}})
    return plain.model_copy(update={"name": "vasco60+asteroids", "stages": (plain.stages[0], veto, *plain.stages[1:])})


def with_every_look() -> Profile:
    """A profile with a stage of every kind that stands on look-ups."""
    plain = gates_of("vasco60")
    looks = {
        "scans": ("keep_match", {"family": "scans"}),
        "charts": ("veto_at", {"family": "charts", "radius_arcsec": 20, "epoch": "catalog"}),
        "trails": ("moving", {"family": "asteroids", "radius_arcsec": 5, "error_sigmas": 2, "error_max_arcsec": 9}),
        "south": ("ps1_southern_cut", {"family": "charts", "dec_from": -5}),
    }
    stages = [StageDefinition(stage=n, function=f, step=1, parameters=p) for n, (f, p) in looks.items()]
    return plain.model_copy(update={"name": "looks", "stages": (plain.stages[0], *stages, *plain.stages[1:])})


@pytest.mark.parametrize("name", audits())
def test_a_healthy_sky_gives_no_rows(healthy: ToySky, name: str) -> None:
    assert healthy.execute(audits()[name].statement).all() == []
    assert count_rows(healthy.connection, audits()[name]) == 0


def forget_evidence_of_a_match(toy: ToySky) -> None:
    toy.execute("SET LOCAL session_replication_role = replica")
    toy.execute("ALTER TABLE vasco.match DROP CONSTRAINT match_check3, DROP CONSTRAINT match_check4")
    toy.execute(
        "UPDATE vasco.match SET lookup_id = NULL, lookup_complete = NULL WHERE number = 2 AND catalog = 'gaia_dr3'"
    )


def lose_a_look_up(toy: ToySky) -> None:
    toy.execute("SET LOCAL session_replication_role = replica")
    toy.execute("DELETE FROM ref.lookup WHERE lookup_id = (SELECT min(lookup_id) FROM ref.coverage)")


def pass_on_another_familys_word(toy: ToySky) -> None:
    toy.execute("""
        UPDATE vasco.verdict SET outcome = 'pass', lookup_id = (SELECT lookup_id FROM ref.moving_look)
        WHERE stage = 'gaia' AND number = 6
    """)


def turn_away_what_nobody_missed(toy: ToySky) -> None:
    toy.execute("UPDATE vasco.verdict SET lookup_id = NULL WHERE stage = 'scans' AND outcome = 'fail'")


def pass_moving_objects_on_a_number(toy: ToySky) -> None:
    toy.execute("UPDATE vasco.verdict SET lookup_id = NULL, value = 9 WHERE stage = 'trails' AND outcome = 'pass'")


def pass_on_a_number(toy: ToySky) -> None:
    toy.execute("UPDATE vasco.verdict SET lookup_id = NULL, value = 9 WHERE stage = 'charts' AND number = 2")


def cover_on_the_word_of_a_failure(toy: ToySky) -> None:
    toy.execute("SET LOCAL session_replication_role = replica")
    toy.execute("UPDATE ref.coverage SET lookup_id = (SELECT max(lookup_id) FROM ref.lookup WHERE status = 'failed')")


def cover_on_the_word_of_a_canary(toy: ToySky) -> None:
    canary = toy.service_lookup("gaia_dr3", "canary")
    toy.execute("SELECT ref.add_coverage('gaia_dr3', :l, '{[0,10)}')", l=canary)


def leave_a_gap_in_coverage(toy: ToySky) -> None:
    toy.execute("""
        INSERT INTO ref.gap
        SELECT catalog, int8range(upper(hpx29) - 1, upper(hpx29)), lookup_id FROM ref.coverage LIMIT 1
    """)


def leave_a_gap_about_coverage(toy: ToySky) -> None:
    toy.execute("""
        INSERT INTO ref.gap
        SELECT catalog, int8range(lower(hpx29) - 1, upper(hpx29) + 1), lookup_id
        FROM ref.coverage ORDER BY lower(hpx29) LIMIT 1
    """)


def cover_twice(toy: ToySky) -> None:
    toy.execute("""
        INSERT INTO ref.coverage (catalog, hpx29, lookup_id)
        SELECT catalog, int8range(upper(hpx29) - 1, upper(hpx29)), lookup_id FROM ref.coverage LIMIT 1
    """)


def fail_twice(toy: ToySky) -> None:
    toy.execute("""
        INSERT INTO ref.gap
        SELECT catalog, int8range(lower(hpx29) + 1, upper(hpx29)), lookup_id FROM ref.gap LIMIT 1
    """)


def believe_a_full_page(toy: ToySky) -> None:
    toy.execute("ALTER TABLE ref.lookup DROP CONSTRAINT lookup_check2")
    toy.execute("UPDATE ref.lookup SET rows_in = 2, rows_kept = 2 WHERE row_cap = 2")


def believe_an_overflow(toy: ToySky) -> None:
    toy.execute("ALTER TABLE ref.lookup DROP CONSTRAINT lookup_check2")
    toy.execute("UPDATE ref.lookup SET overflow = true WHERE kind = 'file'")


def overlook_a_star(toy: ToySky) -> None:
    toy.sources("gaia_dr3", [10.1], [4 * ARCSEC], source_id=[99])


def overlook_a_fast_star(toy: ToySky) -> None:
    # 64.5 years at 2 arcsec/yr.
    toy.sources("gaia_edr3", [10.1], [129 * ARCSEC], [0.0], [2000.0], source_id=[99])


def overlook_an_asteroid(toy: ToySky) -> None:
    toy.moving_look(
        "asteroids", toy.extraction_id, 10.0, 0.0, 1.5, [{"ra": 10.1, "dec": 14 * ARCSEC, "rate_dec_arcsec_h": 36.0}]
    )


def overlook_a_doubtful_asteroid(toy: ToySky) -> None:
    """Beyond the match radius, within twice its uncertainty."""
    toy.moving_look(
        "asteroids", toy.extraction_id, 10.0, 0.0, 1.5, [{"ra": 10.1, "dec": 12 * ARCSEC, "error_arcsec": 4.0}]
    )


def overlook_a_star_of_a_chart(toy: ToySky) -> None:
    """Within the stage's own radius where the catalogue has it, and far away when the plate was exposed."""
    toy.sources("charts", [10.1], [15 * ARCSEC], [0.0], [1000.0], source_id=[99])


def forget_why_it_was_kept(toy: ToySky) -> None:
    toy.execute("DELETE FROM ref.scans WHERE source_id = 1")


def keep_what_moved_away(toy: ToySky) -> None:
    toy.execute("UPDATE ref.scans SET pmra_masyr = 0, pmdec_masyr = 200, epoch_jyear = 2016 WHERE source_id = 2")


def lose_a_verdict(toy: ToySky) -> None:
    toy.execute("DELETE FROM vasco.verdict WHERE number = 2 AND stage = 'extent'")


def judge_what_was_turned_away(toy: ToySky) -> None:
    toy.execute("""
        INSERT INTO vasco.verdict (run_id, stage, extraction_id, number, outcome, value)
        SELECT run_id, stage, extraction_id, 1, outcome, value FROM vasco.verdict WHERE number = 2 AND stage = 'extent'
    """)


def lose_a_page_of_the_ledger(toy: ToySky) -> None:
    toy.execute("DELETE FROM vasco.run_ledger WHERE stage = 'snr'")


def count_one_too_many(toy: ToySky) -> None:
    toy.execute("UPDATE vasco.run_ledger SET n_in = n_in + 1, n_unknown = n_unknown + 1 WHERE stage = 'snr'")


def count_one_too_many_in(toy: ToySky) -> None:
    toy.execute("ALTER TABLE vasco.run_ledger DROP CONSTRAINT run_ledger_check")
    toy.execute("UPDATE vasco.run_ledger SET n_in = n_in + 1 WHERE stage = 'snr'")


def send_a_detection_off_its_tile(toy: ToySky) -> None:
    toy.execute("UPDATE plate.tile SET size_arcmin = 60")


def send_a_detection_off_its_image(toy: ToySky) -> None:
    toy.execute("UPDATE vasco.detection SET hpx29 = sky.cell(190.0, 0.0), ra = 190.0 WHERE number = 7")


def shrink_an_image(toy: ToySky) -> None:
    toy.execute("UPDATE plate.image SET footprint = '{[0,9)}'")


def find_a_source_twice(toy: ToySky) -> None:
    """On another image of the same plate, a tenth of an arcsec away."""
    e = toy.extraction(10.0, 0.0, radius_deg=1.5, epoch_jyear=1951.5)
    toy.detections(e, [10.1], [0.1 * ARCSEC])
    toy.match(e, "gaia_dr3")
    toy.judge(gates_of("vasco60"), e)


def trust_a_motion(toy: ToySky) -> None:
    toy.sources("gaia_dr3", [10.1], [2 * ARCSEC], [500.0], [0.0], source_id=[99])


def lose_coverage(toy: ToySky) -> None:
    toy.execute("DELETE FROM ref.coverage WHERE hpx29 @> (SELECT hpx29 FROM vasco.detection WHERE number = 2)")


def lose_the_look_for_asteroids(toy: ToySky) -> None:
    toy.execute("UPDATE ref.moving_look SET radius_deg = 0.1")


def believe_an_empty_answer(toy: ToySky) -> None:
    lookup_id = toy.service_lookup("gaia_edr3", rows_in=0, rows_kept=0)
    toy.execute(
        "SELECT ref.add_coverage('gaia_edr3', :l, CAST(:r AS int8multirange))", l=lookup_id, r=square_degrees(1.5)
    )


def cover_without_any_source(toy: ToySky) -> None:
    for part in range(4):
        lookup_id = toy.service_lookup("gaia_edr3")
        ranges = square_degrees(0.5, part)
        toy.execute("SELECT ref.add_coverage('gaia_edr3', :l, CAST(:r AS int8multirange))", l=lookup_id, r=ranges)


def square_degrees(area: float, part: int = 0) -> str:
    cells = int(area * 12 * 4**29 / 41252.96)
    return f"{{[{part * cells},{(part + 1) * cells})}}"


FAULTS: list[tuple[str, Callable[[ToySky], None]]] = [
    ("clear_without_evidence", forget_evidence_of_a_match), ("clear_without_evidence", lose_a_look_up),
    ("clear_without_evidence", pass_on_another_familys_word),
    ("clear_without_evidence", turn_away_what_nobody_missed),
    ("clear_without_evidence", pass_moving_objects_on_a_number), ("clear_without_evidence", pass_on_a_number),
    ("coverage_without_evidence", cover_on_the_word_of_a_failure),
    ("coverage_without_evidence", cover_on_the_word_of_a_canary), ("coverage_without_evidence", lose_a_look_up),
    ("gaps_in_coverage", leave_a_gap_in_coverage), ("gaps_in_coverage", leave_a_gap_about_coverage),
    ("overlapping_ranges", cover_twice), ("overlapping_ranges", fail_twice),
    ("complete_at_cap", believe_a_full_page), ("complete_at_cap", believe_an_overflow),
    ("veto_leaks", overlook_a_star), ("veto_leaks", overlook_a_fast_star), ("veto_leaks", overlook_an_asteroid),
    ("veto_leaks", overlook_a_doubtful_asteroid), ("veto_leaks", overlook_a_star_of_a_chart),
    ("kept_without_match", forget_why_it_was_kept), ("kept_without_match", keep_what_moved_away),
    ("unjudged_detections", lose_a_verdict), ("unjudged_detections", judge_what_was_turned_away),
    ("ledger_differs", lose_a_page_of_the_ledger), ("ledger_differs", count_one_too_many),
    ("ledger_differs", count_one_too_many_in), ("ledger_differs", lose_a_verdict),
    ("off_tile", send_a_detection_off_its_tile), ("off_tile", send_a_detection_off_its_image),
    ("off_tile", shrink_an_image), ("duplicate_candidates", find_a_source_twice),
    ("veto_leaks_own_epoch", trust_a_motion), ("candidates_outside_coverage", lose_coverage),
    ("candidates_outside_coverage", lose_the_look_for_asteroids), ("empty_coverage", believe_an_empty_answer),
    ("empty_coverage", cover_without_any_source),
]  # fmt: skip


@pytest.mark.parametrize(("name", "plant"), FAULTS, ids=[f"{name}: {plant.__name__}" for name, plant in FAULTS])
def test_a_planted_fault_is_found(healthy: ToySky, name: str, plant: Callable[[ToySky], None]) -> None:
    plant(healthy)
    rows = healthy.execute(audits()[name].statement).all()
    assert rows
    assert count_rows(healthy.connection, audits()[name]) == len(rows)


def test_every_audit_is_tested_with_a_fault() -> None:
    assert {name for name, _ in FAULTS} == set(audits())


def test_a_fault_is_not_everybodys(healthy: ToySky) -> None:
    """A star that was overlooked is a leak; the evidence is none the worse for it."""
    overlook_a_star(healthy)
    found = {name for name, audit in audits().items() if count_rows(healthy.connection, audit)}
    assert found == {"veto_leaks"}


def test_a_leak_names_the_candidate_and_the_source(healthy: ToySky) -> None:
    overlook_a_fast_star(healthy)
    rows = healthy.execute(audits()["veto_leaks"].statement).all()
    assert {(row.run, row.src_id, row.catalog, row.source_id) for row in rows} == {
        (run, f"tile_{healthy.extraction_id}:2", "gaia_edr3", 99) for run in ("vasco60", "vasco60+asteroids", "looks")
    }
    assert all(row.sep_arcsec < 0.01 and abs(row.sep_catalog_epoch_arcsec - 129) < 0.01 for row in rows)


def tolerate(toy: ToySky, stage: str, *outcomes: str) -> None:
    toy.execute("ALTER TABLE vasco.run_stage ADD COLUMN IF NOT EXISTS tolerates vasco.outcome[] NOT NULL DEFAULT '{}'")
    tolerates = "UPDATE vasco.run_stage SET tolerates = CAST(:t AS vasco.outcome[]) WHERE stage = :s"
    toy.execute(tolerates, t=list(outcomes), s=stage)


def found(toy: ToySky, audit: str) -> int:
    return count_rows(toy.connection, audits()[audit])


def test_who_tolerates_that_nobody_looked_tolerates_no_match(healthy: ToySky) -> None:
    healthy.execute("DELETE FROM ref.coverage WHERE catalog = 'gaia_dr3'")
    # Two candidates of three runs, and the asteroid, which is one where nobody asks for asteroids.
    assert found(healthy, "candidates_outside_coverage") == 7
    tolerate(healthy, "gaia", "not_covered", "unknown")
    assert found(healthy, "candidates_outside_coverage") == 0
    overlook_a_star(healthy)
    assert found(healthy, "veto_leaks") == 3


def test_an_annotation_vetoes_and_keeps_nothing(healthy: ToySky) -> None:
    overlook_a_star_of_a_chart(healthy)
    overlook_a_doubtful_asteroid(healthy)
    forget_why_it_was_kept(healthy)
    assert (found(healthy, "veto_leaks"), found(healthy, "kept_without_match")) == (2, 1)
    for stage in ("charts", "trails", "scans"):
        tolerate(healthy, stage, "fail")
    assert (found(healthy, "veto_leaks"), found(healthy, "kept_without_match")) == (0, 0)


def test_where_it_is_tolerated_that_nobody_looked_none_need_be_known(healthy: ToySky) -> None:
    forget_why_it_was_kept(healthy)
    tolerate(healthy, "scans", "not_covered")
    assert found(healthy, "kept_without_match") == 1
    healthy.execute("DELETE FROM ref.coverage WHERE catalog = 'scans'")
    assert found(healthy, "kept_without_match") == 0
    tolerate(healthy, "scans")
    assert found(healthy, "kept_without_match") == 1


def test_a_tile_has_room_for_its_corners_and_an_image_for_its_rim(healthy: ToySky) -> None:
    # The farthest detection is 84 arcmin from the centre.
    for size, rows in ((84 * 2**0.5, 0), (82.1 * 2**0.5, 0), (81.9 * 2**0.5, 1)):
        healthy.execute("UPDATE plate.tile SET size_arcmin = :size", size=size)
        assert found(healthy, "off_tile") == rows


@pytest.mark.parametrize(("offset", "rows"), [(0.24, 1), (0.26, 0)])
def test_duplicates_are_nearer_than_a_quarter_of_an_arcsec(healthy: ToySky, offset: float, rows: int) -> None:
    e = healthy.extraction(10.0, 0.0, radius_deg=1.5, epoch_jyear=1951.5)
    healthy.detections(e, [10.1, 10.2], [offset * ARCSEC, 4.9 * ARCSEC], fwhm_image=[4.0, 4.1])
    healthy.match(e, "gaia_dr3")
    healthy.judge(gates_of("vasco60"), e)
    assert found(healthy, "duplicate_candidates") == rows
    pairs = healthy.execute("SELECT * FROM api.candidate_pairs ORDER BY sep_arcsec").all()
    names = [f"tile_{x}:{n}" for n, x in ((2, healthy.extraction_id), (1, e), (3, healthy.extraction_id), (2, e))]
    assert [(p.run, p.src_id, p.other_src_id, p.same_plate) for p in pairs] == [
        ("vasco60", names[0], names[1], True), ("vasco60", names[2], names[3], True)
    ]  # fmt: skip
    assert [p.sep_arcsec for p in pairs] == pytest.approx([offset, 4.9])
    # Another plate is another witness.
    healthy.execute("UPDATE plate.image SET plate_id = 'XE002' WHERE image_id = :e", e=e)
    assert found(healthy, "duplicate_candidates") == 0
    assert healthy.execute("SELECT same_plate, other_plate_id FROM api.candidate_pairs").all() == [(False, "XE002")] * 2


def test_every_audit_is_one_select_with_a_comment_on_top() -> None:
    folder = Path(__file__).resolve().parents[2] / "sql" / "audits"
    assert {path.stem for path in folder.glob("*.sql")} == set(audits())
    for audit in audits().values():
        assert audit.finds.endswith(".")
        assert audit.query.startswith("SELECT")
        assert audit.statement.rstrip().count(";") == 1
        assert audit.statement.rstrip().endswith(";")
