"""The hand-written DDL files of the migrations."""

from pathlib import Path

from alembic import op

__all__ = ["run_files"]

DDL_DIR = Path(__file__).parent / "ddl"


def run_files(*names: str) -> None:
    """Run DDL files, in order, on the migration's connection.

    They go to the driver without parameters, because a percent sign in them is only a percent sign.
    """
    cursor = op.get_bind().connection.cursor()
    for name in names:
        cursor.execute((DDL_DIR / name).read_text(encoding="utf-8"))
