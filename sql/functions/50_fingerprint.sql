-- One order-independent hash per table and one for all: equal content, equal hash, on any machine.
--
-- Left out is what says when, where and how hard something was: times, paths, addresses, tries, canaries, what
-- failed, jobs under way. Which of two complete look-ups that overlap is named for a place depends on which came
-- first, so coverage is hashed as the sky it makes up, and the names of look-ups beside states and verdicts are
-- left out; so are reasons, which tell states and values once more in words.
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
        WITH left_out (tables, columns) AS (
            VALUES
                ('.*', '{path,recorded_at,asked_at,extracted_at,started_at,judged_at,code_version,function_sha256,revision}'::text[]),
                ('ref.lookup', '{endpoint,http_status,attempts,seconds,canary_id}'),
                ('vasco.shape_measure', '{failure}'),
                ('ref.coverage|vasco.match|vasco.verdict', '{lookup_id,lookup_complete,reason}')
        ),
        -- Tables of which not all rows count, or not as they are.
        source (tables, rows) AS (
            VALUES
                ('ref.lookup', $q$(
                    SELECT *, CASE WHEN kind IN ('file', 'bulk', 'import') THEN endpoint END AS file_name
                    FROM ref.lookup
                    WHERE complete AND kind <> 'canary'
                )$q$),
                ('ref.coverage', '(SELECT catalog, unnest(range_agg(hpx29)) AS hpx29 FROM ref.coverage GROUP BY catalog)'),
                ('ref.moving_look', '(SELECT * FROM ref.moving_look WHERE complete)'),
                ('ref.moving_object', '(
                    SELECT o.* FROM ref.moving_object AS o JOIN ref.moving_look AS l USING (lookup_id) WHERE l.complete
                )')
        )
        SELECT
            k.name,
            coalesce(max(s.rows), format('%I.%I', k.nspname, k.relname)) AS rows,
            string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attname)
                || CASE WHEN k.name = 'ref.lookup' THEN ', t.file_name' ELSE '' END AS columns
        FROM (
            SELECT c.oid, n.nspname, c.relname, n.nspname || '.' || c.relname AS name
            FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname IN ('plate', 'ref', 'vasco') AND c.relkind IN ('r', 'p')
        ) AS k
        JOIN pg_attribute AS a ON a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN source AS s ON s.tables = k.name
        WHERE k.name NOT IN ('ref.source_template', 'ref.endpoint', 'ref.async_job', 'ref.gap', 'plate.fetch')
        AND NOT EXISTS (SELECT 1 FROM left_out AS o WHERE k.name ~ ('^(' || o.tables || ')$') AND a.attname = ANY (o.columns))
        GROUP BY k.name, k.nspname, k.relname
        ORDER BY k.name
    LOOP
        RETURN QUERY EXECUTE format(
            $query$
                SELECT %L, count(*), md5(count(*)::text || coalesce(sum(hashtextextended(ROW(%s)::text, 0)::numeric), 0)::text)
                FROM %s AS t
            $query$,
            t.name, t.columns, t.rows
        );
    END LOOP;
END
$$;
COMMENT ON FUNCTION meta.fingerprint IS 'Rows and order-independent hash of every table of content';
