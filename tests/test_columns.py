"""Columns of queries as arrays: every bit, every row, in their order."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from vascodb.columns import read_columns

DTYPES = {name: np.dtype(kind) for name, kind in (("a", "f8"), ("b", "f4"), ("c", "i8"), ("d", "i4"), ("e", "i2"))}
VALUES = """
    SELECT * FROM unnest(
        CAST(:a AS float8[]), CAST(:b AS float4[]), CAST(:c AS int8[]), CAST(:d AS int4[]), CAST(:e AS int2[])
    ) WITH ORDINALITY AS v (a, b, c, d, e, place)
    ORDER BY place
"""
ROWS = st.lists(
    st.tuples(
        st.floats(), st.floats(width=32), *(st.integers(-(2**bits), 2**bits - 1) for bits in (63, 31, 15))
    ),
    max_size=20,
)  # fmt: skip


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_every_number_comes_as_it_is(connection: Connection, rows: list[tuple]) -> None:
    columns = dict(zip(DTYPES, map(list, zip(*rows, strict=True)), strict=True)) if rows else {n: [] for n in DTYPES}
    found = read_columns(connection, VALUES, columns, DTYPES)
    assert list(found) == list(DTYPES)
    for name, dtype in DTYPES.items():
        assert found[name].dtype == dtype
        assert np.array_equal(found[name], np.array(columns[name], dtype), equal_nan=dtype.kind == "f")


def test_a_missing_float_is_nan_and_a_missing_integer_is_refused(connection: Connection) -> None:
    row = {name: [None] for name in DTYPES}
    found = read_columns(connection, VALUES, row, {name: DTYPES[name] for name in "ab"})
    assert np.isnan(found["a"]).all() and np.isnan(found["b"]).all() and len(found["a"]) == 1
    with pytest.raises(ValueError, match="column d has nulls"):
        read_columns(connection, VALUES, row | {"d": [None]}, {"d": DTYPES["d"]})


def test_many_rows_keep_their_order(connection: Connection) -> None:
    statement = "SELECT (n * 7919) % 100003 AS c FROM generate_series(1, 100002) AS n ORDER BY n"
    found = read_columns(connection, statement, {}, {"c": DTYPES["c"]})
    assert np.array_equal(found["c"], np.arange(1, 100003) * 7919 % 100003)
