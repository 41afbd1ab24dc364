"""Partitions that are not what their catalogue says fail, each in one line, and cover nothing."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
from cataloguefiles import fingerprints
from hatsfiles import (
    partition_path,
    ring,
    scattered,
    write_hats,
)
from mixedorders import (
    BOUNDARY,
    GAIA,
    N_ROWS,
    PARTS,
    check_coverage,
    ids,
    scalar,
    spoil,
    stored_ids,
)
from pyarrow import parquet
from sqlalchemy import text

from vascodb.db import Database
from vascodb.loaders.partitioned.load import load_partitions
from vascodb.loaders.reference import load_reference
from vascodb.loaders.regions import Cone

FAULTS = {
    "missing": "its file is missing",
    "truncated": "is damaged",
    "a row fewer": "rows, but",
    "a row of another place": "lie in other cells",
    "a source twice": "1 rows repeat a source",
    "no magnitudes": "has no column source_id",
    "a bad row": "has no right ascension",
}


def test_partitions_that_fail_cover_nothing_and_keep_no_other_from_being_loaded(
    database: Database, hats: Path, tmp_path: Path, temporary_database, template_database: str
) -> None:
    keys = sorted(PARTS, key=lambda key: PARTS[key].num_rows)[-len(FAULTS) :]
    shutil.copytree(hats, tmp_path / "good")
    for key, fault in zip(keys, FAULTS, strict=True):
        spoil(hats, key, fault)
    load = load_partitions(database, GAIA, hats)
    good = {key: part for key, part in PARTS.items() if key not in keys}
    assert load.n_loaded == len(good)
    assert stored_ids(database) == ids(good)
    check_coverage(database, list(good))
    assert len(load.failures) == len(FAULTS)
    for (order, pixel), fault in zip(keys, FAULTS, strict=True):
        (line,) = [line for line in load.failures if f"order {order} pixel {pixel}:" in line]
        assert FAULTS[fault] in line
        assert "\n" not in line
        assert line.startswith(str(partition_path(hats, order, pixel)))
    with database.connect() as connection:
        rows = connection.execute(text("SELECT * FROM ref.lookup WHERE status = 'failed'")).all()
    assert sorted(row.region for row in rows) == sorted(f"healpix order {o} pixel {p}" for o, p in keys)
    assert all(row.error and row.cause and not row.complete for row in rows)

    for key in keys:
        shutil.copy(partition_path(tmp_path / "good", *key), partition_path(hats, *key))
    assert load_partitions(database, GAIA, hats).n_loaded == len(keys)
    with temporary_database(template_database) as undisturbed:
        load_partitions(undisturbed, GAIA, hats)
        assert fingerprints(undisturbed) == fingerprints(database)


def test_a_catalogue_numbered_in_the_ring_scheme_covers_nothing(database: Database, tmp_path: Path) -> None:
    table = scattered(2000, (150.0, 20.0), 3.0)
    pixels = ring(table["ra"].to_numpy(), table["dec"].to_numpy(), 5)
    parts = {(5, int(pixel)): table.filter(pa.array(pixels == pixel)) for pixel in np.unique(pixels)}
    load = load_partitions(database, GAIA, write_hats(parts, tmp_path / "gaia"))
    assert len(load.failures) == len(parts)
    assert all("RING" in line for line in load.failures)
    assert scalar(database, "SELECT count(*) FROM ref.gaia_dr3") == 0
    assert scalar(database, "SELECT count(*) FROM ref.coverage") == 0


def test_a_partition_that_is_changed_afterwards_is_refused(database: Database, hats: Path) -> None:
    load_partitions(database, GAIA, hats)
    before = fingerprints(database)
    key = next(iter(PARTS))
    parquet.write_table(PARTS[key], partition_path(hats, *key), compression="snappy")
    (line,) = load_partitions(database, GAIA, hats).failures
    assert "other content is loaded already" in line
    assert fingerprints(database) == before


def test_a_source_that_contradicts_a_stored_one_fails_its_partition(
    database: Database, hats: Path, tmp_path: Path
) -> None:
    key, part = next(iter(PARTS.items()))
    one = part.slice(0, 1)
    parquet.write_table(one.set_column(3, "dec", pa.array([one["dec"][0].as_py() + 0.01])), tmp_path / "other.parquet")
    load_reference(database, GAIA, tmp_path / "other.parquet", Cone(150.0, BOUNDARY, 5.0))
    (line,) = load_partitions(database, GAIA, hats).failures
    assert f"order {key[0]} pixel {key[1]}" in line
    assert "1 sources are stored in gaia_dr3 with other values" in line
    assert len(stored_ids(database)) == N_ROWS - part.num_rows + 1
