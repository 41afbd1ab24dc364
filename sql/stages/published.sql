-- What a release says: a detection passes where the release's stage kept it. A detection that this stage of
-- the release did not judge, because an earlier one had dropped it or because it is not of a release, is not
-- covered. What a file says counts only where the release shows that the file is whole.
-- Parameters: label (the stage as its files are called, such as S0M_MORPH).
CREATE OR REPLACE FUNCTION stage.published(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT
        d.extraction_id, d.number,
        CASE
            WHEN p.rejected IS NULL THEN 'not_covered' WHEN p.rejected THEN 'fail'
            WHEN p.complete THEN 'pass' ELSE 'unknown'
        END::vasco.outcome,
        NULL::double precision,
        CASE
            WHEN p.rejected IS NULL THEN format('no release has a verdict of its stage %s on it', params ->> 'label')
            WHEN p.rejected THEN coalesce(
                'the release: ' || p.reason, format('the release dropped it in %s', params ->> 'label')
            )
            WHEN NOT p.complete THEN format('nothing in the release shows that %s is whole', p.endpoint)
        END,
        CASE WHEN NOT p.rejected AND p.complete THEN p.lookup_id END
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    LEFT JOIN LATERAL (
        SELECT v.rejected, v.reason, v.lookup_id, l.complete, l.endpoint
        FROM vasco.published_verdict AS v
        CROSS JOIN LATERAL (SELECT k.* FROM ref.lookup AS k WHERE k.lookup_id = v.lookup_id OFFSET 0) AS l
        WHERE v.extraction_id = d.extraction_id AND v.number = d.number AND v.stage = params ->> 'label'
        OFFSET 0
    ) AS p ON true
$$;
COMMENT ON FUNCTION stage.published IS 'The verdict that a stage of a release published';
