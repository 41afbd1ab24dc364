-- Gate on the extent of a detection's pixels: about as wide as high, and more than a speck.
-- Parameters: delta_below (exclusive; difference of width and height) and min (exclusive; of each), px.
CREATE OR REPLACE FUNCTION stage.extent(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT d.extraction_id, d.number, j.outcome, j.judged, j.reason, NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    CROSS JOIN LATERAL (
        SELECT (d.xmax_image - d.xmin_image)::double precision AS dx, (d.ymax_image - d.ymin_image)::double precision AS dy
    ) AS x
    CROSS JOIN LATERAL stage.judge(
        abs(x.dx - x.dy),
        abs(x.dx - x.dy) < (params ->> 'delta_below')::double precision
        AND least(x.dx, x.dy) > (params ->> 'min')::double precision,
        format('|%s - %s|', x.dx, x.dy),
        format('below %s px with both above %s px', params ->> 'delta_below', params ->> 'min')
    ) AS j
$$;
COMMENT ON FUNCTION stage.extent IS 'Gate on the width and height of a detection''s pixels';
