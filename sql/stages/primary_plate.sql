-- Primary plate: where plates overlap, a position belongs to the plate whose scan has its middle nearest. A detection on
-- that plate passes, one on another fails, and the value is the distance to the middle of the primary one, in degrees.
-- A partition of the sky, no cut in quality: what only one plate shows is lost if it is not the primary one.
-- Not covered is what is on a plate that is not loaded, or not among those allowed: it cannot be compared.
-- Parameters: plates, the plates to choose from (all red plates that are loaded where it is missing).
CREATE OR REPLACE FUNCTION stage.primary_plate(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT d.extraction_id, d.number,
        CASE
            WHEN NOT i.is_known OR p.plate_id IS NULL THEN 'not_covered'
            WHEN p.plate_id = i.plate_id THEN 'pass'
            ELSE 'fail'
        END::vasco.outcome,
        CASE WHEN i.is_known THEN p.sep_deg END,
        CASE
            WHEN NOT i.is_known THEN format('plate %s is not among the plates that are compared', i.plate_id)
            WHEN p.plate_id IS NULL THEN 'no plate is near the position'
            WHEN p.plate_id <> i.plate_id THEN format(
                'plate %s is primary, its middle %s deg away', p.plate_id, round(p.sep_deg::numeric, 4)
            )
        END,
        NULL::bigint
    FROM (
        SELECT array_agg(a.plate) AS plates
        FROM jsonb_array_elements_text(nullif(params -> 'plates', 'null')) AS a (plate)
    ) AS allowed
    CROSS JOIN stage.input(which_run_id, stage_name, extraction_ids) AS d
    CROSS JOIN LATERAL (
        SELECT o.plate_id, (
            (allowed.plates IS NULL OR o.plate_id = ANY (allowed.plates))
            AND EXISTS (SELECT 1 FROM plate.plate AS k WHERE k.plate_id = o.plate_id AND k.band = 'red')
        ) AS is_known
        FROM stage.image_of(d.extraction_id) AS o
        OFFSET 0
    ) AS i
    LEFT JOIN LATERAL sky.primary_plate(d.ra, d.dec, allowed.plates) AS p ON true
$$;
COMMENT ON FUNCTION stage.primary_plate IS 'Pass on the plate whose scan has its middle nearest to the detection';
