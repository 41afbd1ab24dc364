"""Plates that contain a position, the primary one among them, and objects made of detections on several."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from queryplans import KNOWN, add_indexes, analyse, assert_index_searches, assert_work
from sqlalchemy import Connection
from toysky import ToySky

from vascodb.plates.headers import load_plates, read_plate_headers
from vascodb.plates.solution import read_astrometry
from vascodb.plates.store import save_solutions, solution_row
from vascodb.profiles import Profile, StageDefinition

HEADERS = "plates/dss1red_headers_932.tar.gz"
ARCSEC = 1 / 3600


def one_stage(function: str, **parameters: Any) -> Profile:
    """A profile of a single stage."""
    stage = StageDefinition(stage="only", function=function, step=1, parameters=parameters)
    return Profile(name=f"toy {function}", description="", extraction="seed", reference_stars=0, stages=(stage,))


def plate(toy: ToySky, name: str, ra: float, dec: float, size_deg: float = 6.4, band: str = "red") -> None:
    """A square plate with north up, 1000 pixels wide, whose middle is its tangent point."""
    solution_id = 10_000 + int(toy.scalar("SELECT count(*) FROM plate.solution"))
    toy.execute(
        """
        INSERT INTO plate.solution (solution_id, kind, tangent_ra, tangent_dec, crpix1, crpix2, cd)
        VALUES (:s, 'tan', :ra, :dec, 500.5, 500.5, ARRAY[CAST(-:scale AS float8), 0, 0, :scale]);
        INSERT INTO plate.plate (
            plate_id, band, ra, dec, naxis1, naxis2, scale_arcsec_px, wcs_kind, wcs_available, solution_id,
            time_quality, header, header_sha256
        )
        VALUES (:name, :band, :ra, :dec, 1000, 1000, :scale * 3600, 'tan', '{tan}', :s, 'unknown', '{}', 'toy')
        """,
        s=solution_id, name=name, band=band, ra=ra, dec=dec, scale=size_deg / 1000,
    )  # fmt: skip


def image(toy: ToySky, name: str, ra: float, dec: float, size_deg: float = 0.6, refused: bool = False) -> int:
    """An extracted image of a plate, with north up."""
    e = toy.extraction(ra, dec, radius_deg=size_deg / 2**0.5)
    toy.execute(
        """
        UPDATE plate.image
        SET plate_id = :name, naxis1 = 1000, naxis2 = 1000, scale_arcsec_px = :scale * 3600,
            status = CASE WHEN :refused THEN 'refused' ELSE 'ok' END, status_reason = 'toy'
        WHERE image_id = :e;
        UPDATE plate.solution
        SET crpix1 = 500.5, crpix2 = 500.5, cd = ARRAY[CAST(-:scale AS float8), 0, 0, :scale] WHERE solution_id = :e
        """,
        name=name, scale=size_deg / 1000, e=e, refused=refused,
    )  # fmt: skip
    return e


# --- plates ---


@pytest.mark.parametrize("nth", [0, 1, 7, 500])
def test_pixels_are_those_of_the_solution(toy: ToySky, shared_data: Path, nth: int) -> None:
    """On real plates, the polar one among them, to a hundredth of an arcsecond and beyond their edges."""
    headers = [h.header for _, h in zip(range(nth + 1), read_plate_headers(shared_data / HEADERS), strict=False)]
    astrometry = read_astrometry(headers[nth])
    row = solution_row(astrometry)
    save_solutions(toy.connection, [row])
    n = int(headers[nth]["NAXIS1"])
    x, y = np.random.default_rng(nth).uniform(-100, n + 100, (2, 300))
    ra, dec = astrometry.solution.pixel_to_sky(x, y)
    found = toy.execute(
        "SELECT p.x, p.y FROM unnest(CAST(:ra AS float8[]), CAST(:dec AS float8[])) WITH ORDINALITY AS u (ra, dec, n) "
        "CROSS JOIN LATERAL sky.pixel_at(:s, u.ra, u.dec) AS p ORDER BY u.n",
        ra=ra.tolist(), dec=dec.tolist(), s=row["solution_id"],
    ).all()  # fmt: skip
    assert np.abs(np.array(found) - np.array([x, y]).T).max() * astrometry.scale_arcsec_px < 0.01
    far = {"ra": float(ra[0] + 180) % 360, "dec": -float(dec[0]), "s": row["solution_id"]}
    assert toy.execute("SELECT * FROM sky.pixel_at(:s, :ra, :dec)", **far).all() == []


def plates_at(toy: ToySky, ra: float, dec: float) -> list[str]:
    return list(toy.execute("SELECT plate_id FROM sky.plates_at(:ra, :dec)", ra=ra, dec=dec).scalars())


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.9, 40.0), (77.0, 89.0), (200.0, -88.0)])
def test_a_plate_contains_what_is_within_its_edges(toy: ToySky, ra: float, dec: float) -> None:
    plate(toy, "XE001", ra, dec)
    half = np.radians(3.2)
    for edge in (np.arctan(np.tan(half)) - ARCSEC, np.arctan(np.tan(half)) + ARCSEC):
        north = dec + float(np.degrees(edge)) if dec < 0 else dec - float(np.degrees(edge))
        assert plates_at(toy, ra, north) == (["XE001"] if edge < half else [])
    assert plates_at(toy, (ra + 180) % 360, -dec) == []


def test_plates_are_listed_with_the_nearest_middle_first_and_the_distance_to_their_edge(toy: ToySky) -> None:
    assert plates_at(toy, 10.0, 0.0) == []
    plate(toy, "XE001", 13.0, 0.0)
    plate(toy, "XE002", 9.0, 0.0)
    plate(toy, "XO002", 9.0, 0.0, band="blue")
    rows = toy.execute("SELECT plate_id, band, sep_deg, edge_arcsec FROM sky.plates_at(10.0, 0.0)").all()
    assert [(p, b) for p, b, *_ in rows] == [("XE002", "red"), ("XO002", "blue"), ("XE001", "red")]
    assert [sep for _, _, sep, _ in rows] == pytest.approx([1, 1, 3])
    to_edge = [3.2 - float(np.degrees(np.tan(np.radians(d)))) for d in (1, 1, 3)]
    assert [edge / 3600 for *_, edge in rows] == pytest.approx(to_edge, abs=1e-6)


def primary(toy: ToySky, ra: float, dec: float, plates: list[str] | None = None) -> Any:
    return toy.execute("SELECT * FROM sky.primary_plate(:ra, :dec, :p)", ra=ra, dec=dec, p=plates).one_or_none()


def test_the_primary_plate_is_the_red_one_with_the_nearest_middle(toy: ToySky) -> None:
    assert primary(toy, 359.0, 0.0) is None
    for name, ra, band in (("XE001", 2.0, "red"), ("XE002", 355.0, "red"), ("XO001", 359.5, "blue")):
        plate(toy, name, ra, 0.0, band=band)
    assert tuple(primary(toy, 359.0, 0.0)) == ("XE001", pytest.approx(3), pytest.approx(0.25))
    assert tuple(primary(toy, 359.0, 0.0, ["XE002"])) == ("XE002", pytest.approx(4), None)
    assert primary(toy, 359.0, 0.0, ["XE009"]) is None
    assert primary(toy, 180.0, 0.0) is None
    # Between two middles the name decides.
    assert primary(toy, 358.5, 0.0)[0] == "XE001"


def test_real_plates_contain_what_their_solutions_say(connection: Connection, toy: ToySky, shared_data: Path) -> None:
    """932 plates against the exact mapping."""
    headers = list(read_plate_headers(shared_data / HEADERS))
    load_plates(connection, iter(headers))
    rng = np.random.default_rng(5)
    n = 2000
    ra, dec = 360 * rng.uniform(0, 1, n), np.degrees(np.arcsin(rng.uniform(-0.05, 1, n)))
    rows = toy.execute(
        "SELECT u.n, p.plate_id "
        "FROM unnest(CAST(:ra AS float8[]), CAST(:dec AS float8[])) WITH ORDINALITY AS u (ra, dec, n) "
        "CROSS JOIN LATERAL sky.plates_at(u.ra, u.dec) AS p",
        ra=ra.tolist(), dec=dec.tolist(),
    ).all()  # fmt: skip
    found = {(int(k) - 1, plate_id) for k, plate_id in rows}
    assert len(found) == len(rows)
    expected = set()
    for source in headers:
        header, solution = source.header, read_astrometry(source.header).solution
        n1, n2 = int(header["NAXIS1"]), int(header["NAXIS2"])
        middle = solution.pixel_to_sky((n1 + 1) / 2, (n2 + 1) / 2)
        sep = angular_separation(np.radians(ra), np.radians(dec), *np.radians(middle))
        near = np.flatnonzero(sep < np.radians(6))
        x, y = solution.sky_to_pixel(ra[near], dec[near])
        inside = (x >= 0.5) & (x <= n1 + 0.5) & (y >= 0.5) & (y <= n2 + 0.5)
        expected |= {(int(k), str(header["REGION"]).strip()) for k in near[inside]}
    assert len(expected) > n
    assert found == expected


# --- stages ---


def outcomes(toy: ToySky, run_id: int) -> dict[tuple[int, int], tuple[str, float | None, str | None]]:
    rows = toy.execute(
        "SELECT extraction_id, number, outcome, value, reason FROM vasco.verdict WHERE run_id = :r", r=run_id
    )
    return {(e, n): (outcome, value, reason) for e, n, outcome, value, reason in rows}


def test_a_detection_on_the_primary_plate_passes(toy: ToySky) -> None:
    plate(toy, "XE001", 10.0, 0.0)
    plate(toy, "XE002", 16.0, 0.0)
    plate(toy, "XO003", 12.0, 0.0, band="blue")
    profile, allowed = one_stage("primary_plate"), one_stage("primary_plate", plates=["XE001"])
    for name in ("XE001", "XE002", "XE003", "XO003"):
        e = image(toy, name, 13.0, 0.0)
        toy.detections(e, [12.9, 13.2], [0.0, 0.0])
        run_id, run_id_allowed = toy.judge(profile, e), toy.judge(allowed, e)
    found = outcomes(toy, run_id)
    assert found[1, 1] == ("pass", pytest.approx(2.9), None)
    assert found[1, 2] == ("fail", pytest.approx(2.8), "plate XE002 is primary, its middle 2.8000 deg away")
    assert (found[2, 1][0], found[2, 2][0]) == ("fail", "pass")
    for e, name in ((3, "XE003"), (4, "XO003")):
        reason = f"plate {name} is not among the plates that are compared"
        assert found[e, 1] == found[e, 2] == ("not_covered", None, reason)
    found = outcomes(toy, run_id_allowed)
    assert [found[1, 2][0], found[2, 2][0]] == ["pass", "not_covered"]


def test_what_another_plate_shows_is_seen_again(toy: ToySky) -> None:
    a, b = image(toy, "XE001", 0.0, 0.0), image(toy, "XE002", 0.5, 0.0)
    same_plate, refused = image(toy, "XE001", 0.0, 0.0), image(toy, "XE003", 0.0, 0.0, refused=True)
    edge = 0.2  # of the image on XE002
    ra = [edge + 4 * ARCSEC, edge + 6 * ARCSEC, 0.25, 0.28, 359.8, 0.29]
    toy.detections(a, ra, [0.0] * 6)
    toy.detections(same_plate, [359.8], [0.0])
    toy.detections(refused, [359.8], [0.0])
    toy.detections(b, [0.25, 0.25, 0.28, 0.29], np.array([4.9, -3.0, 5.1, 0.0]) * ARCSEC)
    profile = one_stage("persistence", radius_arcsec=5)
    for e in (a, b, same_plate, refused):
        run_id = toy.judge(profile, e)
    toy.judge(profile, a)
    found = outcomes(toy, run_id)
    nowhere = ("not_covered", None, "no image of another plate covers the position")
    assert found[a, 1] == found[a, 5] == nowhere
    assert found[a, 2] == found[a, 4] == ("fail", None, "nothing within 5 arcsec on plate XE002")
    assert found[a, 3] == ("pass", pytest.approx(3.0), None)
    assert found[a, 6] == ("pass", pytest.approx(0.0, abs=1e-6), None)
    # An image of another plate counts only within the run.
    other = one_stage("persistence", radius_arcsec=5).model_copy(update={"name": "other"})
    assert outcomes(toy, toy.judge(other, a))[a, 3] == nowhere


# --- objects ---


def build(toy: ToySky, run_id: int, *more: Any) -> int:
    names = ["of_stage", "plate_link_arcsec", "sky_link_arcsec"][: len(more)]
    values = dict(zip(names, more, strict=True))
    arguments = "".join(f", {name} => :{name}" for name in names)
    return int(toy.scalar(f"SELECT stage.build_objects(:r{arguments})", r=run_id, **values))


def objects(toy: ToySky, run_id: int) -> dict[str, Any]:
    rows = toy.execute("SELECT * FROM api.objects WHERE run_id = :r", r=run_id)
    return {row.src_id: row for row in rows}


@pytest.fixture
def three_plates(toy: ToySky) -> ToySky:
    """One star on two plates and twice on one of them, one on a single plate, one too faint; XE003 shows none."""
    plate(toy, "XE001", 0.5, 60.0)
    plate(toy, "XE004", 359.0, 62.0)
    for name, ra in (("XE001", 0.0), ("XE001", 0.3), ("XE002", 0.0), ("XE003", 0.0)):
        image(toy, name, ra, 60.0)
    # A blue plate is no second look at what is searched for on red ones.
    toy.execute("UPDATE plate.image SET band = 'blue' WHERE image_id = :i", i=image(toy, "XO001", 0.0, 60.0))
    toy.detections(1, [0.0, 0.1, 0.2], [60.0] * 3, snr_win=[50, 50, 10])
    toy.detections(2, [0.0 + 0.2 * ARCSEC], [60.0])
    toy.detections(3, [360 - 8 * ARCSEC], [60.0])
    for e in (1, 2, 3, 4):
        toy.run_id = toy.judge(one_stage("snr", min=30), e)
    return toy


def test_an_object_has_a_place_its_detections_and_the_plates_that_could_show_it(three_plates: ToySky) -> None:
    toy = three_plates
    assert build(toy, toy.run_id) == 2 + 4
    found = objects(toy, toy.run_id)
    assert sorted(found) == ["tile_1:1", "tile_1:2"]
    star = found["tile_1:1"]
    assert (star.ra, star.dec) == (pytest.approx(360 - (8 - 0.2) / 3 * ARCSEC, abs=1e-9), pytest.approx(60.0, abs=1e-8))
    assert (star.n_detections, star.detecting_plates) == (3, ["XE001", "XE002"])
    assert star.covering_plates == ["XE001", "XE002", "XE003", "XE004"]
    assert (star.n_plates_detecting, star.n_plates_covering) == (2, 4)
    assert (star.primary_plate, star.is_primary, star.run) == ("XE001", True, "toy snr")
    assert star.primary_sep_deg == pytest.approx(0.25, abs=0.01)
    assert star.spread_arcsec == pytest.approx((8 - (8 - 0.2) / 3) / 2, abs=1e-4)
    assert (found["tile_1:2"].n_detections, found["tile_1:2"].spread_arcsec, found["tile_1:2"].ra) == (1, 0, 0.1)
    members = toy.execute(
        "SELECT object_src_id, src_id, sep_arcsec FROM api.object_members WHERE run_id = :r ORDER BY 1, 2", r=toy.run_id
    ).all()
    assert [row[:2] for row in members] == [
        ("tile_1:1", "tile_1:1"), ("tile_1:1", "tile_2:1"), ("tile_1:1", "tile_3:1"), ("tile_1:2", "tile_1:2"),
    ]  # fmt: skip
    assert max(sep for *_, sep in members) == pytest.approx(star.spread_arcsec)


def stored(toy: ToySky) -> dict[tuple[Any, ...], Any]:
    """The rows of objects and their members, by key."""
    found = {}
    for table in ("object", "object_member"):
        for row in toy.execute(f"SELECT ctid, t.* FROM vasco.{table} AS t"):
            found[table, row.run_id, row.extraction_id, row.number] = row
    return found


def test_building_again_writes_what_changed_and_nothing_else(three_plates: ToySky) -> None:
    toy = three_plates
    build(toy, toy.run_id)
    first = stored(toy)
    assert build(toy, toy.run_id) == 0
    assert stored(toy) == first
    star, lone, far = "tile_1:1", "tile_1:2", "tile_3:1"
    for arguments, expected in [
        # 4 arcsec from one plate's to the other's (60 degrees north): with less than that there are two.
        ((None, 0.25, 3.0), [star, lone, far]),
        ((None, 0.05, 3.0), [star, lone, "tile_2:1", far]),
        # Of what the stage judged, also what it turned away.
        (("only", 0.25, 5.0), [star, lone, "tile_1:3"]),
        ((None, 0.25, 5.0), [star, lone]),
    ]:
        before = stored(toy)
        written = build(toy, toy.run_id, *arguments)
        after = stored(toy)
        assert written == sum(before.get(key) != after.get(key) for key in before.keys() | after.keys())
        assert sorted(objects(toy, toy.run_id)) == expected
        found = objects(toy, toy.run_id)[star]
        assert (found.of_stage, found.plate_link_arcsec, found.sky_link_arcsec) == arguments
    assert {key: row[1:] for key, row in stored(toy).items()} == {key: row[1:] for key, row in first.items()}
    toy.execute("UPDATE vasco.verdict SET outcome = 'fail', reason = 'toy' WHERE extraction_id = 1 AND number = 2")
    assert build(toy, toy.run_id, None, 0.25, 5.0) == 2
    assert sorted(objects(toy, toy.run_id)) == [star]


def test_an_object_without_plates_has_no_primary_one(toy: ToySky) -> None:
    e = image(toy, "XE001", 10.0, 0.0)
    run_id = toy.judge(one_stage("snr", min=30), e)
    assert build(toy, run_id) == 0
    # Outside of its own image's footprint, as a windowed position may be.
    toy.detections(e, [10.4], [0.0])
    toy.judge(one_stage("snr", min=30), e)
    assert build(toy, run_id) == 2
    found = objects(toy, run_id)["tile_1:1"]
    assert (found.primary_plate, found.primary_sep_deg, found.is_primary) == (None, None, None)
    assert found.covering_plates == found.detecting_plates == ["XE001"]


@pytest.mark.parametrize("known", KNOWN)
def test_searches_use_the_indexes_of_the_sky(toy: ToySky, known: str) -> None:
    rng = np.random.default_rng(3)
    tables = ("vasco.detection", "vasco.verdict", "vasco.run_image", "vasco.extraction", "plate.image", "plate.plate",
              "plate.solution")  # fmt: skip
    profiles = [one_stage("primary_plate"), one_stage("persistence", radius_arcsec=5), one_stage("snr", min=30)]
    if known == "stale statistics":
        plate(toy, "XE900", 200.0, -60.0)
        early = image(toy, "XE900", 200.0, -60.0)
        toy.detections(early, [200.0], [-60.0])
        for profile in profiles:
            toy.judge(profile, early)
        analyse(toy, *tables)
        toy.copies(early, 1000)
    for k in range(100):
        plate(toy, f"XE{k:03}", float(k % 20 * 6), float(k // 20 * 15))
    n = 40
    images = []
    for k in range(20):
        e = image(toy, f"XE{k // 10:03}", 0.3 * (k % 10), 0.0)
        images.append(e)
        toy.detections(e, 0.3 * (k % 10) + rng.uniform(0, 0.28, n), rng.uniform(-0.2, 0.2, n))
    for profile in profiles:
        for e in images:
            run_id = toy.judge(profile, e)
    if known == "more indexes":
        add_indexes(
            toy, vasco__detection="ra dec hpx29 snr_win", plate__image="ra dec radius_deg plate_id status",
            plate__plate="ra dec band naxis1 scale_arcsec_px",
        )  # fmt: skip
    if known in ("analysed", "more indexes"):
        analyse(toy, *tables)
    toy.execute("SET LOCAL session_replication_role = replica")
    for statement, most in (
        ("SELECT * FROM sky.plates_at(3.0, 0.0)", 300),
        ("SELECT * FROM sky.primary_plate(3.0, 0.0)", 100),
        (f"SELECT count(*) FROM vasco.detection AS d CROSS JOIN LATERAL sky.primary_plate(d.ra, d.dec) AS p "
         f"WHERE d.extraction_id = {e}", 120 * n),
    ):  # fmt: skip
        found = assert_work(toy, statement, most)
        assert_index_searches(found, "plate", "plate_sky")
    found = assert_work(toy, "SELECT * FROM sky.images_at(3.0, 0.0, 0)", 300)
    assert_index_searches(found, "image", "image_sky")
    for profile in profiles[:2]:
        r = toy.scalar("SELECT run_id FROM vasco.run WHERE run = :p", p=profile.name)
        assert_work(toy, f"SELECT stage.apply({r}, 'only', '{{{e}}}')", 400 * n)
    assert_work(toy, f"SELECT stage.build_objects({run_id})", 800 * 20 * n)
