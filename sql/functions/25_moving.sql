-- Moving objects, which leave trails: while a plate was exposed, an object went some way about the position
-- predicted for the time that was asked for.

-- Distance of a position from a trail, on the plane tangent to the sphere at the trail's middle. Differences
-- are taken before products, so that it is exact for the smallest distances, the poles included. Only for
-- positions within some degrees.
CREATE OR REPLACE FUNCTION sky.trail_separation(
    at_ra_deg double precision, at_dec_deg double precision, middle_ra_deg double precision, middle_dec_deg double precision,
    half_ra_arcsec double precision, half_dec_arcsec double precision
)
RETURNS TABLE (sep_arcsec double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1
AS $$
    SELECT 206264.80624709636 * sqrt((p.xi - f.t * p.x) ^ 2 + (p.eta - f.t * p.y) ^ 2)
    FROM (
        SELECT
            cosd(at_dec_deg) * sind(at_ra_deg - middle_ra_deg) / c.cos_distance AS xi,
            (
                sind(at_dec_deg - middle_dec_deg)
                + 2 * sind(middle_dec_deg) * cosd(at_dec_deg) * sind((at_ra_deg - middle_ra_deg) / 2) ^ 2
            ) / c.cos_distance AS eta,
            radians(half_ra_arcsec / 3600) AS x, radians(half_dec_arcsec / 3600) AS y
        FROM (
            SELECT nullif(
                sind(middle_dec_deg) * sind(at_dec_deg)
                + cosd(middle_dec_deg) * cosd(at_dec_deg) * cosd(at_ra_deg - middle_ra_deg), 0
            ) AS cos_distance
            OFFSET 0
        ) AS c
        OFFSET 0
    ) AS p
    CROSS JOIN LATERAL (
        -- The part of the half trail, from -1 to 1, that is nearest.
        SELECT CASE WHEN p.x = 0 AND p.y = 0 THEN 0
            ELSE greatest(-1, least(1, (p.xi * p.x + p.eta * p.y) / (p.x * p.x + p.y * p.y))) END AS t
        OFFSET 0
    ) AS f
$$;
COMMENT ON FUNCTION sky.trail_separation IS 'Distance of a position from a trail, given its middle and half its length on the sky, in arcsec';

-- The moment for which moving objects count on an image: the middle of the exposure by all evidence. Where that is in
-- conflict or not known there is none, and the trouble says why. Where nobody has found out, both are NULL. The seeds
-- took the start as the header writes it: another reading, or instant, is only asked for to compare with them.
DROP FUNCTION IF EXISTS plate.moment_of(bigint);
CREATE OR REPLACE FUNCTION plate.moment_of(
    which_image_id bigint, which_reading text DEFAULT 'corrected', instant text DEFAULT 'mid'
)
RETURNS TABLE (mid_jd double precision, trouble text)
LANGUAGE sql STABLE ROWS 1
AS $$
    SELECT
        2440587.5 + extract(epoch FROM m.at_utc)::double precision / 86400,
        CASE
            WHEN m.at_utc IS NOT NULL THEN NULL
            WHEN which_reading <> 'corrected' THEN format('no %s time of exposure is known', which_reading)
            WHEN t.plate_id IS NULL THEN NULL
            WHEN t.start_utc IS NOT NULL THEN 'the length of the exposure is not known'
            ELSE format('the time of the exposure is %s: %s', t.time_quality, t.evidence)
        END
    FROM plate.image AS i
    LEFT JOIN plate.exposure_time AS t
        ON t.plate_id = i.plate_id AND t.source = 'solution' AND t.reading = 'corrected'
    CROSS JOIN LATERAL (SELECT plate.time_of(i.image_id, which_reading, instant) AS at_utc OFFSET 0) AS m
    WHERE i.image_id = which_image_id
$$;
COMMENT ON FUNCTION plate.moment_of IS
    'Moment of an image''s exposure as a Julian date in UTC, its middle by all evidence unless another is asked for, or why there is none';

-- Look-ups for another time than the image's say nothing of it; times that were corrected later leave such.
DROP FUNCTION IF EXISTS ref.looks_in_time(bigint, text);
CREATE OR REPLACE FUNCTION ref.looks_in_time(
    which_image_id bigint, catalog_name text, which_reading text DEFAULT 'corrected', instant text DEFAULT 'mid'
)
RETURNS SETOF ref.moving_look
LANGUAGE sql STABLE ROWS 4
AS $$
    SELECT m.*
    FROM ref.moving_look AS m
    CROSS JOIN LATERAL plate.moment_of(which_image_id, which_reading, instant) AS k
    WHERE m.image_id = which_image_id AND m.catalog = catalog_name
    AND k.trouble IS NULL AND (k.mid_jd IS NULL OR abs(m.epoch_jd - k.mid_jd) * 86400 <= 1)
$$;
COMMENT ON FUNCTION ref.looks_in_time IS 'Look-ups of a catalogue of moving objects that were for the time of an image''s exposure';

-- The trails predicted over an image. An exposure of unknown length is taken for one of an hour, longer than
-- any of the survey's: rather a trail too long than an asteroid for a vanished star.
DROP FUNCTION IF EXISTS sky.trails(bigint, text);
CREATE OR REPLACE FUNCTION sky.trails(
    which_image_id bigint, catalog_name text, which_reading text DEFAULT 'corrected', instant text DEFAULT 'mid'
)
RETURNS TABLE (
    lookup_id bigint, source_id bigint, name text, number integer, class text, mag real, error_arcsec real,
    ra_deg double precision, dec_deg double precision,
    half_ra_arcsec double precision, half_dec_arcsec double precision, half_arcsec double precision
)
LANGUAGE sql STABLE
AS $$
    SELECT h.*, sqrt(h.half_ra_arcsec ^ 2 + h.half_dec_arcsec ^ 2)
    FROM (
        SELECT
            o.lookup_id, o.source_id, o.name, o.number, o.class, o.mag, o.error_arcsec, o.ra, o.dec,
            coalesce(o.rate_ra_arcsec_h, 0) * coalesce(i.exposure_minutes, 60) / 120.0 AS half_ra_arcsec,
            coalesce(o.rate_dec_arcsec_h, 0) * coalesce(i.exposure_minutes, 60) / 120.0 AS half_dec_arcsec
        FROM plate.image AS i
        CROSS JOIN LATERAL ref.looks_in_time(i.image_id, catalog_name, which_reading, instant) AS l
        CROSS JOIN LATERAL (SELECT m.* FROM ref.moving_object AS m WHERE m.lookup_id = l.lookup_id OFFSET 0) AS o
        WHERE i.image_id = which_image_id
    ) AS h
    -- q3c_join must be given values, not formulas: with those PostgreSQL does not inline it and finds no index.
    OFFSET 0
$$;
COMMENT ON FUNCTION sky.trails IS 'Trails that moving objects left on an image during its exposure, as predicted';

-- Moving objects whose trail is within a radius of a position; of two predictions for one object the nearer.
DROP FUNCTION IF EXISTS sky.moving_near(bigint, text, double precision, double precision, double precision);
CREATE OR REPLACE FUNCTION sky.moving_near(
    which_image_id bigint, catalog_name text, at_ra_deg double precision, at_dec_deg double precision,
    radius_arcsec double precision, which_reading text DEFAULT 'corrected', instant text DEFAULT 'mid'
)
RETURNS TABLE (
    source_id bigint, name text, number integer, class text, mag real, error_arcsec real,
    ra_deg double precision, dec_deg double precision, trail_arcsec double precision,
    sep_arcsec double precision, sep_middle_arcsec double precision, lookup_id bigint
)
LANGUAGE sql STABLE
AS $$
    SELECT n.*
    FROM (
        SELECT DISTINCT ON (t.source_id)
            t.source_id, t.name, t.number, t.class, t.mag, t.error_arcsec, t.ra_deg, t.dec_deg,
            2 * t.half_arcsec AS trail_arcsec, s.sep_arcsec,
            sky.separation_arcsec(at_ra_deg, at_dec_deg, t.ra_deg, t.dec_deg) AS sep_middle_arcsec, t.lookup_id
        FROM sky.trails(which_image_id, catalog_name, which_reading, instant) AS t
        CROSS JOIN LATERAL sky.trail_separation(
            at_ra_deg, at_dec_deg, t.ra_deg, t.dec_deg, t.half_ra_arcsec, t.half_dec_arcsec
        ) AS s
        WHERE sky.separation_arcsec(at_ra_deg, at_dec_deg, t.ra_deg, t.dec_deg)
            <= radius_arcsec + t.half_arcsec + 0.001
        AND s.sep_arcsec <= radius_arcsec
        ORDER BY t.source_id, s.sep_arcsec, t.lookup_id
    ) AS n
    ORDER BY n.sep_arcsec, n.source_id
$$;
COMMENT ON FUNCTION sky.moving_near IS 'Moving objects whose trail on an image is within a radius of a position, nearest first';

-- The nearest trail of every detection of an extraction, within a radius: one row per detection that has one.
CREATE OR REPLACE FUNCTION sky.nearest_trail(which_extraction_id bigint, catalog_name text, radius_arcsec double precision)
RETURNS TABLE (number integer, source_id bigint, sep_arcsec double precision, n_within integer)
LANGUAGE sql STABLE
AS $$
    -- The nearer of two predictions for one object, then the nearest of the objects.
    SELECT DISTINCT ON (o.number) o.number, o.source_id, o.sep_arcsec, (count(*) OVER (PARTITION BY o.number))::integer
    FROM (
        SELECT d.number, t.source_id, min(s.sep_arcsec) AS sep_arcsec
        FROM vasco.extraction AS e
        CROSS JOIN LATERAL sky.trails(e.image_id, catalog_name) AS t
        CROSS JOIN LATERAL (
            SELECT a.extraction_id, a.number, a.ra, a.dec
            FROM vasco.detection AS a
            WHERE q3c_join(t.ra_deg, t.dec_deg, a.ra, a.dec, (radius_arcsec + t.half_arcsec + 0.001) / 3600)
            OFFSET 0
        ) AS d
        CROSS JOIN LATERAL sky.trail_separation(
            d.ra, d.dec, t.ra_deg, t.dec_deg, t.half_ra_arcsec, t.half_dec_arcsec
        ) AS s
        WHERE e.extraction_id = which_extraction_id AND d.extraction_id = which_extraction_id
        AND s.sep_arcsec <= radius_arcsec
        GROUP BY d.number, t.source_id
    ) AS o
    ORDER BY o.number, o.sep_arcsec, o.source_id
$$;
COMMENT ON FUNCTION sky.nearest_trail IS 'Nearest trail of a moving object per detection of an extraction, within a radius';
