-- Gate on SPREAD_MODEL: what is sharper than the PSF is no star. The seeds' limit is absolute; with
-- relative_to = reference_stars it is taken from the median of the image's own stars, because the
-- zero point of SPREAD_MODEL differs from plate to plate by more than the limit. sigma_k widens the
-- limit by that many times the detection's own error, so that faint stars are not lost to noise.
-- Parameters: min (exclusive), relative_to (zero or reference_stars), sigma_k.
CREATE OR REPLACE FUNCTION stage.spread_model(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT d.extraction_id, d.number, j.outcome, j.judged, j.reason, NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    LEFT JOIN (
        SELECT i.extraction_id, m.median
        FROM vasco.run_image AS i
        CROSS JOIN LATERAL stage.reference_median(i.extraction_id, 'spread_model') AS m
        WHERE params ->> 'relative_to' = 'reference_stars'
        AND i.run_id = which_run_id AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids))
    ) AS r USING (extraction_id)
    CROSS JOIN LATERAL (
        SELECT d.spread_model - CASE params ->> 'relative_to' WHEN 'reference_stars' THEN r.median ELSE 0 END
            + (params ->> 'sigma_k')::double precision * d.spreaderr_model AS spread
    ) AS s
    CROSS JOIN LATERAL stage.judge(
        s.spread, s.spread > (params ->> 'min')::double precision, 'SPREAD_MODEL', format('above %s', params ->> 'min')
    ) AS j
$$;
COMMENT ON FUNCTION stage.spread_model IS 'Gate on SPREAD_MODEL, absolute or relative to the image''s stars';
