-- Gaps: sky where a look-up failed and none has covered since. Disjoint per catalogue, and disjoint from
-- its coverage.

-- Overlapping gaps are found by index probes, so that the time depends on the ranges given, not on those stored.
CREATE OR REPLACE FUNCTION ref.gaps_overlapping(catalog_name text, ranges int8multirange)
RETURNS TABLE (place tid, hpx29 int8range, lookup_id bigint, hit int8multirange)
LANGUAGE sql STABLE
AS $$
    SELECT o.place, o.hpx29, o.lookup_id, range_agg(r)
    FROM unnest(ranges) AS r
    CROSS JOIN LATERAL (
        (
            SELECT n.ctid AS place, n.hpx29, n.lookup_id
            FROM ref.gap AS n
            WHERE n.catalog = catalog_name AND lower(n.hpx29) > lower(r) AND lower(n.hpx29) < upper(r)
            OFFSET 0
        )
        UNION ALL
        SELECT p.place, p.hpx29, p.lookup_id
        FROM (
            SELECT n.ctid AS place, n.hpx29, n.lookup_id
            FROM ref.gap AS n
            WHERE n.catalog = catalog_name AND lower(n.hpx29) <= lower(r)
            ORDER BY lower(n.hpx29) DESC
            LIMIT 1
        ) AS p
        WHERE upper(p.hpx29) > lower(r)
    ) AS o
    GROUP BY o.place, o.hpx29, o.lookup_id
$$;
COMMENT ON FUNCTION ref.gaps_overlapping IS 'Gaps of a catalogue that overlap given ranges, and the ranges they overlap';

CREATE OR REPLACE FUNCTION ref.clip_gaps(catalog_name text, ranges int8multirange)
RETURNS bigint
LANGUAGE plpgsql
-- Where statistics are old, the planner takes a big table for a small one.
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    places tid[];
    left_over int8range[];
    lookup_ids bigint[];
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ref.gap AS g WHERE g.catalog = catalog_name) THEN
        RETURN 0;
    END IF;
    WITH touched AS MATERIALIZED (
        SELECT o.* FROM ref.gaps_overlapping(catalog_name, ranges) AS o
    ),
    piece AS (
        SELECT unnest(int8multirange(t.hpx29) - t.hit) AS hpx29, t.lookup_id FROM touched AS t
    )
    SELECT ARRAY(SELECT t.place FROM touched AS t), array_agg(p.hpx29), array_agg(p.lookup_id)
    INTO places, left_over, lookup_ids
    FROM piece AS p;

    DELETE FROM ref.gap AS g WHERE g.ctid = ANY (places);
    INSERT INTO ref.gap (catalog, hpx29, lookup_id)
    SELECT catalog_name, p.hpx29, p.lookup_id FROM unnest(left_over, lookup_ids) AS p (hpx29, lookup_id);
    RETURN coalesce(cardinality(places), 0);
END
$$;
COMMENT ON FUNCTION ref.clip_gaps IS 'Take ranges of HEALPix cells of order 29 out of a catalogue''s gaps; returns how many gaps they touched';

-- The newest failure stands for the ranges it failed for; what is covered is no gap.
CREATE OR REPLACE FUNCTION ref.add_gap(catalog_name text, by_lookup_id bigint, ranges int8multirange)
RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    uncovered int8multirange;
    n_added bigint;
BEGIN
    -- Coverage is added under this lock as well: what is covered meanwhile must be seen here, and the other way round.
    PERFORM pg_advisory_xact_lock(hashtextextended('ref.' || catalog_name || ' coverage', 0));
    uncovered := ref.uncovered(catalog_name, ranges);
    PERFORM ref.clip_gaps(catalog_name, uncovered);
    WITH added AS (
        INSERT INTO ref.gap (catalog, hpx29, lookup_id)
        SELECT catalog_name, r, by_lookup_id FROM unnest(uncovered) AS r
        RETURNING 1
    )
    SELECT count(*) INTO n_added FROM added;
    RETURN n_added;
END
$$;
COMMENT ON FUNCTION ref.add_gap IS
    'Record that a look-up failed for ranges of HEALPix cells of order 29; returns the rows added, none where they are covered';

CREATE OR REPLACE FUNCTION ref.failure_text(which_lookup_id bigint)
RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT trim(regexp_replace(
        coalesce(nullif(concat_ws(': ', l.cause, l.error), ''), 'the answer was not complete'), '\s+', ' ', 'g'
    ))
    FROM ref.lookup AS l
    WHERE l.lookup_id = which_lookup_id
$$;
COMMENT ON FUNCTION ref.failure_text IS 'Cause and error of a look-up that is not complete, in one line';
