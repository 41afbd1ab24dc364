-- Images of a run that lie near others: what a stage of scope sky says of one may depend on them.

-- The image that was extracted: two probes, each fenced, because a join of tables that grow within the transaction is
-- planned for the few rows they had.
CREATE OR REPLACE FUNCTION stage.image_of(which_extraction_id bigint)
RETURNS SETOF plate.image
LANGUAGE sql STABLE ROWS 1
AS $$
    SELECT i.*
    FROM (SELECT e.image_id FROM vasco.extraction AS e WHERE e.extraction_id = which_extraction_id OFFSET 0) AS of
    CROSS JOIN LATERAL (SELECT o.* FROM plate.image AS o WHERE o.image_id = of.image_id OFFSET 0) AS i
$$;
COMMENT ON FUNCTION stage.image_of IS 'The image that an extraction is of';

-- Two images overlap if their circles do, with a pad of 60 arcsec for links between detections at their edges.
CREATE OR REPLACE FUNCTION stage.overlapping_images(which_run_id bigint, extraction_ids bigint[])
RETURNS TABLE (extraction_id bigint)
LANGUAGE sql STABLE
AS $$
    SELECT DISTINCT r.extraction_id
    FROM (SELECT max(i.radius_deg) AS radius_deg FROM plate.image AS i OFFSET 0) AS widest
    CROSS JOIN (SELECT DISTINCT u.id FROM unnest(extraction_ids) AS u (id)) AS given
    CROSS JOIN LATERAL (
        SELECT i.ra, i.dec, i.radius_deg, i.radius_deg + widest.radius_deg + 60 / 3600.0 AS reach_deg
        FROM stage.image_of(given.id) AS i
        OFFSET 0
    ) AS me
    CROSS JOIN LATERAL (
        SELECT i.image_id, i.ra, i.dec, i.radius_deg
        FROM plate.image AS i
        WHERE q3c_join(me.ra, me.dec, i.ra, i.dec, me.reach_deg)
        OFFSET 0
    ) AS other
    CROSS JOIN LATERAL (
        SELECT e.extraction_id FROM vasco.extraction AS e WHERE e.image_id = other.image_id OFFSET 0
    ) AS extracted
    CROSS JOIN LATERAL (
        SELECT i.extraction_id
        FROM vasco.run_image AS i
        WHERE i.run_id = which_run_id AND i.extraction_id = extracted.extraction_id
        OFFSET 0
    ) AS r
    WHERE q3c_dist(me.ra, me.dec, other.ra, other.dec) <= me.radius_deg + other.radius_deg + 60 / 3600.0
$$;
COMMENT ON FUNCTION stage.overlapping_images IS
    'Images of a run whose circle, with 60 arcsec more, overlaps one of those given; these themselves included';
