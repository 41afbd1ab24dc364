"""The page on plate times shows what its queries give on the real headers."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from shownqueries import ShownQuery, cells, shown_queries
from sqlalchemy import Connection, text

from vascodb.plates.cdrom_headers import load_cdrom_headers, read_cdrom_headers
from vascodb.plates.headers import load_plates, read_plate_headers
from vascodb.plates.times import solve_plate_times

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "plate-times.md").read_text()
SHOWN = shown_queries(PAGE)


@pytest.fixture(scope="module")
def real(module_database, shared_data: Path) -> Iterator[Connection]:
    with module_database.connect() as connection:
        connection.execute(text("SET LOCAL timezone = 'UTC'"))
        load_plates(connection, read_plate_headers(shared_data / "plates" / "dss1red_headers_932.tar.gz"))
        load_cdrom_headers(connection, read_cdrom_headers(shared_data / "plates" / "dss_cd_headers_hhh.dat"))
        solve_plate_times(connection)
        yield connection
        connection.rollback()


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.name)
def test_a_table_is_what_its_query_gives(shown: ShownQuery, real: Connection) -> None:
    result = real.exec_driver_sql(shown.query.replace("%", "%%"))
    assert list(result.keys()) == shown.header
    given = [["" if v is None else str(v).removesuffix("+00:00") for v in row] for row in result]
    assert given == shown.rows


def test_most_queries_show_their_result() -> None:
    assert len(SHOWN) >= 11


def test_the_bad_records_listed_are_those_in_conflict(real: Connection) -> None:
    listed = PAGE.partition("## Records that are wrong")[2].partition("These are all")[0]
    plates = {name for line in listed.splitlines() if line.startswith("| XE") for name in cells(line)[0].split(", ")}
    found = real.scalars(text("SELECT plate_id FROM api.plate_times WHERE start_utc IS NULL"))
    assert plates == set(found)


@pytest.fixture(scope="module")
def plotter() -> ModuleType:
    pytest.importorskip("matplotlib", reason="needs matplotlib, which draws the figures of the documentation")
    spec = importlib.util.spec_from_file_location("plot_plate_times", DOCS / "plot_plate_times.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_can_be_drawn_and_are_small(plotter: ModuleType, real: Connection, tmp_path: Path) -> None:
    plotter.draw(real, tmp_path)
    drawn = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(drawn) == set(re.findall(r"\]\((plate-times-[\w-]+\.png)\)", PAGE))
    assert all(1_000 < size < 100_000 for size in drawn.values())


def test_the_shipped_figures_are_small() -> None:
    for name in re.findall(r"\]\((plate-times-[\w-]+\.png)\)", PAGE):
        assert (DOCS / name).stat().st_size < 100_000
