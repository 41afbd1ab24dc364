"""Times of plates in the database: solved from what is stored, and stored with the evidence."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from plateimages import cutout_header, image_file
from sqlalchemy import Connection, text

from vascodb.plates.images import read_image
from vascodb.plates.register import record_image, tile_of
from vascodb.plates.times import PlateTimesTotals, solve_plate_times

START = datetime(1952, 3, 5, 7, 30, tzinfo=UTC)


def solution(connection: Connection, plate_id: str = "XE901"):
    return connection.execute(text("SELECT * FROM api.plate_times WHERE plate_id = :p"), {"p": plate_id}).one()


def evidence(connection: Connection, plate_id: str = "XE901"):
    query = text("SELECT * FROM plate.time_evidence WHERE plate_id = :p ORDER BY ordinal")
    return connection.execute(query, {"p": plate_id}).all()


def cdrom(connection: Connection, plate_id: str, start: datetime) -> None:
    connection.execute(
        text("""
            INSERT INTO plate.exposure_time (plate_id, source, reading, start_utc, mid_utc, time_quality, evidence)
            VALUES (:p, 'cdrom', 'literal', :start, :mid, 'single', 'CD-ROM')
        """),
        {"p": plate_id, "start": start, "mid": start + timedelta(minutes=20)},
    )


def test_nothing_stored_is_nothing_solved(connection: Connection) -> None:
    assert solve_plate_times(connection) == PlateTimesTotals(0, 0, 0, 0)


@pytest.mark.parametrize("minute", [0, 5, 23, 24, 36, 59])
@pytest.mark.parametrize("early", [0, 1])
def test_the_true_start_is_found_and_the_middle_is_half_an_exposure_later(
    connection: Connection, add_plate, minute: int, early: int
) -> None:
    start = START.replace(minute=minute)
    add_plate("XE901", start, early=early)
    assert solve_plate_times(connection) == PlateTimesTotals(0, 1, 0, 0)
    row = solution(connection)
    assert (row.start_utc, row.mid_utc, row.day_offset) == (start, start + timedelta(minutes=22.5), early)
    assert row.residual_minutes == pytest.approx(0, abs=0.7)
    assert (row.time_quality, row.uncertainty_minutes) == ("single", 0.5)


def test_every_reading_and_every_witness_is_a_row(connection: Connection, add_plate) -> None:
    add_plate("XE901", START, "E7")
    cdrom(connection, "XE901", START)
    assert solve_plate_times(connection) == PlateTimesTotals(1, 0, 0, 0)
    rows = evidence(connection)
    # Minutes 30 are 50 hundredths, which are no carried surplus: one clock, four days.
    assert [(r.kind, r.day_offset, r.verdict, r.adopted) for r in rows] == [
        ("reading", -1, "against", False), ("reading", 0, "against", False), ("reading", 1, "for", True),
        ("reading", 2, "against", False), ("hour_angle", None, "for", False), ("cdrom", None, "for", False),
        ("label_order", None, "silent", False), ("label_block", None, "silent", False),
    ]  # fmt: skip
    assert rows[1].residual_minutes - rows[2].residual_minutes == pytest.approx(3.94, abs=0.01)
    assert rows[5].residual_minutes == pytest.approx(rows[2].residual_minutes, abs=0.01)


def test_a_time_in_conflict_is_no_time(connection: Connection, add_plate) -> None:
    add_plate("XE901", START)
    cdrom(connection, "XE901", START - timedelta(days=1))
    assert solve_plate_times(connection) == PlateTimesTotals(0, 0, 1, 0)
    row = solution(connection)
    assert (row.start_utc, row.mid_utc, row.uncertainty_minutes) == (None, None, None)
    assert not any(r.adopted for r in evidence(connection))
    assert "contradict each other" in row.evidence


def test_solving_again_replaces_and_a_new_header_changes_what_follows(connection: Connection, add_plate) -> None:
    add_plate("XE901", START)
    for _ in range(2):
        assert solve_plate_times(connection) == PlateTimesTotals(0, 1, 0, 0)
    cdrom(connection, "XE901", START)
    assert solve_plate_times(connection) == PlateTimesTotals(1, 0, 0, 0)
    assert connection.scalar(text("SELECT count(*) FROM plate.exposure_time WHERE reading = 'corrected'")) == 1


def test_neighbours_tell_the_night_of_a_plate_without_an_hour_angle(connection: Connection, add_plate) -> None:
    for n, hour in ((1, 4), (3, 10)):
        add_plate(f"XE90{n}", START.replace(hour=hour), f"E{n}")
    add_plate("XE902", START, "E2", OBSHA=None)
    solve_plate_times(connection)
    assert solution(connection, "XE902").start_utc == START
    assert "E1 (XE901) before it on 1952-03-05 and E3 (XE903) after it" in solution(connection, "XE902").evidence


def test_a_wrong_year_is_found_by_the_labels_alone(connection: Connection, add_plate) -> None:
    """Its hour angle is off by a minute only, and the CD-ROM has the year wrong, too."""
    for n in (1, 2, 4, 5):
        add_plate(f"XE90{n}", START + timedelta(days=n), f"E{n}")
    wrong = START.replace(year=1953) + timedelta(days=3)
    add_plate("XE903", wrong, "E3")
    cdrom(connection, "XE903", wrong)
    solve_plate_times(connection)
    assert solution(connection, "XE903").time_quality == "conflicting"
    assert {solution(connection, f"XE90{n}").time_quality for n in (1, 2, 4, 5)} <= {"single", "agreed"}


def test_a_plate_on_a_cdrom_alone_has_its_time(connection: Connection) -> None:
    cdrom(connection, "XE001", START)
    assert solve_plate_times(connection) == PlateTimesTotals(0, 1, 0, 0)
    row = solution(connection, "XE001")
    assert (row.start_utc, row.mid_utc, row.plate_label) == (START, START + timedelta(minutes=20), None)


def record(connection: Connection, tmp_path: Path, **changes) -> int:
    image = read_image(image_file(tmp_path / "x.fits", cutout_header(**changes)))
    return record_image(connection, image, tile_of(image))


def test_a_plate_known_by_an_image_alone_is_solved_from_its_header(connection, tmp_path: Path, hour_angle) -> None:
    image_id = record(connection, tmp_path, **{"DATE-OBS": "1952-03-04T07:50:00", "OBSHA": hour_angle(START)})
    assert solve_plate_times(connection) == PlateTimesTotals(0, 1, 0, 0)
    assert solution(connection).start_utc == START
    assert evidence(connection)[0].note.startswith(f"image {image_id}: 1952-03-04T07:50:00")


def test_an_image_made_from_a_cdrom_speaks_as_the_cdrom(connection: Connection, add_plate, tmp_path: Path) -> None:
    record(connection, tmp_path, **{"DATE-OBS": "05/03/52", "UT": "07:30:00"})
    assert solve_plate_times(connection) == PlateTimesTotals(0, 1, 0, 0)
    assert solution(connection).start_utc == START
    add_plate("XE901", START)
    assert solve_plate_times(connection) == PlateTimesTotals(1, 0, 0, 0)


def test_an_image_whose_minutes_were_not_carried_tells_the_clock(connection, add_plate, tmp_path: Path) -> None:
    """Without an hour angle 10:00 may be 10:00 or 09:36; an image of the plate writes 09:60."""
    for n in (1, 3):
        add_plate(f"XE90{n}", START, f"E{n}")
    add_plate("XE902", START.replace(hour=10, minute=0), "E2", OBSHA=None)
    solve_plate_times(connection)
    assert solution(connection, "XE902").time_quality == "unknown"
    record(connection, tmp_path, REGION="XE902", PLTLABEL="E2", **{"DATE-OBS": "1952-03-04T09:60:00"})
    solve_plate_times(connection)
    assert solution(connection, "XE902").start_utc == START.replace(hour=9, minute=36)
    assert [r.note for r in evidence(connection, "XE902") if r.kind == "image"] == [
        "an image's header writes 1952-03-04T09:60:00, whose minutes were not carried"
    ]


def test_a_header_without_a_date_is_unknown(connection: Connection, add_plate) -> None:
    add_plate("XE901", START, "E1", **{"DATE-OBS": "unknown"})
    assert solve_plate_times(connection) == PlateTimesTotals(0, 0, 0, 1)
    assert solution(connection).evidence == "no header has a readable date and time"


def test_without_a_length_there_is_a_start_but_no_middle(connection: Connection, add_plate) -> None:
    add_plate("XE901", START, EXPOSURE=None)
    solve_plate_times(connection)
    assert (solution(connection).start_utc, solution(connection).mid_utc) == (START, None)
