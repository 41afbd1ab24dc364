"""What loaders share: sources once, contradictions never, rounding always, evidence and coverage as given."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pytest
from cataloguefiles import fingerprints
from mocpy import MOC
from sqlalchemy import Connection, text

from vascodb.bulk import advisory_lock, loading
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.store import (
    LookupRecord,
    add_coverage,
    copy_sources,
    finish_load,
    merge_sources,
    record_lookup,
    stored_columns,
)
from vascodb.loaders.tables import CORE_SCHEMA

CATALOG = "gaia_dr3"
MAS = 1 / 3_600_000


def sources(n: int = 40, first_id: int = 1, seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    no_motion = np.arange(n) % 7 == 3
    return pa.table({
        "source_id": np.arange(first_id, first_id + n), "ra": rng.uniform(0, 360, n), "dec": rng.uniform(-90, 90, n),
        "epoch_jyear": np.full(n, 2016.0), "pmra_masyr": pa.array(rng.normal(0, 50, n), mask=no_motion),
        "pmdec_masyr": pa.array(rng.normal(0, 50, n), mask=no_motion),
        "mag": pa.array(rng.uniform(8, 20, n), mask=np.arange(n) % 5 == 2), "designation": pa.nulls(n, pa.string()),
    }).cast(CORE_SCHEMA)  # fmt: skip


def changed(table: pa.Table, row: int, **values: float | None) -> pa.Table:
    for name, value in values.items():
        column = table[name].to_pylist()
        column[row] = value
        table = table.set_column(table.column_names.index(name), name, pa.array(column, table.schema.field(name).type))
    return table


def merge(database: Database, rows: pa.Table | Iterator[pa.Table]) -> int:
    with loading(database) as connection:
        advisory_lock(connection, f"ref.{CATALOG}")
        return merge_sources(database, connection, CATALOG, rows, "here")


def stored(database: Database) -> list[tuple[object, ...]]:
    with database.connect() as connection:
        rows = connection.execute(text(f"SELECT {', '.join(CORE_SCHEMA.names)} FROM ref.{CATALOG} ORDER BY source_id"))
        return [tuple(row) for row in rows]


def as_rows(table: pa.Table) -> list[tuple[object, ...]]:
    # PostgreSQL prints the shortest decimal number that is the same float32.
    shortest = [
        [None if v is None else float(str(np.float32(v))) for v in column.to_pylist()]
        if column.type == pa.float32() else column.to_pylist()
        for column in table.sort_by("source_id").columns
    ]  # fmt: skip
    return list(zip(*shortest, strict=True))


@pytest.mark.parametrize("loader", ["merge", "merge in parts", "copy"])
def test_sources_arrive_as_they_are(database: Database, loader: str) -> None:
    table = sources(500)
    if loader == "copy":
        with database.connect() as connection:
            assert copy_sources(connection, CATALOG, iter([table.slice(0, 300), table.slice(300)])) == 500
    else:
        assert merge(database, table if loader == "merge" else iter([table.slice(0, 300), table.slice(300)])) == 500
    assert stored(database) == as_rows(table)
    with database.connect() as connection:
        worst = connection.scalar(
            text(f"""
                SELECT max(q3c_dist(r.ra_j1954, r.dec_j1954, p.ra_deg, p.dec_deg))
                FROM ref.{CATALOG} AS r
                CROSS JOIN LATERAL sky.propagate(r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, 1954.0 - r.epoch_jyear) AS p
            """)
        )
    assert worst < 1e-9


def test_designations_are_copied_too(database: Database) -> None:
    table = sources(30)
    names = pa.array([None if i % 4 == 0 else f"näme {i}" for i in range(30)])
    table = table.set_column(table.column_names.index("designation"), "designation", names)
    with database.connect() as connection:
        copy_sources(connection, CATALOG, [table])
    assert [row[-1] for row in stored(database)] == names.to_pylist()


def other_ra(table: pa.Table, row: int, shift_mas: float) -> float:
    dec = table["dec"][row].as_py()
    return float(table["ra"][row].as_py() + shift_mas * MAS / np.cos(np.radians(dec)))


def at(table: pa.Table, row: int, name: str) -> float:
    return float(table[name][row].as_py())


# What services make of a source by rounding, and what they do not.
ROUNDED: dict[str, Callable[[pa.Table], dict[str, float | None]]] = {
    "ra": lambda t: {"ra": other_ra(t, 4, 9.9)},
    "dec": lambda t: {"dec": at(t, 4, "dec") - 9.9 * MAS},
    "motion": lambda t: {"pmra_masyr": at(t, 4, "pmra_masyr") + 1, "pmdec_masyr": at(t, 4, "pmdec_masyr") - 1},
    "magnitude": lambda t: {"mag": at(t, 4, "mag") + 0.01},
}
OTHER: dict[str, Callable[[pa.Table], dict[str, float | None]]] = {
    "ra": lambda t: {"ra": other_ra(t, 4, 10.5)},
    "dec": lambda t: {"dec": at(t, 4, "dec") + 10.5 * MAS},
    "pmra": lambda t: {"pmra_masyr": at(t, 4, "pmra_masyr") + 1.1},
    "pmdec": lambda t: {"pmdec_masyr": at(t, 4, "pmdec_masyr") - 1.1},
    "no motion": lambda t: {"pmra_masyr": None, "pmdec_masyr": None},
    "magnitude": lambda t: {"mag": at(t, 4, "mag") - 0.012},
    "no magnitude": lambda t: {"mag": None},
    "epoch": lambda t: {"epoch_jyear": 2015.5},
}


@pytest.mark.parametrize("what", ROUNDED)
def test_a_source_that_is_rounded_is_the_same_and_the_stored_one_stays(database: Database, what: str) -> None:
    table = sources()
    merge(database, table)
    before = stored(database)
    assert merge(database, changed(table, 4, **ROUNDED[what](table))) == 0
    assert stored(database) == before


@pytest.mark.parametrize("what", OTHER)
def test_a_source_with_other_values_is_refused_with_all_that_came_with_it(database: Database, what: str) -> None:
    table = sources()
    merge(database, table)
    before = fingerprints(database)
    more = pa.concat_tables([changed(table, 4, **OTHER[what](table)), sources(5, first_id=1000)])
    with pytest.raises(InputError, match=r"^here: 1 sources are stored in gaia_dr3 with other values, such as 5$"):
        merge(database, more)
    assert fingerprints(database) == before


def test_right_ascension_is_compared_across_zero(database: Database) -> None:
    table = changed(sources(), 4, ra=0.0)
    merge(database, table)
    assert merge(database, changed(table, 4, ra=360 - 5 * MAS)) == 0


def test_a_source_that_comes_twice_is_refused(database: Database) -> None:
    table = sources()
    with pytest.raises(InputError, match="here: 3 rows repeat a source"):
        merge(database, iter([table, table.slice(10, 3)]))
    assert stored(database) == []


def test_copying_steps_back_from_what_is_stored(database: Database) -> None:
    table = sources(5000)
    merge(database, table.slice(4321, 1))
    for already_there in (table, table.slice(4321, 1), iter([table.slice(0, 10), table])):
        with database.connect() as connection:
            rows = already_there if isinstance(already_there, Iterator) else iter([already_there])
            assert copy_sources(connection, CATALOG, rows) is None
            # The transaction goes on.
            assert connection.scalar(text(f"SELECT count(*) FROM ref.{CATALOG}")) == 1


def test_nothing_to_copy_is_nothing(database: Database) -> None:
    with database.connect() as connection:
        assert copy_sources(connection, CATALOG, iter([])) == 0


def test_stored_columns_are_those_of_the_table(connection: Connection) -> None:
    names = set(stored_columns(sources(3)).column_names)
    columns = connection.scalars(
        text("SELECT attname FROM pg_attribute WHERE attrelid = 'ref.source_template'::regclass AND attnum > 0")
    )
    assert names == set(columns)


def record(lookup_id: int, **values: object) -> LookupRecord:
    return LookupRecord(
        **{"lookup_id": lookup_id, "catalog": CATALOG, "kind": "file", "endpoint": "x", "region": "somewhere"} | values
    )  # type: ignore[arg-type]


def test_a_lookup_is_on_record_once_with_what_it_was_given(database: Database) -> None:
    whole = record(7, complete=True, rows_in=9, rows_rejected=2, response_sha256="ab", parameters={"b": 2, "a": [1]})
    with database.connect() as connection:
        record_lookup(connection, whole)
        record_lookup(connection, record(7, rows_in=1))
        record_lookup(connection, record(8, status="failed", cause="truncated", error="ends before its end"))
        rows = connection.execute(text("SELECT * FROM ref.lookup ORDER BY lookup_id")).all()
    assert [(row.lookup_id, row.rows_in, row.rows_kept, row.complete, row.status) for row in rows] == [
        (7, 9, 7, True, "ok"),
        (8, 0, 0, False, "failed"),
    ]
    assert rows[0].parameters == {"a": [1], "b": 2}
    assert rows[1].error == "ends before its end"


def test_coverage_is_added_once_in_the_name_of_the_first(database: Database) -> None:
    first, second = MOC.from_string("5/0-3 9"), MOC.from_string("5/3-4 9")
    with database.connect() as connection:
        for lookup_id, moc, n_new in ((1, first, 2), (2, second, 1), (2, second, 0)):
            record_lookup(connection, record(lookup_id, complete=True, response_sha256="ab"))
            assert add_coverage(connection, CATALOG, lookup_id, moc) == n_new
        rows = connection.execute(text("SELECT lower(hpx29) >> 48, lookup_id FROM ref.coverage ORDER BY 1")).all()
    assert [tuple(row) for row in rows] == [(0, 1), (4, 2), (9, 1)]


def test_after_a_load_statistics_are_there(database: Database) -> None:
    merge(database, sources(100))
    finish_load(database, CATALOG)
    with database.connect() as connection:
        assert connection.scalar(text(f"SELECT reltuples FROM pg_class WHERE oid = 'ref.{CATALOG}'::regclass")) == 100
