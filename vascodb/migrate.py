"""Bring a database to this code's schema, and tell whether it is there."""

import hashlib
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from vascodb.loaders.registry import register_catalogs, registry_text

__all__ = ["SchemaState", "initialise", "schema_state", "sql_files"]

# Schemas that hold nothing but functions and views; they are made anew when a file changes, so that
# a changed signature or column list needs no migration.
_REPEATABLE_SCHEMAS = ("api", "stage")
_REGISTRY_PATH = "loaders/catalogs.toml"
_LOCK_KEY = 1_952_041_101


@dataclass(frozen=True)
class SchemaState:
    """How a database compares with this code.

    Parameters
    ----------
    kind : {'empty', 'current', 'older', 'newer'}
        ``empty``: vascodb was never initialised there.
    found, expected : str or None
        Migration revision of the database, and of this code.
    """

    kind: Literal["empty", "current", "older", "newer"]
    found: str | None
    expected: str


def sql_files() -> dict[str, str]:
    """Content of the repeatable SQL files (functions, stages, views) by path below ``sql/``, in order."""
    root = files("vascodb.sql")
    found: dict[str, str] = {}
    for folder in ("functions", "stages", "views"):
        for entry in sorted(root.joinpath(folder).iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".sql"):
                found[f"{folder}/{entry.name}"] = entry.read_text(encoding="utf-8")
    return found


def schema_state(connection: Connection) -> SchemaState:
    """Compare a database with this code: migrations first, then functions and views."""
    script = _script_directory()
    head = script.get_current_head()
    assert head is not None
    if connection.scalar(text("SELECT to_regclass('meta.alembic_version')")) is None:
        return SchemaState("empty", None, head)
    found = connection.scalar(text("SELECT max(version_num) FROM meta.alembic_version"))
    if found is None:
        return SchemaState("empty", None, head)
    if found != head:
        known = {revision.revision for revision in script.walk_revisions()}
        return SchemaState("older" if found in known else "newer", found, head)
    applied = {path: sha256 for path, sha256 in connection.execute(text("SELECT path, sha256 FROM meta.sql_object"))}
    return SchemaState("current" if applied == _repeatable_hashes() else "older", found, head)


def initialise(connection: Connection, revision: str = "head") -> bool:
    """Migrate to this code's schema, and make functions and views anew where a file changed.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        In a transaction, which the caller commits; processes that do this at once wait for each other.
    revision : str, optional
        Migration to go to.

    Returns
    -------
    bool
        Whether anything was changed.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    if schema_state(connection).kind == "current":
        return False
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS meta"))
    with as_file(files("vascodb.migrations")) as folder:
        command.upgrade(_config(folder, connection), revision)
    _apply_sql_files(connection)
    return True


def _apply_sql_files(connection: Connection) -> None:
    cursor = connection.connection.cursor()
    for schema in _REPEATABLE_SCHEMAS:
        comment = connection.scalar(
            text("SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = :schema"),
            {"schema": schema},
        )
        cursor.execute(f"DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}")
        cursor.execute(f"COMMENT ON SCHEMA {schema} IS %s", (comment,))
    for content in sql_files().values():
        # Without parameters: a percent sign in the file is only a percent sign.
        cursor.execute(content)
    register_catalogs(connection)
    connection.execute(text("DELETE FROM meta.sql_object"))
    connection.execute(
        text("INSERT INTO meta.sql_object (path, sha256) VALUES (:path, :sha256)"),
        [{"path": path, "sha256": sha256} for path, sha256 in _repeatable_hashes().items()],
    )


def _repeatable_hashes() -> dict[str, str]:
    """Hashes of what `vascodb init` applies anew when it changes: SQL files and the catalogue registry."""
    contents = sql_files() | {_REGISTRY_PATH: registry_text()}
    return {path: _sha256(content) for path, content in contents.items()}


def _script_directory() -> ScriptDirectory:
    with as_file(files("vascodb.migrations")) as folder:
        return ScriptDirectory(str(folder))


def _config(folder: Path, connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.attributes["connection"] = connection
    return config


def _sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
