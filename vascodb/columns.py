"""Many rows of a query as numpy arrays, in the transaction that may have written them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

__all__ = ["read_columns"]

_SQL_TYPES = {"f8": "float8", "f4": "float4", "i8": "int8", "i4": "int4", "i2": "int2"}
# Dimensions, whether there are nulls, type, length and lower bound, of 4 bytes each.
_HEADER_BYTES, _HAS_NULLS = 20, 7


def read_columns(
    connection: Connection, statement: str, parameters: Mapping[str, Any], dtypes: Mapping[str, np.dtype[Any]]
) -> dict[str, NDArray[Any]]:
    """Read columns of numbers, each of them as one array in PostgreSQL's binary form.

    Row by row through Python's own numbers a column of ten thousand takes ten times as long.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        A transaction.
    statement : str
        A query; the order of its rows is kept.
    parameters : mapping
        Its bound values.
    dtypes : mapping of str to `numpy.dtype`
        Columns that are read, in small or capital letters, and as what; a missing floating-point number is NaN.

    Returns
    -------
    dict of str to ndarray
        Arrays of one length, in the order of ``dtypes``.

    Raises
    ------
    ValueError
        If an integer is missing.
    """
    sent = ", ".join(f"array_send(array_agg({_value(name, dtype)}))" for name, dtype in dtypes.items())
    row = connection.execute(text(f"SELECT {sent} FROM ({statement}) AS q"), parameters).one()
    return {name: _array(name, column, dtype) for (name, dtype), column in zip(dtypes.items(), row, strict=True)}


def _value(name: str, dtype: np.dtype[Any]) -> str:
    value = f"CAST(q.{name} AS {_SQL_TYPES[dtype.str[1:]]})"
    return f"coalesce({value}, 'NaN')" if dtype.kind == "f" else value


def _array(name: str, sent: bytes | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    if sent is None:
        return np.empty(0, dtype)
    if bytes(sent[:_HEADER_BYTES])[_HAS_NULLS]:
        raise ValueError(f"column {name} has nulls")
    elements = np.dtype([("length", ">i4"), ("value", dtype.newbyteorder(">"))])
    return np.frombuffer(sent, elements, offset=_HEADER_BYTES)["value"].astype(dtype)
