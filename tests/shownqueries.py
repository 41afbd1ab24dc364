"""Queries that a page of the documentation shows, each with the table of what it gives."""

import re
from dataclasses import dataclass

_SHOWN = re.compile(r"```sql\n((?:(?!```).)*)```\n\n((?:\|[^\n]*\n)+)", re.DOTALL)


@dataclass(frozen=True)
class ShownQuery:
    """A query and the table that follows it."""

    query: str
    header: list[str]
    rows: list[list[str]]

    @property
    def name(self) -> str:
        """Its last column, which no other query of its page has."""
        return self.header[-1]


def cells(line: str) -> list[str]:
    """Cells of a line of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def shown_queries(page: str) -> list[ShownQuery]:
    """The queries of a page that are followed by their result, in order."""
    found = []
    for query, table in _SHOWN.findall(page):
        header, _, *rows = map(cells, table.splitlines())
        found.append(ShownQuery(query, header, rows))
    return found
