-- Whether the place at geosynchronous height behind which the detection was seen lay in the Earth's shadow. A flag:
-- fail is in the shadow, where nothing glints in the sun. The value is the distance from the shadow's axis, deg.
-- Unknown where the plate's time is not known under the reading that is asked for, or in conflict.
-- Parameters: reading (literal, decimal_hours or corrected), instant (start or mid), radius_deg (exclusive; the umbra's
-- is asin(6371 / 42164) = 8.690705).
CREATE OR REPLACE FUNCTION stage.earth_shadow(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    WITH image AS MATERIALIZED (
        SELECT i.extraction_id, plate.time_of(e.image_id, params ->> 'reading', params ->> 'instant') AS at_utc
        FROM vasco.run_image AS i
        CROSS JOIN LATERAL (SELECT x.image_id FROM vasco.extraction AS x WHERE x.extraction_id = i.extraction_id OFFSET 0) AS e
        WHERE i.run_id = which_run_id AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids))
    )
    SELECT d.extraction_id, d.number, j.outcome, j.judged,
        CASE
            WHEN im.at_utc IS NULL THEN format('no %s time of exposure is known', params ->> 'reading')
            WHEN j.outcome = 'fail' THEN format('in the Earth''s shadow: %s', j.reason)
            ELSE j.reason
        END,
        NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    JOIN image AS im USING (extraction_id)
    CROSS JOIN LATERAL (SELECT sky.earth_shadow_distance_deg(d.ra, d.dec, im.at_utc) AS deg OFFSET 0) AS s
    CROSS JOIN LATERAL stage.judge(
        s.deg,
        s.deg >= (params ->> 'radius_deg')::double precision,
        'distance from the shadow''s axis in degrees',
        format('%s or more', params ->> 'radius_deg')
    ) AS j
$$;
COMMENT ON FUNCTION stage.earth_shadow IS 'Annotation of what was seen where the Earth''s shadow lay at geosynchronous height';
