-- What is still to be asked.

-- Ranges of cells that no complete look-up of a catalogue covers. Each asked range looks at the few
-- stored ones that can overlap it: the last one that begins before it, and those that begin in it.
CREATE OR REPLACE FUNCTION ref.uncovered(catalog_name text, ranges int8multirange)
RETURNS int8multirange
LANGUAGE sql STABLE
AS $$
    SELECT ranges - coalesce(range_agg(k.hpx29), '{}')
    FROM unnest(ranges) AS r
    CROSS JOIN LATERAL (
        (
            SELECT c.hpx29
            FROM ref.coverage AS c
            WHERE c.catalog = catalog_name AND lower(c.hpx29) < lower(r)
            ORDER BY lower(c.hpx29) DESC
            LIMIT 1
        )
        UNION ALL
        (
            SELECT c.hpx29
            FROM ref.coverage AS c
            WHERE c.catalog = catalog_name AND lower(c.hpx29) >= lower(r) AND lower(c.hpx29) < upper(r)
        )
    ) AS k
$$;
COMMENT ON FUNCTION ref.uncovered IS 'The part of some ranges of cells of order 29 that no complete look-up of a catalogue covers';
