-- What has to be measured before a stage can judge.

-- Detections of an image that a stage is going to judge and that have no SPREAD_MODEL yet, with a fixed sample
-- of known stars for the PSF statistics of the image. Null for the number of stars means all of them, 0 none.
CREATE OR REPLACE FUNCTION stage.unmeasured(
    which_run_id bigint, stage_name text, which_extraction_id bigint, n_reference_stars integer
)
RETURNS TABLE (number integer, purpose text)
LANGUAGE sql STABLE
AS $$
    SELECT w.number, min(w.purpose)
    FROM (
        SELECT i.number, 'candidate' AS purpose
        FROM stage.input(which_run_id, stage_name, ARRAY[which_extraction_id]) AS i
        UNION ALL
        SELECT r.number, 'reference' FROM stage.reference_stars(which_extraction_id, n_reference_stars) AS r
    ) AS w
    CROSS JOIN LATERAL (
        SELECT 1 FROM vasco.detection AS a
        WHERE a.extraction_id = which_extraction_id AND a.number = w.number AND a.spread_model IS NULL
        OFFSET 0
    ) AS d
    GROUP BY w.number
    ORDER BY w.number
$$;
COMMENT ON FUNCTION stage.unmeasured IS 'Detections of an image that need SPREAD_MODEL before a stage can judge, and why';
