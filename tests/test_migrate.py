"""The schema goes up, down and up again, and a database of another version is refused."""

import subprocess
import sys
from importlib.resources import as_file, files

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, text

from vascodb import migrate
from vascodb.db import Database
from vascodb.errors import SchemaVersionError
from vascodb.migrate import initialise, schema_state, sql_files

CATALOG_QUERIES = {
    "relations": """
        SELECT n.nspname, c.relname, c.relkind, obj_description(c.oid, 'pg_class'), pg_get_viewdef(c.oid)
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE {ours} AND c.relkind <> 'i'
    """,
    "columns": """
        SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            col_description(c.oid, a.attnum), pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE {ours} AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraints": """
        SELECT n.nspname, c.conname, c.conrelid::regclass::text, pg_get_constraintdef(c.oid)
        FROM pg_constraint AS c JOIN pg_namespace AS n ON n.oid = c.connamespace WHERE {ours}
    """,
    "indexes": "SELECT schemaname AS nspname, indexname, indexdef FROM pg_indexes AS n WHERE {ours_by_name}",
    "functions": """
        SELECT n.nspname, f.proname, pg_get_functiondef(f.oid), obj_description(f.oid, 'pg_proc')
        FROM pg_proc AS f JOIN pg_namespace AS n ON n.oid = f.pronamespace WHERE {ours}
    """,
    "types": """
        SELECT n.nspname, t.typname, (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum AS e
            WHERE e.enumtypid = t.oid)
        FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace WHERE {ours} AND t.typtype = 'e'
    """,
    "schemas": "SELECT n.nspname, obj_description(n.oid, 'pg_namespace') FROM pg_namespace AS n WHERE {ours}",
}
OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'public') AND n.nspname !~ '^pg_(toast|temp)'"


def catalog(connection: Connection) -> dict[str, set[tuple[object, ...]]]:
    """Everything in the database that is not PostgreSQL's or Q3C's own."""
    by_name = OURS.replace("n.nspname", "n.schemaname")
    return {
        kind: {
            tuple(str(value) for value in row)
            for row in connection.execute(text(query.format(ours=OURS, ours_by_name=by_name)))
        }
        for kind, query in CATALOG_QUERIES.items()
    }


def downgrade(connection: Connection, revision: str = "base") -> None:
    with as_file(files("vascodb.migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder))
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def engine_of(database: Database) -> Engine:
    """The database without the check of its version."""
    return create_engine(database.url.set(drivername="postgresql+psycopg2"))


def catalog_of(database: Database) -> dict[str, set[tuple[object, ...]]]:
    with engine_of(database).connect() as connection:
        return catalog(connection)


def test_up_from_empty_down_leaves_no_trace_and_up_again_is_the_same(blank_database: Database) -> None:
    engine = engine_of(blank_database)
    with engine.begin() as connection:
        before = catalog(connection)
        assert not any(before.values())
        assert schema_state(connection).kind == "empty"
        assert initialise(connection)
        assert schema_state(connection).kind == "current"
        up = catalog(connection)
    assert {"plate", "ref", "vasco", "stage", "sky", "api", "meta", "staging"} == {str(row[0]) for row in up["schemas"]}
    with engine.begin() as connection:
        downgrade(connection)
        assert schema_state(connection).kind == "empty"
        down = catalog(connection)
    # What is left is the table in which Alembic notes that there is nothing.
    assert {row[0] for row in down["schemas"]} == {"meta"}
    assert {row[1] for row in down["relations"]} == {"alembic_version"}
    assert (down["functions"], down["types"]) == (set(), set())
    with engine.begin() as connection:
        assert initialise(connection)
        assert catalog(connection) == up
    engine.dispose()


def test_down_and_up_with_rows_in_the_tables(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(text("INSERT INTO plate.tile VALUES ('tile', 1, 1, 60)"))
    with engine_of(database).begin() as connection:
        downgrade(connection)
        initialise(connection)
        assert connection.scalar(text("SELECT count(*) FROM plate.tile")) == 0


def test_the_sky_index_of_a_catalogue_that_is_there_gets_the_declination(database: Database) -> None:
    definition = text("SELECT indexdef FROM pg_indexes WHERE indexname = 'gaia_dr3_sky'")
    before = catalog_of(database)["indexes"]
    with engine_of(database).begin() as connection:
        downgrade(connection, "0003")
        assert str(connection.scalar(definition)).endswith("ra_j1954, dec_j1954))")
        initialise(connection)
        assert str(connection.scalar(definition)).endswith("dec_j1954), dec_j1954)")
    assert catalog_of(database)["indexes"] == before


def test_initialising_again_changes_nothing(database: Database) -> None:
    before = catalog_of(database)
    assert database.initialise() is False
    assert catalog_of(database) == before


def test_initialising_leaves_rows_alone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.connect() as connection:
        connection.execute(text("INSERT INTO plate.tile VALUES ('tile', 1, 1, 60)"))
    with_changed_file(monkeypatch, "-- nothing but a comment")
    assert database.initialise() is True
    with database.connect() as connection:
        assert connection.scalar(text("SELECT tile_id FROM plate.tile")) == "tile"


def with_changed_file(monkeypatch: pytest.MonkeyPatch, more: str, path: str = "views/api.sql") -> None:
    """A later version of this code, in which one SQL file is different."""
    changed = sql_files()
    changed[path] += more
    monkeypatch.setattr(migrate, "sql_files", lambda: changed)


def test_a_changed_function_makes_the_database_older_until_it_is_initialised(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_changed_file(monkeypatch, "\nCREATE FUNCTION api.answer() RETURNS integer LANGUAGE sql RETURN 42;")
    with pytest.raises(SchemaVersionError, match="vascodb init") as caught, database.connect():
        pass
    assert caught.value.exit_status == 5
    assert database.initialise() is True
    with database.connect() as connection:
        assert connection.scalar(text("SELECT api.answer()")) == 42
    monkeypatch.undo()
    # The earlier version, in turn, takes out what it does not know.
    other = Database(database.settings)
    assert other.initialise() is True
    with other.connect() as connection:
        assert connection.scalar(text("SELECT to_regproc('api.answer')")) is None
    other.close()


def test_a_view_may_change_its_columns(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with_changed_file(
        monkeypatch,
        "DROP VIEW api.match_states; CREATE VIEW api.match_states AS SELECT 1 AS other;"
        "CREATE VIEW api.more AS TABLE api.match_states;",
    )
    assert database.initialise() is True
    monkeypatch.undo()
    assert database.initialise() is True
    with database.connect() as connection:
        assert connection.execute(text("SELECT * FROM api.match_states")).keys() == [
            "extraction_id", "catalog", "matched", "clear", "unknown", "not_covered"
        ]  # fmt: skip


def test_a_file_with_a_mistake_leaves_the_database_as_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = catalog_of(database)
    with_changed_file(monkeypatch, "\nCREATE VIEW api.broken AS SELECT no_such_column FROM plate.plate;")
    with pytest.raises(Exception, match="no_such_column"):
        database.initialise()
    monkeypatch.undo()
    assert catalog_of(database) == before
    assert database.initialise() is False


def test_every_file_is_applied_and_noted_with_its_hash(database: Database) -> None:
    with database.connect() as connection:
        noted = set(connection.scalars(text("SELECT path FROM meta.sql_object")))
    assert noted == set(sql_files()) | {"loaders/catalogs.toml"}
    assert {"functions/10_sky_geometry.sql", "stages/veto.sql", "views/api.sql"} <= noted


@pytest.mark.parametrize(
    ("statement", "kind", "message"),
    [
        ("UPDATE meta.alembic_version SET version_num = '9999'", "newer", "newer than this vascodb knows"),
        ("UPDATE meta.sql_object SET sha256 = 'x' WHERE path = 'views/api.sql'", "older", "run: vascodb init"),
        ("DELETE FROM meta.sql_object WHERE path = 'loaders/catalogs.toml'", "older", "run: vascodb init"),
        ("INSERT INTO meta.sql_object VALUES ('views/unknown.sql', 'x')", "older", "run: vascodb init"),
        ("DELETE FROM meta.alembic_version", "empty", "no vascodb schema yet; run: vascodb init"),
    ],
)
def test_a_database_of_another_version_is_refused(database: Database, statement: str, kind: str, message: str) -> None:
    with engine_of(database).begin() as connection:
        connection.execute(text(statement))
        assert schema_state(connection).kind == kind
    with pytest.raises(SchemaVersionError, match=message) as caught, database.connect():
        pass
    assert caught.value.exit_status == 5
    assert "\n" not in str(caught.value)


def test_a_newer_database_is_not_initialised_either(database: Database) -> None:
    with engine_of(database).begin() as connection:
        connection.execute(text("UPDATE meta.alembic_version SET version_num = '9999'"))
    before = catalog_of(database)
    with pytest.raises(SchemaVersionError, match="install the newer vascodb"):
        database.initialise()
    assert catalog_of(database) == before


def test_a_blank_server_is_refused_but_can_be_initialised(blank_database: Database) -> None:
    with pytest.raises(SchemaVersionError, match="run: vascodb init"), blank_database.connect():
        pass
    assert blank_database.initialise() is True
    with blank_database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM ref.catalog")) >= 2


INITIALISE = """
import sys
from pydantic import SecretStr
from vascodb.db import Database
from vascodb.settings import Settings
database = Database(Settings(url=SecretStr(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
print(database.initialise())
"""


def test_four_processes_initialise_at_once_and_one_does_the_work(blank_database: Database) -> None:
    command_line = [sys.executable, "-c", INITIALISE, blank_database.libpq_url]
    processes = [
        subprocess.Popen(command_line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = [process.communicate(timeout=60) for process in processes]
    assert sorted(outcomes) == [("False\n", "")] * 3 + [("True\n", "")]
    with blank_database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM meta.alembic_version")) == 1
