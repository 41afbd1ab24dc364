-- Candidates with a source of a required catalogue within its match radius at the plate's epoch, or on the
-- trail of a moving object: known stars that got through.
SELECT k.run, k.src_id, k.catalog, n.source_id, n.sep_arcsec, n.sep_catalog_epoch_arcsec
FROM (
    SELECT c.run, c.src_id, c.ra, c.dec, c.epoch_jyear, e.image_id, r.catalog, r.match_radius_arcsec, r.moving
    FROM api.candidates AS c
    JOIN vasco.extraction AS e USING (extraction_id)
    JOIN vasco.run_stage AS s ON s.run_id = c.run_id AND s.function = 'veto'
    JOIN ref.catalog AS r ON r.family = s.parameters ->> 'family'
) AS k
CROSS JOIN LATERAL (
    SELECT f.source_id, f.sep_arcsec, f.sep_catalog_epoch_arcsec
    FROM sky.neighbours(k.catalog, k.ra, k.dec, k.match_radius_arcsec, k.epoch_jyear) AS f
    WHERE NOT k.moving
    UNION ALL
    SELECT m.source_id, m.sep_arcsec, m.sep_middle_arcsec
    FROM sky.moving_near(k.image_id, k.catalog, k.ra, k.dec, k.match_radius_arcsec) AS m
    WHERE k.moving
) AS n
ORDER BY k.run, k.src_id, k.catalog, n.sep_arcsec;
