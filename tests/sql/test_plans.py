"""What PostgreSQL really does: the sky index of the reference table is used, and work grows with the rows.

Every statement is run with auto_explain, which also shows the plans inside functions. "Work" is the number
of rows that all nodes of a plan handled, so that a nested loop over two large sets stands out on any machine.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from mocpy import MOC
from queryplans import KNOWN, add_indexes, analyse, assert_index_searches, assert_work, nodes
from sqlalchemy import text
from toysky import ToySky, gates_of

from vascodb.db import Database
from vascodb.pipeline.runs import ensure_run
from vascodb.plates.footprint import multirange
from vascodb.plates.plate_fit import fit_image
from vascodb.profiles import Profile, StageDefinition

N_SOURCES, N_DETECTIONS, N_FAST = 10_000, 1_000, 20
TABLES = (
    "ref.gaia_dr3", "ref.coverage", "ref.gap", "vasco.detection", "vasco.match", "vasco.verdict", "vasco.run_image",
)  # fmt: skip
_ASTROMETRY = Profile(
    name="toy", description="", extraction="seed", reference_stars=0,
    stages=(
        StageDefinition(
            stage="plate_fit", step=1, parameters={
                "kind": "plate_fit", "sigma_max_arcsec": 0.8, "worst_max_arcsec": 1.5, "n_min": 10, "coverage_min": 0.6,
            },
        ),
    ),
)  # fmt: skip


@pytest.fixture(params=KNOWN)
def crowded(request: pytest.FixtureRequest, module_database: Database, toy: ToySky) -> ToySky:
    """Detections and sources of one image, number 2, with what the planner knows of them."""
    # What earlier tests rolled back would still be in the indexes, and count as work.
    with module_database.autocommit() as vacuuming:
        vacuuming.execute(text("VACUUM ref.gaia_dr3, vasco.detection"))
    rng = np.random.default_rng(2)
    ra, dec = 150 + rng.uniform(-0.5, 0.5, N_SOURCES), 20 + rng.uniform(-0.5, 0.5, N_SOURCES)
    pm = np.where(np.arange(N_SOURCES) < N_FAST, 500.0, rng.normal(0, 5, N_SOURCES))
    other = toy.extraction(10, -10)
    toy.detections(other, [10.0], [-10.0])
    # The checks of foreign keys are statements of their own, one for each row.
    toy.execute("SET LOCAL session_replication_role = replica")
    if request.param == "stale statistics":
        toy.sources("gaia_dr3", [10.0], [-10.0], source_id=[N_SOURCES + 1])
        toy.lookup("gaia_dr3")
        toy.match(other, "gaia_dr3")
        toy.judge(gates_of("vasco60"), other)
        toy.execute("DELETE FROM ref.coverage")
        toy.gap("gaia_dr3", MOC.from_string("0/0"))
        analyse(toy, *TABLES)
        toy.execute("DELETE FROM ref.gap")
    toy.sources("gaia_dr3", ra, dec, pm, pm, mag=rng.uniform(10, 20, N_SOURCES))
    toy.lookup("gaia_dr3")
    extraction_id = toy.extraction(150, 20, radius_deg=0.8)
    pick = rng.choice(N_SOURCES, N_DETECTIONS)
    toy.detections(extraction_id, ra[pick] + rng.choice([0, 0.002], N_DETECTIONS), dec[pick])
    if request.param == "more indexes":
        add_indexes(toy, ref__gaia_dr3="mag pmra_masyr dec dec_j1954 epoch_jyear", vasco__detection="snr_win hpx29 dec")
        analyse(toy, *TABLES)
    elif request.param == "analysed":
        analyse(toy, *TABLES)
    toy.extraction_id = extraction_id
    return toy


def test_searches_use_the_index_of_the_sky_and_that_of_coverage(crowded: ToySky, cone_moc) -> None:
    e = crowded.extraction_id
    # Each detection looks at a handful of sources; each of the few fast stars at all detections near it.
    found = assert_work(crowded, f"SELECT * FROM sky.nearest_at_epoch({e}, 'gaia_dr3', 5.0)", 60 * N_DETECTIONS)
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_fast")
    # Few detections are so near a great boundary of Q3C's curve that the index is probed for each of four cells.
    four_probes = [n for plan in found for n in nodes(plan) if n["Node Type"] == "BitmapOr"]
    assert sum(n["Actual Loops"] for n in four_probes) < 0.4 * N_DETECTIONS

    found = assert_work(crowded, "SELECT * FROM sky.neighbours('gaia_dr3', 150, 20, 10, 1952)", 50 * N_FAST)
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")

    found = assert_work(crowded, "SELECT * FROM sky.cone(150, 20, 60)", N_DETECTIONS)
    assert_index_searches(found, "detection", "detection_sky")

    crowded.execute("DELETE FROM ref.coverage")
    crowded.lookup("gaia_dr3", cone_moc(150, 20, 3.0))
    assert crowded.scalar("SELECT count(*) FROM ref.coverage") > 1000
    look = "LEFT JOIN LATERAL sky.covering_lookup('gaia_dr3', d.hpx29) AS l ON true"
    found = assert_work(
        crowded, f"SELECT d.number, l.lookup_id FROM vasco.detection AS d {look}", 8 * (N_DETECTIONS + 1)
    )
    assert_index_searches(found, "coverage", "coverage_lower")

    crowded.execute("DELETE FROM ref.coverage")
    crowded.gap("gaia_dr3", cone_moc(150, 20, 3.0))
    assert crowded.scalar("SELECT count(*) FROM ref.gap") > 1000
    gap = "LEFT JOIN LATERAL sky.gap_at('gaia_dr3', d.hpx29) AS g ON true"
    found = assert_work(
        crowded, f"SELECT d.number, g.lookup_id FROM vasco.detection AS d {gap}", 8 * (N_DETECTIONS + 1)
    )
    assert_index_searches(found, "gap", "gap_lower")
    found = assert_work(crowded, f"SELECT * FROM stage.look({e}, 'gaia_dr3')", 100 * N_DETECTIONS)
    assert_index_searches(found, "gap", "gap_lower")


@pytest.mark.parametrize("numbered", ["along the rows", "in any order"])
def test_detections_are_put_in_the_order_of_the_sky_only_where_their_numbers_are_in_none(toy: ToySky, numbered) -> None:
    rng = np.random.default_rng(4)
    ra, dec = 150 + rng.uniform(-0.5, 0.5, N_DETECTIONS), 20 + rng.uniform(-0.5, 0.5, N_DETECTIONS)
    if numbered == "along the rows":
        dec.sort()
    toy.sources("gaia_dr3", ra, dec, mag=np.full(N_DETECTIONS, 15.0))
    extraction_id = toy.extraction(150, 20, radius_deg=0.8)
    toy.detections(extraction_id, ra, dec)
    statement = f"SELECT * FROM sky.nearest_at_epoch({extraction_id}, 'gaia_dr3', 5.0)"
    found = assert_work(toy, statement, 60 * N_DETECTIONS)
    sorted_by = {key for plan in found for node in nodes(plan) for key in node.get("Sort Key", [])}
    assert ("o.hpx29" in sorted_by) == (numbered == "in any order")
    assert toy.scalar(f"SELECT count(*) FROM ({statement}) AS n WHERE n.source_id = n.number") == N_DETECTIONS


def test_ties_are_looked_for_by_the_index_of_the_sky_at_each_detection(crowded: ToySky) -> None:
    e = crowded.extraction_id
    found = assert_work(crowded, f"SELECT * FROM stage.tie_points({e}, 'gaia_dr3', 5.0)", 60 * N_DETECTIONS)
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_fast")
    fit_image(crowded.connection, e)
    run_id = ensure_run(crowded.connection, _ASTROMETRY)
    crowded.execute("INSERT INTO vasco.run_image VALUES (:run, :e)", run=run_id, e=e)
    assert_work(crowded, f"SELECT stage.apply({run_id}, 'plate_fit', '{{{e}}}')", 100 * N_DETECTIONS)
    assert_work(crowded, "SELECT * FROM api.plate_fits", 50)


def test_trails_are_compared_with_the_detections_near_them(crowded: ToySky) -> None:
    e = crowded.extraction_id
    rng = np.random.default_rng(3)
    n_objects = 300
    name = crowded.catalog("asteroids", moving=True)
    objects = [
        {"ra": float(ra), "dec": float(dec), "rate_ra_arcsec_h": 30.0}
        for ra, dec in zip(150 + rng.uniform(-0.5, 0.5, n_objects), 20 + rng.uniform(-0.5, 0.5, n_objects), strict=True)
    ]
    crowded.moving_look(name, e, 150.0, 20.0, 1.5, objects)
    found = assert_work(crowded, f"SELECT * FROM stage.look({e}, '{name}')", 30 * (N_DETECTIONS + n_objects))
    assert "detection_sky" in {n.get("Index Name") for plan in found for n in nodes(plan)}
    assert_work(crowded, f"SELECT * FROM sky.moving_near({e}, '{name}', 150, 20, 60)", 10 * n_objects)
    # Once for those that are near, once more for what the other families say of them.
    assert_work(crowded, f"SELECT * FROM api.moving_near({e}, 17)", 40 * n_objects)
    assert_work(crowded, f"SELECT * FROM sky.trails({e}, '{name}')", 10 * n_objects)
    found = assert_work(crowded, f"SELECT * FROM sky.nearest_trail({e}, '{name}', 30)", 20 * (N_DETECTIONS + n_objects))
    assert_index_searches(found, "detection", "detection_sky")


def test_what_is_known_of_an_image_is_found_without_reading_a_catalogue(crowded: ToySky) -> None:
    e = crowded.extraction_id
    statement = f"SELECT * FROM stage.catalogs_to_match({e}, '{{}}')"
    assert_work(crowded, statement, N_DETECTIONS)
    # Where neither coverage nor gaps tell, the catalogue's sources do.
    crowded.execute("DELETE FROM ref.coverage")
    assert "gaia_dr3" in crowded.execute(statement).scalars().all()
    elsewhere = crowded.extraction(150, -20, radius_deg=0.8)
    found = assert_work(crowded, f"SELECT * FROM stage.catalogs_to_match({elsewhere}, '{{}}')", N_DETECTIONS)
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")
    found = assert_work(crowded, "SELECT ref.has_sources_near('gaia_dr3', 150, -20, 0.8)", 50)
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")
    # The one catalogue of its family that has stars here is not asked for any of them.
    found = assert_work(crowded, f"SELECT stage.catalog_to_tie_to({e}, 'gaia', 5, 0, 30)", 4 * N_SOURCES)
    assert {n.get("Relation Name") for plan in found for n in nodes(plan)} & {"detection"} == set()


def test_coverage_and_gaps_are_changed_by_looking_at_what_they_overlap(crowded: ToySky, cone_moc) -> None:
    crowded.execute("DELETE FROM ref.coverage")
    covering = crowded.lookup("gaia_dr3", cone_moc(150, 20, 8.0))
    failed = crowded.gap("gaia_dr3", cone_moc(150, -20, 8.0))
    n_stored = crowded.scalar("SELECT count(*) FROM ref.coverage") + crowded.scalar("SELECT count(*) FROM ref.gap")
    ranges = multirange(cone_moc(150.5, 20, 0.02)), multirange(cone_moc(150.5, -20, 0.02))
    most = 100 * max(one.count("[") for one in ranges)
    assert most < n_stored
    for statement in (
        *(f"SELECT ref.uncovered('gaia_dr3', '{one}')" for one in ranges),
        *(f"SELECT ref.knows_of('gaia_dr3', '{one}')" for one in ranges),
        *(f"SELECT ref.add_gap('gaia_dr3', {failed}, '{one}')" for one in ranges),
        *(f"SELECT ref.add_coverage('gaia_dr3', {covering}, '{one}')" for one in ranges),
    ):
        assert_work(crowded, statement, most)


# Functions whose plans are looked at through those that call them, and those that read a single row.
_WITHIN_OTHERS = {
    "sky.circle_uncovered": "sky.circle_covered", "sky.cells_about": "sky.match_rate",
    "sky.plates_near": "sky.plates_at", "api.nearest_fixed": "api.nearest_sources",
    "stage.moving": "stage.{stage}", "stage.red_blue": "stage.{stage}", "stage.blue_images": "stage.blue_unmeasured",
    "stage.persistence": "stage.apply", "stage.duplicate_pool": "stage.apply",
    "sky.moving_agreement": "api.moving_near",
}  # fmt: skip


def test_the_plan_of_every_function_that_searches_the_sky_is_looked_at(connection) -> None:
    searching = set(
        connection.execute(
            text("""
                SELECT p.oid::regproc::text
                FROM pg_proc AS p
                JOIN pg_namespace AS n ON n.oid = p.pronamespace
                WHERE (n.nspname = 'sky' AND p.prosrc ~ '(FROM|JOIN) (vasco|ref|plate)[.]')
                OR p.prosrc LIKE '%q3c_join%'
            """)
        ).scalars()
    )
    files = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    with_plans = [content for content in files if "from queryplans import" in content]
    # Whatever the planner knows, and with indexes in its way.
    assert all(re.search(r"(params=|, )KNOWN\)", content) for content in with_plans)
    looked_at = "".join(with_plans)
    missing = {n for n in searching if f"{_WITHIN_OTHERS.get(n, n)}(" not in looked_at and not n.startswith("q3c_")}
    assert missing == set()


def test_match_rates_and_unmoved_neighbours_use_the_index_of_the_sky(crowded: ToySky) -> None:
    search = "SELECT * FROM sky.neighbours_unmoved('gaia_dr3', 150, 20, 10)"
    found = assert_work(crowded, search, 500 * N_FAST)
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_fast")

    some = "array_agg(d.ra) AS ra, array_agg(d.dec) AS dec, array_agg(1952.0) AS epoch FROM vasco.detection AS d"
    positions = f"(SELECT {some} WHERE d.number % 5 = 0) AS k"
    # Each of these as it is, and moved aside at six angles.
    n_positions = 7 * N_DETECTIONS // 5
    rate = "CROSS JOIN LATERAL sky.match_rate(k.ra, k.dec, k.epoch, 'gaia_dr3', 5) AS m"
    found = assert_work(crowded, f"SELECT m.* FROM {positions} {rate}", 400 * n_positions)
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_fast")

    rate = "CROSS JOIN LATERAL sky.persistence_rate(k.ra, k.dec, NULL, 5) AS m"
    found = assert_work(crowded, f"SELECT m.* FROM {positions} {rate}", 400 * n_positions)
    assert "detection_sky" in {n.get("Index Name") for plan in found for n in nodes(plan)}


def test_stages_on_look_ups_handle_each_detection_a_few_times(crowded: ToySky) -> None:
    e = crowded.extraction_id
    rng = np.random.default_rng(4)
    crowded.catalog("asteroids", "asteroids", moving=True)
    objects = [{"ra": float(ra), "dec": float(dec)} for ra, dec in rng.uniform((149.5, 19.5), (150.5, 20.5), (100, 2))]
    crowded.moving_look("asteroids", e, 150.0, 20.0, 1.5, objects)
    blue = crowded.extraction(150, 20, radius_deg=0.8)
    crowded.execute("UPDATE plate.image SET band = 'blue', plate_id = 'XO001' WHERE image_id = :b", b=blue)
    crowded.detections(blue, 150 + rng.uniform(-0.5, 0.5, N_DETECTIONS), 20 + rng.uniform(-0.5, 0.5, N_DETECTIONS))
    crowded.match(e, "gaia_dr3")
    looks = {
        "keep_match": {"family": "gaia"}, "ps1_southern_cut": {"family": "gaia", "dec_from": 0},
        "moving": {"family": "asteroids", "radius_arcsec": 60, "against": "skybot"},
        "red_blue": {"radius_arcsec": 5, "counterparts": "quality", "field": "same", "edge_arcsec": 60},
        "veto_at": {"family": "gaia", "radius_arcsec": 5, "epoch": "catalog"},
    }  # fmt: skip
    # A hundred are left for the last.
    crowded.execute("UPDATE vasco.detection SET flags = 4 WHERE extraction_id = :e AND number > 100", e=e)
    stages = [StageDefinition(stage="flags", step=1, parameters={"forbidden_bits": 4})]
    stages += [StageDefinition(stage=n, step=1 + (n == "veto_at"), parameters=p) for n, p in looks.items()]
    profile = Profile(name="looks", description="", extraction="seed", reference_stars=0, stages=tuple(stages))
    run_id = ensure_run(crowded.connection, profile)
    crowded.execute("INSERT INTO vasco.run_image VALUES (:run, :e)", run=run_id, e=e)
    crowded.execute("SELECT stage.apply(:r, 'flags')", r=run_id)
    for stage in looks:
        if stage == "veto_at":
            crowded.execute(
                "INSERT INTO vasco.verdict SELECT :r, s, :e, n, 'pass', 0 FROM generate_series(1, 100) AS n, "
                "unnest(CAST(:s AS text[])) AS s", r=run_id, e=e, s=list(looks)[:-1],
            )  # fmt: skip
        of_run = "SELECT r.run_id, r.stage, r.parameters FROM vasco.run_stage AS r"
        judge = f"stage.{stage}(k.run_id, k.stage, k.parameters, ARRAY[{e}]) AS v"
        found = assert_work(
            crowded, f"SELECT v.* FROM ({of_run} WHERE r.stage = '{stage}') AS k CROSS JOIN LATERAL {judge}",
            400 * N_DETECTIONS,
        )  # fmt: skip
        if stage == "red_blue":
            crowded.execute(
                "UPDATE vasco.detection SET (spread_model, spreaderr_model) = (NULL, NULL) WHERE extraction_id = :b",
                b=blue,
            )
            found = assert_work(
                crowded, f"SELECT * FROM stage.blue_unmeasured({run_id}, '{stage}', ARRAY[{e}])", 400 * N_DETECTIONS
            )
        if stage in ("moving", "red_blue"):
            assert "detection_sky" in {n.get("Index Name") for plan in found for n in nodes(plan)}


def test_candidates_near_each_other_are_found_by_the_index_of_the_sky(crowded: ToySky) -> None:
    run_id = crowded.judge(
        Profile(
            name="all", description="", extraction="seed", reference_stars=0,
            stages=(StageDefinition(stage="snr", step=1, parameters={"min": 0}),),
        ),
        crowded.extraction_id,
    )  # fmt: skip
    assert len(crowded.candidates(run_id)) == N_DETECTIONS
    found = assert_work(crowded, f"SELECT * FROM api.candidate_pairs WHERE run_id = {run_id}", 200 * N_DETECTIONS)
    assert "detection_sky" in {n.get("Index Name") for plan in found for n in nodes(plan)}


def test_searches_about_some_detections_use_the_index_of_the_sky(crowded: ToySky, cone_moc) -> None:
    e = crowded.extraction_id
    numbers = f"ARRAY(SELECT generate_series(1, {N_DETECTIONS // 4}))"
    # Of each some 50 sources are seen by the index, a handful moved, measured and given.
    found = assert_work(
        crowded,
        f"SELECT * FROM sky.sources_about({e}, {numbers}, 'gaia_dr3', 30, NULL, true)",
        N_DETECTIONS // 4 * N_SOURCES // 10,
    )
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_fast")
    assert_index_searches(found, "detection", "detection_sky")
    found = assert_work(
        crowded, f"SELECT * FROM sky.sources_about({e}, '{{7}}', 'gaia_dr3', 30, NULL, false)", N_SOURCES
    )
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")
    crowded.execute("DELETE FROM ref.coverage")
    crowded.lookup("gaia_dr3", cone_moc(150, 20, 3.0))
    # From the twelve cells of the whole sky down to those of the circle: a few hundred are looked at.
    found = assert_work(crowded, "SELECT sky.circle_covered('gaia_dr3', 150, 20, 90)", N_SOURCES)
    assert_index_searches(found, "coverage", "coverage_lower")


def test_stages_of_place_and_time_look_at_each_detection_once(crowded: ToySky) -> None:
    stages = {
        "circle": {"radius_arcmin": 30}, "scope_dec": {"dec_min": 0}, "plate_centre": {"radius_deg": 2},
        "edge": {"unit": "px", "min": 200, "min_fraction": 0},
        "earth_shadow": {"reading": "literal", "instant": "mid", "radius_deg": 8.69},
    }  # fmt: skip
    profile = Profile(
        name="places", description="", extraction="seed", reference_stars=0,
        stages=tuple(StageDefinition(stage=s, step=1, parameters=p) for s, p in stages.items()),
    )  # fmt: skip
    run_id = ensure_run(crowded.connection, profile)
    crowded.execute("INSERT INTO vasco.run_image VALUES (:run, :e)", run=run_id, e=crowded.extraction_id)
    for stage in stages:
        assert_work(
            crowded, f"SELECT stage.apply({run_id}, '{stage}', '{{{crowded.extraction_id}}}')", 50 * N_DETECTIONS
        )


def test_matching_judging_and_reading_handle_each_detection_a_few_times(crowded: ToySky) -> None:
    e = crowded.extraction_id
    match = f"SELECT * FROM stage.match({e}, 'gaia_dr3')"
    for _ in ("first", "again"):
        assert_index_searches(assert_work(crowded, match, 100 * N_DETECTIONS), "gaia_dr3", "gaia_dr3_sky")
    crowded.match(e, "gaia_edr3")
    run_ids = [judge_with_plans(crowded, gates_of(name)) for name in ("vasco60", "default")]
    assert len(crowded.candidates(run_ids[0])) > 100
    for statement in (
        f"SELECT * FROM stage.unmeasured({run_ids[0]}, 'spread_model', {e}, 200)",
        f"SELECT * FROM stage.stale_images({run_ids[0]})",
        f"SELECT * FROM api.funnel WHERE run_id = {run_ids[0]} AND extraction_id = {e}",
        f"SELECT * FROM api.candidates WHERE run_id = {run_ids[0]}",
        f"SELECT * FROM api.candidates WHERE tile_id = 'tile_{e}'",
        f"SELECT * FROM api.match_states WHERE extraction_id = {e}",
    ):
        assert_work(crowded, statement, 500 * N_DETECTIONS)
    # What explains a single detection reads no whole image.
    for statement in (
        f"SELECT * FROM api.detections WHERE tile_id = 'tile_{e}' AND number = 17",
        f"SELECT * FROM api.nearest_sources({e}, 17)",
        f"SELECT * FROM api.verdicts WHERE extraction_id = {e} AND number = 17",
        f"SELECT * FROM api.candidates WHERE run_id = {run_ids[0]} AND extraction_id = {e} AND number = 17",
    ):
        assert_work(crowded, statement, N_DETECTIONS)


@pytest.mark.parametrize("epoch", ["catalog", "plate"])
def test_reference_stars_and_shapes_are_found_by_index(crowded: ToySky, epoch: str) -> None:
    e = crowded.extraction_id
    near = f"SELECT * FROM sky.near_at_catalog_epoch({e}, 'gaia_dr3', 3.0, 12, 18)"
    found = assert_work(crowded, near, 100 * N_DETECTIONS)
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_sky")
    assert_index_searches(found, "gaia_dr3", "gaia_dr3_fast")
    assert "detection_sky" in {n.get("Index Name") for plan in found for n in nodes(plan)}

    crowded.match(e, "gaia_dr3")
    morph = {"gaia_mag_min": 12, "gaia_mag_max": 18, "match_arcsec": 3, "elongation_max": 1.3, "epoch": epoch,
             "sample": 200, "min_psf_stars": 5, "fwhm_ratio_max": 1.5, "spread_snr_max": 5}  # fmt: skip
    shape = {"variant": "inverted", "profile_diff_max": 0.05, "elongation_max": 1.1, "circularity_min": 0.8}
    crowded.execute("""
        INSERT INTO vasco.shape_measure (
            extraction_id, number, variant, profile_diff, circularity, elongation, n_neighbours
        )
        SELECT extraction_id, number, 'inverted', 0.01, 0.9, 1.0, 9 FROM vasco.detection
    """)
    stages = tuple(
        StageDefinition(stage=name, step=1, parameters=parameters)
        for name, parameters in (("morph", morph), ("shape", shape))
    )
    profile = Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=stages)
    run_id = judge_with_plans(crowded, profile)
    assert crowded.scalar("SELECT min(n_stars) FROM vasco.psf_statistics") > 100
    assert_work(
        crowded, f"SELECT * FROM stage.shape_targets({run_id}, 'shape', 'direct', '{{{e}}}')", 10 * N_DETECTIONS
    )
    assert_work(crowded, f"SELECT * FROM stage.shape_detections({e})", 10 * N_DETECTIONS)


def judge_with_plans(toy: ToySky, profile: Profile) -> int:
    run_id = ensure_run(toy.connection, profile)
    toy.execute("INSERT INTO vasco.run_image VALUES (:run, :e)", run=run_id, e=toy.extraction_id)
    for _ in ("first", "again"):
        for stage in profile.stages:
            assert_work(
                toy, f"SELECT * FROM stage.apply({run_id}, '{stage.stage}', '{{{toy.extraction_id}}}')",
                100 * N_DETECTIONS,
            )  # fmt: skip
    return run_id


def test_the_sessions_do_not_compile(connection) -> None:
    assert connection.scalar(text("SHOW jit")) == "off"
