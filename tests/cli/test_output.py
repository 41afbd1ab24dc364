"""Rows out in every format, with units, descriptions and UCDs, and as SQL that runs in psql."""

import io
import json
import re
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable import parse_single_table
from astropy.table import Table
from commandline import Vascodb, assert_one_line
from pyarrow import parquet

INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?")
FORMATS = ("json", "csv", "ecsv", "votable", "fits", "parquet")
COMMANDS = {
    "candidates": ["candidates", "default"],
    "no candidates": ["candidates", "--tile", "tile_RA1.000_DECp1.000"],
    "status": ["status"],
    "fingerprint": ["status", "--fingerprint"],
    "gaps": ["status", "--gaps"],
    "lookups": ["lookups", "gaia_edr3"],
}


@pytest.fixture(scope="module")
def judged(module_vascodb: Vascodb, small_simulation) -> Vascodb:
    cone = "132.850192,11.800202,0.138deg"
    module_vascodb.ok("load-reference", "gaia_edr3", small_simulation.reference, "--cone", cone)
    module_vascodb.ok("ingest-tile", "--fits", small_simulation.image)
    return module_vascodb


@pytest.fixture(scope="module", params=COMMANDS)
def rows(request, judged) -> tuple[list[str], list[dict], dict[str, tuple[str, str, str]], dict[str, str]]:
    """A command, its rows by psql, and its columns' comments and types by the catalogue of PostgreSQL."""
    name = request.param
    command = COMMANDS[name]
    relation = {
        "status": "api.catalogs", "fingerprint": "api.fingerprint", "gaps": "api.gaps", "lookups": "api.lookups",
    }.get(name, "api.candidates")  # fmt: skip
    comments = judged.sql(f"""
        SELECT attname, (regexp_match(col_description(attrelid, attnum), '(.*) \\[(.*)\\] \\{{(.*)\\}}'))[n]
        FROM pg_attribute, generate_series(1, 3) AS n
        WHERE attrelid = '{relation}'::regclass AND attnum > 0 ORDER BY attname, n
    """)
    described = {c[0][0]: tuple(text for _, text in c) for c in zip(*[iter(comments)] * 3, strict=True)}
    types = dict(judged.sql(f"""
        SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
        WHERE attrelid = '{relation}'::regclass AND attnum > 0
    """))  # fmt: skip
    script = judged.ok(*command, "--sql").out.strip().removesuffix(";")
    settings = "\n".join(line for line in script.splitlines() if line.startswith("\\set"))
    statement = "\n".join(line for line in script.splitlines() if not line.startswith("\\set"))
    answer = judged.run("psql", "-XqAt", stdin=f"{settings}\nSELECT to_json(q) FROM ({statement}) AS q;\n")
    assert answer.status == 0, answer
    return command, [json.loads(line) for line in answer.out.splitlines()], described, types


def instant(written: str) -> datetime | None:
    return datetime.fromisoformat(written) if INSTANT.fullmatch(written) else None


def same(value, expected) -> bool:
    if expected is None:
        return value is None or np.ma.is_masked(value) or value == ""
    if isinstance(expected, bool) or not isinstance(expected, int | float):
        given, wanted = (str(each).replace("+00:00", "") for each in (value, expected))
        # PostgreSQL's JSON leaves out the zeros at the end of a fraction of a second.
        return given == wanted or (bool(INSTANT.fullmatch(wanted)) and instant(given) == instant(wanted))
    if isinstance(expected, int):
        return int(value) == expected
    return (
        float(np.float32(value)) == float(np.float32(expected)) and abs(value - expected) < 1e-6 * abs(expected) + 1e-12
    )


