-- Veto by a family of reference catalogues: a detection with a counterpart at the plate's epoch is a
-- known star. It passes only where a complete look-up covered its position and found nothing.
-- Parameters: family.
CREATE OR REPLACE FUNCTION stage.veto(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT d.extraction_id, d.number, v.outcome, v.value, v.reason, v.lookup_id
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    CROSS JOIN LATERAL stage.veto_verdict(d.extraction_id, d.number, params ->> 'family') AS v
$$;
COMMENT ON FUNCTION stage.veto IS 'Veto by a family of reference catalogues at the plate''s epoch';
