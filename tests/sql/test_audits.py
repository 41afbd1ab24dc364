"""Audits find nothing on a healthy sky, and find each fault that is planted by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest
from toysky import ToySky, gates_of

from vascodb.audits import audits, count_rows
from vascodb.profiles import Profile

ARCSEC = 1 / 3600


@pytest.fixture
def healthy(toy: ToySky, cone_moc) -> ToySky:
    """Two candidates among known stars, an asteroid, what failed, what moved away, and what nobody asked for."""
    toy.catalog("asteroids", "asteroids", moving=True)
    e = toy.extraction(10.0, 0.0, radius_deg=1.5, epoch_jyear=1951.5)
    toy.execute("UPDATE plate.image SET exposure_minutes = 50")
    toy.detections(
        e, [10.0, 10.1, 10.2, 10.3, 10.4, 11.3, 20.0], [0.0] * 7, fwhm_image=[4.0, 3.9, 4.1, 4.0, 4.0, 4.0, 4.0]
    )
    # A star, a star that moved 39 arcsec since, and one a minute beside a candidate.
    toy.sources("gaia_dr3", [10.0, 10.3, 10.1], [0.0, 39 * ARCSEC, 60 * ARCSEC], [0.0, 0.0, None], [0.0, 600.0, None])
    toy.lookup("gaia_dr3", cone_moc(10.0, 0.0, 1.0))
    toy.gap("gaia_dr3", cone_moc(11.0, 0.0, 0.6))
    toy.service_lookup("gaia_dr3", row_cap=2)
    toy.service_lookup("gaia_dr3", complete=False, rows_in=50, rows_kept=50, row_cap=50)
    toy.moving_look("asteroids", e, 10.0, 0.0, 1.5, [{"ra": 10.4, "dec": 0.0}, {"ra": 10.1, "dec": 20 * ARCSEC}])
    for catalog in ("gaia_dr3", "asteroids"):
        toy.match(e, catalog)
    toy.extraction_id = e
    for profile in (gates_of("vasco60"), requiring_asteroids()):
        run_id = toy.judge(profile, e)
    assert toy.outcomes(run_id, "gaia") == {
        1: "fail", 2: "pass", 3: "pass", 4: "fail", 5: "pass", 6: "unknown", 7: "not_covered"
    }  # fmt: skip
    assert toy.candidates(run_id) == [2, 3]
    return toy


def requiring_asteroids() -> Profile:
    plain = gates_of("vasco60")
    veto = plain.stages[0].model_copy(update={"stage": "asteroids", "parameters": {"family": "asteroids"}})
    return plain.model_copy(update={"name": "vasco60+asteroids", "stages": (plain.stages[0], veto, *plain.stages[1:])})


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
    ("coverage_without_evidence", cover_on_the_word_of_a_failure),
    ("coverage_without_evidence", cover_on_the_word_of_a_canary), ("coverage_without_evidence", lose_a_look_up),
    ("gaps_in_coverage", leave_a_gap_in_coverage), ("gaps_in_coverage", leave_a_gap_about_coverage),
    ("overlapping_ranges", cover_twice), ("overlapping_ranges", fail_twice),
    ("complete_at_cap", believe_a_full_page), ("complete_at_cap", believe_an_overflow),
    ("veto_leaks", overlook_a_star), ("veto_leaks", overlook_a_fast_star), ("veto_leaks", overlook_an_asteroid),
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
        (run, f"tile_{healthy.extraction_id}:2", "gaia_edr3", 99) for run in ("vasco60", "vasco60+asteroids")
    }
    assert all(row.sep_arcsec < 0.01 and abs(row.sep_catalog_epoch_arcsec - 129) < 0.01 for row in rows)


def test_every_audit_is_one_select_with_a_comment_on_top() -> None:
    folder = Path(__file__).resolve().parents[2] / "sql" / "audits"
    assert {path.stem for path in folder.glob("*.sql")} == set(audits())
    for audit in audits().values():
        assert audit.finds.endswith(".")
        assert audit.query.startswith("SELECT")
        assert audit.statement.rstrip().count(";") == 1
        assert audit.statement.rstrip().endswith(";")
