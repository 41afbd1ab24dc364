"""Runs by name with a ledger, objects on the sky, shapes, plate fits, and imported releases.

Revision ID: 0003
Revises: 0002
"""

from vascodb.migrations.ddl import run_files

revision = "0003"
down_revision = "0002"

_SUBJECTS = ("runs", "objects", "shapes", "plate_fit", "imports", "times")


def upgrade() -> None:
    """Make the tables of each subject."""
    run_files(*(f"0003_{subject}.sql" for subject in _SUBJECTS))


def downgrade() -> None:
    """Take them out again, the last first; functions and views come back with ``vascodb init``."""
    run_files("0003_down.sql", *(f"0003_{subject}_down.sql" for subject in reversed(_SUBJECTS)))
