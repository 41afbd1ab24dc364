-- Sources on the sky: detections of one source brought together, and the plates that cover and detect it.

-- How far to search for what may contain a position: the widest image and the widest plate, by one probe each.
CREATE INDEX image_radius ON plate.image (radius_deg);
CREATE INDEX plate_reach ON plate.plate (
    (sqrt(naxis1::double precision ^ 2 + naxis2::double precision ^ 2) * scale_arcsec_px / 7200)
);

CREATE TABLE vasco.object_build (
    run_id bigint PRIMARY KEY REFERENCES vasco.run,
    of_stage text,
    plate_link_arcsec double precision NOT NULL CHECK (plate_link_arcsec > 0 AND plate_link_arcsec <= 60),
    sky_link_arcsec double precision NOT NULL CHECK (sky_link_arcsec > 0 AND sky_link_arcsec <= 60),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (run_id, of_stage) REFERENCES vasco.run_stage
);
COMMENT ON TABLE vasco.object_build IS 'How the objects of a run were made of its detections';
COMMENT ON COLUMN vasco.object_build.run_id IS 'Run [-] {meta.id;meta.main}';
COMMENT ON COLUMN vasco.object_build.of_stage IS 'Stage whose input the objects are made of; null for the candidates [-] {meta.id}';
COMMENT ON COLUMN vasco.object_build.plate_link_arcsec IS 'Detections of one plate within this distance are one source [arcsec] {pos.angDistance}';
COMMENT ON COLUMN vasco.object_build.sky_link_arcsec IS 'Detections of different plates within this distance are one source [arcsec] {pos.angDistance}';
COMMENT ON COLUMN vasco.object_build.recorded_at IS 'When they were last built otherwise than before [-] {time}';

CREATE TABLE vasco.object (
    run_id bigint NOT NULL REFERENCES vasco.object_build,
    extraction_id bigint NOT NULL,
    ra double precision NOT NULL CHECK (ra >= 0 AND ra < 360),
    dec double precision NOT NULL CHECK (dec BETWEEN -90 AND 90),
    spread_arcsec double precision NOT NULL CHECK (spread_arcsec >= 0),
    primary_sep_deg double precision CHECK (primary_sep_deg >= 0),
    number integer NOT NULL,
    n_detections integer NOT NULL CHECK (n_detections > 0),
    n_plates_detecting integer NOT NULL GENERATED ALWAYS AS (cardinality(detecting_plates)) STORED,
    n_plates_covering integer NOT NULL GENERATED ALWAYS AS (cardinality(covering_plates)) STORED,
    is_primary boolean,
    primary_plate text,
    detecting_plates text[] NOT NULL CHECK (cardinality(detecting_plates) > 0),
    covering_plates text[] NOT NULL,
    PRIMARY KEY (run_id, extraction_id, number),
    FOREIGN KEY (extraction_id, number) REFERENCES vasco.detection,
    CHECK (detecting_plates <@ covering_plates),
    CHECK ((primary_plate IS NULL) = (primary_sep_deg IS NULL)),
    CHECK (is_primary IS NOT DISTINCT FROM primary_plate = ANY (detecting_plates))
);
CREATE INDEX object_sky ON vasco.object (q3c_ang2ipix(ra, dec));
COMMENT ON TABLE vasco.object IS 'Sources on the sky, per run: detections of one source on one or several plates brought together';
COMMENT ON COLUMN vasco.object.run_id IS 'Run [-] {meta.id}';
COMMENT ON COLUMN vasco.object.extraction_id IS 'Extraction of the detection that represents it: the smallest name [-] {meta.id;meta.main}';
COMMENT ON COLUMN vasco.object.number IS 'Number of that detection within the extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.object.ra IS 'Mean right ascension of its detections, J2000 [deg] {pos.eq.ra;meta.main}';
COMMENT ON COLUMN vasco.object.dec IS 'Mean declination of its detections, J2000 [deg] {pos.eq.dec;meta.main}';
COMMENT ON COLUMN vasco.object.spread_arcsec IS 'Distance of its farthest detection from the mean position [arcsec] {pos.angDistance;stat.max}';
COMMENT ON COLUMN vasco.object.n_detections IS 'Detections, on all plates [-] {meta.number}';
COMMENT ON COLUMN vasco.object.detecting_plates IS 'Plates that detect it [-] {meta.id}';
COMMENT ON COLUMN vasco.object.covering_plates IS 'Plates with an image or, by their header, a scan that contains it [-] {meta.id}';
COMMENT ON COLUMN vasco.object.n_plates_detecting IS 'Plates that detect it [-] {meta.number}';
COMMENT ON COLUMN vasco.object.n_plates_covering IS 'Plates that contain it [-] {meta.number}';
COMMENT ON COLUMN vasco.object.primary_plate IS 'Plate whose scan has its middle nearest; null where no plate is loaded [-] {meta.id}';
COMMENT ON COLUMN vasco.object.primary_sep_deg IS 'Distance to the middle of that scan [deg] {pos.angDistance}';
COMMENT ON COLUMN vasco.object.is_primary IS 'Whether the primary plate is among those that detect it [-] {meta.code}';

CREATE TABLE vasco.object_member (
    run_id bigint NOT NULL,
    extraction_id bigint NOT NULL,
    object_extraction_id bigint NOT NULL,
    sep_arcsec double precision NOT NULL CHECK (sep_arcsec >= 0),
    number integer NOT NULL,
    object_number integer NOT NULL,
    PRIMARY KEY (run_id, extraction_id, number),
    FOREIGN KEY (run_id, extraction_id) REFERENCES vasco.run_image,
    FOREIGN KEY (extraction_id, number) REFERENCES vasco.detection,
    FOREIGN KEY (run_id, object_extraction_id, object_number) REFERENCES vasco.object
);
CREATE INDEX object_member_object ON vasco.object_member (run_id, object_extraction_id, object_number);
COMMENT ON TABLE vasco.object_member IS 'The detections that make up each object';
COMMENT ON COLUMN vasco.object_member.run_id IS 'Run [-] {meta.id}';
COMMENT ON COLUMN vasco.object_member.extraction_id IS 'Extraction of the detection [-] {meta.id;meta.main}';
COMMENT ON COLUMN vasco.object_member.number IS 'Number of the detection within it [-] {meta.id}';
COMMENT ON COLUMN vasco.object_member.object_extraction_id IS 'Extraction of the detection that represents the object [-] {meta.id.parent}';
COMMENT ON COLUMN vasco.object_member.object_number IS 'Number of that detection [-] {meta.id.parent}';
COMMENT ON COLUMN vasco.object_member.sep_arcsec IS 'Distance from the object''s mean position [arcsec] {pos.angDistance}';
