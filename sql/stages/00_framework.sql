-- The framework of stages, and the pieces the gates share.

-- What lets a detection go on to the next step.
CREATE OR REPLACE FUNCTION stage.goes_on(outcome vasco.outcome, tolerates vasco.outcome[])
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN outcome = 'pass' OR outcome = ANY (tolerates);
COMMENT ON FUNCTION stage.goes_on IS 'Whether a verdict is a pass or an outcome that its stage tolerates';

-- What a stage judges: detections of the run's images that every stage of the step before let go on. Those
-- were judged only because the step before that one let them go on, so earlier steps need no second look. A
-- stage of the first step judges all detections. The LATERAL fences keep to index probes, image by image,
-- because the planner knows nothing of rows that the running transaction wrote.
CREATE OR REPLACE FUNCTION stage.input(which_run_id bigint, stage_name text, extraction_ids bigint[])
RETURNS SETOF vasco.detection
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    step_before text[] := ARRAY(
        SELECT b.stage
        FROM vasco.run_stage AS b
        WHERE b.run_id = which_run_id AND b.step = (
            SELECT max(e.step)
            FROM vasco.run_stage AS me
            JOIN vasco.run_stage AS e ON e.run_id = me.run_id AND e.step < me.step
            WHERE me.run_id = which_run_id AND me.stage = stage_name
        )
    );
BEGIN
    IF step_before = '{}' THEN
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
            WHERE v.run_id = which_run_id AND v.stage = ANY (step_before) AND v.extraction_id = i.extraction_id
            AND (v.stage, v.outcome) IN (
                SELECT s.stage, o
                FROM vasco.run_stage AS s
                CROSS JOIN unnest(s.tolerates || 'pass'::vasco.outcome) AS o
                WHERE s.run_id = which_run_id AND s.stage = ANY (step_before)
            )
            GROUP BY v.number
            HAVING count(*) = cardinality(step_before)
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

-- The same image by image, for a stage that asks about all detections of one at once.
CREATE OR REPLACE FUNCTION stage.input_by_image(which_run_id bigint, stage_name text, extraction_ids bigint[])
RETURNS TABLE (extraction_id bigint, numbers integer[])
LANGUAGE sql STABLE
AS $$
    SELECT d.extraction_id, array_agg(d.number)
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    GROUP BY d.extraction_id
$$;
COMMENT ON FUNCTION stage.input_by_image IS 'Numbers of the detections that a stage of a run judges, image by image';

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

-- The SHA-256 of the SQL file that defines a stage's function, as applied here.
CREATE OR REPLACE FUNCTION stage.function_sha256(function_name text)
RETURNS text
LANGUAGE sql STABLE
RETURN (SELECT o.sha256 FROM meta.sql_object AS o WHERE o.path = format('stages/%s.sql', function_name));
COMMENT ON FUNCTION stage.function_sha256 IS 'SHA-256 of the SQL file of a stage''s function; null where there is no file of that name';

-- Run one stage of a run and store its verdicts and its ledger: what is new is added, what changed is changed,
-- and what the stage no longer judges is taken out. Returns the images of which a verdict was written, and how
-- many were. Rows that are right already are not touched, not even locked. Sets are compared by EXCEPT and NOT
-- IN, which never become joins of a size that the planner cannot know.
CREATE OR REPLACE FUNCTION stage.apply(which_run_id bigint, stage_name text, extraction_ids bigint[] DEFAULT NULL)
RETURNS TABLE (extraction_id bigint, n_written bigint)
LANGUAGE plpgsql
AS $$
DECLARE
    me vasco.run_stage;
