-- Reference tables and coverage.

-- Make the table of a registered catalogue.
CREATE OR REPLACE FUNCTION ref.create_source_table(catalog_name text)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('CREATE TABLE IF NOT EXISTS ref.%I (LIKE ref.source_template INCLUDING ALL)', catalog_name);
    EXECUTE format('COMMENT ON TABLE ref.%I IS %L', catalog_name, 'Sources of the reference catalogue ' || catalog_name);
    EXECUTE format('CREATE UNIQUE INDEX IF NOT EXISTS %I ON ref.%I (source_id)', catalog_name || '_source_id', catalog_name);
    -- The declination is there to be compared in the index: most of what a long run along Q3C's curve passes is too
    -- far north or south, and is not looked up in the table.
    EXECUTE format(
        'CREATE INDEX IF NOT EXISTS %I ON ref.%I (q3c_ang2ipix(ra_j1954, dec_j1954), dec_j1954)',
        catalog_name || '_sky', catalog_name
    );
    EXECUTE format(
        'CREATE INDEX IF NOT EXISTS %I ON ref.%I (q3c_ang2ipix(ra_j1954, dec_j1954)) WHERE sky.is_fast(pmra_masyr, pmdec_masyr)',
        catalog_name || '_fast', catalog_name
    );
END
$$;
COMMENT ON FUNCTION ref.create_source_table IS 'Make the source table of a registered catalogue, with its indexes';

-- Add ranges to a catalogue's coverage, keeping it disjoint; what is covered already stays as it is,
-- and what is covered now is no gap.
--
-- A survey has millions of ranges, so only those that overlap the new ones are touched, by index
-- probes: the stored range that begins last before some place is also the one that ends last. Most
-- new ranges meet nothing, so one probe asks for a whole run of them first. All is read before the
-- first row is written; rows of this very statement would lie in the probes' way.
CREATE OR REPLACE FUNCTION ref.add_coverage(catalog_name text, by_lookup_id bigint, ranges int8multirange)
RETURNS bigint
LANGUAGE plpgsql
-- Where statistics are old, the planner takes a big table for a small one.
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    uncovered int8range[];
BEGIN
    WITH new AS MATERIALIZED (
        SELECT r, lower(r) AS low, upper(r) AS high, (row_number() OVER () - 1) / 64 AS run FROM unnest(ranges) AS r
    ),
    busy_run AS MATERIALIZED (
        SELECT n.run
        FROM (SELECT run, min(low) AS low, max(high) AS high FROM new GROUP BY run) AS n
        CROSS JOIN LATERAL (
            SELECT upper(c.hpx29) AS above
            FROM ref.coverage AS c
            WHERE c.catalog = catalog_name AND lower(c.hpx29) < n.high
            ORDER BY lower(c.hpx29) DESC
            LIMIT 1
        ) AS last
        WHERE last.above > n.low
    ),
    known AS MATERIALIZED (
        SELECT n.r, CASE
            WHEN last.above <= n.low THEN '{}'
            WHEN lower(last.hpx29) <= n.low THEN int8multirange(last.hpx29)
            ELSE (
                SELECT range_agg(c.hpx29)
                FROM ref.coverage AS c
                WHERE c.catalog = catalog_name AND lower(c.hpx29) < n.high
                AND lower(c.hpx29) >= coalesce((
                    SELECT lower(b.hpx29)
                    FROM ref.coverage AS b
                    WHERE b.catalog = catalog_name AND lower(b.hpx29) <= n.low
                    ORDER BY lower(b.hpx29) DESC
                    LIMIT 1
                ), n.low)
            )
        END AS ranges
        FROM new AS n
        LEFT JOIN LATERAL (
            SELECT c.hpx29, upper(c.hpx29) AS above
            FROM ref.coverage AS c
            WHERE c.catalog = catalog_name AND lower(c.hpx29) < n.high
            ORDER BY lower(c.hpx29) DESC
            LIMIT 1
        ) AS last ON true
        WHERE n.run IN (SELECT b.run FROM busy_run AS b)
    ),
    piece AS (
        SELECT n.r FROM new AS n WHERE n.run NOT IN (SELECT b.run FROM busy_run AS b)
        UNION ALL
        SELECT p
        FROM known AS k
        CROSS JOIN LATERAL unnest(int8multirange(k.r) - coalesce(k.ranges, '{}')) AS p
    )
    SELECT coalesce(array_agg(p.r), '{}') INTO uncovered FROM piece AS p;

    INSERT INTO ref.coverage (catalog, hpx29, lookup_id)
    SELECT catalog_name, r, by_lookup_id FROM unnest(uncovered) AS r;
    PERFORM ref.clip_gaps(catalog_name, ranges);
    RETURN cardinality(uncovered);
END
$$;
COMMENT ON FUNCTION ref.add_coverage IS 'Add ranges of HEALPix cells of order 29 to a catalogue''s coverage; returns the rows added';
