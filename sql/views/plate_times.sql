-- When every plate was exposed, beside what its header says.

CREATE OR REPLACE VIEW api.plate_times AS
SELECT
    t.plate_id, p.plate_label, p.date_obs_raw, t.start_utc, t.mid_utc, t.uncertainty_minutes, t.time_quality,
    a.day_offset, a.residual_minutes, a.hypothesis,
    plate.time_of(t.plate_id, 'literal', 'start') AS literal_start_utc,
    plate.time_of(t.plate_id, 'decimal_hours', 'start') AS decimal_hours_start_utc,
    t.evidence
FROM plate.exposure_time AS t
LEFT JOIN plate.plate AS p ON p.plate_id = t.plate_id
LEFT JOIN plate.time_evidence AS a ON a.plate_id = t.plate_id AND a.kind = 'reading' AND a.adopted
WHERE t.source = 'solution' AND t.reading = 'corrected';
COMMENT ON VIEW api.plate_times IS 'When plates were exposed, by all evidence, and what their headers say literally';
COMMENT ON COLUMN api.plate_times.plate_id IS 'Plate, header REGION [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.plate_times.plate_label IS 'Observers'' plate number, header PLTLABEL [-] {meta.id}';
COMMENT ON COLUMN api.plate_times.date_obs_raw IS 'Header DATE-OBS as written [-] {time.start;obs.exposure}';
COMMENT ON COLUMN api.plate_times.start_utc IS 'Start of the exposure; none where it is in conflict or not known [-] {time.start;obs.exposure}';
COMMENT ON COLUMN api.plate_times.mid_utc IS 'Middle of the exposure [-] {time.epoch;obs.exposure}';
COMMENT ON COLUMN api.plate_times.uncertainty_minutes IS 'Standard error of the start [min] {stat.error;time.start}';
COMMENT ON COLUMN api.plate_times.time_quality IS 'agreed (two witnesses), single, conflicting or unknown [-] {meta.code.qual}';
COMMENT ON COLUMN api.plate_times.day_offset IS 'Days by which the exposure is later than the header''s date [d] {time.interval}';
COMMENT ON COLUMN api.plate_times.residual_minutes IS 'Hour angle by this start less the header''s, zero point taken off [min] {stat.fit.residual;pos.posAng}';
COMMENT ON COLUMN api.plate_times.hypothesis IS 'How the minutes are read: as written or carried [-] {meta.code}';
COMMENT ON COLUMN api.plate_times.literal_start_utc IS 'Start as the header writes it [-] {time.start;obs.exposure}';
COMMENT ON COLUMN api.plate_times.decimal_hours_start_utc IS 'Start with the minutes as hundredths of an hour and nothing else changed [-] {time.start;obs.exposure}';
COMMENT ON COLUMN api.plate_times.evidence IS 'Why, for people [-] {meta.note}';
