-- Coverage that does not stand on a complete look-up of that catalogue for its sources.
SELECT g.catalog, g.lookup_id, l.kind, l.status, l.complete, count(*) AS n_ranges
FROM ref.coverage AS g
LEFT JOIN ref.lookup AS l ON l.lookup_id = g.lookup_id
WHERE l.complete IS NOT TRUE OR l.catalog <> g.catalog OR l.kind IN ('moving', 'canary', 'footprint', 'import')
GROUP BY g.catalog, g.lookup_id, l.kind, l.status, l.complete
ORDER BY g.catalog, g.lookup_id;
