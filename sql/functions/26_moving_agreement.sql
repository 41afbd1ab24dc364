-- Two sources of moving objects, each asked what the other says: SkyBoT, and what is predicted here from elements.

-- Whether a catalogue that was asked surely knows a body. A file knows those whose names it has, of which there is a list
-- beside its look-ups; a service knows all that have a number and are no fainter than its depth.
CREATE OR REPLACE FUNCTION ref.knows_body(which_lookup_id bigint, body_number integer, body_name text, body_mag real)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN l.kind <> 'file' THEN body_number IS NOT NULL AND coalesce(body_mag <= c.depth_mag, false)
        ELSE coalesce((
            SELECT coalesce((f.parameters ->> 'numbers')::int4multirange @> body_number, false)
                OR (f.parameters -> 'designations') ? body_name
            FROM ref.lookup AS f
            WHERE f.lookup_id = (l.parameters ->> 'bodies_lookup_id')::bigint
        ), false)
    END
    FROM ref.lookup AS l
    JOIN ref.catalog AS c USING (catalog)
    WHERE l.lookup_id = which_lookup_id
$$;
COMMENT ON FUNCTION ref.knows_body IS
    'Whether a look-up for moving objects would have named a body if it had been there: it is in the file, or no service misses it';

-- A position for people, degrees.
CREATE OR REPLACE FUNCTION sky.position_text(ra_deg double precision, dec_deg double precision)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_char(ra_deg, 'FM990.00000') || ' ' || to_char(dec_deg, 'FMSG90.00000');
COMMENT ON FUNCTION sky.position_text IS 'A position in words: right ascension and declination in degrees, to five decimals';

