-- Whether the place at geosynchronous height behind which the detection was seen lay in the Earth's shadow. A flag:
-- fail is in the shadow, where nothing glints in the sun. The value is the distance from the shadow's axis, deg.
--
-- A plate's time is what the image's own header says, or else the plate's. Where no reading of a quality that
-- is believed is on record it is unknown, as where the statements at hand differ by more than a minute.
-- Parameters: reading (literal, decimal_hours or corrected of plate.exposure_time; or image, the middle of the exposure
-- that stars are moved to), instant (start or mid), qualities (of the time: those believed), radius_deg (exclusive; the
-- umbra's is asin(6371 / 42164) = 8.690705).
CREATE OR REPLACE FUNCTION stage.earth_shadow(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    WITH image AS MATERIALIZED (
        SELECT i.extraction_id, s.first_utc, s.n > 0 AS known, s.last_utc - s.first_utc <= interval '1 minute' AS agreed
        FROM vasco.run_image AS i
        CROSS JOIN LATERAL (SELECT e.image_id FROM vasco.extraction AS e WHERE e.extraction_id = i.extraction_id OFFSET 0) AS e
        CROSS JOIN LATERAL (SELECT a.* FROM plate.image AS a WHERE a.image_id = e.image_id OFFSET 0) AS im
        CROSS JOIN LATERAL (
            SELECT min(t.at_utc) AS first_utc, max(t.at_utc) AS last_utc, count(t.at_utc) AS n
            FROM (
                SELECT r.at_utc, rank() OVER (ORDER BY r.own DESC) AS place
                FROM (
                    SELECT CASE params ->> 'instant' WHEN 'mid' THEN x.mid_utc ELSE x.start_utc END AS at_utc,
                        x.source = 'image ' || im.image_id AS own, x.time_quality
                    FROM plate.exposure_time AS x
                    WHERE x.plate_id = im.plate_id AND x.reading = params ->> 'reading'
                    AND (x.source = 'image ' || im.image_id OR x.source NOT LIKE 'image %')
                    UNION ALL
                    SELECT to_timestamp(
                        946728000 + 86400 * 365.25 * (im.epoch_jyear - 2000)
                        - CASE params ->> 'instant' WHEN 'mid' THEN 0 ELSE 30 * coalesce(im.exposure_minutes, 0) END
                    ), true, im.time_quality
                    WHERE params ->> 'reading' = 'image' AND im.epoch_jyear <> 'NaN'
                ) AS r
                WHERE r.at_utc IS NOT NULL AND params -> 'qualities' ? r.time_quality
            ) AS t
            WHERE t.place = 1
        ) AS s
        WHERE i.run_id = which_run_id AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids))
    )
    SELECT d.extraction_id, d.number, j.outcome, j.judged,
        CASE
            WHEN NOT im.known THEN format(
                'no %s time of exposure is on record that is %s', params ->> 'reading',
                array_to_string(ARRAY(SELECT jsonb_array_elements_text(params -> 'qualities')), ' or ')
            )
            WHEN NOT im.agreed THEN 'the times of exposure on record differ'
            WHEN j.outcome = 'fail' THEN format('in the Earth''s shadow: %s', j.reason)
            ELSE j.reason
        END,
        NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    JOIN image AS im USING (extraction_id)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN im.agreed THEN sky.earth_shadow_distance_deg(d.ra, d.dec, im.first_utc) END AS deg OFFSET 0
    ) AS s
    CROSS JOIN LATERAL stage.judge(
        s.deg,
        s.deg >= (params ->> 'radius_deg')::double precision,
        'distance from the shadow''s axis in degrees',
        format('%s or more', params ->> 'radius_deg')
    ) AS j
$$;
COMMENT ON FUNCTION stage.earth_shadow IS 'Annotation of what was seen where the Earth''s shadow lay at geosynchronous height';
