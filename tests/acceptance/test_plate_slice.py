"""The published list of the full-plate pipeline, imported: its figures, by the queries of the documentation."""

import csv
import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Vascodb
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from shownqueries import ShownQuery, shown_queries

PAGE = (Path(__file__).resolve().parents[2] / "docs/how-to/compare-releases.md").read_text()
SHOWN = shown_queries(PAGE)
# Of its README, and counted from its files by hand.
PUBLISHED = {
    "n_detections": [["R1", 9566, 2908, 15_322], ["slices", 31_458, 0, 122_820]],
    "pairs_5": [[0, 207, 245, 250]],
    "shared_5": [[15_303, 12_084, 12_087, 12_088]],
    "same_plate": [[122_820, 122_800]],
    "same_distance": [[122_820, 122_820, 68_152, 122_820, "t"]],
    "to_2_9071": [[15_798, 19_818, 33_649, 42_271, 42_280]],
}

Positions = tuple[list[str], NDArray[np.float64], NDArray[np.float64]]


def table(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def positions(path: Path) -> Positions:
    """Names, right ascensions and declinations of a published table."""
    rows = table(path)
    ra, dec = np.array([(float(row["ra"]), float(row["dec"])) for row in rows]).T
    return [row["src_id"] for row in rows], ra, dec


@pytest.fixture(scope="module")
def release(shared_data: Path) -> Path:
    folder = shared_data / "published" / "poss1-plate-slice_s0-642-20260814"
    if not folder.is_dir():
        pytest.skip("needs published/poss1-plate-slice_s0-642-20260814 in ../shared/data")
    return folder


@pytest.fixture(scope="module")
def reports(module_vascodb: Vascodb, shared_data: Path, release: Path) -> dict[str, Any]:
    """What the command says of the two releases, imported as a user imports them."""
    module_vascodb.ok("load-plates", shared_data / "plates/dss1red_headers_932.tar.gz")
    folders = {"slices": release, "R1": shared_data / "vasco60_release_v1"}
    return {
        name: module_vascodb.ok("import-release", folder, "--name", name, "--format", "json").value
        for name, folder in folders.items()
    }


@pytest.fixture(scope="module")
def imported(module_vascodb: Vascodb, reports: dict[str, Any]) -> Vascodb:
    return module_vascodb


@pytest.fixture(scope="module")
def answers(
    imported: Vascodb, shared_data: Path, release: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[list[str]]]:
    """What one session of psql prints that is given the page from top to bottom: of each query its header and rows."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "plate_manifest.csv").symlink_to(shared_data / "plates/plate_manifest.csv")
    (folder / "primary_plate_flags.csv.gz").symlink_to(release / "primary_plate_flags.csv.gz")
    blocks = re.findall(r"```(?:sql|psql)\n((?:(?!```).)*)```", PAGE, re.DOTALL)
    (folder / "page.sql").write_text("\\echo ===\n".join(blocks))
    printed = imported.run("psql", "-X", "-q", "--csv", "-v", "ON_ERROR_STOP=1", "-f", "page.sql", folder=folder)
    assert (printed.status, printed.err) == (0, "")
    tables = [list(csv.reader(part.splitlines())) for part in printed.out.split("===\n") if part]
    return {rows[0][-1]: rows for rows in tables}


def test_every_figure_is_shown_by_a_query() -> None:
    assert [shown.name for shown in SHOWN] == list(PUBLISHED)


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.name)
def test_a_query_gives_what_is_published_and_what_its_page_shows(shown: ShownQuery, answers) -> None:
    header, *rows = answers[shown.name]
    assert header == shown.header
    assert rows == shown.rows == [[str(value) for value in row] for row in PUBLISHED[shown.name]]


def test_the_slices_come_in_with_their_own_checksums(imported: Vascodb, reports: dict[str, Any], release: Path) -> None:
    report = reports["slices"]
    tiles = [report[name] for name in ("tiles", "tiles_with_rows", "tiles_empty", "tiles_missing")]
    assert tiles == [31_458, 26_064, 5_394, 0]
    assert (report["detections"], report["detections_without_gaia"]) == (122_820, 122_820)
    assert report["stages"] == [{"stage": "S0", "in": 122_820, "kept": 122_820}]
    sums = dict(
        line.split()[::-1]
        for line in (release / "SHA256SUMS.uncompressed").read_text().splitlines()
        if not line.startswith("#")
    )
    stored = dict(
        imported.sql("""
            SELECT f.file_name, f.sha256
            FROM vasco.release_file AS f JOIN vasco.release AS r USING (release_id) WHERE r.name = 'slices'
        """)
    )
    assert {name: stored[name] for name in sums if name in stored} == {
        name: value for name, value in sums.items() if name != "verification_s0_gaia_invariant.csv"
    }


def test_every_tile_is_dated_by_its_plate_and_some_lost_all_rows_as_duplicates(imported: Vascodb) -> None:
    # The release says on which plate each detection is, so every image has that plate's date.
    found = imported.sql("""
        SELECT count(*), count(i.epoch_jyear), count(*) FILTER (WHERE t.status = 'rows' AND e.n_detections = 0)
        FROM vasco.release AS r
        JOIN vasco.release_tile AS t USING (release_id)
        JOIN plate.image AS i USING (image_id)
        JOIN vasco.extraction AS e USING (extraction_id)
        WHERE r.name = 'slices'
    """)
    assert found == [["31458", "31458", str(26_064 - 25_643)]]


def stored_positions(vascodb: Vascodb) -> dict[str, tuple[float, float]]:
    rows = vascodb.sql("""
        SELECT d.src_id, d.ra, d.dec
        FROM api.detections AS d JOIN vasco.release_tile AS t USING (extraction_id)
        JOIN vasco.release AS r USING (release_id)
        WHERE r.name = 'slices'
    """)
    return {src_id: (float(ra), float(dec)) for src_id, ra, dec in rows}


def test_every_row_is_where_the_release_has_it_and_on_its_plate(imported: Vascodb, release: Path) -> None:
    names, ra, dec = positions(release / "stage_S0.csv.gz")
    assert stored_positions(imported) == {n: (a, d) for n, a, d in zip(names, ra.tolist(), dec.tolist(), strict=True)}
    assert (round(dec.min(), 4), round(dec.max(), 4)) == (-4.0991, 87.9275)
    plates = imported.sql("""
        SELECT i.tile_id, i.plate_id
        FROM vasco.release AS r
        JOIN vasco.release_tile AS t USING (release_id)
        JOIN plate.image AS i USING (image_id)
        WHERE r.name = 'slices'
    """)
    expected = {row["tile_id"]: row["det_plate"] for row in table(release / "primary_plate_flags.csv.gz")}
    assert expected.items() <= dict(plates).items()


def vectors(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def chord(arcsec: float) -> float:
    return float(2 * np.sin(np.radians(arcsec / 3600) / 2))


def test_pairs_are_those_of_a_tree_in_memory(imported: Vascodb, release: Path) -> None:
    names, ra, dec = positions(release / "stage_S0.csv.gz")
    at = vectors(ra, dec)
    pairs = cKDTree(at).query_pairs(chord(5), output_type="ndarray")
    seps = np.degrees(2 * np.arcsin(np.linalg.norm(at[pairs[:, 0]] - at[pairs[:, 1]], axis=1) / 2)) * 3600
    expected = {frozenset((names[i], names[j])): s for (i, j), s in zip(pairs.tolist(), seps.tolist(), strict=True)}
    rows = imported.sql("""
        SELECT a.src_id, b.src_id, p.sep_arcsec
        FROM (
            SELECT array_agg(t.extraction_id) AS ids
            FROM vasco.release AS r JOIN vasco.release_tile AS t USING (release_id) WHERE r.name = 'slices'
        ) AS e
        CROSS JOIN LATERAL sky.pairs_within(e.ids, 5) AS p
        CROSS JOIN LATERAL (
            SELECT d.src_id FROM api.detections AS d
            WHERE d.extraction_id = p.extraction_id_1 AND d.number = p.number_1 OFFSET 0
        ) AS a
        CROSS JOIN LATERAL (
            SELECT d.src_id FROM api.detections AS d
            WHERE d.extraction_id = p.extraction_id_2 AND d.number = p.number_2 OFFSET 0
        ) AS b
    """)
    found = {frozenset((a, b)): float(sep) for a, b, sep in rows}
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_nearest_in_the_other_list_is_that_of_a_tree_in_memory(
    imported: Vascodb, shared_data: Path, release: Path
) -> None:
    names, ra, dec = positions(release / "stage_S0.csv.gz")
    own_names, own_ra, own_dec = positions(shared_data / "vasco60_release_v1/stage_S0.csv.gz")
    distance, index = cKDTree(vectors(ra, dec)).query(vectors(own_ra, own_dec), distance_upper_bound=chord(5))
    expected = {own: names[i] for own, i, d in zip(own_names, index, distance, strict=True) if np.isfinite(d)}
    found = imported.sql("""
        SELECT d.src_id, n.src_id
        FROM api.detections AS d
        JOIN vasco.release_tile AS own USING (extraction_id)
        JOIN vasco.release AS r USING (release_id)
        CROSS JOIN LATERAL (
            SELECT o.src_id
            FROM sky.cone(d.ra, d.dec, 5) AS c
            JOIN vasco.release_tile AS t ON t.extraction_id = c.extraction_id AND t.release_id <> own.release_id
            CROSS JOIN LATERAL (
                SELECT k.src_id FROM api.detections AS k
                WHERE k.extraction_id = c.extraction_id AND k.number = c.number OFFSET 0
            ) AS o
            ORDER BY c.sep_arcsec
            LIMIT 1
        ) AS n
        WHERE r.name = 'R1'
    """)
    listed = set(own_names)
    # The import has the duplicates as well, which the published list has not.
    assert {own: other for own, other in found if own in listed} == expected
    assert len(expected) == 12_088
