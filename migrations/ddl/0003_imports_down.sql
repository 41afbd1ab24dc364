-- Takes out again what 0003_imports.sql made; what was imported goes with it.
DELETE FROM vasco.verdict AS v USING vasco.release_tile AS t WHERE t.extraction_id = v.extraction_id;
DELETE FROM vasco.clip_window AS w USING vasco.release_tile AS t WHERE t.extraction_id = w.extraction_id;
DELETE FROM vasco.run_ledger AS l USING vasco.release_tile AS t WHERE t.extraction_id = l.extraction_id;
DELETE FROM vasco.plate_fit AS f USING vasco.release_tile AS t WHERE t.extraction_id = f.extraction_id;
DELETE FROM vasco.run_image AS i USING vasco.release_tile AS t WHERE t.extraction_id = i.extraction_id;
DELETE FROM vasco.match AS m USING vasco.release_tile AS t WHERE t.extraction_id = m.extraction_id;
DELETE FROM vasco.morph_measure AS m USING vasco.release_tile AS t WHERE t.extraction_id = m.extraction_id;
DELETE FROM vasco.shape_measure AS m USING vasco.release_tile AS t WHERE t.extraction_id = m.extraction_id;
DELETE FROM vasco.psf_statistics AS s USING vasco.release_tile AS t WHERE t.extraction_id = s.extraction_id;
DROP TABLE vasco.imported_match, vasco.published_verdict, vasco.release_stage;
DELETE FROM vasco.detection AS d USING vasco.release_tile AS t WHERE t.extraction_id = d.extraction_id;
DROP TABLE vasco.release_tile;
DELETE FROM vasco.extraction AS e USING plate.image AS i WHERE i.image_id = e.image_id AND i.status = 'imported';
DELETE FROM plate.image WHERE status = 'imported';
DELETE FROM ref.lookup WHERE kind = 'import';
ALTER TABLE ref.lookup
    DROP CONSTRAINT lookup_kind_check,
    DROP CONSTRAINT lookup_service_check,
    DROP CONSTRAINT lookup_catalog_check,
    ALTER COLUMN catalog SET NOT NULL,
    ADD CONSTRAINT lookup_kind_check
        CHECK (kind IN ('file', 'bulk', 'area', 'list', 'moving', 'canary', 'footprint')),
    ADD CONSTRAINT lookup_service_check CHECK (kind IN ('file', 'bulk') OR service IS NOT NULL);
ALTER TABLE vasco.detection
    DROP CONSTRAINT detection_measured_check,
    ALTER COLUMN ra_raw SET NOT NULL,
    ALTER COLUMN dec_raw SET NOT NULL,
    ALTER COLUMN xwin_image SET NOT NULL,
    ALTER COLUMN ywin_image SET NOT NULL,
    ALTER COLUMN x_image SET NOT NULL,
    ALTER COLUMN y_image SET NOT NULL,
    ALTER COLUMN elongation SET NOT NULL,
    ALTER COLUMN ellipticity SET NOT NULL,
    ALTER COLUMN fwhm_image SET NOT NULL,
    ALTER COLUMN flux_auto SET NOT NULL,
    ALTER COLUMN mag_auto SET NOT NULL,
    ALTER COLUMN flux_aper SET NOT NULL,
    ALTER COLUMN class_star SET NOT NULL,
    ALTER COLUMN snr_win SET NOT NULL,
    ALTER COLUMN flags SET NOT NULL,
    ALTER COLUMN xmin_image SET NOT NULL,
    ALTER COLUMN xmax_image SET NOT NULL,
    ALTER COLUMN ymin_image SET NOT NULL,
    ALTER COLUMN ymax_image SET NOT NULL;
ALTER TABLE plate.image
    DROP CONSTRAINT image_status_check,
    DROP CONSTRAINT image_reason_check,
    DROP CONSTRAINT image_file_check,
    DROP CONSTRAINT image_imported_check,
    DROP CONSTRAINT image_release_check,
    DROP COLUMN release_id,
    DROP COLUMN planned_plate,
    ALTER COLUMN sha256 SET NOT NULL,
    ALTER COLUMN file_name SET NOT NULL,
    ALTER COLUMN size_bytes SET NOT NULL,
    ALTER COLUMN naxis1 SET NOT NULL,
    ALTER COLUMN naxis2 SET NOT NULL,
    ALTER COLUMN header SET NOT NULL,
    ALTER COLUMN path SET NOT NULL,
    ADD CONSTRAINT image_status_check CHECK (status IN ('ok', 'refused')),
    ADD CONSTRAINT image_check CHECK (status = 'ok' OR status_reason IS NOT NULL);
DROP TABLE vasco.release_file, vasco.release;
