-- The sky index of every catalogue anew, of some columns.
CREATE FUNCTION pg_temp.index_sky(columns text)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    known text;
BEGIN
    FOR known IN SELECT c.catalog FROM ref.catalog AS c ORDER BY c.catalog LOOP
        EXECUTE format('DROP INDEX IF EXISTS ref.%I', known || '_sky');
        EXECUTE format('CREATE INDEX %I ON ref.%I (%s)', known || '_sky', known, columns);
    END LOOP;
END
$$;
