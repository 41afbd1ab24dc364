-- The seeds' optional Pan-STARRS stage: what lies south of a declination is turned away, the rest is vetoed.
-- The cut says nothing of a detection but where it is; without it the south would be not_covered.
-- Parameters: family, dec_from (deg, inclusive).
CREATE OR REPLACE FUNCTION stage.ps1_southern_cut(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT
        d.extraction_id, d.number,
        CASE WHEN c.cut THEN 'fail' ELSE v.outcome END,
        CASE WHEN NOT c.cut THEN v.value END,
        CASE WHEN c.cut
            THEN format('declination %s, not from %s', round(d.dec::numeric, 5), params ->> 'dec_from')
            ELSE v.reason END,
        CASE WHEN NOT c.cut THEN v.lookup_id END
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    CROSS JOIN LATERAL (SELECT d.dec < (params ->> 'dec_from')::double precision AS cut) AS c
    CROSS JOIN LATERAL stage.veto_verdict(d.extraction_id, d.number, params ->> 'family') AS v
$$;
COMMENT ON FUNCTION stage.ps1_southern_cut IS 'Veto by Pan-STARRS north of a declination; what lies south of it is turned away';
