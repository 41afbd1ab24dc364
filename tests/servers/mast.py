"""The Pan-STARRS catalogues of MAST: ``/api/v0.1/panstarrs/{release}/{table}.{json,csv}``, cut silently."""

import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from astropy.table import Table

from servers import content
from servers.http import Request, ServiceServer
from servers.skytable import SkyTable
from servers.tableformats import Field, csv, fields_of
from servers.transport import Answer

DEFAULT_PAGESIZE = 1000
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le, "eq": operator.eq, "neq": operator.ne,
}  # fmt: skip
_WORDS = {"ra", "dec", "radius", "columns", "pagesize", "page", "format", "sort_by", "flatten_response"}
_PATH = re.compile(r"/(?P<release>dr\d)/(?P<table>\w+?)(?:/(?P<metadata>metadata))?\.(?P<format>json|csv|votable)$")


class MastServer(ServiceServer):
    """MAST's Pan-STARRS service; its address ends before the release (``…/panstarrs``).

    Parameters
    ----------
    tables
        Tables by release and name, such as ``{"dr2/mean": means, "dr1/stack": stacks}``.
    max_pagesize
        Most rows of an answer, whatever ``pagesize`` says [rows].

    Notes
    -----
    An answer holds `pagesize` rows of page `page` and does not tell whether there are more; the JSON carries no
    units. The faults ``overflow`` and ``exactly_cap`` therefore both cut without a word; with ``overflow`` a page
    holds half of the rows, and the next one the others.
    """

    protocol: ClassVar[str] = "mast"
    base_path: ClassVar[str] = "/api/v0.1/panstarrs"

    def __init__(self, tables: Mapping[str, SkyTable], *, max_pagesize: int = 100_000) -> None:
        super().__init__()
        self.tables = dict(tables)
        self.max_pagesize = max_pagesize

    def is_data_request(self, request: Request) -> bool:
        """Tell whether rows are asked for, not a table's description."""
        return request.method in {"GET", "POST"} and "/metadata." not in request.path

    def answer(self, request: Request, fault: str | None) -> Answer:
        """Answer a request for rows or for the description of a table."""
        match = _PATH.search(request.path)
        sky = self.tables.get(f"{match['release']}/{match['table']}") if match else None
        if match is None or sky is None or match["format"] == "votable":
            return _json({"message": f"unknown resource {request.path}"}, 404)
        if match["metadata"]:
            return _json([{**info, "column_name": info["name"]} for info in _infos(fields_of(sky.table[:0]))])
        if fault == "service_error":
            return _json({"status": "ERROR", "msg": content.SERVICE_ERROR})
        try:
            chosen = self._select(sky, request)
            columns = _columns(sky, request)
            size = min(int(request.first("pagesize") or DEFAULT_PAGESIZE), self.max_pagesize)
            page = int(request.first("page") or 1)
        except (ValueError, KeyError) as problem:
            return _json({"message": f"invalid query: {problem}"}, 400)
        rows = content.spoil_rows(sky.table[columns][chosen], fault, sky.ra_column, sky.dec_column)
        if fault == "exactly_cap":
            rows = content.exactly(rows, size)
        else:
            if fault == "overflow":
                size = min(size, max(1, len(content.half(rows))))
            rows = rows[(page - 1) * size : page * size]
        if match["format"] == "csv":
            return Answer(csv(rows), 200, "text/csv; charset=utf-8")
        return Answer(json_rows(rows), 200, "application/json")

    def _select(self, sky: SkyTable, request: Request) -> Any:
        chosen = np.arange(len(sky))
        if request.first("ra"):
            radius = float(request.first("radius") or 0.0)
            if radius <= 0:
                raise ValueError(f"radius {radius}")
            chosen = sky.cone(float(request.first("ra")), float(request.first("dec")), radius)
        for name, value in request.parameters:
            column, _, comparison = name.partition(".")
            if column in _WORDS:
                continue
            if column not in sky.table.colnames or comparison not in {"", *_OPERATORS}:
                raise KeyError(name)
            values = np.ma.asarray(sky.table[column])[chosen]
            met = _OPERATORS[comparison or "eq"](values, value if values.dtype.kind in "US" else float(value))
            chosen = chosen[np.ma.filled(np.ma.asarray(met), False).astype(bool)]
        return chosen


def _columns(sky: SkyTable, request: Request) -> list[str]:
    """Return the columns asked for, as repeated parameters or as one list ``[a,b]``."""
    asked = [name.strip(" []\"'") for value in request.all("columns") for name in value.split(",")]
    asked = [name for name in asked if name] or list(sky.table.colnames)
    unknown = sorted(set(asked) - set(sky.table.colnames))
    if unknown:
        raise KeyError(unknown[0])
    return list(dict.fromkeys(asked))


def json_rows(table: Table) -> bytes:
    """Return rows as MAST writes them: ``info`` about the columns, ``data`` row by row, -999 for what is missing."""
    fields = fields_of(table)
    columns = []
    for each in fields:
        values: list[Any] = [str(v) for v in each.values.tolist()] if _is_long(each) else each.values.tolist()
        for row in np.flatnonzero(each.nulls):
            values[row] = None if each.is_text else -999.0 if each.values.dtype.kind == "f" else -999
        columns.append(values)
    rows = [list(row) for row in zip(*columns, strict=True)]
    return json.dumps({"info": _infos(fields), "data": rows}).encode()


def _is_long(each: Field) -> bool:
    """Tell whether a column holds 64-bit numbers, which MAST writes as strings."""
    return each.values.dtype == np.int64


def _infos(fields: list[Field]) -> list[dict[str, str]]:
    infos = []
    for each in fields:
        infos.append(
            {
                "name": str(each.column.name),
                "type": each.datatype,
                "db_type": "STRING" if each.is_text else "NUMBER",
                "description": str(each.column.description or ""),
            }
        )
    return infos


def _json(document: object, status: int = 200) -> Answer:
    return Answer(json.dumps(document).encode(), status, "application/json")
