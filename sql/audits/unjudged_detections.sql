-- Detections that a stage of a run should have judged and did not, and verdicts on detections that it was not to
-- judge: what goes into a stage is what passed all earlier steps, no more and no less.
SELECT f.what, r.run, f.stage, f.extraction_id, f.number
FROM vasco.run AS r
CROSS JOIN LATERAL (
    SELECT 'not judged' AS what, s.stage, m.extraction_id, m.number
    FROM vasco.run_stage AS s
    CROSS JOIN LATERAL (
        SELECT d.extraction_id, d.number FROM stage.input(s.run_id, s.stage, NULL) AS d
        EXCEPT
        SELECT v.extraction_id, v.number FROM vasco.verdict AS v WHERE v.run_id = s.run_id AND v.stage = s.stage
    ) AS m
    WHERE s.run_id = r.run_id
    UNION ALL
    SELECT 'not to be judged', s.stage, m.extraction_id, m.number
    FROM vasco.run_stage AS s
    CROSS JOIN LATERAL (
        SELECT v.extraction_id, v.number FROM vasco.verdict AS v WHERE v.run_id = s.run_id AND v.stage = s.stage
        EXCEPT
        SELECT d.extraction_id, d.number FROM stage.input(s.run_id, s.stage, NULL) AS d
    ) AS m
    WHERE s.run_id = r.run_id
) AS f
ORDER BY r.run, f.stage, f.extraction_id, f.number;
