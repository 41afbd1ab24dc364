-- The framework of stages, and the pieces the gates share.

-- What a stage judges: detections of the run's images that passed every stage of every earlier step.
-- A stage of the first step judges all detections. The LATERAL fences keep to index probes, image by
-- image, because the planner knows nothing of rows that the running transaction wrote.
CREATE OR REPLACE FUNCTION stage.input(which_run_id bigint, stage_name text, extraction_ids bigint[])
RETURNS SETOF vasco.detection
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    earlier_stages text[] := ARRAY(
        SELECT earlier.stage
        FROM vasco.run_stage AS me
        JOIN vasco.run_stage AS earlier ON earlier.run_id = me.run_id AND earlier.step < me.step
        WHERE me.run_id = which_run_id AND me.stage = stage_name
    );
BEGIN
    IF earlier_stages = '{}' THEN
        RETURN QUERY
        SELECT d.*
        FROM vasco.run_image AS i
        CROSS JOIN LATERAL (SELECT a.* FROM vasco.detection AS a WHERE a.extraction_id = i.extraction_id OFFSET 0) AS d
        WHERE i.run_id = which_run_id AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids));
    ELSE
        RETURN QUERY
        SELECT d.*
        FROM vasco.run_image AS i
        CROSS JOIN LATERAL (
            SELECT v.number
            FROM vasco.verdict AS v
            WHERE v.run_id = which_run_id AND v.stage = ANY (earlier_stages) AND v.extraction_id = i.extraction_id
            AND v.outcome = 'pass'
            GROUP BY v.number
            HAVING count(*) = cardinality(earlier_stages)
        ) AS passed
        CROSS JOIN LATERAL (
            SELECT a.* FROM vasco.detection AS a
            WHERE a.extraction_id = i.extraction_id AND a.number = passed.number
            OFFSET 0
        ) AS d
        WHERE i.run_id = which_run_id AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids));
    END IF;
END
$$;
COMMENT ON FUNCTION stage.input IS 'Detections that a stage of a run judges; null extraction_ids mean all images of the run';

-- One verdict from one measured value. A value that is missing or not a number is never a pass. Gates
-- compare in the precision of the column, real: the seeds' limits are exclusive, and 1.3 as a real is
-- below 1.3 as a double precision.
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
-- what the stage no longer judges is taken out. Returns how many rows were written. Rows that are
-- right already are not touched, not even locked. Sets are compared by EXCEPT and NOT IN, which never
-- become joins of a size that the planner cannot know.
CREATE OR REPLACE FUNCTION stage.apply(which_run_id bigint, stage_name text, extraction_ids bigint[] DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    me vasco.run_stage;
    n_written bigint;
BEGIN
    SELECT s.* INTO STRICT me FROM vasco.run_stage AS s WHERE s.run_id = which_run_id AND s.stage = stage_name;
    EXECUTE format($query$
        WITH judged AS MATERIALIZED (
            SELECT j.extraction_id, j.number, j.outcome, j.value, j.reason, j.lookup_id
            FROM stage.%I($1, $2, $3, $4) AS j
        ),
        stored AS MATERIALIZED (
            SELECT v.extraction_id, v.number, v.outcome, v.value, v.reason, v.lookup_id, v.place
            FROM vasco.run_image AS i
            CROSS JOIN LATERAL (
                SELECT o.*, o.ctid AS place FROM vasco.verdict AS o
                WHERE o.run_id = $1 AND o.stage = $2 AND o.extraction_id = i.extraction_id
                OFFSET 0
            ) AS v
            WHERE i.run_id = $1 AND ($4 IS NULL OR i.extraction_id = ANY ($4))
        ),
        merged AS (
            INSERT INTO vasco.verdict (run_id, stage, extraction_id, number, outcome, value, reason, lookup_id)
            SELECT $1, $2, n.*
            FROM (
                SELECT * FROM judged
                EXCEPT
                SELECT s.extraction_id, s.number, s.outcome, s.value, s.reason, s.lookup_id FROM stored AS s
            ) AS n
            ORDER BY n.extraction_id, n.number
            ON CONFLICT (run_id, stage, extraction_id, number) DO UPDATE
            SET outcome = excluded.outcome, value = excluded.value, reason = excluded.reason,
                lookup_id = excluded.lookup_id
            RETURNING 1
        ),
        removed AS (
            DELETE FROM vasco.verdict AS v
            WHERE v.ctid = ANY (ARRAY(
                SELECT s.place FROM stored AS s
                WHERE (s.extraction_id, s.number) NOT IN (SELECT j.extraction_id, j.number FROM judged AS j)
            ))
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM merged) + (SELECT count(*) FROM removed)
    $query$, me.function)
    INTO n_written
    USING which_run_id, stage_name, me.parameters, extraction_ids;
    RETURN n_written;
END
$$;
COMMENT ON FUNCTION stage.apply IS 'Run one stage of a run and store its verdicts; returns the rows written';
