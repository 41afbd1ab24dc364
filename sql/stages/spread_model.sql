-- Gate on SPREAD_MODEL with the seeds' absolute limit: what is sharper than the PSF is no star.
-- On photographic plates it also turns away faint stars, whose images are sharper than those of the
-- bright stars that make the PSF; the default profile clips about stars of like brightness instead.
-- Parameters: min (exclusive).
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
    CROSS JOIN LATERAL stage.judge(
        d.spread_model,
        d.spread_model > (params ->> 'min')::real,
        'SPREAD_MODEL',
        format('above %s', params ->> 'min')
    ) AS j
$$;
COMMENT ON FUNCTION stage.spread_model IS 'Gate on SPREAD_MODEL with an absolute limit';
