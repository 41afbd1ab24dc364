"""The page on plate times shows what its queries give on the real headers."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import Connection, text

from vascodb.plates.cdrom_headers import load_cdrom_headers, read_cdrom_headers
from vascodb.plates.headers import load_plates, read_plate_headers
from vascodb.plates.times import solve_plate_times

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "plate-times.md").read_text()
# A query and the table that follows it.
SHOWN = re.findall(r"```sql\n((?:(?!```).)*)```\n\n((?:\|[^\n]*\n)+)", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def real(module_database, shared_data: Path) -> Iterator[Connection]:
    with module_database.connect() as connection:
        connection.execute(text("SET LOCAL timezone = 'UTC'"))
        load_plates(connection, read_plate_headers(shared_data / "plates" / "dss1red_headers_932.tar.gz"))
        load_cdrom_headers(connection, read_cdrom_headers(shared_data / "plates" / "dss_cd_headers_hhh.dat"))
        solve_plate_times(connection)
        yield connection
        connection.rollback()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


@pytest.mark.parametrize(("query", "table"), SHOWN, ids=[cells(t.splitlines()[0])[-1] for _, t in SHOWN])
def test_a_table_is_what_its_query_gives(query: str, table: str, real: Connection) -> None:
    result = real.exec_driver_sql(query.replace("%", "%%"))
    header, _, *rows = map(cells, table.splitlines())
    assert list(result.keys()) == header
    given = [["" if v is None else str(v).removesuffix("+00:00") for v in row] for row in result]
    assert given == rows


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
