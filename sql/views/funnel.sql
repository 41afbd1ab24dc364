-- What became of each detection of a run, and what changed from one run to another; always from the verdicts.

-- The first stage that stopped a detection, and why; none for a candidate, nor where the run was never finished.
CREATE OR REPLACE VIEW api.fates AS
SELECT
    r.run, im.tile_id || ':' || f.number AS src_id, im.tile_id, im.plate_id, f.is_candidate,
    s.stage, v.outcome, v.value, v.reason, f.marks, r.run_id, i.extraction_id, f.number
FROM vasco.run AS r
CROSS JOIN LATERAL (SELECT count(*) AS n_stages FROM vasco.run_stage AS a WHERE a.run_id = r.run_id OFFSET 0) AS all_stages
JOIN vasco.run_image AS i ON i.run_id = r.run_id
JOIN vasco.extraction AS e USING (extraction_id)
JOIN plate.image AS im USING (image_id)
CROSS JOIN LATERAL (
    SELECT
        o.number,
        min(t.ordinal) FILTER (WHERE NOT stage.goes_on(o.outcome, t.tolerates)) AS stopped_at,
        count(*) FILTER (WHERE stage.goes_on(o.outcome, t.tolerates)) = all_stages.n_stages AS is_candidate,
        array_agg(t.stage || ' ' || o.outcome ORDER BY t.ordinal)
            FILTER (WHERE o.outcome <> 'pass' AND stage.goes_on(o.outcome, t.tolerates)) AS marks
    FROM vasco.run_stage AS t
    CROSS JOIN LATERAL (
        SELECT w.number, w.outcome FROM vasco.verdict AS w
        WHERE w.run_id = t.run_id AND w.stage = t.stage AND w.extraction_id = i.extraction_id
        OFFSET 0
    ) AS o
    WHERE t.run_id = r.run_id
    GROUP BY o.number
    OFFSET 0
) AS f
LEFT JOIN vasco.run_stage AS s ON s.run_id = r.run_id AND s.ordinal = f.stopped_at
LEFT JOIN LATERAL (
    SELECT w.outcome, w.value, w.reason FROM vasco.verdict AS w
    WHERE w.run_id = s.run_id AND w.stage = s.stage AND w.extraction_id = i.extraction_id AND w.number = f.number
    OFFSET 0
) AS v ON true;
COMMENT ON VIEW api.fates IS 'What became of each detection of a run: candidate, or the first stage that stopped it and why';
COMMENT ON COLUMN api.fates.run IS 'Name of the run [-] {meta.id}';
COMMENT ON COLUMN api.fates.src_id IS 'Name of the detection: tile and number [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.fates.tile_id IS 'Tile that the image covers [-] {meta.id}';
COMMENT ON COLUMN api.fates.plate_id IS 'Plate, header REGION [-] {meta.id}';
COMMENT ON COLUMN api.fates.is_candidate IS 'Whether every stage let it through [-] {meta.code}';
COMMENT ON COLUMN api.fates.stage IS 'The first stage that stopped it [-] {meta.id}';
COMMENT ON COLUMN api.fates.outcome IS 'What that stage said: fail, unknown or not_covered [-] {meta.code.status}';
COMMENT ON COLUMN api.fates.value IS 'The value it judged, in the unit of its threshold [-] {stat.value}';
COMMENT ON COLUMN api.fates.reason IS 'Why it did not pass [-] {meta.note}';
COMMENT ON COLUMN api.fates.marks IS 'Stages that did not say pass but tolerated that [-] {meta.code.qual}';
COMMENT ON COLUMN api.fates.run_id IS 'Run, as a number [-] {meta.id}';
COMMENT ON COLUMN api.fates.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN api.fates.number IS 'Number within the extraction [-] {meta.id}';

-- Detections whose fate differs between two runs. Only what at least one of the runs has judged is compared; a
-- null outcome beside a null candidate says that a run has no such detection.
CREATE OR REPLACE FUNCTION api.run_diff(run_before text, run_after text)
RETURNS TABLE (
    src_id text, plate_id text,
    candidate_before boolean, stage_before text, outcome_before vasco.outcome, reason_before text,
    candidate_after boolean, stage_after text, outcome_after vasco.outcome, reason_after text,
    extraction_id bigint, number integer
)
LANGUAGE sql STABLE
AS $$
    SELECT
        coalesce(a.src_id, b.src_id), coalesce(a.plate_id, b.plate_id),
        a.is_candidate, a.stage, a.outcome, a.reason, b.is_candidate, b.stage, b.outcome, b.reason,
        coalesce(a.extraction_id, b.extraction_id), coalesce(a.number, b.number)
    FROM (SELECT * FROM api.fates AS f WHERE f.run = run_before) AS a
    FULL JOIN (SELECT * FROM api.fates AS f WHERE f.run = run_after) AS b USING (extraction_id, number)
    WHERE (a.is_candidate, a.stage, a.outcome) IS DISTINCT FROM (b.is_candidate, b.stage, b.outcome)
    ORDER BY 1
$$;
COMMENT ON FUNCTION api.run_diff IS 'Detections whose fate differs between two runs, with the stage and the reason in each';
