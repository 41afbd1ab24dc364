"""Claims on units of work, held in the database, so that no two processes do the same look-up at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

__all__ = ["claimed"]


@contextmanager
def claimed(connection: Connection, subject: str) -> Iterator[bool]:
    """Try to claim a subject for as long as the context lasts.

    The claim belongs to the connection: a process that is killed loses it with that.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        Outside a transaction, the claimer's own.
    subject : str
        What is claimed.

    Yields
    ------
    bool
        Whether the claim was free; if not, another process or thread holds it.
    """
    key = {"subject": f"look-up {subject}"}
    got = bool(connection.scalar(text("SELECT pg_try_advisory_lock(hashtextextended(:subject, 0))"), key))
    try:
        yield got
    finally:
        if got:
            connection.execute(text("SELECT pg_advisory_unlock(hashtextextended(:subject, 0))"), key)
