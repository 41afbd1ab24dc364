-- Candidates with a source of a catalogue that vetoes within the stage's radius at the plate's epoch, or on the
-- trail of a moving object: known stars that got through. Also of optional vetoes, which tolerate that nobody
-- looked but not a match. A stage that tolerates fail vetoes nothing.
SELECT k.run, k.src_id, k.stage, k.catalog, n.source_id, n.sep_arcsec, n.sep_catalog_epoch_arcsec
FROM (
    SELECT
        c.run, c.src_id, s.stage, c.ra, c.dec, c.epoch_jyear, e.image_id, r.catalog, r.moving,
        coalesce(o.radius_arcsec, r.match_radius_arcsec) AS radius_arcsec,
        coalesce(o.error_sigmas, 0) AS error_sigmas, coalesce(o.error_max_arcsec, 0) AS error_max_arcsec,
        coalesce(o.epoch = 'catalog', false) AS unmoved,
        coalesce(o.reading, 'corrected') AS reading, coalesce(o.instant, 'mid') AS instant
    FROM api.candidates AS c
    JOIN vasco.extraction AS e USING (extraction_id)
    JOIN vasco.run_stage AS s ON s.run_id = c.run_id AND s.function IN ('veto', 'veto_at', 'ps1_southern_cut', 'moving')
    JOIN ref.catalog AS r ON r.family = s.parameters ->> 'family'
    CROSS JOIN LATERAL jsonb_to_record(s.parameters) AS o (
        radius_arcsec double precision, error_sigmas double precision, error_max_arcsec double precision, epoch text,
        reading text, instant text
    )
    WHERE NOT coalesce(to_jsonb(s) -> 'tolerates', '[]') @> '["fail"]'
) AS k
CROSS JOIN LATERAL (
    SELECT f.source_id, f.sep_arcsec, f.sep_catalog_epoch_arcsec
    FROM sky.neighbours(k.catalog, k.ra, k.dec, k.radius_arcsec, k.epoch_jyear) AS f
    WHERE NOT k.moving AND NOT k.unmoved
    UNION ALL
    SELECT u.source_id, NULL, u.sep_arcsec
    FROM sky.neighbours_unmoved(k.catalog, k.ra, k.dec, k.radius_arcsec) AS u
    WHERE k.unmoved
    UNION ALL
    SELECT m.source_id, m.sep_arcsec, m.sep_middle_arcsec
    FROM sky.moving_near(
        k.image_id, k.catalog, k.ra, k.dec, k.radius_arcsec + k.error_max_arcsec, k.reading, k.instant
    ) AS m
    WHERE k.moving
    AND m.sep_arcsec <= k.radius_arcsec + least(k.error_sigmas * coalesce(m.error_arcsec, 0), k.error_max_arcsec)
) AS n
ORDER BY k.run, k.src_id, k.catalog, n.sep_arcsec;
