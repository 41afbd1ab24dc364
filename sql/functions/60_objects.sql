-- Sources on the sky: the detections of a run that reached a stage, or its candidates, brought together across plates.

-- The detections to bring together, and their objects: two of one plate are linked within one radius, two of different
-- plates within another, links of links included. The member with the smallest name represents the object.
CREATE OR REPLACE FUNCTION stage.object_members(
    which_run_id bigint, of_stage text, plate_link_arcsec double precision, sky_link_arcsec double precision
)
RETURNS TABLE (
    extraction_id bigint, number integer, plate_id text, ra_deg double precision, dec_deg double precision, hpx29 bigint,
    object_extraction_id bigint, object_number integer
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    keys bigint[];
    numbers integer[];
    plates text[];
BEGIN
    -- In the order of their names, so that the first of a group is its representative.
    SELECT array_agg(m.extraction_id ORDER BY m.src_id COLLATE "C", m.extraction_id),
        array_agg(m.number ORDER BY m.src_id COLLATE "C", m.extraction_id),
        array_agg(m.plate_id ORDER BY m.src_id COLLATE "C", m.extraction_id)
    INTO keys, numbers, plates
    FROM (
        SELECT d.extraction_id, d.number, i.plate_id, i.tile_id || ':' || d.number AS src_id
        FROM (
            SELECT c.extraction_id, c.number FROM api.candidates AS c WHERE c.run_id = which_run_id AND of_stage IS NULL
            UNION ALL
            SELECT s.extraction_id, s.number FROM stage.input(which_run_id, of_stage, NULL) AS s WHERE of_stage IS NOT NULL
        ) AS d
        CROSS JOIN LATERAL stage.image_of(d.extraction_id) AS i
    ) AS m;

    RETURN QUERY
    SELECT d.extraction_id, d.number, plates[g.place], d.ra, d.dec, d.hpx29, keys[g.group_place], numbers[g.group_place]
    FROM sky.group_detections(keys, numbers, plates, plate_link_arcsec, sky_link_arcsec) AS g
    CROSS JOIN LATERAL (
        SELECT a.extraction_id, a.number, a.ra, a.dec, a.hpx29
        FROM vasco.detection AS a
        WHERE a.extraction_id = keys[g.place] AND a.number = numbers[g.place]
        OFFSET 0
    ) AS d;
END
$$;
COMMENT ON FUNCTION stage.object_members IS
    'Detections that reached a stage of a run (null: its candidates), each with the detection that represents its object';

-- Objects with their mean position (the mean of unit vectors, summed in one order, so that it is the same to the last
-- bit each time) and with the plates that contain them: by the footprints of images, by the scans of whole plates. Blue
-- ones are no second look at what is searched for on red ones, and left out.
CREATE OR REPLACE FUNCTION stage.objects(
    which_run_id bigint, of_stage text, plate_link_arcsec double precision, sky_link_arcsec double precision
)
RETURNS TABLE (
    extraction_id bigint, number integer, ra_deg double precision, dec_deg double precision, n_detections integer,
    detecting_plates text[], covering_plates text[], primary_plate text, primary_sep_deg double precision,
    members bigint[], member_numbers integer[], member_seps_arcsec double precision[]
)
LANGUAGE sql STABLE
AS $$
    SELECT o.object_extraction_id, o.object_number, p.ra, p.dec, o.n, o.plates, c.plates, f.plate_id, f.sep_deg,
        o.members, o.member_numbers, s.seps
    FROM (
        SELECT m.object_extraction_id, m.object_number, count(*)::integer AS n,
            array_agg(DISTINCT m.plate_id ORDER BY m.plate_id) AS plates,
            array_agg(m.extraction_id ORDER BY m.extraction_id, m.number) AS members,
            array_agg(m.number ORDER BY m.extraction_id, m.number) AS member_numbers,
            array_agg(m.ra_deg ORDER BY m.extraction_id, m.number) AS ras,
            array_agg(m.dec_deg ORDER BY m.extraction_id, m.number) AS decs,
            (array_agg(m.hpx29) FILTER (
                WHERE m.extraction_id = m.object_extraction_id AND m.number = m.object_number
            ))[1] AS cell,
            sum(cos(radians(m.dec_deg)) * cos(radians(m.ra_deg)) ORDER BY m.extraction_id, m.number) AS x,
            sum(cos(radians(m.dec_deg)) * sin(radians(m.ra_deg)) ORDER BY m.extraction_id, m.number) AS y,
            sum(sin(radians(m.dec_deg)) ORDER BY m.extraction_id, m.number) AS z
        FROM stage.object_members(which_run_id, of_stage, plate_link_arcsec, sky_link_arcsec) AS m
        GROUP BY m.object_extraction_id, m.object_number
    ) AS o
    CROSS JOIN LATERAL (
        SELECT CASE
                WHEN o.n = 1 THEN o.ras[1] WHEN a.ra >= 0 THEN a.ra WHEN a.ra + 360 >= 360 THEN 0 ELSE a.ra + 360
            END AS ra,
            CASE WHEN o.n = 1 THEN o.decs[1] ELSE a.dec END AS dec
        FROM (SELECT atan2d(o.y, o.x) AS ra, atan2d(o.z, sqrt(o.x * o.x + o.y * o.y)) AS dec OFFSET 0) AS a
        OFFSET 0
    ) AS p
    CROSS JOIN LATERAL (
        SELECT array_agg(sky.separation_arcsec(p.ra, p.dec, u.ra, u.dec) ORDER BY u.place) AS seps
        FROM unnest(o.ras, o.decs) WITH ORDINALITY AS u (ra, dec, place)
    ) AS s
    CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT k.plate_id ORDER BY k.plate_id) AS plates
        FROM (
            SELECT u.plate_id FROM unnest(o.plates) AS u (plate_id)
            UNION ALL
            SELECT i.plate_id
            FROM sky.images_at(p.ra, p.dec, o.cell) AS i
            CROSS JOIN LATERAL (SELECT m.band FROM plate.image AS m WHERE m.image_id = i.image_id OFFSET 0) AS colour
            WHERE colour.band IS DISTINCT FROM 'blue'
            UNION ALL
            SELECT w.plate_id FROM sky.plates_at(p.ra, p.dec) AS w WHERE w.band = 'red'
        ) AS k
        OFFSET 0
    ) AS c
    LEFT JOIN LATERAL sky.primary_plate(p.ra, p.dec) AS f ON true
