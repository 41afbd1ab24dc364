"""Rows of a partition: all of them or an error in one line; parts of it only where the files say what they hold."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hatsfiles import nested, partition_path, ring, scattered, split_by_density, stars, write_cache, write_hats
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from vascodb.errors import InputError
from vascodb.loaders.partitioned.blocks import Block, RowReader, find_blocks, merged
from vascodb.loaders.partitioned.layouts import open_catalog
from vascodb.loaders.partitioned.partitions import Partition, PartitionedCatalog
from vascodb.loaders.registry import CatalogDefinition, Condition, catalog
from vascodb.loaders.tables import CORE_SCHEMA

GAIA = catalog("gaia_dr3")
STARS = scattered(3000, (150.0, 41.81), 2.0, seed=5)
KEY, PART = max(split_by_density(STARS, 5, 10**9).items(), key=lambda item: item[1].num_rows)


def one_partition(folder: Path, part: pa.Table = PART, **how: object) -> tuple[PartitionedCatalog, Partition]:
    """A catalogue of one partition of order 5."""
    found = open_catalog(write_hats({KEY: part}, folder, **how))  # type: ignore[arg-type]
    return found, found.partitions[0]


def read(
    found: PartitionedCatalog, partition: Partition, definition: CatalogDefinition = GAIA, **names: str
) -> tuple[RowReader, pa.Table]:
    reader = RowReader(found, partition, find_blocks(found, partition), definition, names)
    return reader, pa.concat_tables([CORE_SCHEMA.empty_table(), *reader.tables()])


def test_rows_come_whole_and_along_the_curve(tmp_path: Path) -> None:
    shuffled = PART.take(np.random.default_rng(0).permutation(PART.num_rows))
    reader, table = read(*one_partition(tmp_path / "x", shuffled))
    assert (reader.rows_in, reader.rows_kept) == (PART.num_rows, PART.num_rows)
    for name, own in (("source_id", "source_id"), ("ra", "ra"), ("dec", "dec"), ("mag", "phot_g_mean_mag")):
        assert table[name].to_pylist() == PART[own].to_pylist()
    np.testing.assert_array_equal(
        table["pmra_masyr"].to_numpy(), np.float32(PART["pmra"].to_numpy()), err_msg="single precision is what is kept"
    )


def test_memory_is_bounded_by_sorting_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vascodb.loaders.partitioned.blocks._ROWS_READ_AT_ONCE", 50)
    monkeypatch.setattr("vascodb.loaders.partitioned.blocks._ROWS_SORTED_AT_ONCE", 120)
    found, partition = one_partition(tmp_path / "x")
    tables = list(RowReader(found, partition, find_blocks(found, partition), GAIA, {}).tables())
    assert {table.num_rows for table in tables[:-1]} == {150}
    assert pa.concat_tables(tables)["source_id"].to_pylist() == PART["source_id"].to_pylist()


def test_a_reader_reads_again_from_the_beginning(tmp_path: Path) -> None:
    found, partition = one_partition(tmp_path / "x")
    reader = RowReader(found, partition, find_blocks(found, partition), GAIA, {})
    next(reader.tables())
    assert sum(table.num_rows for table in reader.tables()) == reader.rows_in == PART.num_rows


def test_row_groups_that_follow_the_curve_are_blocks_of_their_own(tmp_path: Path) -> None:
    found, partition = one_partition(tmp_path / "x", row_group_size=100)
    blocks = find_blocks(found, partition)
    assert len(blocks) == -(-PART.num_rows // 100)
    assert (blocks[0].cells[0], blocks[-1].cells[1]) == partition.cells
    assert all(one.cells[1] == other.cells[0] for one, other in pairwise(blocks))
    cell = PART["_healpix_29"].to_numpy()
    for block in blocks:
        expected = PART["source_id"].to_numpy()[(block.cells[0] <= cell) & (cell < block.cells[1])]
        (table,) = RowReader(found, partition, [block], GAIA, {}).tables()
        np.testing.assert_array_equal(table["source_id"].to_numpy(), expected)


@pytest.mark.parametrize("why", ["no such column", "unsorted", "one cell in two groups", "statistics of another cell"])
def test_otherwise_the_partition_is_one_block(tmp_path: Path, why: str) -> None:
    part = PART
    if why == "no such column":
        part = part.drop_columns("_healpix_29")
    elif why == "unsorted":
        part = part.take(np.random.default_rng(0).permutation(part.num_rows))
    else:
        cell = part["_healpix_29"].to_numpy().copy()
        if why == "one cell in two groups":
            cell[100] = cell[99]
        else:
            cell += 4**24
        part = part.set_column(0, "_healpix_29", pa.array(cell))
    found, partition = one_partition(tmp_path / "x", part, row_group_size=100)
    (block,) = find_blocks(found, partition)
    assert (block.cells, block.n_rows) == (partition.cells, PART.num_rows)
    assert read(found, partition)[0].rows_in == PART.num_rows


def test_a_row_that_its_statistics_do_not_know_of_is_found(tmp_path: Path) -> None:
    """The cell's column says one thing, the position another."""
    part = PART
    for name, other in (("ra", "ra"), ("dec", "dec")):
        values = part[name].to_numpy().copy()
        values[5] = part[other].to_numpy()[-1]
        part = part.set_column(part.column_names.index(name), name, pa.array(values))
    found, partition = one_partition(tmp_path / "x", part, row_group_size=100)
    blocks = find_blocks(found, partition)
    with pytest.raises(InputError, match="1 of its rows 1 to 100 lie in other cells"):
        list(RowReader(found, partition, blocks[:1], GAIA, {}).tables())


