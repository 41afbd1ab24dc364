-- Is it on the red plate only? A detection of a red image with a counterpart on a blue plate is seen in both
-- colours and is turned away, as the replication pipeline does; what is red only passes. It passes only where an
-- extracted blue image covers the position, edge_arcsec from its edges at least; where none does it is
-- not_covered. The other way round nothing can be asked: a detection of a blue image is not_covered as well, and
-- so never a candidate. Nothing is moved: the two exposures of a field were made one after the other.
-- counterparts = quality counts only blue detections that pass the replication pipeline's quality filter, so that a
-- bright or blended counterpart does not count; where only a missing measurement keeps it from passing, the
-- answer is unknown. counterparts = any counts all.
-- field = same looks only at the blue plate of the same number (XE582, XO582), field = any at all that overlap.
-- The value is the number of counterparts.
-- Parameters: radius_arcsec (inclusive), counterparts (quality or any), field (same or any), edge_arcsec.

-- The replication pipeline's quality filter; null where a measurement that decides is missing. Its SPREAD_MODEL
-- limit is that of its code; its own description says -0.01.
CREATE OR REPLACE FUNCTION stage.replication_quality(d vasco.detection, scale_arcsec_px double precision)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT
        d.flags = 0
        AND nullif(d.spread_model, 'NaN') > (-0.02)::real
        AND nullif(d.fwhm_image, 'NaN') * scale_arcsec_px BETWEEN 3.4 AND 11.9
        AND nullif(d.elongation, 'NaN') < 1.4::real
        AND d.xmax_image - d.xmin_image > 1 AND d.ymax_image - d.ymin_image > 1
        AND abs((d.xmax_image - d.xmin_image) - (d.ymax_image - d.ymin_image)) <= greatest(2, round(3.4 / scale_arcsec_px))
        AND nullif(d.snr_win, 'NaN') >= 30
$$;
COMMENT ON FUNCTION stage.replication_quality IS 'Whether a detection passes the replication pipeline''s quality filter';

-- Images of blue plates that an image of a red one is compared with: extracted, near enough to overlap it, and where
-- same_field only those of the plate of the same number. An extraction without a single detection is no evidence of
-- an empty sky.
CREATE OR REPLACE FUNCTION stage.blue_images(which_extraction_id bigint, same_field boolean)
RETURNS TABLE (extraction_id bigint, plate_id text, tile_id text, scale_arcsec_px double precision, footprint int8multirange)
LANGUAGE sql STABLE ROWS 4
AS $$
    WITH red AS MATERIALIZED (
        SELECT i.plate_id, i.ra, i.dec, i.radius_deg + coalesce(w.radius_deg, 0) AS reach_deg
        FROM vasco.extraction AS e
        JOIN plate.image AS i USING (image_id)
        CROSS JOIN (
            SELECT max(b.radius_deg) AS radius_deg FROM plate.image AS b WHERE b.band = 'blue' AND b.status = 'ok'
        ) AS w
        WHERE e.extraction_id = which_extraction_id AND i.band = 'red'
    )
    -- Adding nothing to a footprint keeps it from being unpacked anew for every detection.
    SELECT e.extraction_id, i.plate_id, i.tile_id, i.scale_arcsec_px, i.footprint + '{}'
    FROM red
    CROSS JOIN LATERAL (
        SELECT b.* FROM plate.image AS b
        WHERE q3c_join(red.ra, red.dec, b.ra, b.dec, red.reach_deg)
        OFFSET 0
    ) AS i
    JOIN vasco.extraction AS e USING (image_id)
    WHERE i.band = 'blue' AND i.status = 'ok'
    AND (NOT same_field OR substr(i.plate_id, 3) = substr(red.plate_id, 3))
    AND EXISTS (SELECT 1 FROM vasco.detection AS a WHERE a.extraction_id = e.extraction_id)
$$;
COMMENT ON FUNCTION stage.blue_images IS 'Extracted images of blue plates that overlap an image of a red one';

-- Blue detections that SPREAD_MODEL decides about: near what a red_blue stage is going to judge, and past all the rest
-- of the quality filter.
CREATE OR REPLACE FUNCTION stage.blue_unmeasured(which_run_id bigint, stage_name text, extraction_ids bigint[] DEFAULT NULL)
RETURNS TABLE (extraction_id bigint, number integer)
LANGUAGE sql STABLE
AS $$
    SELECT DISTINCT b.extraction_id, (n.detection).number
    FROM vasco.run_stage AS s
    JOIN vasco.run_image AS r USING (run_id)
    CROSS JOIN LATERAL (
        SELECT array_agg(k.extraction_id) AS ids, array_agg(k.scale_arcsec_px) AS scales_arcsec_px
        FROM stage.blue_images(r.extraction_id, s.parameters ->> 'field' = 'same') AS k
    ) AS blue
    CROSS JOIN LATERAL (
        SELECT i.ra, i.dec, (s.parameters ->> 'radius_arcsec')::double precision / 3600 AS radius_deg
        FROM stage.input(which_run_id, stage_name, ARRAY[r.extraction_id]) AS i
        -- Where there is nothing to compare with, nothing is looked at.
        WHERE blue.ids IS NOT NULL
        OFFSET 0
    ) AS d
    CROSS JOIN LATERAL (
        SELECT a AS detection FROM vasco.detection AS a
        WHERE q3c_join(d.ra, d.dec, a.ra, a.dec, d.radius_deg)
        OFFSET 0
    ) AS n
    CROSS JOIN LATERAL unnest(blue.ids, blue.scales_arcsec_px) AS b (extraction_id, scale_arcsec_px)
    WHERE s.run_id = which_run_id AND s.stage = stage_name
    AND s.parameters ->> 'counterparts' = 'quality'
    AND (extraction_ids IS NULL OR r.extraction_id = ANY (extraction_ids))
    AND b.extraction_id = (n.detection).extraction_id
    AND (n.detection).spread_model IS NULL
    AND stage.replication_quality(n.detection, b.scale_arcsec_px) IS NULL
    ORDER BY 1, 2