$$;
COMMENT ON FUNCTION stage.objects IS 'Objects that the detections of a run make up, with the plates that contain them';

-- Store the objects of a run: what is new is added, what changed is changed, what is no longer there goes.
CREATE OR REPLACE FUNCTION stage.build_objects(
    which_run_id bigint, of_stage text DEFAULT NULL,
    plate_link_arcsec double precision DEFAULT 0.25, sky_link_arcsec double precision DEFAULT 5
)
RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    n_written bigint;
BEGIN
    INSERT INTO vasco.object_build AS b (run_id, of_stage, plate_link_arcsec, sky_link_arcsec)
    VALUES (which_run_id, $2, $3, $4)
    ON CONFLICT (run_id) DO UPDATE
    SET of_stage = excluded.of_stage, plate_link_arcsec = excluded.plate_link_arcsec,
        sky_link_arcsec = excluded.sky_link_arcsec, recorded_at = excluded.recorded_at
    WHERE (b.of_stage, b.plate_link_arcsec, b.sky_link_arcsec)
        IS DISTINCT FROM (excluded.of_stage, excluded.plate_link_arcsec, excluded.sky_link_arcsec);

    WITH made AS MATERIALIZED (
        SELECT o.* FROM stage.objects(which_run_id, $2, $3, $4) AS o
    ),
    object AS MATERIALIZED (
        SELECT m.extraction_id, m.number, m.ra_deg, m.dec_deg,
            (SELECT max(u) FROM unnest(m.member_seps_arcsec) AS u) AS spread_arcsec,
            m.n_detections, m.detecting_plates, m.covering_plates, m.primary_plate, m.primary_sep_deg,
            m.primary_plate = ANY (m.detecting_plates) AS is_primary
        FROM made AS m
    ),
    member AS MATERIALIZED (
        SELECT u.extraction_id, u.number, m.extraction_id AS object_extraction_id, m.number AS object_number, u.sep_arcsec
        FROM made AS m
        CROSS JOIN LATERAL unnest(m.members, m.member_numbers, m.member_seps_arcsec) AS u (extraction_id, number, sep_arcsec)
    ),
    stored AS MATERIALIZED (SELECT o.*, o.ctid AS place FROM vasco.object AS o WHERE o.run_id = which_run_id),
    stored_member AS MATERIALIZED (
        SELECT o.*, o.ctid AS place FROM vasco.object_member AS o WHERE o.run_id = which_run_id
    ),
    objects_written AS (
        INSERT INTO vasco.object (
            run_id, extraction_id, number, ra, dec, spread_arcsec, n_detections, detecting_plates, covering_plates,
            primary_plate, primary_sep_deg, is_primary
        )
        SELECT which_run_id, n.*
        FROM (
            SELECT * FROM object
            EXCEPT
            SELECT s.extraction_id, s.number, s.ra, s.dec, s.spread_arcsec, s.n_detections, s.detecting_plates,
                s.covering_plates, s.primary_plate, s.primary_sep_deg, s.is_primary
            FROM stored AS s
        ) AS n
        ORDER BY q3c_ang2ipix(n.ra_deg, n.dec_deg)
        ON CONFLICT (run_id, extraction_id, number) DO UPDATE
        SET ra = excluded.ra, dec = excluded.dec, spread_arcsec = excluded.spread_arcsec,
            n_detections = excluded.n_detections, detecting_plates = excluded.detecting_plates,
            covering_plates = excluded.covering_plates, primary_plate = excluded.primary_plate,
            primary_sep_deg = excluded.primary_sep_deg, is_primary = excluded.is_primary
        RETURNING 1
    ),
    members_written AS (
        INSERT INTO vasco.object_member (run_id, extraction_id, number, object_extraction_id, object_number, sep_arcsec)
        SELECT which_run_id, n.*
        FROM (
            SELECT * FROM member
            EXCEPT
            SELECT s.extraction_id, s.number, s.object_extraction_id, s.object_number, s.sep_arcsec FROM stored_member AS s
        ) AS n
        ORDER BY n.extraction_id, n.number
        ON CONFLICT (run_id, extraction_id, number) DO UPDATE
        SET object_extraction_id = excluded.object_extraction_id, object_number = excluded.object_number,
            sep_arcsec = excluded.sep_arcsec
        RETURNING 1
    ),
    members_gone AS (
        DELETE FROM vasco.object_member AS o
        WHERE o.ctid = ANY (ARRAY(
            SELECT s.place FROM stored_member AS s
            WHERE (s.extraction_id, s.number) NOT IN (SELECT m.extraction_id, m.number FROM member AS m)
        ))
        RETURNING 1
    ),
    objects_gone AS (
        DELETE FROM vasco.object AS o
        WHERE o.ctid = ANY (ARRAY(
            SELECT s.place FROM stored AS s
            WHERE (s.extraction_id, s.number) NOT IN (SELECT m.extraction_id, m.number FROM object AS m)
        ))
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM objects_written) + (SELECT count(*) FROM members_written)
        + (SELECT count(*) FROM members_gone) + (SELECT count(*) FROM objects_gone)
    INTO n_written;
    RETURN n_written;
END
$$;
COMMENT ON FUNCTION stage.build_objects IS
    'Bring the objects of a run up to date, from the input of a stage or (null) its candidates; returns the rows written';
