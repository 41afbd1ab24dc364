"""The 932 headers of the archive and the 765 of the CD-ROMs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from vascodb.plates.cdrom_headers import load_cdrom_headers, read_cdrom_headers
from vascodb.plates.headers import load_plates, read_plate_headers
from vascodb.plates.times import PlateTimesTotals, solve_plate_times

ARCHIVE = "SELECT count(*) FROM api.plate_times WHERE plate_label IS NOT NULL AND time_quality = :quality"


@pytest.fixture(scope="module")
def plates(module_database, shared_data: Path) -> Iterator[Connection]:
    with module_database.connect() as connection:
        load_plates(connection, read_plate_headers(shared_data / "plates" / "dss1red_headers_932.tar.gz"))
        load_cdrom_headers(connection, read_cdrom_headers(shared_data / "plates" / "dss_cd_headers_hhh.dat"))
        solve_plate_times(connection)
        yield connection
        connection.rollback()


def quality(plates: Connection, plate_id: str) -> str:
    return plates.scalar(text("SELECT time_quality FROM api.plate_times WHERE plate_id = :p"), {"p": plate_id})


def test_nearly_all_plates_have_a_time(plates: Connection) -> None:
    found = {q: plates.scalar(text(ARCHIVE), {"quality": q}) for q in ("agreed", "single", "conflicting", "unknown")}
    assert found == {"agreed": 874, "single": 30, "conflicting": 28, "unknown": 0}


@pytest.mark.parametrize("plate_id", ["XE217", "XE864", "XE603", "XE666", "XE730", "XE128", "XE098", "XE498", "XE787"])
def test_bad_records_are_in_conflict(plates: Connection, plate_id: str) -> None:
    assert quality(plates, plate_id) == "conflicting"


@pytest.mark.parametrize(
    ("plate_id", "start"),
    [
        ("XE486", datetime(1951, 11, 29, 12, 7, tzinfo=UTC)),
        ("XE582", datetime(1951, 8, 10, 9, 36, tzinfo=UTC)),
        # The hour angle is wrong, or the date on the CD-ROM.
        ("XE587", datetime(1954, 10, 31, 6, 29, tzinfo=UTC)),
        ("XE114", datetime(1954, 10, 4, 10, 6, tzinfo=UTC)),
    ],
)
def test_known_times(plates: Connection, plate_id: str, start: datetime) -> None:
    assert plates.scalar(text("SELECT plate.time_of(:p, 'corrected', 'start')"), {"p": plate_id}) == start


def test_without_the_cdroms_the_same_times_are_found(plates: Connection) -> None:
    """Blind: what the headers, hour angles and labels give, against the CD-ROMs that were not looked at."""
    with plates.begin_nested() as savepoint:
        plates.execute(
            text("CREATE TEMP TABLE seen ON COMMIT DROP AS SELECT * FROM plate.exposure_time WHERE source = 'cdrom'")
        )
        plates.execute(text("DELETE FROM plate.exposure_time WHERE source = 'cdrom'"))
        assert solve_plate_times(plates) == PlateTimesTotals(849, 54, 27, 2)
        compared = plates.execute(
            text("""
                SELECT count(*), count(*) FILTER (WHERE s.start_utc = t.start_utc)
                FROM seen AS s JOIN api.plate_times AS t USING (plate_id)
                WHERE s.reading = 'literal' AND t.time_quality = 'agreed'
            """)
        ).one()
        savepoint.rollback()
    # Of the nine others six are whole hours, in which the CD-ROM is wrong, and two are of the first nights.
    assert tuple(compared) == (704, 695)
