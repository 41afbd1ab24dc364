"""plate.time_of, and what the tables of times refuse."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

START, MID = datetime(1951, 11, 29, 12, 7, tzinfo=UTC), datetime(1951, 11, 29, 12, 32, tzinfo=UTC)
OTHER = datetime(1951, 11, 28, 12, 12, tzinfo=UTC)


def add(connection: Connection, source: str, reading: str, start, mid, quality: str = "single", plate: str = "XE1"):
    connection.execute(
        text("""
            INSERT INTO plate.exposure_time (
                plate_id, source, reading, start_utc, mid_utc, time_quality, evidence, uncertainty_minutes
            )
            VALUES (:plate, :source, :reading, :start, :mid, :quality, 'why', :uncertainty)
        """),
        {
            "plate": plate, "source": source, "reading": reading, "start": start, "mid": mid, "quality": quality,
            "uncertainty": 0.5 if reading == "corrected" and start else None,
        },
    )  # fmt: skip


def time_of(connection: Connection, *arguments: object) -> datetime | None:
    names = ", ".join(f":a{i}" for i in range(len(arguments)))
    return connection.scalar(text(f"SELECT plate.time_of({names})"), {f"a{i}": a for i, a in enumerate(arguments)})


def test_each_reading_has_its_start_and_middle(connection: Connection) -> None:
    add(connection, "plate header", "literal", OTHER, None)
    add(connection, "plate header", "decimal_hours", MID, START)
    add(connection, "solution", "corrected", START, MID, "agreed")
    assert time_of(connection, "XE1", "literal", "start") == OTHER
    assert time_of(connection, "XE1", "literal", "mid") is None
    assert time_of(connection, "XE1", "decimal_hours", "start") == MID
    assert time_of(connection, "XE1", "corrected", "start") == START
    assert time_of(connection, "XE1") == MID
    assert time_of(connection, "XE2") is None


@pytest.mark.parametrize("quality", ["conflicting", "unknown"])
def test_a_time_in_doubt_is_none_whatever_the_header_says(connection: Connection, quality: str) -> None:
    add(connection, "plate header", "literal", OTHER, OTHER, "conflicting")
    add(connection, "solution", "corrected", None, None, quality)
    assert time_of(connection, "XE1", "corrected", "start") is None
    assert time_of(connection, "XE1", "literal", "start") == OTHER


def test_what_is_neither_a_reading_nor_an_instant_is_none(connection: Connection) -> None:
    add(connection, "solution", "corrected", START, MID)
    assert time_of(connection, "XE1", "guessed", "start") is None
    assert time_of(connection, "XE1", "corrected", "end") is None


def test_the_header_of_the_plate_comes_before_those_of_images_and_the_cdrom_never(connection: Connection) -> None:
    add(connection, "cdrom", "literal", START, MID)
    assert time_of(connection, "XE1", "literal", "start") is None
    add(connection, "image 7", "literal", MID, MID)
    assert time_of(connection, "XE1", "literal", "start") == MID
    add(connection, "plate header", "literal", OTHER, OTHER)
    assert time_of(connection, "XE1", "literal", "start") == OTHER


def test_an_image_has_its_own_header_first_and_its_plates_corrected_time(toy) -> None:
    image_id = toy.extraction()
    plate_id = toy.scalar("SELECT plate_id FROM plate.image")
    add(toy.connection, "plate header", "literal", OTHER, OTHER, plate=plate_id)
    assert time_of(toy.connection, image_id, "literal", "start") == OTHER
    image_id = toy.scalar("SELECT image_id FROM plate.image")
    add(toy.connection, f"image {image_id}", "literal", START, MID, plate=plate_id)
    add(toy.connection, "solution", "corrected", MID, None, plate=plate_id)
    assert time_of(toy.connection, image_id, "literal", "start") == START
    assert time_of(toy.connection, image_id, "corrected", "start") == MID
    assert time_of(toy.connection, image_id + 1, "corrected", "start") is None


def refused(connection: Connection, *row: object) -> None:
    with pytest.raises(IntegrityError, match="check constraint"), connection.begin_nested():
        add(connection, *row)


@pytest.mark.parametrize("quality", ["conflicting", "unknown"])
def test_a_corrected_time_in_doubt_cannot_be_stored_with_a_start(connection: Connection, quality: str) -> None:
    refused(connection, "solution", "corrected", START, None, quality)


@pytest.mark.parametrize("quality", ["agreed", "single"])
def test_a_sure_time_cannot_be_stored_without_one(connection: Connection, quality: str) -> None:
    refused(connection, "solution", "corrected", None, None, quality)


def test_there_is_no_middle_without_a_start(connection: Connection) -> None:
    refused(connection, "solution", "corrected", None, MID, "unknown")
    refused(connection, "plate header", "literal", None, MID, "unknown")
