-- When a plate was exposed, under the reading that a profile asks for.

-- What one reading says of a plate. A header of the whole plate comes before those of images cut from it, and an
-- image's own before both.
CREATE OR REPLACE FUNCTION plate.time_of(which_plate_id text, which_reading text DEFAULT 'corrected', instant text DEFAULT 'mid')
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    SELECT CASE instant WHEN 'start' THEN t.start_utc WHEN 'mid' THEN t.mid_utc END
    FROM plate.exposure_time AS t
    WHERE t.plate_id = which_plate_id
    AND t.reading = which_reading
    AND (t.source = 'solution') = (which_reading = 'corrected')
    -- The seeds never saw the headers of the CD-ROMs.
    AND t.source <> 'cdrom'
    ORDER BY t.source <> 'plate header', t.source
    LIMIT 1
);
COMMENT ON FUNCTION plate.time_of(text, text, text) IS
    'Start or middle of a plate''s exposure under a reading (corrected, decimal_hours or literal); NULL where it is not known or in conflict';

CREATE OR REPLACE FUNCTION plate.time_of(which_image_id bigint, which_reading text DEFAULT 'corrected', instant text DEFAULT 'mid')
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    SELECT
        CASE
            WHEN which_reading = 'corrected' THEN plate.time_of(i.plate_id, 'corrected', instant)
            ELSE coalesce(
                (
                    SELECT CASE instant WHEN 'start' THEN t.start_utc WHEN 'mid' THEN t.mid_utc END
                    FROM plate.exposure_time AS t
                    WHERE t.plate_id = i.plate_id
                    AND t.source = 'image ' || i.image_id
                    AND t.reading = which_reading
                ),
                plate.time_of(i.plate_id, which_reading, instant)
            )
        END
    FROM plate.image AS i
    WHERE i.image_id = which_image_id
);
COMMENT ON FUNCTION plate.time_of(bigint, text, text) IS
    'Start or middle of the exposure of an image''s plate under a reading; the image''s own header comes before the plate''s';
