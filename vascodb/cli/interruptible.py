"""Waiting for the database in such a way that Ctrl-C is heeded at once."""

import select

import psycopg2.extensions as pg

__all__ = ["wait_interruptibly"]


def wait_interruptibly() -> None:
    """Let Ctrl-C cancel the statement at work; without this, Python hears of it when the statement ends.

    This is for the whole process, so it is for programs and not for a library.
    """
    pg.set_wait_callback(_wait)


def _wait(connection: pg.connection) -> None:
    try:
        while (state := connection.poll()) != pg.POLL_OK:
            if state == pg.POLL_READ:
                select.select([connection], [], [])
            else:
                select.select([], [connection], [])
    except KeyboardInterrupt:
        if not connection.closed:
            connection.cancel()
        raise
