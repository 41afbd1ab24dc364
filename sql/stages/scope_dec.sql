-- Southern limit of what a run is about.
-- Parameters: dec_min (inclusive), deg.
CREATE OR REPLACE FUNCTION stage.scope_dec(
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
        d.dec,
        d.dec >= (params ->> 'dec_min')::double precision,
        'declination',
        format('at least %s deg', params ->> 'dec_min')
    ) AS j
$$;
COMMENT ON FUNCTION stage.scope_dec IS 'Gate on declination';
