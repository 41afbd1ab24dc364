"""Plates with dates of one's own choice."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from plateimages import plate_header

from vascodb.db import Database
from vascodb.plates.headers import load_plates, read_plate_headers


@pytest.fixture
def add_plate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Database, str, str], None]:
    """Load the header of a plate: database, REGION, DATE-OBS."""

    def add(database: Database, region: str, date_obs: str) -> None:
        folder: Path = tmp_path_factory.mktemp("plate")
        header = plate_header(REGION=region, **{"DATE-OBS": date_obs})
        (folder / "plate.json").write_text(json.dumps({"meta": {}, "header": header}))
        with database.connect() as connection:
            load_plates(connection, read_plate_headers(folder))

    return add
