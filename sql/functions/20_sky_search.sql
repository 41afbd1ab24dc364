-- All sky access. Every query has the one shape that stays fast whatever other indexes and filters
-- there are: a LATERAL subquery with nothing but q3c_join, fenced by OFFSET 0, filters outside.

-- Detections within a radius of a position.
CREATE OR REPLACE FUNCTION sky.cone(at_ra_deg double precision, at_dec_deg double precision, radius_arcsec double precision)
RETURNS TABLE (
    extraction_id bigint, number integer, ra_deg double precision, dec_deg double precision, sep_arcsec double precision
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT c.extraction_id, c.number, c.ra, c.dec, sky.separation_arcsec(at_ra_deg, at_dec_deg, c.ra, c.dec)
    FROM (
        SELECT d.extraction_id, d.number, d.ra, d.dec
        FROM vasco.detection AS d
        WHERE q3c_join(at_ra_deg, at_dec_deg, d.ra, d.dec, radius_arcsec / 3600)
        OFFSET 0
    ) AS c
    ORDER BY 5, 1, 2
$$;
COMMENT ON FUNCTION sky.cone IS 'Detections within a radius of a position, nearest first';

-- Sources of a catalogue that are within a radius of a position at a given epoch, wherever the
-- catalogue's own epoch puts them.
CREATE OR REPLACE FUNCTION sky.neighbours(
    catalog_name text, at_ra_deg double precision, at_dec_deg double precision,
    radius_arcsec double precision, at_epoch_jyear double precision
)
RETURNS TABLE (
    source_id bigint, ra_deg double precision, dec_deg double precision, mag real,
    pmra_masyr real, pmdec_masyr real, epoch_jyear real,
    sep_arcsec double precision, sep_catalog_epoch_arcsec double precision
)
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    fast_radius double precision := radius_arcsec + sky.fast_padding_arcsec(at_epoch_jyear);
BEGIN
    RETURN QUERY EXECUTE format($query$
        SELECT n.source_id, n.ra, n.dec, n.mag, n.pmra_masyr, n.pmdec_masyr, n.epoch_jyear, n.sep, n.sep_own
        FROM (
            SELECT c.*,
                sky.separation_arcsec($1, $2, p.ra_deg, p.dec_deg) AS sep,
                sky.separation_arcsec($1, $2, c.ra, c.dec) AS sep_own
            FROM (
                SELECT * FROM (
                    SELECT r.* FROM ref.%1$I AS r
                    WHERE q3c_join($1, $2, r.ra_j1954, r.dec_j1954, ($3 + sky.slow_padding_arcsec($4)) / 3600)
                    OFFSET 0
                ) AS slow
                WHERE NOT sky.is_fast(slow.pmra_masyr, slow.pmdec_masyr)
                UNION ALL
                SELECT r.* FROM ref.%1$I AS r
                WHERE sky.is_fast(r.pmra_masyr, r.pmdec_masyr)
                AND q3c_join($1, $2, r.ra_j1954, r.dec_j1954, $5 / 3600)
            ) AS c
            CROSS JOIN LATERAL sky.propagate(c.ra, c.dec, c.pmra_masyr, c.pmdec_masyr, $4 - c.epoch_jyear) AS p
            OFFSET 0
        ) AS n
        WHERE n.sep <= $3
        ORDER BY n.sep, n.source_id
    $query$, catalog_name)
    USING at_ra_deg, at_dec_deg, radius_arcsec, at_epoch_jyear, fast_radius;
END
$$;
COMMENT ON FUNCTION sky.neighbours IS 'Sources of a catalogue within a radius of a position at an epoch, nearest first';

-- Q3C tells up to four cells of its index that hold a circle, and q3c_join probes the index for each. Mostly
-- they lie close together on the curve that the index follows, and reading on from the first to the last is
-- cheaper than four probes. Cells that are not needed are given as (1, -1).
CREATE OR REPLACE FUNCTION sky.first_ipix(ra_deg double precision, dec_deg double precision, radius_deg double precision)
RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN least(
    q3c_nearby_it(ra_deg, dec_deg, radius_deg, 0), nullif(q3c_nearby_it(ra_deg, dec_deg, radius_deg, 2), 1),
    nullif(q3c_nearby_it(ra_deg, dec_deg, radius_deg, 4), 1), nullif(q3c_nearby_it(ra_deg, dec_deg, radius_deg, 6), 1)
);
COMMENT ON FUNCTION sky.first_ipix IS 'First number that Q3C''s index may have for a position in a circle';

CREATE OR REPLACE FUNCTION sky.last_ipix(ra_deg double precision, dec_deg double precision, radius_deg double precision)
RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN greatest(
    q3c_nearby_it(ra_deg, dec_deg, radius_deg, 1), q3c_nearby_it(ra_deg, dec_deg, radius_deg, 3),
    q3c_nearby_it(ra_deg, dec_deg, radius_deg, 5), q3c_nearby_it(ra_deg, dec_deg, radius_deg, 7)
);
COMMENT ON FUNCTION sky.last_ipix IS 'Last number that Q3C''s index may have for a position in a circle';

-- How far apart the first and the last may be for that. One number is 9.1e-8 square arcsec in the mean, and this
-- about 520 circles; each of the four cells has 1.3 to 5. At the veto's radius eleven circles of twelve are read in one
-- go. The index holds the declination too, so that of such a run only what is as far north is looked up in the table.
CREATE OR REPLACE FUNCTION sky.one_probe_length(radius_deg double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 2.4e17 * radius_deg * radius_deg;
COMMENT ON FUNCTION sky.one_probe_length IS 'Longest run of Q3C''s index that is read in one go when a circle is searched';

-- The nearest counterpart of every detection of an extraction at the plate's epoch. One row per
-- detection that has one within the radius; ties go to the smaller source_id.
CREATE OR REPLACE FUNCTION sky.nearest_at_epoch(which_extraction_id bigint, catalog_name text, radius_arcsec double precision)
RETURNS TABLE (number integer, source_id bigint, sep_arcsec double precision, n_within integer)
LANGUAGE plpgsql STABLE
-- No two sources are alike: remembering where each was costs more than it saves.
SET enable_memoize = off
AS $$
DECLARE
    image plate.image;
    slow_radius double precision;
    fast_radius double precision;
    sky_order text;
BEGIN
    SELECT i.* INTO STRICT image
    FROM vasco.extraction AS e JOIN plate.image AS i USING (image_id)
    WHERE e.extraction_id = which_extraction_id;
    slow_radius := (radius_arcsec + sky.slow_padding_arcsec(image.epoch_jyear)) / 3600;
    -- A windowed position may lie some pixels outside the image.
    fast_radius := image.radius_deg + (60 + radius_arcsec + sky.fast_padding_arcsec(image.epoch_jyear)) / 3600;
    -- Neighbours in the sky find each other's part of the index in the processor's cache. SExtractor numbers along the
    -- rows of the image, and so detections are stored; those of others may be in any order, and are sorted.
    SELECT CASE WHEN max(f.dec) - min(f.dec) < image.radius_deg / 4 THEN '' ELSE 'ORDER BY o.hpx29' END
    INTO sky_order
    FROM (
        SELECT o.dec FROM vasco.detection AS o
        WHERE o.extraction_id = which_extraction_id
        ORDER BY o.number
        LIMIT 100
    ) AS f;

    -- The radius is written out: as a parameter it would be passed to the sky index anew for each of its uses.
    RETURN QUERY EXECUTE format($query$
        WITH pair AS (
            SELECT s.number, s.source_id, s.chord_squared
            FROM (
                SELECT d.number, near.source_id, m.chord_squared
                FROM (
                    SELECT a.number, a.ra, a.dec, sin(radians(a.dec)) AS sin_dec, cos(radians(a.dec)) AS cos_dec,
                        sky.first_ipix(a.ra, a.dec, %2$L) AS first_ipix,
                        sky.last_ipix(a.ra, a.dec, %2$L) AS last_ipix
                    FROM (
                        SELECT o.number, o.ra, o.dec
                        FROM vasco.detection AS o
                        WHERE o.extraction_id = $1
                        %3$s
                        OFFSET 0
                    ) AS a
                    OFFSET 0
                ) AS d
                CROSS JOIN LATERAL (
                    SELECT r.source_id, r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, r.epoch_jyear
                    FROM ref.%1$I AS r
                    WHERE d.last_ipix - d.first_ipix <= sky.one_probe_length(%2$L)
                    AND q3c_ang2ipix(r.ra_j1954, r.dec_j1954) BETWEEN d.first_ipix AND d.last_ipix
                    AND r.dec_j1954 BETWEEN d.dec - %2$L AND d.dec + %2$L
                    UNION ALL
                    SELECT r.source_id, r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, r.epoch_jyear
                    FROM ref.%1$I AS r
                    WHERE d.last_ipix - d.first_ipix > sky.one_probe_length(%2$L)
                    AND q3c_join(d.ra, d.dec, r.ra_j1954, r.dec_j1954, %2$L)
                    OFFSET 0
                ) AS near
                CROSS JOIN LATERAL sky.moved_chord_squared(
                    near.ra, near.dec, near.pmra_masyr, near.pmdec_masyr, $2 - near.epoch_jyear, d.ra, d.sin_dec, d.cos_dec
                ) AS m
                WHERE NOT sky.is_fast(near.pmra_masyr, near.pmdec_masyr)
                OFFSET 0
            ) AS s
            WHERE s.chord_squared <= sky.chord_squared($3)
            UNION ALL
            SELECT q.number, q.source_id, q.chord_squared
            FROM (
                SELECT d.extraction_id, d.number, f.source_id, m.chord_squared
                FROM (
                    -- The few stars above 100 mas/yr near the image, where they were when it was exposed.
                    SELECT r.source_id, r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, $2 - r.epoch_jyear AS delta_yr,
                        p.ra_deg AS moved_ra_deg, p.dec_deg AS moved_dec_deg
                    FROM ref.%1$I AS r
                    CROSS JOIN LATERAL sky.propagate(r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, $2 - r.epoch_jyear) AS p
                    WHERE sky.is_fast(r.pmra_masyr, r.pmdec_masyr)
                    AND q3c_join($4, $5, r.ra_j1954, r.dec_j1954, $6)
                    OFFSET 0
                ) AS f
                CROSS JOIN LATERAL (
                    SELECT a.extraction_id, a.number, a.ra, a.dec
                    FROM vasco.detection AS a
                    WHERE q3c_join(f.moved_ra_deg, f.moved_dec_deg, a.ra, a.dec, ($3 + 0.001) / 3600)
                    OFFSET 0
                ) AS d
                CROSS JOIN LATERAL sky.moved_chord_squared(
                    f.ra, f.dec, f.pmra_masyr, f.pmdec_masyr, f.delta_yr,
                    d.ra, sin(radians(d.dec)), cos(radians(d.dec))
                ) AS m
                OFFSET 0
            ) AS q
            WHERE q.extraction_id = $1 AND q.chord_squared <= sky.chord_squared($3)
        )
        SELECT DISTINCT ON (n.number) n.number, n.source_id, sky.chord_arcsec(n.chord_squared), n.n_within
        FROM (
            SELECT p.number, p.source_id, p.chord_squared, (count(*) OVER detection)::integer AS n_within
            FROM pair AS p
            WINDOW detection AS (
                PARTITION BY p.number ORDER BY p.chord_squared, p.source_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
            )
        ) AS n
        ORDER BY n.number, n.chord_squared, n.source_id
    $query$, catalog_name, slow_radius, sky_order)
    USING which_extraction_id, image.epoch_jyear, radius_arcsec, image.ra, image.dec, fast_radius;
END
$$;
COMMENT ON FUNCTION sky.nearest_at_epoch IS
    'Nearest source of a catalogue per detection of an extraction, at the plate''s epoch, within a radius';

-- The complete look-up of a catalogue that covers a HEALPix cell of order 29: one row or none. It
-- returns a table, because PostgreSQL inlines only such functions that read tables.
DROP FUNCTION IF EXISTS sky.covering_lookup(text, bigint);
CREATE FUNCTION sky.covering_lookup(catalog_name text, cell bigint)
RETURNS TABLE (lookup_id bigint)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
AS $$
    SELECT c.lookup_id
    FROM (
        SELECT n.lookup_id, upper(n.hpx29) AS above
        FROM ref.coverage AS n
        WHERE n.catalog = catalog_name AND lower(n.hpx29) <= cell
        ORDER BY lower(n.hpx29) DESC
        LIMIT 1
    ) AS c
    WHERE c.above > cell
$$;
COMMENT ON FUNCTION sky.covering_lookup IS 'Complete look-up that covers a HEALPix cell of order 29, if there is one';

-- The newest failed look-up of a catalogue where a HEALPix cell of order 29 lies in a gap: one row or none.
CREATE OR REPLACE FUNCTION sky.gap_at(catalog_name text, cell bigint)
RETURNS TABLE (lookup_id bigint)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
AS $$
    SELECT g.lookup_id
    FROM (
        SELECT n.lookup_id, upper(n.hpx29) AS above
        FROM ref.gap AS n
        WHERE n.catalog = catalog_name AND lower(n.hpx29) <= cell
        ORDER BY lower(n.hpx29) DESC
        LIMIT 1
    ) AS g
    WHERE g.above > cell
$$;
COMMENT ON FUNCTION sky.gap_at IS 'Failed look-up that left a gap at a HEALPix cell of order 29, if there is one';
