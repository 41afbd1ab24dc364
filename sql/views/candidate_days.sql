-- What each day of the survey brought: for whoever compares days, as with events that are known to the day. A day early
-- is the wrong one, so it is that of the corrected middle of the exposure; images whose time is in conflict or not known
-- are a row of their own, without a day.
CREATE OR REPLACE VIEW api.candidate_days AS
SELECT
    r.run, im.day_utc, count(DISTINCT im.plate_id) AS n_plates, count(*) AS n_images,
    sum(im.n_detections)::bigint AS n_detections, coalesce(sum(f.n), 0)::bigint AS n_candidates,
    count(*) FILTER (WHERE im.literal_day_utc <> im.day_utc) AS n_images_on_another_day_literally,
    r.run_id
FROM vasco.run AS r
CROSS JOIN LATERAL (
    SELECT
        i.extraction_id, p.plate_id, e.n_detections,
        (plate.time_of(p.image_id) AT TIME ZONE 'UTC')::date AS day_utc,
        (plate.time_of(p.image_id, 'literal', 'start') AT TIME ZONE 'UTC')::date AS literal_day_utc
    FROM vasco.run_image AS i
    JOIN vasco.extraction AS e USING (extraction_id)
    JOIN plate.image AS p USING (image_id)
    WHERE i.run_id = r.run_id
    OFFSET 0
) AS im
LEFT JOIN (
    SELECT c.run_id, c.extraction_id, count(*) AS n FROM api.candidates AS c GROUP BY c.run_id, c.extraction_id
) AS f ON f.run_id = r.run_id AND f.extraction_id = im.extraction_id
GROUP BY r.run_id, r.run, im.day_utc;
COMMENT ON VIEW api.candidate_days IS 'Images and candidates of a run for each day on which plates were exposed, by the corrected middle of the exposure';
COMMENT ON COLUMN api.candidate_days.run IS 'Name of the run [-] {meta.id}';
COMMENT ON COLUMN api.candidate_days.day_utc IS 'Day, in UT; none where the time is in conflict or not known [-] {time.epoch;obs.exposure}';
COMMENT ON COLUMN api.candidate_days.n_plates IS 'Plates [-] {meta.number}';
COMMENT ON COLUMN api.candidate_days.n_images IS 'Images of them in the run, also those without a candidate [-] {meta.number}';
COMMENT ON COLUMN api.candidate_days.n_detections IS 'Detections on these [-] {meta.number}';
COMMENT ON COLUMN api.candidate_days.n_candidates IS 'Candidates on these [-] {meta.number}';
COMMENT ON COLUMN api.candidate_days.n_images_on_another_day_literally IS
    'Images whose header puts the start of the exposure on another day [-] {meta.number}';
COMMENT ON COLUMN api.candidate_days.run_id IS 'Run [-] {meta.id}';