$$;
COMMENT ON FUNCTION stage.blue_unmeasured IS 'Blue detections that need SPREAD_MODEL before a red_blue stage can judge';

CREATE OR REPLACE FUNCTION stage.red_blue(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE plpgsql
AS $$
DECLARE
    radius double precision := (params ->> 'radius_arcsec')::double precision;
    edge double precision := (params ->> 'edge_arcsec')::double precision;
    all_count boolean := CASE params ->> 'counterparts' WHEN 'any' THEN true WHEN 'quality' THEN false END;
    same_field boolean := CASE params ->> 'field' WHEN 'same' THEN true WHEN 'any' THEN false END;
    image record;
BEGIN
    IF (radius > 0 AND edge >= radius) IS NOT TRUE OR num_nulls(all_count, same_field) > 0 THEN
        RAISE EXCEPTION 'stage %: it needs radius_arcsec, edge_arcsec (not below it), counterparts (quality or any) '
            'and field (same or any)', stage_name
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    FOR image IN
        SELECT e.extraction_id, i.band
        FROM vasco.run_image AS r
        JOIN vasco.extraction AS e USING (extraction_id)
        JOIN plate.image AS i USING (image_id)
        WHERE r.run_id = which_run_id AND (extraction_ids IS NULL OR e.extraction_id = ANY (extraction_ids))
    LOOP
        RETURN QUERY
        WITH blue AS MATERIALIZED (
            SELECT b.* FROM stage.blue_images(image.extraction_id, same_field) AS b
        )
        SELECT
            image.extraction_id, d.number,
            CASE
                WHEN c.n > 0 THEN 'fail' WHEN NOT v.covered THEN 'not_covered'
                WHEN c.n_doubtful > 0 THEN 'unknown' ELSE 'pass'
            END::vasco.outcome,
            CASE WHEN c.n > 0 OR (v.covered AND c.n_doubtful = 0) THEN c.n END::double precision,
            CASE
                WHEN c.n > 0 THEN format('%s at %s arcsec', c.nearest, round(c.sep_arcsec::numeric, 3))
                WHEN image.band IS DISTINCT FROM 'red' THEN 'the image is not of a red plate'
                WHEN NOT v.covered THEN 'no extracted blue image covers the position'
                WHEN c.n_doubtful > 0 THEN format(
                    'a measurement is missing that tells whether %s blue detections count', c.n_doubtful
                )
            END,
            NULL::bigint
        FROM stage.input(which_run_id, stage_name, ARRAY[image.extraction_id]) AS d
        CROSS JOIN LATERAL (
            SELECT
                count(*) FILTER (WHERE k.counts) AS n,
                count(*) FILTER (WHERE k.counts IS NULL) AS n_doubtful,
                min(k.sep_arcsec) FILTER (WHERE k.counts) AS sep_arcsec,
                (array_agg(format('%s:%s on %s', k.tile_id, k.number, k.plate_id) ORDER BY k.sep_arcsec, k.extraction_id, k.number)
                    FILTER (WHERE k.counts))[1] AS nearest
            FROM (
                SELECT
                    b.extraction_id, b.tile_id, b.plate_id, (n.detection).number,
                    sky.separation_arcsec(d.ra, d.dec, (n.detection).ra, (n.detection).dec) AS sep_arcsec,
                    all_count OR stage.replication_quality(n.detection, b.scale_arcsec_px) AS counts
                FROM (
                    SELECT a AS detection FROM vasco.detection AS a
                    WHERE q3c_join(d.ra, d.dec, a.ra, a.dec, radius / 3600)
                    OFFSET 0
                ) AS n
                JOIN blue AS b ON b.extraction_id = (n.detection).extraction_id
            ) AS k
        ) AS c
        CROSS JOIN LATERAL (
            SELECT EXISTS (
                SELECT 1 FROM blue AS b WHERE b.footprint @> sky.cells_about(d.ra, d.dec, edge)
            ) AS covered
            OFFSET 0
        ) AS v;
    END LOOP;
END
$$;
COMMENT ON FUNCTION stage.red_blue IS 'Turn away what has a counterpart on a blue plate';
