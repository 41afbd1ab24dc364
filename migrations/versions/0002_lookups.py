"""Look-ups of outside services: evidence, gaps, footprints, moving objects, jobs, fetched images.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

from vascodb.migrations.ddl import run_files

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Widen ``ref.lookup`` and make the tables of what services answered."""
    run_files("0002_lookups.sql")


def downgrade() -> None:
    """Take the tables and columns out again; look-ups of services go with them."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute("""
        DROP SCHEMA api CASCADE;
        CREATE SCHEMA api;
        DROP SCHEMA stage CASCADE;
        CREATE SCHEMA stage;
        DROP TABLE plate.fetch, ref.async_job, ref.endpoint, ref.moving_object, ref.moving_look, ref.gap, ref.footprint;
        DELETE FROM vasco.verdict AS v USING ref.lookup AS l WHERE l.lookup_id = v.lookup_id AND l.kind <> 'file';
        DELETE FROM vasco.match AS m USING ref.lookup AS l WHERE l.lookup_id = m.lookup_id AND l.kind <> 'file';
        DELETE FROM ref.coverage AS c USING ref.lookup AS l WHERE l.lookup_id = c.lookup_id AND l.kind <> 'file';
        UPDATE ref.lookup SET canary_id = NULL;
        DELETE FROM ref.lookup WHERE kind <> 'file';
        ALTER TABLE ref.catalog DROP COLUMN footprint, DROP COLUMN moving;
        DROP INDEX ref.lookup_region, ref.lookup_asked;
        ALTER TABLE ref.lookup
            DROP CONSTRAINT lookup_kind_check, DROP CONSTRAINT lookup_status_check,
            DROP CONSTRAINT lookup_failure_check, DROP CONSTRAINT lookup_canary_check,
            DROP CONSTRAINT lookup_service_check,
            DROP COLUMN service, DROP COLUMN cause, DROP COLUMN http_status, DROP COLUMN response_bytes,
            DROP COLUMN attempts, DROP COLUMN seconds, DROP COLUMN canary_id,
            ADD CONSTRAINT lookup_kind_check CHECK (kind IN ('file')),
            ADD CONSTRAINT lookup_status_check CHECK (status IN ('ok', 'failed')),
            ADD CONSTRAINT lookup_check CHECK (status = 'ok' OR error IS NOT NULL);
    """)
