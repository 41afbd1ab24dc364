-- Sources on the sky, as people read them.

CREATE OR REPLACE VIEW api.objects AS
SELECT
    r.run, i.tile_id || ':' || o.number AS src_id, o.ra, o.dec, o.n_detections, o.n_plates_detecting, o.n_plates_covering,
    o.primary_plate, o.primary_sep_deg, o.is_primary, o.detecting_plates, o.covering_plates, o.spread_arcsec,
    b.of_stage, b.plate_link_arcsec, b.sky_link_arcsec, o.run_id, o.extraction_id, o.number
FROM vasco.object AS o
JOIN vasco.object_build AS b USING (run_id)
JOIN vasco.run AS r USING (run_id)
JOIN vasco.extraction AS e USING (extraction_id)
JOIN plate.image AS i USING (image_id);
COMMENT ON VIEW api.objects IS 'Sources on the sky, per run: detections brought together across images and plates';
COMMENT ON COLUMN api.objects.run IS 'Name of the run [-] {meta.id}';
COMMENT ON COLUMN api.objects.src_id IS 'Name of the detection that represents it: tile and number [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.objects.ra IS 'Mean right ascension of its detections, J2000 [deg] {pos.eq.ra;meta.main}';
COMMENT ON COLUMN api.objects.dec IS 'Mean declination of its detections, J2000 [deg] {pos.eq.dec;meta.main}';
COMMENT ON COLUMN api.objects.n_detections IS 'Detections, on all plates [-] {meta.number}';
COMMENT ON COLUMN api.objects.n_plates_detecting IS 'Plates that detect it [-] {meta.number}';
COMMENT ON COLUMN api.objects.n_plates_covering IS 'Plates that contain it [-] {meta.number}';
COMMENT ON COLUMN api.objects.primary_plate IS 'Plate whose scan has its middle nearest; null where no plate is loaded [-] {meta.id}';
COMMENT ON COLUMN api.objects.primary_sep_deg IS 'Distance to the middle of that scan [deg] {pos.angDistance}';
COMMENT ON COLUMN api.objects.is_primary IS 'Whether the primary plate is among those that detect it [-] {meta.code}';
COMMENT ON COLUMN api.objects.detecting_plates IS 'Plates that detect it [-] {meta.id}';
COMMENT ON COLUMN api.objects.covering_plates IS 'Plates with an image or, by their header, a scan that contains it [-] {meta.id}';
COMMENT ON COLUMN api.objects.spread_arcsec IS 'Distance of its farthest detection from the mean position [arcsec] {pos.angDistance;stat.max}';
COMMENT ON COLUMN api.objects.of_stage IS 'Stage whose input the objects are made of; null for the candidates [-] {meta.id}';
COMMENT ON COLUMN api.objects.plate_link_arcsec IS 'Detections of one plate within this distance are one source [arcsec] {pos.angDistance}';
COMMENT ON COLUMN api.objects.sky_link_arcsec IS 'Detections of different plates within this distance are one source [arcsec] {pos.angDistance}';
COMMENT ON COLUMN api.objects.run_id IS 'Run, as a number [-] {meta.id}';
COMMENT ON COLUMN api.objects.extraction_id IS 'Extraction of the detection that represents it [-] {meta.id}';
COMMENT ON COLUMN api.objects.number IS 'Number of that detection within the extraction [-] {meta.id}';

CREATE OR REPLACE VIEW api.object_members AS
SELECT
    r.run, oi.tile_id || ':' || m.object_number AS object_src_id, d.src_id, d.plate_id, d.ra, d.dec, m.sep_arcsec,
    d.mag_auto, d.epoch_jyear, m.run_id, m.object_extraction_id, m.object_number, m.extraction_id, m.number
FROM vasco.object_member AS m
JOIN vasco.run AS r USING (run_id)
JOIN vasco.extraction AS oe ON oe.extraction_id = m.object_extraction_id
JOIN plate.image AS oi ON oi.image_id = oe.image_id
CROSS JOIN LATERAL (
    SELECT a.* FROM api.detections AS a
    WHERE a.extraction_id = m.extraction_id AND a.number = m.number
    OFFSET 0
) AS d;
COMMENT ON VIEW api.object_members IS 'The detections that make up each source on the sky';
COMMENT ON COLUMN api.object_members.run IS 'Name of the run [-] {meta.id}';
COMMENT ON COLUMN api.object_members.object_src_id IS 'Name of the detection that represents the source [-] {meta.id.parent}';
COMMENT ON COLUMN api.object_members.src_id IS 'Name of the detection: tile and number [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.object_members.plate_id IS 'Plate, header REGION [-] {meta.id}';
COMMENT ON COLUMN api.object_members.ra IS 'Right ascension of the detection, J2000 [deg] {pos.eq.ra;meta.main}';
COMMENT ON COLUMN api.object_members.dec IS 'Declination of the detection, J2000 [deg] {pos.eq.dec;meta.main}';
COMMENT ON COLUMN api.object_members.sep_arcsec IS 'Distance from the source''s mean position [arcsec] {pos.angDistance}';
COMMENT ON COLUMN api.object_members.mag_auto IS 'Kron magnitude, instrumental [mag] {phot.mag}';
COMMENT ON COLUMN api.object_members.epoch_jyear IS 'Julian epoch of mid-exposure [yr] {time.epoch}';
COMMENT ON COLUMN api.object_members.run_id IS 'Run, as a number [-] {meta.id}';
COMMENT ON COLUMN api.object_members.object_extraction_id IS 'Extraction of the detection that represents the source [-] {meta.id}';
COMMENT ON COLUMN api.object_members.object_number IS 'Number of that detection [-] {meta.id}';
COMMENT ON COLUMN api.object_members.extraction_id IS 'Extraction of the detection [-] {meta.id}';
COMMENT ON COLUMN api.object_members.number IS 'Number of the detection within it [-] {meta.id}';
