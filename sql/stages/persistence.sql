-- Persistence: whether another plate that covers the position shows something there as well. Seen again is a pass, with
-- the distance of the nearest detection as its value; covered but not seen is a fail; not covered is what no other
-- plate shows. Asked are the extracted images of the run: an image counts where the whole circle lies on it.
-- A second plate was exposed at another time and may be less deep: a fail is not the proof of a defect.
-- Parameters: radius_arcsec.
CREATE OR REPLACE FUNCTION stage.persistence(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT d.extraction_id, d.number,
        CASE
            WHEN other.plates IS NULL THEN 'not_covered'
            WHEN seen.sep_arcsec IS NULL THEN 'fail'
            ELSE 'pass'
        END::vasco.outcome,
        seen.sep_arcsec,
        CASE
            WHEN other.plates IS NULL THEN 'no image of another plate covers the position'
            WHEN seen.sep_arcsec IS NULL THEN format(
                'nothing within %s arcsec on plate %s', radius.arcsec, array_to_string(other.plates, ', ')
            )
        END,
        NULL::bigint
    FROM (SELECT (params ->> 'radius_arcsec')::double precision AS arcsec OFFSET 0) AS radius
    CROSS JOIN stage.input(which_run_id, stage_name, extraction_ids) AS d
    CROSS JOIN LATERAL stage.image_of(d.extraction_id) AS own
    CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT c.plate_id ORDER BY c.plate_id) AS plates, array_agg(e.extraction_id) AS extraction_ids
        FROM sky.images_at(d.ra, d.dec, d.hpx29) AS c
        CROSS JOIN LATERAL (
            SELECT x.extraction_id FROM vasco.extraction AS x WHERE x.image_id = c.image_id OFFSET 0
        ) AS e
        CROSS JOIN LATERAL (
            SELECT 1
            FROM vasco.run_image AS r
            WHERE r.run_id = which_run_id AND r.extraction_id = e.extraction_id
            OFFSET 0
        ) AS in_run
        WHERE c.plate_id <> own.plate_id AND c.edge_arcsec >= radius.arcsec
        OFFSET 0
    ) AS other
    LEFT JOIN LATERAL (
        SELECT min(sky.separation_arcsec(d.ra, d.dec, n.ra, n.dec)) AS sep_arcsec
        FROM (
            SELECT a.extraction_id, a.ra, a.dec
            FROM vasco.detection AS a
            WHERE q3c_join(d.ra, d.dec, a.ra, a.dec, radius.arcsec / 3600)
            OFFSET 0
        ) AS n
        WHERE n.extraction_id = ANY (other.extraction_ids)
    ) AS seen ON true
$$;
COMMENT ON FUNCTION stage.persistence IS 'Pass what another plate shows as well, fail what another plate covers and does not show';
