-- Gate on SExtractor's extraction flags: none of the forbidden bits may be set (1 neighbour, 2 blended,
-- 4 saturated, 8 at the image's edge, 16 and up: corrupted or out of memory).
-- Parameters: forbidden_bits (255 for the seeds' FLAGS = 0).
CREATE OR REPLACE FUNCTION stage.flags(
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
        d.flags,
        d.flags & (params ->> 'forbidden_bits')::integer = 0,
        'FLAGS',
        format('free of the bits in %s', params ->> 'forbidden_bits')
    ) AS j
$$;
COMMENT ON FUNCTION stage.flags IS 'Gate on SExtractor''s extraction flags';
