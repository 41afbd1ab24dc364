"""Answers a parsed ADQL query from tables in memory."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
from astropy import units as u
from astropy.coordinates import angular_separation
from astropy.table import MaskedColumn, Table

from servers.adql import AGGREGATES, AdqlError, Call, Expression, Item, Literal, Name, Query, parse
from servers.skytable import Rows, SkyTable

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Rows that answer a query, and which of their columns hold the position."""

    table: Table
    ra_column: str
    dec_column: str


def run(query: str, tables: Mapping[str, SkyTable], uploads: Mapping[str, SkyTable]) -> Found:
    """Return all rows that answer a query.

    Raises
    ------
    AdqlError
        Where the query leaves the subset or names what is not there.
    """
    parsed = parse(query)
    published = {name.lower(): table for name, table in tables.items()}
    published |= {f"tap_upload.{name.lower()}": table for name, table in uploads.items()}
    frame = _Frame()
    for source in parsed.sources:
        table = published.get(source.table.lower())
        if table is None:
            raise AdqlError(f'table "{source.table}" does not exist')
        frame.tables[source.alias.lower()] = table
    if len(frame.tables) != len(parsed.sources) or len(parsed.sources) > 2:
        raise AdqlError("one table, or two under different names, are all this service joins")
    _restrict(frame, parsed)
    return _project(frame, parsed)


class _Frame:
    """The tables of a query and the numbers of their rows that are still in, side by side."""

    def __init__(self) -> None:
        self.tables: dict[str, SkyTable] = {}
        self.rows: dict[str, Rows] = {}

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    def keep(self, which: Any) -> None:
        self.rows = {alias: rows[which] for alias, rows in self.rows.items()}

    def find(self, name: Name) -> tuple[str, str]:
        """Return alias and true name of a column."""
        aliases = [name.table.lower()] if name.table else list(self.tables)
        found = []
        for alias in aliases:
            if alias not in self.tables:
                raise AdqlError(f'no table is called "{name.table}" here')
            for column in self.tables[alias].table.colnames:
                if column == name.column or (not name.quoted and column.lower() == name.column.lower()):
                    found.append((alias, column))
        if not found:
            raise AdqlError(f'column "{name.column}" does not exist')
        if len({alias for alias, _ in found}) > 1:
            raise AdqlError(f'column "{name.column}" is ambiguous')
        return found[0]

    def column(self, name: Name) -> MaskedColumn:
        alias, column = self.find(name)
        source = self.tables[alias].table[column]
        return MaskedColumn(source[self.rows[alias]])

    def values(self, expression: Expression) -> Any:
        """Return an expression's values, row by row or one for all."""
        if isinstance(expression, Literal):
            return expression.value
        if isinstance(expression, Name):
            column = self.column(expression)
            values: Any = np.ma.MaskedArray(np.asarray(column.data.data), mask=np.ma.getmaskarray(column.data))
            return np.ma.masked_invalid(values) if values.dtype.kind == "f" else values
        return self._call(expression)

    def _call(self, call: Call) -> Any:
        geometry = {"CONTAINS": self._contains, "DISTANCE": self._distance}.get(call.function)
        if geometry is not None:
            return geometry(call.operands)
        if call.function in {"AND", "OR"}:
            left, right = (self.truth(operand) for operand in call.operands)
            return left & right if call.function == "AND" else left | right
        if call.function == "NOT":
            return ~self.truth(call.operands[0])
        if call.function in {"POINT", "CIRCLE", *AGGREGATES}:
            raise AdqlError(f"{call.function} cannot stand here")
        return _calculate(call.function, *(self.values(operand) for operand in call.operands))

    def _contains(self, operands: tuple[Expression, ...]) -> Any:
        point, circle = operands
        if not (_is(point, "POINT") and _is(circle, "CIRCLE")):
            raise AdqlError("CONTAINS is known for a POINT in a CIRCLE only")
        return self._separation_deg(point, circle) <= self.values(_radius(circle))

    def _distance(self, operands: tuple[Expression, ...]) -> Any:
        return self._separation_deg(*(operands if len(operands) == 2 else _as_points(operands)))

    def truth(self, condition: Expression) -> Any:
        """Return which rows meet a condition; unknown counts as no."""
        met = np.ma.filled(np.ma.asarray(self.values(condition)), False)
        return np.broadcast_to(met.astype(bool), (len(self),))

    def _separation_deg(self, one: Expression, other: Expression) -> Any:
        coordinates: list[Any] = [
            np.ma.asarray(self.values(c), dtype=float) for c in (*_position(one), *_position(other))
        ]
        return np.degrees(angular_separation(*(np.radians(np.ma.filled(each, np.nan)) for each in coordinates)))


