-- Gate on the FWHM, in pixels or, by the plate's own scale, in arcsec.
-- Parameters: unit (px or arcsec), above and below (both exclusive).
CREATE OR REPLACE FUNCTION stage.fwhm(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT d.extraction_id, d.number, j.outcome, j.judged, j.reason, NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    JOIN vasco.extraction AS e USING (extraction_id)
    JOIN plate.image AS im USING (image_id)
    CROSS JOIN LATERAL (
        SELECT d.fwhm_image * CASE params ->> 'unit' WHEN 'arcsec' THEN im.scale_arcsec_px ELSE 1 END AS fwhm
    ) AS f
    CROSS JOIN LATERAL stage.judge(
        f.fwhm,
        f.fwhm > (params ->> 'above')::double precision AND f.fwhm < (params ->> 'below')::double precision,
        'FWHM',
        format('between %s and %s %s', params ->> 'above', params ->> 'below', params ->> 'unit')
    ) AS j
$$;
COMMENT ON FUNCTION stage.fwhm IS 'Gate on the FWHM, in pixels or arcsec';
