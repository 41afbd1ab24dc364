-- The framework of stages, and the pieces the gates share.

-- What a stage judges: detections of the run's images that passed every stage of every earlier step.
-- A stage of the first step judges all detections.
CREATE OR REPLACE FUNCTION stage.input(which_run_id bigint, stage_name text, extraction_ids bigint[])
RETURNS SETOF vasco.detection
LANGUAGE sql STABLE
AS $$
    SELECT d.*
    FROM vasco.run_image AS i
    JOIN vasco.detection AS d USING (extraction_id)
    WHERE i.run_id = which_run_id
    AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids))
    AND NOT EXISTS (
        SELECT 1
        FROM vasco.run_stage AS me
        JOIN vasco.run_stage AS earlier ON earlier.run_id = me.run_id AND earlier.step < me.step
        LEFT JOIN vasco.verdict AS v
            ON v.run_id = earlier.run_id AND v.stage = earlier.stage
            AND v.extraction_id = d.extraction_id AND v.number = d.number
        WHERE me.run_id = which_run_id AND me.stage = stage_name
        AND v.outcome IS DISTINCT FROM 'pass'
    )
$$;
COMMENT ON FUNCTION stage.input IS 'Detections that a stage of a run judges; null extraction_ids mean all images of the run';

-- One verdict from one measured value. A value that is missing or not a number is never a pass.
CREATE OR REPLACE FUNCTION stage.judge(value double precision, passes boolean, label text, rule text)
RETURNS TABLE (outcome vasco.outcome, judged double precision, reason text)
LANGUAGE sql IMMUTABLE ROWS 1
AS $$
    SELECT
        CASE
            WHEN value IS NULL OR value = 'NaN' THEN 'unknown'
            WHEN passes THEN 'pass'
            ELSE 'fail'
        END::vasco.outcome,
        nullif(value, 'NaN'),
        CASE
            WHEN value IS NULL OR value = 'NaN' THEN label || ' was not measured'
            WHEN NOT passes THEN format('%s = %s, not %s', label, round(value::numeric, 5)::real, rule)
        END
$$;
COMMENT ON FUNCTION stage.judge IS 'Verdict on one measured value, with the reason where it is not a pass';

-- Run one stage of a run and store its verdicts: what is new is added, what changed is changed, and
-- what the stage no longer judges is taken out. Returns how many rows were written.
CREATE OR REPLACE FUNCTION stage.apply(which_run_id bigint, stage_name text, extraction_ids bigint[] DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    me vasco.run_stage;
    n_merged bigint;
    n_removed bigint;
BEGIN
    SELECT s.* INTO STRICT me FROM vasco.run_stage AS s WHERE s.run_id = which_run_id AND s.stage = stage_name;
    CREATE TEMPORARY TABLE IF NOT EXISTS stage_verdict (
        extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
    ) ON COMMIT DROP;
    TRUNCATE stage_verdict;
    EXECUTE format('INSERT INTO stage_verdict SELECT * FROM stage.%I($1, $2, $3, $4)', me.function)
    USING which_run_id, stage_name, me.parameters, extraction_ids;

    INSERT INTO vasco.verdict AS v (run_id, stage, extraction_id, number, outcome, value, reason, lookup_id)
    SELECT which_run_id, stage_name, n.* FROM stage_verdict AS n
    ON CONFLICT (run_id, stage, extraction_id, number) DO UPDATE
    SET outcome = excluded.outcome, value = excluded.value, reason = excluded.reason, lookup_id = excluded.lookup_id
    WHERE (v.outcome, v.value, v.reason, v.lookup_id)
        IS DISTINCT FROM (excluded.outcome, excluded.value, excluded.reason, excluded.lookup_id);
    GET DIAGNOSTICS n_merged = ROW_COUNT;

    DELETE FROM vasco.verdict AS v
    WHERE v.run_id = which_run_id AND v.stage = stage_name
    AND (extraction_ids IS NULL OR v.extraction_id = ANY (extraction_ids))
    AND NOT EXISTS (
        SELECT 1 FROM stage_verdict AS n WHERE n.extraction_id = v.extraction_id AND n.number = v.number
    );
    GET DIAGNOSTICS n_removed = ROW_COUNT;
    RETURN n_merged + n_removed;
END
$$;
COMMENT ON FUNCTION stage.apply IS 'Run one stage of a run and store its verdicts; returns the rows written';
