-- Candidates that a stage kept for a counterpart in a family of catalogues where none has one within its match
-- radius at the plate's epoch. Where a stage tolerates that nobody looked, only what a complete look-up covers.
SELECT c.run, c.src_id, s.stage, s.parameters ->> 'family' AS family, c.ra, c.dec
FROM api.candidates AS c
JOIN vasco.run_stage AS s ON s.run_id = c.run_id AND s.function = 'keep_match'
JOIN vasco.detection AS d ON d.extraction_id = c.extraction_id AND d.number = c.number
CROSS JOIN LATERAL (SELECT coalesce(to_jsonb(s) -> 'tolerates', '[]') AS tolerates) AS t
WHERE NOT t.tolerates @> '["fail"]'
AND NOT EXISTS (
    SELECT 1
    FROM ref.catalog AS r
    CROSS JOIN LATERAL sky.neighbours(r.catalog, c.ra, c.dec, r.match_radius_arcsec, c.epoch_jyear) AS n
    WHERE r.family = s.parameters ->> 'family'
)
AND (
    NOT t.tolerates ?| '{not_covered,unknown}'
    OR EXISTS (
        SELECT 1
        FROM ref.catalog AS r
        CROSS JOIN LATERAL sky.covering_lookup(r.catalog, d.hpx29) AS l
        WHERE r.family = s.parameters ->> 'family' AND c.dec BETWEEN r.dec_min AND r.dec_max
    )
)
ORDER BY c.run, c.src_id, family;
