"""The sky index of reference catalogues holds the declination too; large ones take about a second per million sources.

Revision ID: 0004
Revises: 0003
"""

from vascodb.migrations.ddl import run_files

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the index of every catalogue anew."""
    run_files("0004_index_sky.sql", "0004_up.sql")


def downgrade() -> None:
    """Make the index without the declination."""
    run_files("0004_index_sky.sql", "0004_down.sql")