def read(kind: str, content: bytes) -> Table | list[dict]:
    if kind == "json":
        return json.loads(content)
    if kind == "parquet":
        return parquet.read_table(io.BytesIO(content)).to_pylist()
    names = {"csv": "ascii.csv", "ecsv": "ascii.ecsv"}
    return Table.read(
        io.BytesIO(content) if kind in ("votable", "fits") else content.decode(), format=names.get(kind, kind)
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_holds_the_rows_that_the_sql_gives(kind, rows, judged, tmp_path):
    command, expected, _, _ = rows
    piped = judged.ok(*command, "--format", kind)
    path = tmp_path / "rows.out"
    assert judged.ok(*command, "--format", kind, "-o", path).out == ""
    table = read(kind, path.read_bytes())
    assert len(table) == len(expected)
    assert len(read(kind, piped.raw)) == len(expected)
    for row, truth in zip(table, expected, strict=True):
        assert list(row.keys() if isinstance(row, dict) else row.colnames) == list(truth)
        for column, value in truth.items():
            assert same(row[column], value), (column, row[column], value)


@pytest.mark.parametrize("kind", ["ecsv", "votable", "fits", "parquet"])
def test_columns_keep_unit_description_ucd_and_type_even_without_rows(kind, rows, judged):
    command, _, described, types = rows
    content = judged.ok(*command, "--format", kind).raw
    columns = columns_of(kind, content)
    assert columns
    for name, (description, unit, ucd, dtype) in columns.items():
        assert (description, unit or "-", ucd) == described[name]
        assert dtype in DTYPES.get(types[name], "SUO"), (name, dtype, types[name])


DTYPES = {"double precision": "f", "real": "f", "bigint": "i", "integer": "i", "smallint": "i", "boolean": "b"}


def columns_of(kind: str, content: bytes) -> dict[str, tuple[str, str, str, str]]:
    if kind == "parquet":
        schema = parquet.read_schema(io.BytesIO(content))
        kinds = {pa.types.is_floating: "f", pa.types.is_integer: "i", pa.types.is_string: "U",
                 pa.types.is_boolean: "b"}  # fmt: skip
        found = {}
        for field in schema:
            meta = {key.decode(): value.decode() for key, value in field.metadata.items()}
            dtype = next(letter for check, letter in kinds.items() if check(field.type))
            found[field.name] = (meta["description"], meta["unit"], meta["ucd"], dtype)
        return found
    if kind == "votable":
        fields = parse_single_table(io.BytesIO(content)).fields
        letters = {"double": "f", "float": "f", "long": "i", "int": "i", "unicodeChar": "U", "char": "U",
                   "bit": "b"}  # fmt: skip
        return {
            f.name: (" ".join(f.description.split()), str(f.unit or ""), f.ucd, letters[f.datatype]) for f in fields
        }
    table = read(kind, content)
    return {c: (table[c].description, str(table[c].unit or ""), table[c].meta["ucd"], table[c].dtype.kind)
            for c in table.colnames}  # fmt: skip


def test_a_table_for_people_has_a_line_per_row(rows, judged):
    command, expected, _, _ = rows
    lines = judged.ok(*command).out.splitlines()
    if command == ["status"]:
        # People see in one line which catalogues nothing is known of.
        silent = lines.pop()
        assert silent.startswith("nothing yet of ")
        known = [row for row in expected if row["catalog"] not in silent]
        assert {row["catalog"] for row in known} == {row["catalog"] for row in expected if row["sources"]}
        expected = known
    assert len(lines) == len(expected) + 1
    if expected:
        shown, whole = lines[0].split(), list(expected[0])
        # Views of the evidence are too wide for people; what they see is a part of it.
        assert set(shown) <= set(whole) if command[0] in ("status", "lookups") else shown == whole


def test_ids_of_64_bits_stay_exact(judged):
    [[src_id, source_id]] = judged.sql("""
        SELECT d.src_id, m.source_id FROM vasco.match AS m JOIN api.detections AS d USING (extraction_id, number)
        WHERE m.source_id IS NOT NULL ORDER BY m.source_id DESC LIMIT 1
    """)
    [story] = judged.ok("explain", src_id, "--format", "json").value
    assert source_id in {str(source["source_id"]) for source in story["sources"]}
    assert source_id in judged.ok("explain", src_id).out


def test_sql_quotes_what_the_user_typed(judged):
    name = "a' b\\ \"c; DROP TABLE x"
    script = judged.ok("candidates", "--tile", name, "--sql").out
    answer = judged.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", stdin=script + "\\echo :tile\n")
    assert (answer.status, answer.out.strip(), answer.err) == (0, name, "")


def test_an_unknown_run_is_told_with_those_there_are(judged):
    assert_one_line(judged.run("candidates", "vasco61"), "no run 'vasco61'", "default")


@pytest.mark.parametrize(
    "src_id", ["x", "tile_RA1.000_DECp1.000:", "tile_RA1.000_DECp1.000:7", ":1", "a:-1", "a:99999999999"]
)
def test_an_unknown_detection_is_told(src_id, judged):
    assert_one_line(judged.run("explain", src_id), src_id)


def test_a_file_that_cannot_be_written_is_told(judged, tmp_path):
    assert_one_line(
        judged.run("candidates", "-o", tmp_path / "no" / "file.csv", "--format", "csv"), "cannot be written"
    )
    assert_one_line(judged.run("candidates", "-o", tmp_path, "--format", "fits"), "cannot be written")


def test_a_reader_that_goes_away_is_no_error(judged):
    program = judged.start("status", "--fingerprint")
    program.stdout.close()
    assert program.wait(timeout=60) == 0
    assert program.stderr.read() == ""