BEGIN
    SELECT s.* INTO STRICT me FROM vasco.run_stage AS s WHERE s.run_id = which_run_id AND s.stage = stage_name;
    RETURN QUERY EXECUTE format($query$
        WITH image AS MATERIALIZED (
            SELECT i.extraction_id, (
                SELECT e.revision FROM vasco.extraction AS e WHERE e.extraction_id = i.extraction_id
            ) AS revision
            FROM vasco.run_image AS i
            WHERE i.run_id = $1 AND ($4 IS NULL OR i.extraction_id = ANY ($4))
        ),
        judged AS MATERIALIZED (
            SELECT j.extraction_id, j.number, j.outcome, j.value, j.reason, j.lookup_id
            FROM stage.%I($1, $2, $3, $4) AS j
        ),
        stored AS MATERIALIZED (
            SELECT v.extraction_id, v.number, v.outcome, v.value, v.reason, v.lookup_id, v.place
            FROM image AS i
            CROSS JOIN LATERAL (
                SELECT o.*, o.ctid AS place FROM vasco.verdict AS o
                WHERE o.run_id = $1 AND o.stage = $2 AND o.extraction_id = i.extraction_id
                OFFSET 0
            ) AS v
        ),
        merged AS (
            INSERT INTO vasco.verdict AS v (run_id, stage, extraction_id, number, outcome, value, reason, lookup_id)
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
            RETURNING v.extraction_id
        ),
        removed AS (
            DELETE FROM vasco.verdict AS v
            WHERE v.ctid = ANY (ARRAY(
                SELECT s.place FROM stored AS s
                WHERE (s.extraction_id, s.number) NOT IN (SELECT j.extraction_id, j.number FROM judged AS j)
            ))
            RETURNING v.extraction_id
        ),
        ledger AS (
            INSERT INTO vasco.run_ledger AS l (
                run_id, stage, extraction_id, n_in, n_pass, n_fail, n_unknown, n_not_covered, revision, function_sha256
            )
            SELECT $1, $2, a.extraction_id, count(a.outcome),
                count(*) FILTER (WHERE a.outcome = 'pass'), count(*) FILTER (WHERE a.outcome = 'fail'),
                count(*) FILTER (WHERE a.outcome = 'unknown'), count(*) FILTER (WHERE a.outcome = 'not_covered'),
                max(a.revision), $5
            FROM (
                SELECT j.extraction_id, j.outcome, NULL::integer AS revision FROM judged AS j
                UNION ALL
                SELECT i.extraction_id, NULL, i.revision FROM image AS i
            ) AS a
            GROUP BY a.extraction_id
            EXCEPT
            SELECT o.run_id, o.stage, o.extraction_id, o.n_in, o.n_pass, o.n_fail, o.n_unknown, o.n_not_covered,
                o.revision, o.function_sha256
            FROM image AS i
            CROSS JOIN LATERAL (
                SELECT * FROM vasco.run_ledger AS b
                WHERE b.run_id = $1 AND b.stage = $2 AND b.extraction_id = i.extraction_id
                OFFSET 0
            ) AS o
            ON CONFLICT (run_id, stage, extraction_id) DO UPDATE
            SET n_in = excluded.n_in, n_pass = excluded.n_pass, n_fail = excluded.n_fail,
                n_unknown = excluded.n_unknown, n_not_covered = excluded.n_not_covered,
                revision = excluded.revision, function_sha256 = excluded.function_sha256, judged_at = excluded.judged_at
        )
        SELECT w.extraction_id, count(*)
        FROM (SELECT m.extraction_id FROM merged AS m UNION ALL SELECT r.extraction_id FROM removed AS r) AS w
        GROUP BY w.extraction_id
    $query$, me.function)
    USING which_run_id, stage_name, me.parameters, extraction_ids, stage.function_sha256(me.function);
END
$$;
COMMENT ON FUNCTION stage.apply IS 'Run one stage of a run, store its verdicts and ledger; returns the images with verdicts written, and how many';

-- Images of a run that some stage has not judged as they are now, or not with the function as it is now.
CREATE OR REPLACE FUNCTION stage.stale_images(which_run_id bigint)
RETURNS TABLE (extraction_id bigint)
LANGUAGE sql STABLE
AS $$
    SELECT i.extraction_id
    FROM vasco.run_image AS i
    JOIN vasco.extraction AS e USING (extraction_id)
    WHERE i.run_id = which_run_id
    AND EXISTS (
        SELECT 1
        FROM vasco.run_stage AS s
        WHERE s.run_id = which_run_id
        AND NOT EXISTS (
            SELECT 1
            FROM vasco.run_ledger AS l
            WHERE l.run_id = which_run_id AND l.stage = s.stage AND l.extraction_id = i.extraction_id
            AND l.revision = e.revision
            AND l.function_sha256 IS NOT DISTINCT FROM stage.function_sha256(s.function)
        )
    )
$$;
COMMENT ON FUNCTION stage.stale_images IS 'Images of a run that some stage has not judged yet, or not as they and the function are now';
