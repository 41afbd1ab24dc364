-- Distance from the middle of the plate's scan, beyond which the telescope's images are vignetted and comatic.
-- Unknown where the plate is not on record.
-- Parameters: radius_deg (inclusive).
CREATE OR REPLACE FUNCTION stage.plate_centre(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT d.extraction_id, d.number, j.outcome, j.judged,
        CASE WHEN p.plate_id IS NULL THEN format('plate %s is not on record', im.plate_id) ELSE j.reason END,
        NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    JOIN vasco.extraction AS e USING (extraction_id)
    JOIN plate.image AS im USING (image_id)
    LEFT JOIN plate.plate AS p USING (plate_id)
    CROSS JOIN LATERAL (SELECT sky.separation_arcsec(d.ra, d.dec, p.ra, p.dec) / 3600 AS deg) AS s
    CROSS JOIN LATERAL stage.judge(
        s.deg,
        s.deg <= (params ->> 'radius_deg')::double precision,
        'distance from the plate''s centre in degrees',
        format('at most %s', params ->> 'radius_deg')
    ) AS j
$$;
COMMENT ON FUNCTION stage.plate_centre IS 'Gate on the distance from the centre of the plate';
