"""Killed, stopped, side by side or left by its database: partitions are loaded whole or not at all."""

import random
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from commandline import Vascodb
from hatsfiles import (
    scattered,
    split_by_density,
    write_hats,
)
from mixedorders import (
    BOUNDARY,
    GAIA,
    N_ROWS,
    PARTS,
    check_coverage,
    scalar,
)
from sqlalchemy import text

from vascodb.db import Database
from vascodb.errors import ServiceError
from vascodb.loaders.partitioned.load import BulkLoad, load_partitions
from vascodb.loaders.partitioned.partition_load import PartitionLoad


def test_processes_side_by_side_share_the_work(database: Database, hats: Path) -> None:
    loads: list[BulkLoad] = []
    others = [Database(database.settings) for _ in range(3)]
    threads = [threading.Thread(target=lambda d=d: loads.append(load_partitions(d, GAIA, hats))) for d in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for other in others:
        other.close()
    assert sum(load.n_loaded for load in loads) == len(PARTS)
    assert sum(load.rows_in for load in loads) == N_ROWS
    assert all(load.n_wanted == len(PARTS) for load in loads)
    assert scalar(database, "SELECT count(*) FROM ref.lookup") == len(PARTS)
    check_coverage(database, list(PARTS), n=600)


def nothing_is_half_visible(database: Database) -> int:
    """Sources are those of the look-ups on record, and only these cover; returns how many look-ups there are."""
    with database.connect() as connection:
        n_sources = connection.scalar(text("SELECT count(*) FROM ref.gaia_dr3"))
        kept, n = connection.execute(text("SELECT coalesce(sum(rows_kept), 0), count(*) FROM ref.lookup")).one()
    assert n_sources == kept
    return n


def test_who_stops_it_finds_whole_partitions(database: Database, hats: Path) -> None:
    seen: list[PartitionLoad] = []

    def stop(_n_wanted: int, outcome: PartitionLoad) -> None:
        seen.append(outcome)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_partitions(database, GAIA, hats, progress=stop)
    assert 3 <= nothing_is_half_visible(database) < len(PARTS)
    load_partitions(database, GAIA, hats)
    assert nothing_is_half_visible(database) == len(PARTS)


def test_a_database_that_goes_away_is_a_service_error(database: Database, hats: Path) -> None:
    def cut(_n_wanted: int, _outcome: PartitionLoad) -> None:
        with database.autocommit() as connection:
            connection.execute(
                text("""
                    SELECT pg_terminate_backend(pid)
                    FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()
                """)
            )

    with pytest.raises(ServiceError, match="safe to run again"):
        load_partitions(database, GAIA, hats, progress=cut)
    nothing_is_half_visible(database)
    load_partitions(database, GAIA, hats)
    assert nothing_is_half_visible(database) == len(PARTS)


def test_killed_at_random_instants_it_goes_on_with_what_is_missing(vascodb: Vascodb, tmp_path: Path) -> None:
    instants = random.Random(1952)
    parts = split_by_density(scattered(60_000, (150.0, BOUNDARY), 5.0), 4, 1500)
    hats = write_hats(parts, tmp_path / "gaia")
    n_loaded = 0
    with closing(psycopg2.connect(vascodb.url)) as server, server.cursor() as cursor:
        server.autocommit = True

        def state() -> tuple[int, int, int]:
            cursor.execute("""
                SELECT (SELECT count(*) FROM ref.gaia_dr3), coalesce(sum(rows_kept), 0), count(*) FROM ref.lookup
            """)
            return cursor.fetchone()

        for _ in range(5):
            running = vascodb.begin("load-hats", "gaia_dr3", hats)
            while state()[2] == n_loaded:
                time.sleep(0.005)
            time.sleep(instants.uniform(0, 0.1))
            running.kill(signal.SIGKILL)
            assert running.wait().status == -signal.SIGKILL
            n_sources, n_kept, n_now = state()
            assert n_sources == n_kept
            assert n_loaded < n_now < len(parts)
            n_loaded = n_now
        outcome = vascodb.ok("load-hats", "gaia_dr3", hats)
        # The server may have ended the last transactions of the process after that was killed.
        assert f" of {len(parts)} partitions loaded now" in outcome.out
        assert state() == (60_000, 60_000, len(parts))
        cursor.execute("SELECT count(DISTINCT endpoint) FROM ref.lookup WHERE complete")
        assert cursor.fetchone() == (len(parts),)
        cursor.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'staging'::regnamespace")
        assert cursor.fetchone() == (0,)
