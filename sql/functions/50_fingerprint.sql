-- One order-independent hash per table and one for all: equal content, equal hash, on any machine.
-- Left out are the columns that say when and where something happened, and the tables that
-- describe the database itself.
CREATE OR REPLACE FUNCTION meta.fingerprint()
RETURNS TABLE (table_name text, n_rows bigint, fingerprint text)
LANGUAGE plpgsql STABLE
-- The hash is of the rows as text, which must not depend on the session that asks.
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET extra_float_digits = 1
AS $$
DECLARE
    t record;
BEGIN
    FOR t IN
        SELECT n.nspname, c.relname, string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attname) AS columns
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE n.nspname IN ('plate', 'ref', 'vasco') AND c.relkind IN ('r', 'p')
        AND c.relname <> 'source_template'
        AND a.attname NOT IN ('path', 'recorded_at', 'asked_at', 'extracted_at', 'started_at', 'code_version')
        GROUP BY n.nspname, c.relname
        ORDER BY n.nspname, c.relname
    LOOP
        RETURN QUERY EXECUTE format(
            $query$
                SELECT %L, count(*), md5(count(*)::text || coalesce(sum(hashtextextended(ROW(%s)::text, 0)::numeric), 0)::text)
                FROM %I.%I AS t
            $query$,
            t.nspname || '.' || t.relname, t.columns, t.nspname, t.relname
        );
    END LOOP;
END
$$;
COMMENT ON FUNCTION meta.fingerprint IS 'Rows and order-independent hash of every table of content';
