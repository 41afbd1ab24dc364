-- Distance from the nearest edge of the plate's scan, negative beyond it. An image with the polynomial of the very
-- scan has its place there in its header; of another the sky position is taken to the scan by the plate's own
-- solution. Either may be off by a pixel or two, by which headers differ in the origin of their pixels.
-- Unknown where the plate is not on record.
-- Parameters: unit (px of the plate or arcsec), min (inclusive), min_fraction (inclusive; of the scan's smaller side; the
-- larger of the two limits holds; left out for none).
CREATE OR REPLACE FUNCTION stage.edge(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    WITH image AS MATERIALIZED (
        SELECT i.extraction_id, im.plate_id, p.naxis1, p.naxis2, u.px, q.solution_id AS plate_solution_id,
            -- Pixels of the image as pixels of the plate, where both are of one scan.
            m.kind = 'dss' AND q.kind = 'dss'
            AND abs(m.x_pixel_um / q.x_pixel_um - 1) < 0.001 AND abs(m.y_pixel_um / q.y_pixel_um - 1) < 0.001 AS same_scan,
            m.cnpix1 - q.cnpix1 AS shift_x, m.cnpix2 - q.cnpix2 AS shift_y,
            greatest(
                (params ->> 'min')::double precision,
                (params ->> 'min_fraction')::double precision * least(p.naxis1, p.naxis2) * u.px
            ) AS least_distance
        FROM vasco.run_image AS i
        CROSS JOIN LATERAL (SELECT e.image_id FROM vasco.extraction AS e WHERE e.extraction_id = i.extraction_id OFFSET 0) AS e
        CROSS JOIN LATERAL (SELECT a.* FROM plate.image AS a WHERE a.image_id = e.image_id OFFSET 0) AS im
        LEFT JOIN plate.solution AS m ON m.solution_id = im.solution_id
        LEFT JOIN plate.plate AS p ON p.plate_id = im.plate_id
        LEFT JOIN plate.solution AS q ON q.solution_id = p.solution_id
        CROSS JOIN LATERAL (SELECT CASE params ->> 'unit' WHEN 'arcsec' THEN p.scale_arcsec_px ELSE 1 END AS px) AS u
        WHERE i.run_id = which_run_id AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids))
    )
    SELECT d.extraction_id, d.number, j.outcome, j.judged,
        CASE WHEN im.naxis1 IS NULL THEN format('plate %s is not on record', im.plate_id) ELSE j.reason END,
        NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    JOIN image AS im USING (extraction_id)
    LEFT JOIN LATERAL (
        SELECT d.xwin_image + im.shift_x AS x, d.ywin_image + im.shift_y AS y
        WHERE im.same_scan
        UNION ALL
        SELECT s.x, s.y
        FROM sky.pixel_at(im.plate_solution_id, d.ra, d.dec) AS s
        WHERE NOT im.same_scan
    ) AS at ON true
    CROSS JOIN LATERAL (
        SELECT im.px * CASE WHEN at.x <> 'NaN' AND at.y <> 'NaN'
            THEN least(at.x - 1, im.naxis1 - at.x, at.y - 1, im.naxis2 - at.y) END AS distance
    ) AS n
    CROSS JOIN LATERAL stage.judge(
        n.distance,
        n.distance >= im.least_distance,
        format('distance from the plate''s edge in %s', params ->> 'unit'),
        format('at least %s', im.least_distance)
    ) AS j
$$;
COMMENT ON FUNCTION stage.edge IS 'Gate on the distance from the edge of the plate''s scan';
