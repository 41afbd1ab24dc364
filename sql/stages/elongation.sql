-- Gate on ELONGATION, the axis ratio.
-- Parameters: below (exclusive).
CREATE OR REPLACE FUNCTION stage.elongation(
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
        d.elongation,
        d.elongation < (params ->> 'below')::real,
        'ELONGATION',
        format('below %s', params ->> 'below')
    ) AS j
$$;
COMMENT ON FUNCTION stage.elongation IS 'Gate on the axis ratio';
