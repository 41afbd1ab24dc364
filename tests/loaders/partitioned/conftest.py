"""The catalogue that most tests of loading load."""

from pathlib import Path

import pytest
from hatsfiles import write_hats
from mixedorders import PARTS


@pytest.fixture
def hats(tmp_path: Path) -> Path:
    """A catalogue of mixed orders across the border of the polar cap."""
    return write_hats(PARTS, tmp_path / "gaia")
