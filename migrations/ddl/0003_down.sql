-- Functions and views that may read what goes away.
DROP SCHEMA api CASCADE;
CREATE SCHEMA api;
DROP SCHEMA stage CASCADE;
CREATE SCHEMA stage;
DROP FUNCTION IF EXISTS ref.looks_in_time(bigint, text);
DROP FUNCTION IF EXISTS ref.looks_in_time(bigint, text, text, text);
