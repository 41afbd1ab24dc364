-- Extensions, schemas and the types that several tables share.

CREATE EXTENSION IF NOT EXISTS q3c;

CREATE SCHEMA IF NOT EXISTS meta;
CREATE SCHEMA plate;
CREATE SCHEMA ref;
CREATE SCHEMA vasco;
CREATE SCHEMA sky;
CREATE SCHEMA stage;
CREATE SCHEMA api;
CREATE SCHEMA staging;

COMMENT ON SCHEMA meta IS 'Schema version, applied SQL files, fingerprints';
COMMENT ON SCHEMA plate IS 'Plates, tiles, digitised images, astrometric solutions, exposure times';
COMMENT ON SCHEMA ref IS 'Reference catalogues, their sources, look-ups and coverage';
COMMENT ON SCHEMA vasco IS 'Extractions, detections, matches, runs and verdicts';
COMMENT ON SCHEMA sky IS 'Functions on the sphere; all sky access goes through them';
COMMENT ON SCHEMA stage IS 'One function per stage of a profile';
COMMENT ON SCHEMA api IS 'Read-only views for people';
COMMENT ON SCHEMA staging IS 'Unlogged tables of loads in progress; empty when nothing is running';

-- just-in-time compilation costs more than half of a Q3C join, because Q3C's cost estimates are
-- high enough to switch it on every time.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET jit = off', current_database());
END
$$;

CREATE TYPE vasco.look_state AS ENUM ('matched', 'clear', 'unknown', 'not_covered');
COMMENT ON TYPE vasco.look_state IS
    'What is known of a detection in a catalogue: a counterpart; none, where a complete look-up covered '
    'the position; nothing, because a look-up failed; nothing, because nobody looked';

CREATE TYPE vasco.outcome AS ENUM ('pass', 'fail', 'unknown', 'not_covered');
COMMENT ON TYPE vasco.outcome IS 'What a stage says of a detection; only pass lets it become a candidate';

CREATE TABLE meta.sql_object (
    path text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE meta.sql_object IS 'The files of functions and views that are applied in this database';
COMMENT ON COLUMN meta.sql_object.path IS 'File below sql/ [-] {meta.id;meta.file}';
COMMENT ON COLUMN meta.sql_object.sha256 IS 'SHA-256 of the file as applied [-] {meta.checksum}';
COMMENT ON COLUMN meta.sql_object.applied_at IS 'When it was applied [-] {time}';

COMMENT ON TABLE meta.alembic_version IS 'The migration this database is at';
COMMENT ON COLUMN meta.alembic_version.version_num IS 'Revision of the migration [-] {meta.version;meta.main}';