-- What another family of catalogues says of every body that one family predicts over an image. Bodies are the same if
-- they have the same number or, where one of them has none, the same name. Compared are predictions for the same time
-- and observatory; of several for one body the nearest counts. They agree within agree_arcsec, which the uncertainty of
-- both, error_sigmas times, widens by error_max_arcsec at most. Where source_ids are given, these are asked about and no
-- others. The state is one of
--   agree      the other has it at the same place
--   apart      the other has it elsewhere
--   missing    the other knows it, was asked about its place, and has it nowhere near
--   not known  the other was asked about its place, but would not know it
--   failed     the other's look-up of its place failed
--   not asked  nobody asked the other about its place and time
CREATE OR REPLACE FUNCTION sky.moving_agreement(
    which_image_id bigint, family_name text, other_family text,
    source_ids bigint[] DEFAULT '{}',
    agree_arcsec double precision DEFAULT 5, error_sigmas double precision DEFAULT 3, error_max_arcsec double precision DEFAULT 30
)
RETURNS TABLE (
    lookup_id bigint, source_id bigint, number integer, name text, mag real, ra_deg double precision, dec_deg double precision,
    other_lookup_id bigint, other_number integer, other_name text, other_mag real,
    other_ra_deg double precision, other_dec_deg double precision,
    other_half_ra_arcsec double precision, other_half_dec_arcsec double precision, other_error_arcsec real,
    apart_arcsec double precision, state text, words text
)
LANGUAGE sql STABLE STRICT
AS $$
    -- By number and by name: under one of them the same body meets itself.
    WITH mine AS MATERIALIZED (
        SELECT l.epoch_jd, l.observer, t.*, k.key
        FROM ref.catalog AS c
        CROSS JOIN LATERAL sky.trails(which_image_id, c.catalog) AS t
        JOIN ref.moving_look AS l USING (lookup_id)
        CROSS JOIN LATERAL (VALUES (t.number::text), (lower(t.name))) AS k (key)
        WHERE c.family = family_name AND k.key IS NOT NULL AND (source_ids = '{}' OR t.source_id = ANY (source_ids))
    ),
    theirs AS MATERIALIZED (
        SELECT l.epoch_jd, l.observer, t.*, k.key
        FROM ref.catalog AS c
        CROSS JOIN LATERAL sky.trails(which_image_id, c.catalog) AS t
        JOIN ref.moving_look AS l USING (lookup_id)
        CROSS JOIN LATERAL (VALUES (t.number::text), (lower(t.name))) AS k (key)
        WHERE c.family = other_family AND k.key IS NOT NULL
    ),
    -- Where the other was asked, and whether it would have told; the rim is there to be searched.
    cone AS MATERIALIZED (
        SELECT l.lookup_id, l.complete, l.ra, l.dec, l.radius_deg * 3600 AS radius_arcsec, l.epoch_jd, l.observer
        FROM ref.catalog AS c
        CROSS JOIN LATERAL ref.looks_in_time(which_image_id, c.catalog) AS l
        WHERE c.family = other_family
    ),
    found AS (
        SELECT DISTINCT ON (m.lookup_id, m.source_id)
            m.lookup_id, m.source_id, m.number, m.name, m.mag, m.ra_deg, m.dec_deg, m.error_arcsec, m.epoch_jd, m.observer,
            t.lookup_id AS other_lookup_id, t.number AS other_number, t.name AS other_name, t.mag AS other_mag,
            t.ra_deg AS other_ra_deg, t.dec_deg AS other_dec_deg, t.half_ra_arcsec AS other_half_ra_arcsec,
            t.half_dec_arcsec AS other_half_dec_arcsec, t.error_arcsec AS other_error_arcsec, s.apart_arcsec
        FROM mine AS m
        LEFT JOIN theirs AS t ON t.key = m.key AND t.observer = m.observer
            AND abs(t.epoch_jd - m.epoch_jd) * 86400 <= 1 AND coalesce(t.number = m.number, true)
        CROSS JOIN LATERAL (
            SELECT sky.separation_arcsec(m.ra_deg, m.dec_deg, t.ra_deg, t.dec_deg) AS apart_arcsec OFFSET 0
        ) AS s
        ORDER BY m.lookup_id, m.source_id, s.apart_arcsec, t.lookup_id
    )
    SELECT
        f.lookup_id, f.source_id, f.number, f.name, f.mag, f.ra_deg, f.dec_deg,
        f.other_lookup_id, f.other_number, f.other_name, f.other_mag, f.other_ra_deg, f.other_dec_deg,
        f.other_half_ra_arcsec, f.other_half_dec_arcsec, f.other_error_arcsec, f.apart_arcsec, k.state,
        CASE k.state
            WHEN 'agree' THEN format('%s has it %s arcsec from there', other_family, round(f.apart_arcsec::numeric, 3))
            WHEN 'apart' THEN format(
                '%s has it at %s, %s arcsec from there', other_family,
                sky.position_text(f.other_ra_deg, f.other_dec_deg), round(f.apart_arcsec::numeric, 3)
            )
            WHEN 'missing' THEN format('%s knows it and has it nowhere near', other_family)
            WHEN 'not known' THEN format('%s would not know it', other_family)
            WHEN 'failed' THEN format('asking %s failed', other_family)
            WHEN 'not asked' THEN format('%s was not asked', other_family)
        END
    FROM found AS f
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN f.apart_arcsec <= agree_arcsec + least(
                error_sigmas * sqrt(coalesce(f.error_arcsec, 0) ^ 2 + coalesce(f.other_error_arcsec, 0) ^ 2),
                error_max_arcsec
            ) THEN 'agree'
            WHEN f.apart_arcsec IS NOT NULL THEN 'apart'
            ELSE coalesce((
                SELECT CASE
                    WHEN bool_or(c.complete AND ref.knows_body(c.lookup_id, f.number, f.name, f.mag)) THEN 'missing'
                    WHEN bool_or(c.complete) THEN 'not known'
                    WHEN count(*) > 0 THEN 'failed'
                END
                FROM cone AS c
                WHERE c.observer = f.observer AND abs(c.epoch_jd - f.epoch_jd) * 86400 <= 1
                AND sky.separation_arcsec(f.ra_deg, f.dec_deg, c.ra, c.dec) <= c.radius_arcsec
                    - agree_arcsec - least(error_sigmas * coalesce(f.error_arcsec, 0), error_max_arcsec)
            ), 'not asked')
        END AS state
        OFFSET 0
    ) AS k
$$;
COMMENT ON FUNCTION sky.moving_agreement IS
    'What another family of moving objects says of every body that one predicts over an image, and whether they agree';
