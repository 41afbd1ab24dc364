-- Ranges of one catalogue's coverage, or of its gaps, that overlap: the search for a cell finds only one of them.
SELECT o.what, o.catalog, o.hpx29, o.before AS overlaps
FROM (
    SELECT 'coverage' AS what, c.catalog, c.hpx29, lag(c.hpx29) OVER (PARTITION BY c.catalog ORDER BY lower(c.hpx29)) AS before
    FROM ref.coverage AS c
    UNION ALL
    SELECT 'gap', g.catalog, g.hpx29, lag(g.hpx29) OVER (PARTITION BY g.catalog ORDER BY lower(g.hpx29))
    FROM ref.gap AS g
) AS o
WHERE o.hpx29 && o.before
ORDER BY o.what, o.catalog, o.hpx29;
