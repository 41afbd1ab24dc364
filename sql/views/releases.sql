-- Releases of other pipelines, as they were published.

CREATE OR REPLACE VIEW api.releases AS
SELECT
    r.name, r.run_tag, t.n_tiles, t.n_missing, d.n_detections, t.n_dated, t.n_resolved, t.n_without_gaia, r.recorded_at,
    r.release_id
FROM vasco.release AS r
CROSS JOIN LATERAL (
    SELECT
        count(*) AS n_tiles,
        count(*) FILTER (WHERE k.status = 'missing') AS n_missing,
        count(*) FILTER (WHERE k.obs_start IS NOT NULL) AS n_dated,
        count(*) FILTER (WHERE k.plate_source = 'date') AS n_resolved,
        count(*) FILTER (WHERE k.psf_stars = 0) AS n_without_gaia
    FROM vasco.release_tile AS k
    WHERE k.release_id = r.release_id
) AS t
CROSS JOIN LATERAL (
    SELECT coalesce(sum(e.n_detections), 0)::bigint AS n_detections
    FROM vasco.release_tile AS k
    JOIN vasco.extraction AS e USING (extraction_id)
    WHERE k.release_id = r.release_id
) AS d;
COMMENT ON VIEW api.releases IS 'Imported releases with their counts';
COMMENT ON COLUMN api.releases.name IS 'Name it was imported under [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.releases.run_tag IS 'Name that the run gives itself [-] {meta.id}';
COMMENT ON COLUMN api.releases.n_tiles IS 'Tiles of its manifest [-] {meta.number}';
COMMENT ON COLUMN api.releases.n_missing IS 'Tiles whose list of survivors is missing: lost, or empty [-] {meta.number}';
COMMENT ON COLUMN api.releases.n_detections IS 'Detections [-] {meta.number}';
COMMENT ON COLUMN api.releases.n_dated IS 'Tiles whose exposure it dates [-] {meta.number}';
COMMENT ON COLUMN api.releases.n_resolved IS 'Tiles whose plate the date tells [-] {meta.number}';
COMMENT ON COLUMN api.releases.n_without_gaia IS 'Tiles on which it found no star of Gaia: nothing there was vetoed by Gaia [-] {meta.number}';
COMMENT ON COLUMN api.releases.recorded_at IS 'When it was imported [-] {time}';
COMMENT ON COLUMN api.releases.release_id IS 'Release, as a number [-] {meta.id}';

CREATE OR REPLACE VIEW api.published_funnel AS
SELECT
    r.name, s.ordinal, s.stage, s.rows_in, s.rows_kept, l.endpoint AS file_name, l.complete, s.parameters, r.release_id
FROM vasco.release AS r
JOIN vasco.release_stage AS s USING (release_id)
JOIN ref.lookup AS l USING (lookup_id)
ORDER BY r.name, s.ordinal;
COMMENT ON VIEW api.published_funnel IS 'Stages of imported releases: how many detections went in and were kept, as published';
COMMENT ON COLUMN api.published_funnel.name IS 'Release [-] {meta.id}';
COMMENT ON COLUMN api.published_funnel.ordinal IS 'Place of the stage [-] {meta.number}';
COMMENT ON COLUMN api.published_funnel.stage IS 'Stage as its files are called [-] {meta.id}';
COMMENT ON COLUMN api.published_funnel.rows_in IS 'Detections it judged [-] {meta.number}';
COMMENT ON COLUMN api.published_funnel.rows_kept IS 'Detections it kept [-] {meta.number}';
COMMENT ON COLUMN api.published_funnel.file_name IS 'File that says so [-] {meta.id;meta.file}';
COMMENT ON COLUMN api.published_funnel.complete IS 'Whether the release shows that the file is whole [-] {meta.code.qual}';
COMMENT ON COLUMN api.published_funnel.parameters IS 'Parameters in the stage''s ledger [-] {meta.record}';
COMMENT ON COLUMN api.published_funnel.release_id IS 'Release, as a number [-] {meta.id}';
