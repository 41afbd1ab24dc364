-- Takes out again what 0003_times.sql made.
-- With whatever function of ours reads it; vascodb init makes those anew.
DROP FUNCTION IF EXISTS plate.time_of(bigint, text, text) CASCADE;
DROP FUNCTION IF EXISTS plate.time_of(text, text, text) CASCADE;
DROP TABLE plate.time_evidence;
DELETE FROM plate.exposure_time WHERE reading = 'corrected' OR source = 'cdrom';
ALTER TABLE plate.exposure_time
    DROP CONSTRAINT exposure_time_is_sure_or_missing,
    DROP CONSTRAINT exposure_time_has_no_middle_without_start,
    DROP COLUMN uncertainty_minutes;
COMMENT ON COLUMN plate.exposure_time.source IS 'The header that says so: plate, or image and its id [-] {meta.ref}';
