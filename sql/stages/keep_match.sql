-- The reverse of a veto: a detection passes only with a counterpart in a family of catalogues, such as
-- SuperCOSMOS, another scan of the same plates, which does not know what this scan alone put on the image. It
-- is turned away only where a complete look-up covered its position and found nothing; where the catalogue was
-- not asked, failed, or cannot tell, it is not. The value is the counterpart's separation, arcsec.
-- Parameters: family.
CREATE OR REPLACE FUNCTION stage.keep_match(
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
            WHEN 'matched' THEN 'pass' WHEN 'clear' THEN 'fail'
            WHEN 'unknown' THEN 'unknown' WHEN 'not_covered' THEN 'not_covered'
        END::vasco.outcome,
        s.sep_arcsec,
        CASE s.state
            WHEN 'clear' THEN format('no %s source, where a complete look-up covers the position', s.catalog)
            WHEN 'unknown' THEN s.reason
            WHEN 'not_covered' THEN coalesce(
                s.catalog || ': ' || s.reason, format('no complete %s look-up covers the position', params ->> 'family')
            )
        END,
        -- A release may say that there is one, but not where: then it stands on that.
        CASE WHEN s.state = 'clear' OR s.sep_arcsec IS NULL THEN s.lookup_id END
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    CROSS JOIN LATERAL stage.family_look(d.extraction_id, d.number, params ->> 'family') AS s
$$;
COMMENT ON FUNCTION stage.keep_match IS 'Pass only what a family of catalogues knows as well';