def _calculate(function: str, left: Any, right: Any = None) -> Any:
    """Return what an operator or a plain function makes of its operands' values."""
    if function == "COALESCE":
        return np.ma.filled(np.ma.asarray(left), right)
    if function == "ABS":
        return np.ma.abs(left)
    if function in {"NULL", "NOT NULL"}:
        missing = np.ma.getmaskarray(np.ma.asarray(left))
        return missing if function == "NULL" else ~missing
    if function not in {"+", "-", "*", "/"} and _is_text(left) != _is_text(right):
        raise AdqlError(f"cannot compare text with numbers ({function})")
    return _OPERATORS[function](left, right)


def _restrict(frame: _Frame, query: Query) -> None:
    """Keep the rows that meet all conditions, the geometric one first where an index serves it."""
    conditions = list(query.conditions)
    if len(frame.tables) == 2:
        _join(frame, conditions)
    else:
        ((alias, table),) = frame.tables.items()
        frame.rows = {alias: np.arange(len(table))}
        for condition in conditions:
            cone = _constant_cone(frame, table, condition)
            if cone is not None:
                frame.rows = {alias: table.cone(*cone)}
                conditions.remove(condition)
                break
    for condition in conditions:
        frame.keep(np.flatnonzero(frame.truth(condition)))


def _constant_cone(frame: _Frame, table: SkyTable, condition: Expression) -> tuple[float, float, float] | None:
    """Return centre and radius if the condition is a fixed cone about the table's own positions."""
    if not _is(condition, "CONTAINS"):
        return None
    point, circle = condition.operands
    if not (_is(point, "POINT") and _is(circle, "CIRCLE")):
        return None
    x, y = point.operands
    if not (isinstance(x, Name) and isinstance(y, Name)):
        return None
    if (frame.find(x)[1], frame.find(y)[1]) != (table.ra_column, table.dec_column):
        return None
    constants = [frame.values(operand) for operand in (*_position(circle), _radius(circle))]
    return (constants[0], constants[1], constants[2]) if all(isinstance(c, int | float) for c in constants) else None


def _join(frame: _Frame, conditions: list[Expression]) -> None:
    """Pair the rows of two tables that lie within the radius of the one CONTAINS that links them."""
    for condition in conditions:
        if not _is(condition, "CONTAINS"):
            continue
        point, circle = condition.operands
        names = [*_position(point), *_position(circle)]
        if not all(isinstance(name, Name) for name in names):
            continue
        places = [frame.find(name) for name in names if isinstance(name, Name)]
        if places[0][0] == places[2][0]:
            continue
        radius = frame.values(_radius(circle))
        if not isinstance(radius, int | float):
            raise AdqlError("the radius of a join must be a number")
        aliases = [places[0][0], places[2][0]]
        # The tree stands in the larger table, the other one asks.
        big, small = sorted(aliases, key=lambda alias: -len(frame.tables[alias]))
        columns = {places[0][0]: (places[0][1], places[1][1]), places[2][0]: (places[2][1], places[3][1])}
        asking = SkyTable(small, frame.tables[small].table, *columns[small])
        tree = frame.tables[big]
        if (tree.ra_column, tree.dec_column) != columns[big]:
            tree = SkyTable(big, tree.table, *columns[big])
        positions, rows = tree.pairs(asking.ra_deg, asking.dec_deg, float(radius))
        frame.rows = {small: positions, big: rows}
        conditions.remove(condition)
        return
    raise AdqlError("a join needs 1=CONTAINS(POINT(one table), CIRCLE(the other, radius))")


def _project(frame: _Frame, query: Query) -> Found:
    ra_column, dec_column = "", ""
    output = Table()
    grouped = bool(query.group_by) or any(_is_aggregate(item.expression) for item in query.items)
    groups = _groups(frame, query) if grouped else None
    for item in _expanded(frame, query.items):
        expression = item.expression
        if expression is None:
            raise AdqlError("* cannot stand beside groups")
        name = _unique(output, item.alias or _default_name(frame, expression))
        output[name] = _output(frame, expression, groups, query)
        if isinstance(expression, Name):
            alias, column = frame.find(expression)
            table = frame.tables[alias]
            if column == table.ra_column and not (ra_column and _is_upload(query, alias)):
                ra_column = name
            if column == table.dec_column and not (dec_column and _is_upload(query, alias)):
                dec_column = name
    if query.distinct and len(output):
        output = output[~_frame_of(output).duplicated().to_numpy()]
    if query.order_by and len(output):
        output = _ordered(frame, query, output, grouped=grouped or query.distinct)
    if query.top is not None:
        output = output[: query.top]
    return Found(output, ra_column, dec_column)


