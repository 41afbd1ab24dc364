-- True times of plates: what was concluded from all evidence, and the evidence row by row.

ALTER TABLE plate.exposure_time
    ADD COLUMN uncertainty_minutes real CHECK (uncertainty_minutes > 0),
    -- A time that is in conflict, or not known, is no time: no stage can take it for one by mistake.
    ADD CONSTRAINT exposure_time_is_sure_or_missing CHECK (
        reading <> 'corrected'
        OR (time_quality IN ('agreed', 'single')) = (start_utc IS NOT NULL AND uncertainty_minutes IS NOT NULL)
    ),
    ADD CONSTRAINT exposure_time_has_no_middle_without_start CHECK (mid_utc IS NULL OR start_utc IS NOT NULL);
COMMENT ON COLUMN plate.exposure_time.source IS 'Who says so: plate header, image and its id, cdrom, or solution for what follows from all of them [-] {meta.ref}';
COMMENT ON COLUMN plate.exposure_time.uncertainty_minutes IS 'Standard error of the corrected start [min] {stat.error;time.start}';

CREATE TABLE plate.time_evidence (
    plate_id text NOT NULL,
    ordinal integer NOT NULL CHECK (ordinal > 0),
    kind text NOT NULL CHECK (kind IN ('reading', 'hour_angle', 'cdrom', 'label_order', 'label_block', 'image')),
    hypothesis text,
    start_utc timestamptz,
    day_offset integer,
    residual_minutes real,
    verdict text NOT NULL CHECK (verdict IN ('for', 'against', 'silent')),
    adopted boolean NOT NULL DEFAULT false,
    note text NOT NULL,
    PRIMARY KEY (plate_id, ordinal)
);
COMMENT ON TABLE plate.time_evidence IS 'What each witness says of when a plate was exposed; vascodb plate-times writes it';
COMMENT ON COLUMN plate.time_evidence.plate_id IS 'Plate, header REGION [-] {meta.id}';
COMMENT ON COLUMN plate.time_evidence.ordinal IS 'Number of the row among the plate''s [-] {meta.number}';
COMMENT ON COLUMN plate.time_evidence.kind IS 'reading: a moment that the header can mean; else who speaks: hour_angle (header OBSHA), cdrom, label_order, label_block or image [-] {meta.code.class}';
COMMENT ON COLUMN plate.time_evidence.hypothesis IS 'How the header is read: as written or carried (a surplus of minutes went into the hours) [-] {meta.code}';
COMMENT ON COLUMN plate.time_evidence.start_utc IS 'Start of the exposure that the row is about [-] {time.start;obs.exposure}';
COMMENT ON COLUMN plate.time_evidence.day_offset IS 'Days by which it is later than the header''s date [d] {time.interval}';
COMMENT ON COLUMN plate.time_evidence.residual_minutes IS 'Hour angle by this start less that of the header, in minutes of sidereal time, zero point taken off [min] {stat.fit.residual;pos.posAng}';
COMMENT ON COLUMN plate.time_evidence.verdict IS 'for, against, or silent where it cannot be told; of a reading the hour angle''s word [-] {meta.code}';
COMMENT ON COLUMN plate.time_evidence.adopted IS 'Whether this start is the corrected one [-] {meta.code}';
COMMENT ON COLUMN plate.time_evidence.note IS 'Why, for people [-] {meta.note}';
