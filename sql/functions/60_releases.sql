-- Tell the plates of imported images by the dates of their exposures: a plate's header has the very same date,
-- literally read, and no other plate's has. Once more after more plates were loaded; what is told already stays.
-- Returns how many images were told now.
CREATE OR REPLACE FUNCTION stage.resolve_plates(which_release_id bigint)
RETURNS bigint
LANGUAGE sql
AS $$
    -- Few tiles are dated, of ten thousands. Fenced, because the planner knows nothing of tiles just written.
    WITH dated AS MATERIALIZED (
        SELECT t.image_id, t.obs_start
        FROM vasco.release_tile AS t
        WHERE t.release_id = which_release_id AND t.plate_source <> 'date' AND t.obs_start IS NOT NULL
    ),
    told AS MATERIALIZED (
        SELECT d.image_id, min(x.plate_id) AS plate_id
        FROM dated AS d
        JOIN plate.exposure_time AS x ON x.start_utc = d.obs_start
        WHERE x.source = 'plate header' AND x.reading = 'literal'
        GROUP BY d.image_id
        HAVING count(DISTINCT x.plate_id) = 1
    ),
    named AS (
        UPDATE plate.image AS i
        SET plate_id = p.plate_id, survey = p.survey, band = p.band, exposure_minutes = p.exposure_minutes,
            epoch_jyear = p.epoch_jyear, time_quality = p.time_quality
        FROM told AS n
        JOIN plate.plate AS p ON p.plate_id = n.plate_id
        WHERE i.image_id = n.image_id
        RETURNING i.image_id
    ),
    marked AS (
        UPDATE vasco.release_tile AS t
        SET plate_source = 'date'
        WHERE t.image_id IN (SELECT n.image_id FROM named AS n)
        RETURNING 1
    )
    SELECT count(*) FROM marked
$$;
COMMENT ON FUNCTION stage.resolve_plates IS
    'Tell the plates of imported images by the dates of their exposures; returns how many were told now';

-- An image whose plate the release itself names, such as one that was cut out of a scan of the whole plate, was
-- exposed when that plate was.
CREATE OR REPLACE FUNCTION stage.date_by_plate(which_release_id bigint)
RETURNS bigint
LANGUAGE sql
AS $$
    WITH dated AS (
        UPDATE plate.image AS i
        SET survey = p.survey, band = p.band, exposure_minutes = p.exposure_minutes, date_obs_raw = p.date_obs_raw,
            ut_raw = p.ut_raw, epoch_jyear = p.epoch_jyear, time_quality = p.time_quality
        FROM vasco.release_tile AS t, plate.plate AS p
        WHERE t.release_id = which_release_id AND t.plate_source = 'release' AND i.image_id = t.image_id
        AND p.plate_id = i.plate_id AND i.epoch_jyear IS NULL AND p.epoch_jyear IS NOT NULL
        RETURNING 1
    )
    SELECT count(*) FROM dated
$$;
COMMENT ON FUNCTION stage.date_by_plate IS 'Date imported images whose plate the release names; returns how many were dated now';
