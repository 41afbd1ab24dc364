"""The first schema: plates, references, detections, matches, runs and verdicts.

Revision ID: 0001
Revises: nothing
"""

from alembic import op

from vascodb.migrations.ddl import run_files

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the schemas, types and tables."""
    run_files("0001_schemas.sql", "0001_plate.sql", "0001_ref.sql", "0001_vasco.sql")


def downgrade() -> None:
    """Take everything out again but the extension and Alembic's own table."""
    for schema in ("api", "stage", "sky", "staging", "vasco", "ref", "plate"):
        op.execute(f"DROP SCHEMA {schema} CASCADE")
    op.execute("DROP TABLE meta.sql_object")
    op.execute("DROP FUNCTION IF EXISTS meta.fingerprint()")
