-- More than a square degree of coverage without a single source: an empty answer that was believed.
SELECT g.catalog, g.lookup_id, l.endpoint, l.region, g.sqdeg
FROM (
    SELECT c.catalog, c.lookup_id, sky.cells_sqdeg(sum((upper(c.hpx29) - lower(c.hpx29))::double precision)) AS sqdeg
    FROM ref.coverage AS c
    GROUP BY c.catalog, c.lookup_id
) AS g
LEFT JOIN ref.lookup AS l USING (lookup_id)
WHERE g.sqdeg > 1 AND coalesce(l.rows_kept, 0) = 0
UNION ALL
SELECT c.catalog, NULL, NULL, 'all of its coverage', c.coverage_sqdeg
FROM api.catalogs AS c
WHERE c.coverage_sqdeg > 1 AND c.sources = 0
ORDER BY 1, 2 NULLS FIRST;
