"""The grammar of the ADQL that loaders write: one cone or one positional join, conditions, grouping.

Anything else raises `AdqlError`, as a real service answers with an error rather than with a guess.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


class AdqlError(ValueError):
    """The query is not in the subset, or names what is not there."""


@dataclass(frozen=True)
class Name:
    """A column, perhaps with the alias of its table; a quoted name is taken literally."""

    column: str
    quoted: bool = False
    table: str = ""


@dataclass(frozen=True)
class Literal:
    """A number or a string."""

    value: float | int | str


@dataclass(frozen=True)
class Call:
    """A function or an operator with its operands."""

    function: str
    operands: tuple["Expression", ...]


Expression = Name | Literal | Call


@dataclass(frozen=True)
class Item:
    """One item of a select list; expression None stands for all columns (of one table)."""

    expression: Expression | None
    alias: str = ""
    table: str = ""


@dataclass(frozen=True)
class Source:
    """A table and the name by which the query calls it."""

    table: str
    alias: str


@dataclass
class Query:
    """A parsed SELECT."""

    items: list[Item]
    sources: list[Source]
    conditions: list[Expression] = field(default_factory=list)
    group_by: list[Name] = field(default_factory=list)
    order_by: list[tuple[Expression, bool]] = field(default_factory=list)
    top: int | None = None
    distinct: bool = False


_TOKEN = re.compile(
    r"""\s*(?:--[^\n]*\n\s*)*(?:
      (?P<quoted>"(?:[^"]|"")*") | (?P<string>'(?:[^']|'')*')
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?) | (?P<word>[A-Za-z_]\w*)
    | (?P<sign><=|>=|<>|!=|[=<>(),.*+/-]) | (?P<end>$))""",
    re.VERBOSE,
)
_RESERVED = {
    "SELECT", "TOP", "DISTINCT", "FROM", "WHERE", "AND", "OR", "NOT", "AS", "JOIN", "ON", "INNER", "LEFT", "RIGHT",
    "FULL", "OUTER", "NATURAL", "CROSS", "USING", "GROUP", "ORDER", "BY", "BETWEEN", "IS", "NULL", "HAVING", "UNION",
    "IN", "LIKE", "ASC", "DESC", "OFFSET",
}  # fmt: skip
AGGREGATES = {"COUNT", "MIN", "MAX"}
_ARITY = {"POINT": (2, 3), "CIRCLE": (2, 4), "CONTAINS": (2, 2), "DISTANCE": (2, 4), "COALESCE": (2, 2), "ABS": (1, 1),
          "MIN": (1, 1), "MAX": (1, 1)}  # fmt: skip


def parse(query: str) -> Query:
    """Return the query's parts.

    Raises
    ------
    AdqlError
        Where the query leaves the subset, with the place.
    """
    return _Parser(query).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        position = 0
        text = text.strip().rstrip(";").rstrip()
        while True:
            match = _TOKEN.match(text, position)
            if match is None:
                raise AdqlError(f"cannot read the query at {text[position : position + 30]!r}")
            kind = match.lastgroup or "end"
            self._tokens.append((kind, match.group(kind)))
            if kind == "end":
                break
            position = match.end()
        self._next = 0

    def query(self) -> Query:
        self._expect("SELECT")
        query = Query([], [])
        query.distinct = self._accept("DISTINCT")
        if self._accept("TOP"):
            query.top = int(self._take("number"))
            query.distinct = query.distinct or self._accept("DISTINCT")
        query.items = self._list(self._item)
        self._expect("FROM")
        query.sources.append(self._source())
        while True:
            if self._accept(","):
                query.sources.append(self._source())
            elif self._word() in {"JOIN", "INNER"}:
                self._accept("INNER")
                self._expect("JOIN")
                query.sources.append(self._source())
                self._expect("ON")
                query.conditions += self._conditions()
            else:
                break
        if self._accept("WHERE"):
            query.conditions += self._conditions()
        if self._accept("GROUP"):
            self._expect("BY")
            query.group_by = [e for e in self._list(self._expression) if isinstance(e, Name)]
        if self._accept("ORDER"):
            self._expect("BY")
            query.order_by = self._list(self._order)
        if self._tokens[self._next][0] != "end":
            raise self._unexpected()
        return query

    def _item(self) -> Item:
        if self._accept("*"):
            return Item(None)
        kind, text = self._tokens[self._next]
        if kind in {"word", "quoted"} and [t for _, t in self._tokens[self._next + 1 : self._next + 3]] == [".", "*"]:
            self._next += 3
            return Item(None, table=_bare(text))
        expression = self._expression()
        if self._accept("AS"):
            return Item(expression, self._identifier()[0])
        if self._peek_identifier():
            return Item(expression, self._identifier()[0])
        return Item(expression)

    def _source(self) -> Source:
        parts = [self._identifier()[0]]
        while self._accept("."):
            parts.append(self._identifier()[0])
        table = ".".join(parts)
        self._accept("AS")
        return Source(table, self._identifier()[0] if self._peek_identifier() else parts[-1])

    def _order(self) -> tuple[Expression, bool]:
        expression = self._expression()
        descending = self._accept("DESC")
        if not descending:
            self._accept("ASC")
        return expression, descending

    def _conditions(self) -> list[Expression]:
        """Return the operands of the outermost AND."""
        condition = self._disjunction()
        return list(_conjuncts(condition))

    def _disjunction(self) -> Expression:
        left = self._conjunction()
        while self._accept("OR"):
            left = Call("OR", (left, self._conjunction()))
        return left

    def _conjunction(self) -> Expression:
        left = self._negation()
        while self._accept("AND"):
            left = Call("AND", (left, self._negation()))
        return left

    def _negation(self) -> Expression:
        if self._accept("NOT"):
            return Call("NOT", (self._negation(),))
        if (
            self._tokens[self._next][1] == "("
        ):  # a condition or an expression in parentheses: try the one, then the other
            start = self._next
            try:
                self._expect("(")
                inner = self._disjunction()
                self._expect(")")
            except AdqlError:
                self._next = start
            else:
                return inner
        return self._comparison()

    def _comparison(self) -> Expression:
        left = self._expression()
        if self._accept("BETWEEN"):
            low = self._expression()
            self._expect("AND")
            return Call("AND", (Call(">=", (left, low)), Call("<=", (left, self._expression()))))
        if self._accept("IS"):
            negated = self._accept("NOT")
            self._expect("NULL")
            return Call("NOT NULL" if negated else "NULL", (left,))
        kind, operator = self._tokens[self._next]
        if kind != "sign" or operator not in {"=", "<", ">", "<=", ">=", "<>", "!="}:
            raise self._unexpected()
        self._next += 1
        right = self._expression()
        for one, other in ((left, right), (right, left)):
            if one == Literal(1) and isinstance(other, Call) and other.function == "CONTAINS" and operator == "=":
                return other
        return Call("<>" if operator == "!=" else operator, (left, right))

    def _expression(self) -> Expression:
        left = self._term()
        while self._tokens[self._next][1] in {"+", "-"}:
            operator = self._advance()
            left = Call(operator, (left, self._term()))
        return left

    def _term(self) -> Expression:
        left = self._factor()
        while self._tokens[self._next] in {("sign", "*"), ("sign", "/")}:
            operator = self._advance()
            left = Call(operator, (left, self._factor()))
        return left

    def _factor(self) -> Expression:
        kind, text = self._tokens[self._next]
        if text in {"+", "-"} and kind == "sign":
            self._next += 1
            operand = self._factor()
            return operand if text == "+" else Call("-", (Literal(0), operand))
        if self._accept("("):
            inner = self._expression()
            self._expect(")")
            return inner
        if kind == "number":
            self._next += 1
            return Literal(int(text) if text.isdigit() else float(text))
        if kind == "string":
            self._next += 1
            return Literal(text[1:-1].replace("''", "'"))
        if kind == "word" and self._tokens[self._next + 1][1] == "(":
            return self._call(text.upper())
        return self._column()

    def _call(self, function: str) -> Expression:
        self._next += 2
        if function == "COUNT":
            self._expect("*")
            self._expect(")")
            return Call("COUNT", ())
        if function not in _ARITY:
            raise AdqlError(f"function {function} is not known to this service")
        operands = self._list(self._expression)
        self._expect(")")
        if function in {"POINT", "CIRCLE"} and isinstance(operands[0], Literal) and isinstance(operands[0].value, str):
            if operands[0].value.upper().split()[:1] not in ([], ["ICRS"]):
                raise AdqlError(f"coordinate system {operands[0].value!r} is not supported")
            operands = operands[1:]
        low, high = _ARITY[function]
        if not low <= len(operands) <= high:
            raise AdqlError(f"{function} has {len(operands)} operands")
        return Call(function, tuple(operands))

    def _column(self) -> Name:
        name, quoted = self._identifier()
        if not self._accept("."):
            return Name(name, quoted)
        column, quoted = self._identifier()
        return Name(column, quoted, name)

    def _identifier(self) -> tuple[str, bool]:
        if not self._peek_identifier():
            raise self._unexpected()
        kind, text = self._tokens[self._next]
        self._next += 1
        return _bare(text), kind == "quoted"

    def _peek_identifier(self) -> bool:
        kind, text = self._tokens[self._next]
        return kind == "quoted" or (kind == "word" and text.upper() not in _RESERVED)

    def _list(self, read: Callable[[], T]) -> list[T]:
        found = [read()]
        while self._accept(","):
            found.append(read())
        return found

    def _word(self) -> str:
        kind, text = self._tokens[self._next]
        return text.upper() if kind == "word" else ""

    def _accept(self, text: str) -> bool:
        kind, token = self._tokens[self._next]
        if kind in {"word", "sign"} and token.upper() == text:
            self._next += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._unexpected(f"; {text} is due")

    def _take(self, kind: str) -> str:
        if self._tokens[self._next][0] != kind:
            raise self._unexpected()
        return self._advance()

    def _advance(self) -> str:
        self._next += 1
        return self._tokens[self._next - 1][1]

    def _unexpected(self, what: str = "") -> AdqlError:
        kind, text = self._tokens[self._next]
        return AdqlError(f"ADQL syntax: unexpected {'end of query' if kind == 'end' else repr(text)}{what}")


def _bare(text: str) -> str:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text


def _conjuncts(condition: Expression) -> list[Expression]:
    if isinstance(condition, Call) and condition.function == "AND":
        return [part for operand in condition.operands for part in _conjuncts(operand)]
    return [condition]
