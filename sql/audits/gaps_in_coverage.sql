-- Gaps that overlap coverage of the same catalogue: sky that is known and marked as not known at once.
SELECT g.catalog, g.hpx29 * c.hpx29 AS hpx29, g.lookup_id AS failed_lookup_id, c.lookup_id AS complete_lookup_id
FROM ref.gap AS g
CROSS JOIN LATERAL (
    -- Coverage is disjoint: of what begins before the gap ends, the last is also the one that reaches farthest.
    SELECT n.hpx29, n.lookup_id
    FROM ref.coverage AS n
    WHERE n.catalog = g.catalog AND lower(n.hpx29) < upper(g.hpx29)
    ORDER BY lower(n.hpx29) DESC
    LIMIT 1
) AS c
WHERE g.hpx29 && c.hpx29
ORDER BY g.catalog, g.hpx29;
