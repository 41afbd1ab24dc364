-- Look-ups that count as complete although they brought as many rows as the service sends at most.
SELECT l.lookup_id, l.catalog, l.kind, l.service, l.region, l.rows_in, l.row_cap, l.overflow
FROM ref.lookup AS l
WHERE l.complete AND (l.rows_in >= l.row_cap OR l.overflow)
ORDER BY l.catalog, l.lookup_id;
