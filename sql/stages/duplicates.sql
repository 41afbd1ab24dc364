-- Duplicates: of several detections of one source all but one fail. Detections are linked within a radius, links of
-- links included; the representative passes, with the number of members as its value, and the others fail with their
-- distance from it.
--
-- Parameters: radius_arcsec; within, what two linked detections must share:
--     plan   the plate that the plan names, the seeds' choice; detections without one form one group,
--     plate  the plate that the image shows,
--     tile   the tile,
--     any    nothing;
-- representative:
--     src_id         the smallest name, tile and number, byte by byte,
--     flags_mag_auto the lowest FLAGS, then the brightest MAG_AUTO, then the smallest name.
--
-- Groups are made over all images of the run that can hold a member, so that what is said of one image does not depend
-- on which others are judged along with it.

-- What a linked pair must share, for one image.
CREATE OR REPLACE FUNCTION stage.duplicates_part(within text, image plate.image)
RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE within WHEN 'plan' THEN image.planned_plate WHEN 'plate' THEN image.plate_id WHEN 'tile' THEN image.tile_id END;
COMMENT ON FUNCTION stage.duplicates_part IS 'Planned plate, plate or tile of an image, null where anything goes';

-- The input of the stage in some images, group by group. Groups are numbered; the same number means nothing in
-- another call.
CREATE OR REPLACE FUNCTION stage.duplicate_groups(which_run_id bigint, stage_name text, params jsonb, pool bigint[])
RETURNS TABLE (
    extraction_id bigint, number integer, src_id text, part text, ra_deg double precision, dec_deg double precision,
    flags smallint, mag_auto real, group_place integer
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    keys bigint[];
    numbers integer[];
    parts text[];
BEGIN
    SELECT array_agg(d.extraction_id ORDER BY d.extraction_id, d.number),
        array_agg(d.number ORDER BY d.extraction_id, d.number),
        array_agg(i.part ORDER BY d.extraction_id, d.number)
    INTO keys, numbers, parts
    FROM stage.input(which_run_id, stage_name, pool) AS d
    CROSS JOIN LATERAL (
        SELECT stage.duplicates_part(params ->> 'within', o) AS part FROM stage.image_of(d.extraction_id) AS o OFFSET 0
    ) AS i;

    RETURN QUERY
    SELECT d.extraction_id, d.number, i.tile_id || ':' || d.number, parts[g.place], d.ra, d.dec, d.flags, d.mag_auto,
        g.group_place
    FROM sky.group_detections(keys, numbers, parts, (params ->> 'radius_arcsec')::double precision) AS g
    CROSS JOIN LATERAL (
        SELECT a.* FROM vasco.detection AS a
        WHERE a.extraction_id = keys[g.place] AND a.number = numbers[g.place]
        OFFSET 0
    ) AS d
    CROSS JOIN LATERAL stage.image_of(d.extraction_id) AS i;
END
$$;
COMMENT ON FUNCTION stage.duplicate_groups IS 'Detections that the stage judges in some images of a run, in groups of duplicates';

-- Images to look at beside those given: the ones that a group with a member in a given image reaches into.
CREATE OR REPLACE FUNCTION stage.duplicate_pool(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[]
)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    pool bigint[] := extraction_ids;
    more bigint[];
BEGIN
    LOOP
        more := ARRAY(
            SELECT DISTINCT n.extraction_id
            FROM (
                SELECT g.part, g.ra_deg, g.dec_deg,
                    bool_or(g.extraction_id = ANY (extraction_ids)) OVER (PARTITION BY g.group_place) AS touches
                FROM stage.duplicate_groups(which_run_id, stage_name, params, pool) AS g
            ) AS m
            CROSS JOIN LATERAL (
                SELECT d.extraction_id, d.ra, d.dec
                FROM vasco.detection AS d
                WHERE q3c_join(m.ra_deg, m.dec_deg, d.ra, d.dec, (params ->> 'radius_arcsec')::double precision / 3600)
                OFFSET 0
            ) AS n
            CROSS JOIN LATERAL (
                SELECT 1
                FROM vasco.run_image AS r
                WHERE r.run_id = which_run_id AND r.extraction_id = n.extraction_id
                OFFSET 0
            ) AS in_run
            CROSS JOIN LATERAL (
                SELECT stage.duplicates_part(params ->> 'within', i) AS part FROM stage.image_of(n.extraction_id) AS i
                OFFSET 0
            ) AS o
            WHERE m.touches AND n.extraction_id <> ALL (pool) AND o.part IS NOT DISTINCT FROM m.part
        );
        EXIT WHEN more = '{}';
        pool := pool || more;
    END LOOP;
    RETURN pool;
END
$$;
COMMENT ON FUNCTION stage.duplicate_pool IS 'Images of a run that hold all members of all groups with a member in some images';

CREATE OR REPLACE FUNCTION stage.duplicates(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT r.extraction_id, r.number,
        CASE WHEN r.rank = 1 THEN 'pass' ELSE 'fail' END::vasco.outcome,
        CASE WHEN r.rank = 1 THEN r.n_members ELSE s.sep_arcsec END,
        CASE WHEN r.rank > 1 THEN format(
            'duplicate of %s, %s arcsec away', r.representative, round(s.sep_arcsec::numeric, 3)
        ) END,
        NULL::bigint
    FROM (
        SELECT g.*,
            row_number() OVER best AS rank, count(*) OVER (PARTITION BY g.group_place) AS n_members,
            first_value(g.src_id) OVER best AS representative,
            first_value(g.ra_deg) OVER best AS best_ra, first_value(g.dec_deg) OVER best AS best_dec
        FROM stage.duplicate_groups(
            which_run_id, stage_name, params,
            CASE WHEN extraction_ids IS NOT NULL
                THEN stage.duplicate_pool(which_run_id, stage_name, params, extraction_ids) END
        ) AS g
        WINDOW best AS (
            PARTITION BY g.group_place
            ORDER BY
                CASE params ->> 'representative' WHEN 'flags_mag_auto' THEN g.flags END,
                CASE params ->> 'representative' WHEN 'flags_mag_auto' THEN g.mag_auto END,
                g.src_id COLLATE "C", g.extraction_id
        )
    ) AS r
    CROSS JOIN LATERAL (SELECT sky.separation_arcsec(r.ra_deg, r.dec_deg, r.best_ra, r.best_dec) AS sep_arcsec OFFSET 0) AS s
    WHERE extraction_ids IS NULL OR r.extraction_id = ANY (extraction_ids)
$$;
COMMENT ON FUNCTION stage.duplicates IS 'Of detections of one source only one passes';
