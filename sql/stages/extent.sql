-- Gate on the extent of a detection's pixels: about as wide as high, and more than a speck.
-- A bright star is tens of pixels wide and may differ by more than a faint one: delta_fraction allows that
-- part of the larger side (0 for the seeds).
-- Parameters: delta_below (exclusive; difference of width and height), delta_fraction (inclusive), and
-- min (exclusive; of each), px.
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
        (
            abs(x.dx - x.dy) < (params ->> 'delta_below')::double precision
            OR abs(x.dx - x.dy) <= (params ->> 'delta_fraction')::double precision * greatest(x.dx, x.dy)
        )
        AND least(x.dx, x.dy) > (params ->> 'min')::double precision,
        format('|%s - %s|', x.dx, x.dy),
        format(
            'below %s px or %s of the larger, both above %s px',
            params ->> 'delta_below', params ->> 'delta_fraction', params ->> 'min'
        )
    ) AS j
$$;
COMMENT ON FUNCTION stage.extent IS 'Gate on the width and height of a detection''s pixels';
