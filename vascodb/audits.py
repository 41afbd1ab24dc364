"""Audits: questions to the database whose answer must be nothing, one SQL file each in ``sql/audits``."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sqlalchemy import Connection, text

__all__ = ["Audit", "audits", "count_rows"]


@dataclass(frozen=True)
class Audit:
    """One audit.

    Parameters
    ----------
    name : str
        Name of its file.
    finds : str
        What its rows are: the comment on top of the file.
    statement : str
        The whole file, as psql runs it.
    """

    name: str
    finds: str
    statement: str

    @property
    def query(self) -> str:
        """The SELECT alone, without comment and semicolon, to be put into another."""
        lines = [line for line in self.statement.splitlines() if not line.lstrip().startswith("--")]
        return "\n".join(lines).strip().removesuffix(";")


@cache
def audits() -> Mapping[str, Audit]:
    """All audits by name."""
    found = {}
    for entry in sorted(files("vascodb.sql").joinpath("audits").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".sql"):
            statement = entry.read_text(encoding="utf-8")
            comment = []
            for line in statement.splitlines():
                if not line.startswith("--"):
                    break
                comment.append(line.removeprefix("--").strip())
            name = entry.name.removesuffix(".sql")
            found[name] = Audit(name, " ".join(comment), statement)
    return found


def count_rows(connection: Connection, audit: Audit) -> int:
    """Number of rows that an audit finds."""
    return int(connection.scalar(text(f"SELECT count(*) FROM ({audit.query}) AS found")) or 0)
