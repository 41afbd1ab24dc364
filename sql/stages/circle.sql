-- Distance from the centre of the tile: the seeds keep a circle in each of their square tiles.
-- Parameters: radius_arcmin (inclusive), position (refined; or raw, before the residual solution, as in the seeds).
CREATE OR REPLACE FUNCTION stage.circle(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT d.extraction_id, d.number, j.outcome, j.judged, j.reason, NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    JOIN vasco.extraction AS e USING (extraction_id)
    JOIN plate.image AS im USING (image_id)
    LEFT JOIN plate.tile AS t USING (tile_id)
    CROSS JOIN LATERAL (
        SELECT CASE params ->> 'position'
            WHEN 'raw' THEN sky.separation_arcsec(d.ra_raw, d.dec_raw, t.ra, t.dec)
            ELSE sky.separation_arcsec(d.ra, d.dec, t.ra, t.dec)
        END / 60 AS arcmin
    ) AS s
    CROSS JOIN LATERAL stage.judge(
        s.arcmin,
        s.arcmin <= (params ->> 'radius_arcmin')::double precision,
        'distance from the tile''s centre in arcmin',
        format('at most %s', params ->> 'radius_arcmin')
    ) AS j
$$;
COMMENT ON FUNCTION stage.circle IS 'Gate on the distance from the centre of the tile';
