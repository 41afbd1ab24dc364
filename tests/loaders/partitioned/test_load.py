"""Partitions are loaded once, cover what they hold together, and nothing beside."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from cataloguefiles import fingerprints
from hatsfiles import (
    nested,
    partition_path,
    scattered,
    split_by_density,
    write_cache,
    write_hats,
)
from mixedorders import (
    BOUNDARY,
    GAIA,
    N_ROWS,
    PARTS,
    PLACES,
    about,
    check_coverage,
    ids,
    in_cone,
    is_covered,
    stored_ids,
)
from pyarrow import parquet
from sqlalchemy import text

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.partitioned.load import BulkLoad, load_partitions
from vascodb.loaders.partitioned.partition_load import PartitionLoad
from vascodb.loaders.reference import load_reference
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import catalog


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_catalogue_is_loaded_and_covers_what_it_holds(
    database: Database, tmp_path: Path, place: tuple[float, float]
) -> None:
    parts = about(place)
    seen: list[tuple[int, PartitionLoad]] = []
    load = load_partitions(
        database, GAIA, write_hats(parts, tmp_path / "gaia"), progress=lambda n, outcome: seen.append((n, outcome))
    )
    n_rows = sum(part.num_rows for part in parts.values())
    assert load == BulkLoad("gaia_dr3", len(parts), len(parts), len(parts), n_rows, n_rows, ())
    assert stored_ids(database) == ids(parts)
    assert [n for n, _ in seen] == [len(parts)] * len(parts)
    assert sum(outcome.rows_new for _, outcome in seen) == n_rows
    check_coverage(database, list(parts))


def test_the_evidence_of_each_partition_is_a_complete_lookup(database: Database, hats: Path) -> None:
    load_partitions(database, GAIA, hats)
    with database.connect() as connection:
        rows = connection.execute(text("SELECT * FROM ref.lookup ORDER BY endpoint")).all()
        owners = set(connection.scalars(text("SELECT lookup_id FROM ref.coverage")))
    paths = sorted(partition_path(hats, *key).relative_to(hats.parent).as_posix() for key in PARTS)
    assert [row.endpoint for row in rows] == paths
    assert {(row.kind, row.status, row.complete, row.overflow) for row in rows} == {("bulk", "ok", True, False)}
    assert sum(row.rows_kept for row in rows) == N_ROWS
    assert owners <= {row.lookup_id for row in rows}
    for row, path in zip(rows, paths, strict=True):
        assert row.response_bytes == (hats.parent / path).stat().st_size
        assert len(row.response_sha256) == 64
        order, pixel = (int(word) for word in row.region.split() if word.isdecimal())
        assert row.parameters["cells"] == [[pixel * 4 ** (29 - order), (pixel + 1) * 4 ** (29 - order)]]


def test_the_same_catalogue_again_writes_nothing(database: Database, hats: Path, tmp_path: Path) -> None:
    load_partitions(database, GAIA, hats)
    before = fingerprints(database)
    outcomes: list[str] = []
    again = load_partitions(database, GAIA, hats, progress=lambda _, outcome: outcomes.append(outcome.state))
    assert (again.n_loaded, again.rows_in, again.rows_new) == (0, 0, 0)
    assert set(outcomes) == {"already"}
    # Nor does it from another place.
    shutil.copytree(hats, tmp_path / "elsewhere" / "gaia")
    assert load_partitions(database, GAIA, tmp_path / "elsewhere" / "gaia").n_loaded == 0
    assert fingerprints(database) == before


def test_sources_that_a_file_brought_before_are_not_stored_again(
    database: Database, hats: Path, tmp_path: Path
) -> None:
    table = pa.concat_tables(PARTS.values())
    parquet.write_table(table.slice(100, 700), tmp_path / "some.parquet")
    load_reference(database, GAIA, tmp_path / "some.parquet", Cone(150.0, BOUNDARY, 5.0))
    load = load_partitions(database, GAIA, hats)
    assert (load.rows_in, load.rows_new, load.failures) == (N_ROWS, N_ROWS - 700, ())
    assert stored_ids(database) == ids(PARTS)


def test_a_cache_is_loaded_with_a_wider_rim(database: Database, tmp_path: Path) -> None:
    table = scattered(6000, (150.0, BOUNDARY), 4.0)
    cache = write_cache(table, tmp_path / "cache")
    load = load_partitions(database, GAIA, cache)
    assert (load.rows_new, load.failures) == (6000, ())
    assert stored_ids(database) == sorted(table["source_id"].to_pylist())
    pixels = np.unique(nested(table["ra"].to_numpy(), table["dec"].to_numpy(), 5))
    check_coverage(database, [(5, int(pixel)) for pixel in pixels], margin_arcsec=120.0)
    with database.connect() as connection:
        endpoints = set(connection.scalars(text("SELECT endpoint FROM ref.lookup")))
    assert endpoints == {f"cache/parquet/healpix_5={pixel}" for pixel in pixels}


def test_a_part_of_a_cache_is_enough_but_an_unfinished_one_is_not(database: Database, tmp_path: Path) -> None:
    cache = write_cache(scattered(3000, (150.0, BOUNDARY), 4.0), tmp_path / "cache")
    cone = Cone(150.0, BOUNDARY + 0.3, 0.3)
    load_partitions(database, GAIA, cache, cone)
    assert is_covered(database, in_cone(cone)).all()
    next((cache / "parquet").glob("*/source_1*")).unlink()
    with pytest.raises(InputError, match=r"its files hold \d+ rows, not the 3000"):
        load_partitions(database, GAIA, cache, Cone(150.0, BOUNDARY - 1.0, 0.3))


def test_beyond_the_limit_of_the_survey_nothing_is_covered(database: Database, tmp_path: Path) -> None:
    ps1 = catalog("ps1_dr2")
    table = scattered(3000, (150.0, -29.0), 3.0)
    columns = {"source_id": "objID", "ra": "raMean", "dec": "decMean", "phot_g_mean_mag": "rMeanPSFMag"}
    table = table.rename_columns([columns.get(name, name) for name in table.column_names])
    table = table.append_column("nDetections", pa.array(np.full(3000, 5, dtype=np.int16)))
    hats = write_hats(
        split_by_density(table, 5, 10**9),
        tmp_path / "otmo",
        properties={"hats_col_ra": "raMean", "hats_col_dec": "decMean"},
    )
    assert load_partitions(database, ps1, hats).failures == ()
    points = in_cone(Cone(150.0, -29.5, 1.5), 3000)
    covered = is_covered(database, points, "ps1_dr2")
    assert not covered[points.dec.deg < -30].any()
    assert covered[points.dec.deg > -29.8].all()
