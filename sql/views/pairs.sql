-- Candidates near each other: one source found twice, or twice on plates that overlap.

CREATE OR REPLACE VIEW api.candidate_pairs AS
SELECT
    c.run, c.src_id, o.src_id AS other_src_id, c.plate_id, o.plate_id AS other_plate_id,
    c.plate_id = o.plate_id AS same_plate, sky.separation_arcsec(c.ra, c.dec, o.ra, o.dec) AS sep_arcsec, c.run_id
FROM api.candidates AS c
CROSS JOIN LATERAL (
    SELECT d.extraction_id, d.number
    FROM vasco.detection AS d
    WHERE q3c_join(c.ra, c.dec, d.ra, d.dec, 5.0 / 3600)
    OFFSET 0
) AS near
CROSS JOIN LATERAL (
    SELECT p.src_id, p.plate_id, p.ra, p.dec
    FROM api.candidates AS p
    WHERE p.run_id = c.run_id AND p.extraction_id = near.extraction_id AND p.number = near.number
    AND (near.extraction_id, near.number) > (c.extraction_id, c.number)
    OFFSET 0
) AS o;
COMMENT ON VIEW api.candidate_pairs IS 'Candidates of one run within 5 arcsec of each other, each pair once';
COMMENT ON COLUMN api.candidate_pairs.run IS 'Name of the run [-] {meta.id}';
COMMENT ON COLUMN api.candidate_pairs.src_id IS 'Name of the detection [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.candidate_pairs.other_src_id IS 'Name of the other detection [-] {meta.id.assoc}';
COMMENT ON COLUMN api.candidate_pairs.plate_id IS 'Plate, header REGION [-] {meta.id}';
COMMENT ON COLUMN api.candidate_pairs.other_plate_id IS 'Plate of the other detection [-] {meta.id.assoc}';
COMMENT ON COLUMN api.candidate_pairs.same_plate IS 'Whether both are on one plate [-] {meta.code}';
COMMENT ON COLUMN api.candidate_pairs.sep_arcsec IS 'Their separation [arcsec] {pos.angDistance}';
COMMENT ON COLUMN api.candidate_pairs.run_id IS 'Run, as a number [-] {meta.id}';