def _is_upload(query: Query, alias: str) -> bool:
    return any(s.alias.lower() == alias and s.table.lower().startswith("tap_upload.") for s in query.sources)


def _expanded(frame: _Frame, items: list[Item]) -> list[Item]:
    expanded = []
    for item in items:
        if item.expression is not None:
            expanded.append(item)
            continue
        for alias, table in frame.tables.items():
            if item.table.lower() in {"", alias}:
                expanded += [Item(Name(column, True, alias)) for column in table.table.colnames]
    return expanded


def _groups(frame: _Frame, query: Query) -> "pd.Series[Any]":
    if not query.group_by:
        return pd.Series(np.zeros(len(frame), dtype=int))
    keys = pd.DataFrame({str(i): np.ma.filled(frame.values(name)) for i, name in enumerate(query.group_by)})
    numbers: pd.Series[Any] = keys.groupby(list(keys.columns), sort=False).ngroup()
    return numbers


def _output(frame: _Frame, expression: Expression, groups: "pd.Series[Any] | None", query: Query) -> Any:
    if groups is None:
        if isinstance(expression, Name):
            return frame.column(expression)
        values = np.ma.asarray(frame.values(expression))
        column = MaskedColumn(np.ma.array(np.broadcast_to(values, (len(frame),))))
        if _is(expression, "DISTANCE"):
            column.unit = u.deg
        return column
    if _is(expression, "COUNT"):
        return groups.groupby(groups).size().to_numpy(dtype="i8") if query.group_by else np.array([len(frame)], "i8")
    if _is(expression, "MIN") or _is(expression, "MAX"):
        operand: Any = np.ma.filled(np.ma.asarray(frame.values(expression.operands[0]), dtype=float), np.nan)
        by_group = pd.Series(operand).groupby(groups)
        return (by_group.min() if expression.function == "MIN" else by_group.max()).to_numpy()
    if isinstance(expression, Name) and frame.find(expression) in [frame.find(name) for name in query.group_by]:
        return frame.column(expression)[np.flatnonzero(~groups.duplicated().to_numpy())]
    raise AdqlError("beside groups only their own columns, COUNT(*), MIN and MAX can stand")


def _ordered(frame: _Frame, query: Query, output: Table, *, grouped: bool) -> Table:
    order = np.arange(len(output))
    for expression, descending in reversed(query.order_by):
        if isinstance(expression, Name) and not expression.table and expression.column in output.colnames:
            keys = np.ma.asarray(output[expression.column])
        elif grouped:
            raise AdqlError("ORDER BY needs a column of the answer here")
        else:
            keys = np.ma.asarray(frame.values(expression))
        ranks = pd.Series(np.ma.filled(keys)[order]).rank(method="dense", ascending=not descending)
        order = order[np.argsort(ranks.to_numpy(), kind="stable")]
    return output[order]


def _default_name(frame: _Frame, expression: Expression) -> str:
    if isinstance(expression, Name):
        return frame.find(expression)[1]
    return expression.function.lower() if isinstance(expression, Call) and expression.function.isalpha() else "column"


def _unique(table: Table, name: str) -> str:
    candidate, number = name, 1
    while candidate in table.colnames:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _frame_of(table: Table) -> pd.DataFrame:
    return pd.DataFrame({name: np.ma.filled(np.ma.asarray(table[name])) for name in table.colnames})


def _is(expression: Expression | None, function: str) -> TypeGuard[Call]:
    return isinstance(expression, Call) and expression.function == function


def _is_aggregate(expression: Expression | None) -> bool:
    return isinstance(expression, Call) and expression.function in AGGREGATES


def _is_text(values: Any) -> bool:
    return isinstance(values, str) or getattr(getattr(values, "dtype", None), "kind", "") in {"U", "S"}


def _as_points(operands: tuple[Expression, ...]) -> tuple[Expression, Expression]:
    if len(operands) != 4:
        raise AdqlError("DISTANCE wants two points or four numbers")
    return Call("POINT", operands[:2]), Call("POINT", operands[2:])


def _position(geometry: Expression) -> tuple[Expression, Expression]:
    """Return the two coordinates of a POINT or of a CIRCLE's centre, which may itself be a POINT."""
    if not isinstance(geometry, Call) or geometry.function not in {"POINT", "CIRCLE"}:
        raise AdqlError("a POINT or a CIRCLE is due")
    if geometry.function == "CIRCLE" and len(geometry.operands) == 2:
        return _position(geometry.operands[0])
    return geometry.operands[0], geometry.operands[1]


def _radius(circle: Expression) -> Expression:
    if not _is(circle, "CIRCLE"):
        raise AdqlError("a CIRCLE is due")
    return circle.operands[-1]