def test_rows_numbered_in_the_ring_scheme_are_refused(tmp_path: Path) -> None:
    """Read as nested, they would be another sky without a word."""
    by_ring = ring(STARS["ra"].to_numpy(), STARS["dec"].to_numpy(), 5)
    pixel = int(by_ring[0])
    part = STARS.filter(pa.array(by_ring == pixel))
    found = open_catalog(write_hats({(5, pixel): part}, tmp_path / "x"))
    with pytest.raises(InputError, match=r"lie in other cells, such as the one at .* RING scheme"):
        read(found, found.partitions[0])


def test_every_row_is_looked_at(tmp_path: Path) -> None:
    stray = stars(np.array([10.0]), np.array([-20.0]), seed=3)
    found, partition = one_partition(tmp_path / "x", pa.concat_tables([PART, stray]))
    with pytest.raises(
        InputError, match=r"1 of its rows 1 to \d+ lie in other cells, such as the one at 10.000000 -20"
    ):
        read(found, partition)


def test_a_row_on_the_border_of_its_cell_may_be_on_either_side(tmp_path: Path) -> None:
    """Two programs need not round alike: one cell of order 29, 0.4 mas, does not matter."""
    ra = np.array([0.0, 45.0, 90.0, 135.0])
    dec = np.array([30.0, 5.0, 41.81, 60.0])
    for shift in (-1e-9, 1e-9):
        there = stars(ra % 360, dec)
        here = stars((ra + shift) % 360, dec)
        for order in (0, 3):
            for number in range(len(ra)):
                key = order, int(nested(there["ra"].to_numpy(), there["dec"].to_numpy(), order)[number])
                folder = tmp_path / f"{shift}_{order}_{number}"
                found = open_catalog(write_hats({key: here.slice(number, 1)}, folder))
                assert read(found, found.partitions[0])[0].rows_in == 1


@pytest.mark.parametrize(("shift_arcsec", "fine"), [(0.0, True), (5.0, True), (70.0, False)])
def test_a_cache_files_by_other_epochs_but_not_by_much(tmp_path: Path, shift_arcsec: float, fine: bool) -> None:
    def filing(ra: np.ndarray, dec: np.ndarray, order: int) -> np.ndarray:
        return nested(ra, np.clip(dec + shift_arcsec / 3600, -90, 90), order)

    found = open_catalog(write_cache(STARS, tmp_path / "cache", filing))
    moved = filing(STARS["ra"].to_numpy(), STARS["dec"].to_numpy(), 5) != nested(
        STARS["ra"].to_numpy(), STARS["dec"].to_numpy(), 5
    )
    assert moved.any() == (shift_arcsec > 0)
    if fine:
        assert sum(read(found, partition)[1].num_rows for partition in found.partitions) == 3000
    else:
        with pytest.raises(InputError, match="lie in other cells"):
            for partition in found.partitions:
                read(found, partition)


def ps1(part: pa.Table) -> tuple[CatalogDefinition, pa.Table]:
    rng = np.random.default_rng(2)
    detections = rng.integers(1, 9, part.num_rows).astype(np.int16)
    mag = np.where(rng.random(part.num_rows) < 0.3, -999.0, rng.uniform(14, 22, part.num_rows))
    table = pa.table({
        "objID": part["source_id"], "raMean": part["ra"], "decMean": part["dec"],
        "nDetections": pa.array(detections, mask=rng.random(part.num_rows) < 0.02),
        "rMeanPSFMag": mag, "epochMean": pa.array(np.full(part.num_rows, 56000.0)),
    })  # fmt: skip
    return catalog("ps1_dr2"), table


PS1_NAMES = {"hats_col_ra": "raMean", "hats_col_dec": "decMean"}


def test_pan_starrs_is_read_as_its_service_has_it(tmp_path: Path) -> None:
    definition, raw = ps1(PART)
    reader, table = read(*one_partition(tmp_path / "x", raw, properties=PS1_NAMES), definition)
    kept = raw.to_pandas().query("nDetections >= 3")
    assert (reader.rows_in, reader.rows_kept) == (len(raw), len(kept))
    assert table["source_id"].to_pylist() == kept["objID"].tolist()
    mag = [None if m == -999 else pytest.approx(m, abs=1e-5) for m in kept["rMeanPSFMag"]]
    assert table["mag"].to_pylist() == mag
    assert 0 < table["mag"].null_count < len(kept)
    assert set(table["epoch_jyear"].to_pylist()) == {definition.epoch_jyear}
    assert table["pmra_masyr"].null_count == len(kept)


