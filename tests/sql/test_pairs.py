"""Pairs of positions and the groups they make, against brute force and scipy's graphs."""

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from numpy.typing import NDArray
from queryplans import KNOWN, add_indexes, analyse, assert_index_searches, assert_work
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from toysky import ToySky

SLICE = "published/poss1-plate-slice_s0-642-20260814/stage_S0.csv.gz"
V60 = "vasco60_release_v1/stage_S0.csv.gz"

# Where coordinates are at their worst, and where not.
PLACES = [(150.0, 20.0), (0.0, 0.0), (359.9999, -45.0), (17.0, 89.9995), (200.0, -89.99999), (45.0, 41.81)]


def cluster(ra: float, dec: float, n: int = 60, size_arcsec: float = 8.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Positions scattered about a place, on the sphere."""
    rng = np.random.default_rng(4)
    distance, angle = np.radians(size_arcsec / 3600 * rng.uniform(0, 1, n) ** 0.5), rng.uniform(0, 2 * np.pi, n)
    d0, a0 = np.radians(dec), np.radians(ra)
    sin_dec = np.sin(d0) * np.cos(distance) + np.cos(d0) * np.sin(distance) * np.cos(angle)
    delta = np.arctan2(np.sin(angle) * np.sin(distance) * np.cos(d0), np.cos(distance) - np.sin(d0) * sin_dec)
    return np.degrees(a0 + delta) % 360, np.degrees(np.arcsin(np.clip(sin_dec, -1, 1)))


def brute(ra: NDArray[Any], dec: NDArray[Any], radius_arcsec: float) -> dict[tuple[int, int], float]:
    """Pairs of places (from 1) within a radius, with their separation in arcsec, by comparing all with all."""
    i, j = np.triu_indices(len(ra), 1)
    a, d = np.radians(ra), np.radians(dec)
    sep = np.degrees(angular_separation(a[i], d[i], a[j], d[j])) * 3600
    return {(int(p) + 1, int(q) + 1): float(s) for p, q, s in zip(i, j, sep, strict=True) if s <= radius_arcsec}


def pairs_of_positions(toy: ToySky, ra: Any, dec: Any, radius_arcsec: float) -> dict[tuple[int, int], float]:
    rows = toy.execute(
        "SELECT * FROM sky.pairs_within(CAST(:ra AS float8[]), CAST(:dec AS float8[]), :r)",
        ra=list(ra), dec=list(dec), r=radius_arcsec,
    ).all()  # fmt: skip
    found = {(a, b): sep for a, b, sep in rows}
    assert len(found) == len(rows)
    return found


def assert_same_pairs(found: dict[Any, float], expected: dict[Any, float]) -> None:
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("place", PLACES)
def test_all_pairs_within_a_radius_and_each_once(toy: ToySky, place: tuple[float, float]) -> None:
    ra, dec = cluster(*place)
    expected = brute(ra, dec, 2.0)
    assert 60 < len(expected) < 300
    assert_same_pairs(pairs_of_positions(toy, ra.tolist(), dec.tolist(), 2.0), expected)

    e = toy.extraction(*place)
    toy.detections(e, ra, dec)
    rows = toy.execute("SELECT * FROM sky.pairs_within(CAST(:e AS bigint[]), 2.0)", e=[e]).all()
    assert_same_pairs({(n, m): sep for _, n, _, m, sep in rows}, expected)
    assert len(rows) == len(expected)


def test_pairs_of_detections_are_those_of_the_extractions_that_are_asked_for(toy: ToySky) -> None:
    ids = [toy.extraction() for _ in range(3)]
    ra, dec = cluster(150.0, 20.0)
    members = np.arange(60) % 3
    for which, e in enumerate(ids):
        toy.detections(e, ra[members == which], dec[members == which])
    keys = [(ids[m], k // 3 + 1) for k, m in enumerate(members)]

    def expected(of: list[int]) -> set[tuple[Any, Any]]:
        return {
            tuple(sorted((keys[a - 1], keys[b - 1])))
            for a, b in brute(ra, dec, 2.0)
            if keys[a - 1][0] in of and keys[b - 1][0] in of
        }  # type: ignore[return-value]

    for of in ([ids[0]], ids[1:], ids):
        rows = toy.execute("SELECT * FROM sky.pairs_within(CAST(:e AS bigint[]), 2.0)", e=of + of[:1]).all()
        assert len(rows) == len(expected(of))
        assert {((a, n), (b, m)) for a, n, b, m, _ in rows} == expected(of)
    assert toy.scalar("SELECT count(*) FROM sky.pairs_within(CAST('{}' AS bigint[]), 2.0)") == 0


def test_what_is_no_position_is_in_no_pair(toy: ToySky) -> None:
    nan = float("nan")
    found = pairs_of_positions(toy, [10, nan, None, 10, 10, 10], [5, 5, 5, nan, 5, None], 1.0)
    assert_same_pairs(found, {(1, 5): 0.0})
    assert pairs_of_positions(toy, [], [], 1.0) == {}


def components(toy: ToySky, n: int, first: Any, second: Any) -> list[int]:
    rows = toy.execute(
        "SELECT member, component FROM sky.components(:n, CAST(:a AS integer[]), CAST(:b AS integer[])) ORDER BY 1",
        n=n, a=first, b=second,
    ).all()  # fmt: skip
    assert [member for member, _ in rows] == list(range(1, n + 1))
    return [component for _, component in rows]


@pytest.mark.parametrize("n_pairs", [0, 20, 150, 400])
def test_components_are_those_of_the_graph_whatever_the_order_of_its_pairs(toy: ToySky, n_pairs: int) -> None:
    rng = np.random.default_rng(n_pairs)
    n = 300
    pairs = rng.integers(1, n + 1, (n_pairs, 2))
    graph = coo_array((np.ones(n_pairs), (pairs[:, 0] - 1, pairs[:, 1] - 1)), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    smallest = {label: int(np.flatnonzero(labels == label)[0]) + 1 for label in labels}
    expected = [smallest[label] for label in labels]
    for order in (slice(None), slice(None, None, -1)):
        for columns in ((0, 1), (1, 0)):
            given = pairs[order][:, columns].tolist()
            assert components(toy, n, [a for a, _ in given], [b for _, b in given]) == expected


def test_a_chain_is_one_component_however_it_is_given(toy: ToySky) -> None:
    n = 20_000
    links = np.random.default_rng(1).permutation(np.arange(1, n))
    for order in (links, np.arange(1, n), np.arange(n - 1, 0, -1)):
        assert set(components(toy, n, order.tolist(), (order + 1).tolist())) == {1}
    assert components(toy, 3, None, None) == [1, 2, 3]
    assert components(toy, 0, [], []) == []


def groups(toy: ToySky, keys: Any, parts: Any, same: float, other: float | None) -> list[int]:
    rows = toy.execute(
        """
        SELECT place, group_place
        FROM sky.group_detections(
            CAST(:e AS bigint[]), CAST(:n AS integer[]), CAST(:p AS text[]), CAST(:same AS float8),
            CAST(:other AS float8)
        )
        ORDER BY 1
        """,
        e=[e for e, _ in keys], n=[n for _, n in keys], p=parts, same=same, other=other,
    ).all()  # fmt: skip
    assert [place for place, _ in rows] == list(range(1, len(keys) + 1))
    return [group for _, group in rows]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("same", "other"), [(2.0, None), (0.5, 2.0), (2.0, 0.5)])
def test_groups_link_by_one_radius_within_a_part_and_another_across(
    toy: ToySky, place: tuple[float, float], same: float, other: float | None
) -> None:
    ra, dec = cluster(*place)
    e = toy.extraction()
    toy.detections(e, ra, dec)
    parts = [("A", "B", None)[k % 3] for k in range(60)]
    # Every second one is no member: it links nothing.
    chosen = np.random.default_rng(3).permutation(60)[:45]
    seps = brute(ra[chosen], dec[chosen], 2.0)
    linked = [
        (a - 1, b - 1)
        for (a, b), sep in seps.items()
        if sep <= (same if parts[chosen[a - 1]] == parts[chosen[b - 1]] else other or -1)
    ]
    assert len(linked) > 10
    graph = coo_array((np.ones(len(linked)), tuple(np.array(linked).T)), shape=(45, 45))
    _, labels = connected_components(graph, directed=False)
    found = groups(toy, [(e, int(k) + 1) for k in chosen], [parts[k] for k in chosen], same, other)
    assert found == [int(np.flatnonzero(labels == label)[0]) + 1 for label in labels]


def test_no_detections_make_no_groups(toy: ToySky) -> None:
    assert groups(toy, [], [], 1.0, 1.0) == []
    assert toy.scalar("SELECT count(*) FROM sky.group_detections(NULL, NULL, NULL, 1.0)") == 0


@pytest.mark.parametrize("known", KNOWN)
def test_searches_use_the_index_of_the_sky(toy: ToySky, known: str) -> None:
    rng = np.random.default_rng(2)
    n = 1000
    if known == "stale statistics":
        toy.detections(toy.extraction(), [10.0, 10.1], [10.0, 10.0])
        analyse(toy, "vasco.detection", "vasco.extraction")
    ra, dec = 150 + rng.uniform(-0.5, 0.5, n), 20 + rng.uniform(-0.5, 0.5, n)
    e = toy.extraction()
    toy.detections(e, ra, dec)
    other = toy.extraction(10, 10)
    toy.detections(other, rng.uniform(9.5, 10.5, 2 * n), rng.uniform(9.5, 10.5, 2 * n))
    if known == "more indexes":
        add_indexes(toy, vasco__detection="ra dec hpx29 snr_win number")
    if known in ("analysed", "more indexes"):
        analyse(toy, "vasco.detection", "vasco.extraction")
    found = assert_work(toy, f"SELECT * FROM sky.pairs_within('{{{e}}}'::bigint[], 5.0)", 20 * n)
    assert_index_searches(found, "detection", "detection_sky")
    arrays = f"ARRAY{ra.tolist()}::float8[], ARRAY{dec.tolist()}::float8[]"
    found = assert_work(toy, f"SELECT * FROM sky.pairs_within({arrays}, 5.0)", 20 * n)
    assert "position_to_pair_sky" in str(found)
    size = f"ARRAY[{n}]"
    keys = f"array_fill({e}::bigint, {size}), ARRAY(SELECT generate_series(1, {n})), array_fill('A'::text, {size})"
    found = assert_work(toy, f"SELECT * FROM sky.group_detections({keys}, 5.0, 5.0)", 40 * n)
    assert_index_searches(found, "detection", "detection_sky")


def positions(path: Path) -> tuple[list[float], list[float]]:
    """Right ascensions and declinations of a published table."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = [(float(row["ra"]), float(row["dec"])) for row in csv.DictReader(file)]
    return [ra for ra, _ in rows], [dec for _, dec in rows]


def test_published_lists_have_the_pairs_that_are_known(toy: ToySky, shared_data: Path) -> None:
    """122,820 rows of the replication pipeline: 0, 207, 245 and 250 pairs at 0.25, 1, 3 and 5 arcsec; and the rows
    of vasco60 that have a partner among them."""
    ra, dec = positions(shared_data / SLICE)
    v_ra, v_dec = positions(shared_data / V60)
    n_v60 = len(v_ra)
    both = pairs_of_positions(toy, v_ra + ra, v_dec + dec, 5.0)
    own = np.array([sep for (a, _), sep in both.items() if a > n_v60])
    assert [int((own <= radius).sum()) for radius in (0.25, 1, 3, 5)] == [0, 207, 245, 250]
    nearest: dict[int, float] = {}
    for (a, b), sep in both.items():
        if a <= n_v60 < b:
            nearest[a] = min(sep, nearest.get(a, 99.0))
    partners = np.array(list(nearest.values()))
    assert [int((partners <= radius).sum()) for radius in (1, 2, 5)] == [12_084, 12_087, 12_088]
