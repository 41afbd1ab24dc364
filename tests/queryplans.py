"""Query plans of statements and of the functions they call, with the rows that they handled."""

import json
from collections.abc import Iterator
from typing import Any

from toysky import ToySky

KNOWN = ("just written", "analysed", "stale statistics", "more indexes")
"""What the planner knows of tables: nothing, all, how they were with a row or two, or all with indexes that mislead."""


class Notices:
    """All notices of a connection; in a list psycopg2 keeps no more than 50."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def append(self, text: str) -> None:
        self.texts.append(text)


def plans(toy: ToySky, statement: str) -> list[dict[str, Any]]:
    """Plans of a statement and of all statements in the functions it calls, with what they did."""
    raw = toy.connection.connection.dbapi_connection
    raw.notices = notices = Notices()  # type: ignore[union-attr]
    with raw.cursor() as cursor:  # type: ignore[union-attr]
        cursor.execute("""
            LOAD 'auto_explain'; SET LOCAL auto_explain.log_min_duration = 0; SET LOCAL auto_explain.log_analyze = on;
            SET LOCAL auto_explain.log_timing = off; SET LOCAL auto_explain.log_format = json;
            SET LOCAL auto_explain.log_nested_statements = on; SET LOCAL client_min_messages = log
        """)
        cursor.execute(statement)
        cursor.execute("SET LOCAL client_min_messages = notice; SET LOCAL auto_explain.log_min_duration = -1")
    found = [json.loads(notice.partition("plan:\n")[2])["Plan"] for notice in notices.texts if "plan:\n" in notice]
    assert found
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def work(plan: dict[str, Any]) -> float:
    """Rows that all nodes of a plan put out or threw away."""
    discarded = ("Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck")
    return sum(n["Actual Loops"] * (n["Actual Rows"] + sum(n.get(d, 0) for d in discarded)) for n in nodes(plan))


def assert_work(toy: ToySky, statement: str, most: float) -> list[dict[str, Any]]:
    """Run a statement; all its plans together handle fewer rows than that."""
    found = plans(toy, statement)
    heaviest = max(found, key=work)
    tree = [(n["Node Type"], n.get("Relation Name"), n.get("Index Name"), n["Actual Rows"], n["Actual Loops"])
            for n in nodes(heaviest)]  # fmt: skip
    assert sum(map(work, found)) < most, (statement, tree)
    return found


def analyse(toy: ToySky, *tables: str) -> None:
    """Let the planner know tables as they are now."""
    for table in tables:
        toy.execute(f"ANALYZE {table}")


def add_indexes(toy: ToySky, **columns: str) -> None:
    """Add indexes by single columns to tables, ``schema__table="column column"``."""
    for table, names in columns.items():
        for name in names.split():
            toy.execute(f"CREATE INDEX ON {table.replace('__', '.')} ({name})")


def assert_index_searches(found: list[dict[str, Any]], table: str, index: str) -> None:
    """The table is only ever reached by its indexes, among them that one."""
    scans = [n for plan in found for n in nodes(plan) if n.get("Relation Name") == table]
    assert scans
    assert {n["Node Type"] for n in scans} <= {"Bitmap Heap Scan", "Index Scan", "Index Only Scan"}
    assert index in {n.get("Index Name") for plan in found for n in nodes(plan)}