def test_rows_that_the_filter_leaves_out_are_looked_at_too(tmp_path: Path) -> None:
    definition, raw = ps1(PART)
    position = raw["raMean"].to_numpy().copy()
    left_out = raw["nDetections"].to_pylist().index(1)
    position[left_out] = 10.0
    raw = raw.set_column(1, "raMean", pa.array(position))
    with pytest.raises(InputError, match="1 of its rows"):
        read(*one_partition(tmp_path / "x", raw, properties=PS1_NAMES), definition)
    # One without any position, as PS1 has for what it never saw on a single exposure, is nowhere.
    position[left_out] = -999.0
    raw = raw.set_column(1, "raMean", pa.array(position))
    assert read(*one_partition(tmp_path / "y", raw, properties=PS1_NAMES), definition)[0].rows_in == len(raw)


def test_local_copies_of_pan_starrs_and_usno_b_have_names_of_their_own(tmp_path: Path) -> None:
    definition, raw = ps1(PART)
    renamed = raw.rename_columns(["objID", "ra", "dec", "nDetections", "rmag", "epochMean"])
    found, partition = one_partition(tmp_path / "ps1", renamed, properties={"hats_col_ra": "", "hats_col_dec": ""})
    assert read(found, partition, definition)[1].num_rows == len(raw.to_pandas().query("nDetections >= 3"))
    n = PART.num_rows
    usnob = pa.table({
        "id": [f"1318-{i:07d}" for i in range(n)], "ra": PART["ra"], "dec": PART["dec"],
        "B1mag": np.full(n, 18.5, "f4"), "R1mag": np.full(n, 17.5, "f4"), "R2mag": np.full(n, 17.6, "f4"),
        "pmRA": np.full(n, 400, "i2"), "pmDE": np.full(n, -300, "i2"),
    })  # fmt: skip
    found, partition = one_partition(tmp_path / "usnob", usnob)
    _, table = read(found, partition, catalog("usnob1"))
    assert sorted(table["designation"].to_pylist()) == usnob["id"].to_pylist()
    assert len(set(table["source_id"].to_pylist())) == n
    # Nothing in such a copy confirms its proper motions, so none is believed.
    assert table["pmra_masyr"].null_count == n


def test_a_filter_needs_its_column(tmp_path: Path) -> None:
    definition, raw = ps1(PART)
    found, partition = one_partition(tmp_path / "x", raw.drop_columns("nDetections"), properties=PS1_NAMES)
    with pytest.raises(InputError, match="has no column nDetections, by which the rows"):
        read(found, partition, definition)


def test_conditions_are_those_of_the_registry() -> None:
    assert ps1(PART)[0].bulk_filter == (Condition(column="nDetections", operator=">=", value=3),)


def test_names_of_columns_may_be_given(tmp_path: Path) -> None:
    renamed = PART.rename_columns(["alpha" if name == "ra" else name for name in PART.column_names])
    found, partition = one_partition(tmp_path / "x", renamed)
    assert read(found, partition, ra="alpha")[1].num_rows == PART.num_rows
    with pytest.raises(InputError, match="has no column ra"):
        read(found, partition)


def damage(path: Path, fault: str) -> None:
    content = path.read_bytes()
    if fault == "missing":
        path.unlink()
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif fault == "end overwritten":
        path.write_bytes(content[:-2000] + bytes(2000))
    elif fault == "pages overwritten":
        path.write_bytes(content[:100] + bytes(len(content) // 3) + content[100 + len(content) // 3 :])
    elif fault == "another file":
        path.write_bytes(b"<html>503 Service Unavailable</html>" * 50)
    elif fault == "a row fewer":
        parquet.write_table(PART.slice(1), path)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("missing", "its file is missing"), ("empty", "is damaged"), ("truncated", "is damaged"),
        ("end overwritten", "is damaged"), ("pages overwritten", "is damaged"), ("another file", "is damaged"),
        ("a row fewer", r"it has \d+ rows, but \d+ are listed"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_an_error_of_one_line(tmp_path: Path, fault: str, reason: str) -> None:
    found, partition = one_partition(tmp_path / "x")
    damage(partition_path(tmp_path / "x", *KEY), fault)
    with pytest.raises(InputError, match=reason) as caught:
        read(found, partition)
    assert "\n" not in str(caught.value)


def test_a_bad_row_is_an_error_of_one_line(tmp_path: Path) -> None:
    dec = PART["dec"].to_numpy().copy()
    dec[7] = np.nan
    broken = PART.set_column(PART.column_names.index("dec"), "dec", pa.array(dec))
    with pytest.raises(InputError, match="of its rows from 1 on that are kept, row 8 has no declination"):
        read(*one_partition(tmp_path / "x", broken))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=8))
def test_merged_ranges_are_the_union(pairs: list[tuple[int, int]]) -> None:
    union = merged([(low, low + width) for low, width in pairs])
    inside = {cell for low, width in pairs for cell in range(low, low + width)}
    assert {cell for low, high in union for cell in range(low, high)} == inside
    assert all(one[1] < other[0] for one, other in pairwise(union))


def test_a_block_is_what_it_says() -> None:
    assert Block((0, 4), ((Path("x"), 0),), 3).n_rows == 3
