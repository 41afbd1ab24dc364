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
    SELECT
        d.extraction_id, d.number,
        CASE s.state
            WHEN 'matched' THEN 'fail' WHEN 'clear' THEN 'pass'
            WHEN 'unknown' THEN 'unknown' WHEN 'not_covered' THEN 'not_covered'
        END::vasco.outcome,
        s.sep_arcsec,
        CASE s.state
            -- A release may say that there is one, but not where.
            WHEN 'matched' THEN s.catalog || coalesce(' source at ' || round(s.sep_arcsec::numeric, 3) || ' arcsec', ' source')
            WHEN 'unknown' THEN s.reason
            WHEN 'not_covered' THEN coalesce(
                s.catalog || ': ' || s.reason, format('no complete %s look-up covers the position', params ->> 'family')
            )
        END,
        CASE WHEN s.state = 'clear' THEN s.lookup_id END
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    CROSS JOIN LATERAL stage.family_look(d.extraction_id, d.number, params ->> 'family') AS s
$$;
COMMENT ON FUNCTION stage.veto IS 'Veto by a family of reference catalogues at the plate''s epoch';
