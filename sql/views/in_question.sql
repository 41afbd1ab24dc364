-- Detections that may still turn out to be vanished: what look-ups by position are sent for.

CREATE OR REPLACE VIEW api.in_question AS
SELECT r.run, r.run_id, i.tile_id, d.extraction_id, d.number, d.ra, d.dec
FROM vasco.run AS r
JOIN vasco.run_image AS ri USING (run_id)
JOIN vasco.extraction AS e USING (extraction_id)
JOIN plate.image AS i USING (image_id)
JOIN vasco.detection AS d USING (extraction_id)
WHERE NOT EXISTS (
    SELECT 1
    FROM vasco.verdict AS v
    JOIN vasco.run_stage AS t USING (run_id, stage)
    WHERE v.run_id = r.run_id AND v.extraction_id = d.extraction_id AND v.number = d.number
    AND v.outcome = 'fail' AND NOT 'fail' = ANY (t.tolerates)
)
AND NOT EXISTS (
    SELECT 1 FROM vasco.match AS m
    WHERE m.extraction_id = d.extraction_id AND m.number = d.number AND m.state = 'matched'
    AND EXISTS (
        SELECT 1
        FROM vasco.run_stage AS s
        JOIN ref.catalog AS c ON c.family = s.parameters ->> 'family'
        WHERE s.run_id = r.run_id AND s.function IN ('veto', 'ps1_southern_cut') AND c.catalog = m.catalog
    )
);
COMMENT ON VIEW api.in_question IS 'Detections that no stage of a run has turned away and no required catalogue knows';
COMMENT ON COLUMN api.in_question.run IS 'Name of the run [-] {meta.id}';
COMMENT ON COLUMN api.in_question.run_id IS 'Run, as a number [-] {meta.id}';
COMMENT ON COLUMN api.in_question.tile_id IS 'Tile that the image covers [-] {meta.id}';
COMMENT ON COLUMN api.in_question.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN api.in_question.number IS 'Number within the extraction [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.in_question.ra IS 'Best right ascension, J2000 [deg] {pos.eq.ra;meta.main}';
COMMENT ON COLUMN api.in_question.dec IS 'Best declination, J2000 [deg] {pos.eq.dec;meta.main}';
