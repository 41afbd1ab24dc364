-- Candidates that no complete look-up of a required family covers as the evidence stands now. Where a stage
-- tolerates that nobody looked, or that a look-up failed, none need be there.
SELECT c.run, c.src_id, s.parameters ->> 'family' AS family, c.ra, c.dec
FROM api.candidates AS c
JOIN vasco.run_stage AS s ON s.run_id = c.run_id AND s.function IN ('veto', 'veto_at', 'ps1_southern_cut', 'moving')
JOIN vasco.detection AS d ON d.extraction_id = c.extraction_id AND d.number = c.number
JOIN vasco.extraction AS e ON e.extraction_id = c.extraction_id
WHERE NOT coalesce(to_jsonb(s) -> 'tolerates', '[]') ?| '{not_covered,unknown}'
AND NOT EXISTS (
    SELECT 1
    FROM ref.catalog AS r
    CROSS JOIN LATERAL sky.covering_lookup(r.catalog, d.hpx29) AS l
    WHERE r.family = s.parameters ->> 'family' AND NOT r.moving
)
AND NOT EXISTS (
    SELECT 1
    FROM ref.catalog AS r
    CROSS JOIN LATERAL stage.moving_cones(
        e.image_id, r.catalog, coalesce(s.parameters ->> 'reading', 'corrected'), coalesce(s.parameters ->> 'instant', 'mid')
    ) AS m
    WHERE r.family = s.parameters ->> 'family' AND r.moving AND m.complete
    AND sky.separation_arcsec(d.ra, d.dec, m.ra_deg, m.dec_deg) <= m.radius_arcsec
)
-- Of an imported detection the release's own look-up will do.
AND NOT EXISTS (
    SELECT 1
    FROM vasco.imported_match AS p
    JOIN ref.catalog AS r USING (catalog)
    WHERE p.extraction_id = c.extraction_id AND p.number = c.number AND p.state = 'clear'
    AND r.family = s.parameters ->> 'family'
)
ORDER BY c.run, c.src_id, family;
