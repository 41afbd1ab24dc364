"""Of a catalogue only the partitions, and of them the rows, that a region needs."""

import random
from pathlib import Path

import numpy as np
import pytest
from cataloguefiles import fingerprints
from hatsfiles import (
    scattered,
    split_by_density,
    write_hats,
)
from mixedorders import (
    BOUNDARY,
    GAIA,
    PARTS,
    check_coverage,
    ids,
    in_cone,
    is_covered,
    stored_ids,
)
from mocpy import MOC
from sqlalchemy import text

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.partitioned.load import load_partitions
from vascodb.loaders.regions import Cone, MocRegion


@pytest.mark.parametrize(
    "cone", [Cone(150.0, BOUNDARY, 0.5), Cone(149.5, 40.6, 0.76), Cone(150.2, 43.0, 0.05)], ids=str
)
def test_a_region_is_covered_by_the_partitions_that_it_needs(database: Database, hats: Path, cone: Cone) -> None:
    load = load_partitions(database, GAIA, hats, cone)
    assert 0 < load.n_wanted < load.n_listed == len(PARTS)
    assert is_covered(database, in_cone(cone)).all()
    with database.connect() as connection:
        regions = connection.scalars(text("SELECT region FROM ref.lookup")).all()
    loaded = [tuple(int(word) for word in region.split() if word.isdecimal()) for region in regions]
    assert stored_ids(database) == ids({key: PARTS[key] for key in loaded})
    check_coverage(database, loaded)


def test_rims_between_partitions_that_come_one_after_the_other_vanish(
    database: Database, hats: Path, tmp_path: Path, temporary_database, template_database: str
) -> None:
    instants = random.Random(4)
    for _ in range(5):
        cone = Cone(150 + instants.uniform(-3, 3), BOUNDARY + instants.uniform(-2, 2), 0.1)
        load_partitions(database, GAIA, hats, cone)
    key = next(iter(PARTS))
    cell = MocRegion(MOC.from_string(f"{key[0]}/{key[1]}"), "cell", "0" * 64)
    load_partitions(database, GAIA, hats, cell)
    assert 0 < load_partitions(database, GAIA, hats).n_loaded < len(PARTS)
    with temporary_database(template_database) as at_once:
        load_partitions(at_once, GAIA, hats, workers=1)
        assert fingerprints(at_once) == fingerprints(database)


def test_a_region_without_partitions_is_an_error(database: Database, hats: Path) -> None:
    with pytest.raises(InputError, match=r"none of its partitions is in the cone 10,-20,1deg"):
        load_partitions(database, GAIA, hats, Cone(10.0, -20.0, 1.0))


def test_of_files_that_say_what_their_row_groups_hold_only_those_needed_are_read(
    database: Database, tmp_path: Path
) -> None:
    stars_here = scattered(20_000, (150.0, BOUNDARY), 1.5, seed=1)
    parts = split_by_density(stars_here, 3, 10**9)
    hats = write_hats(parts, tmp_path / "gaia", row_group_size=1000)
    cone = Cone(150.0, BOUNDARY + 0.5, 0.1)
    load = load_partitions(database, GAIA, hats, cone)
    assert 0 < load.rows_in < 8000
    assert is_covered(database, in_cone(cone)).all()
    with database.connect() as connection:
        ranges = connection.execute(
            text("""
                SELECT CAST(c ->> 0 AS bigint), CAST(c ->> 1 AS bigint)
                FROM ref.lookup, jsonb_array_elements(parameters -> 'cells') AS c
            """)
        ).all()
    cell = stars_here["_healpix_29"].to_numpy()
    held = np.any([(low <= cell) & (cell < high) for low, high in ranges], axis=0)
    assert stored_ids(database) == sorted(stars_here["source_id"].to_numpy()[held].tolist())
    # The rest comes later, and none of it twice.
    rest = load_partitions(database, GAIA, hats)
    assert load.rows_in + rest.rows_in == load.rows_new + rest.rows_new == 20_000
    check_coverage(database, list(parts))
