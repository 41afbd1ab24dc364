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

-- The nearest counterpart of every detection of an extraction at the plate's epoch. One row per
-- detection that has one within the radius; ties go to the smaller source_id.
CREATE OR REPLACE FUNCTION sky.nearest_at_epoch(which_extraction_id bigint, catalog_name text, radius_arcsec double precision)
RETURNS TABLE (number integer, source_id bigint, sep_arcsec double precision, n_within integer)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    image plate.image;
    fast_radius double precision;
BEGIN
    SELECT i.* INTO STRICT image
    FROM vasco.extraction AS e JOIN plate.image AS i USING (image_id)
    WHERE e.extraction_id = which_extraction_id;
    -- A windowed position may lie some pixels outside the image.
    fast_radius := image.radius_deg * 3600 + 60 + radius_arcsec + sky.fast_padding_arcsec(image.epoch_jyear);

    RETURN QUERY EXECUTE format($query$
        WITH slow AS (
            SELECT d.number, n.source_id, n.sep, n.n_within
            FROM vasco.detection AS d
            CROSS JOIN LATERAL (
                SELECT c.source_id, c.sep, count(*) OVER () AS n_within
                FROM (
                    SELECT near.source_id, sky.separation_arcsec(d.ra, d.dec, p.ra_deg, p.dec_deg) AS sep
                    FROM (
                        SELECT r.source_id, r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, r.epoch_jyear
                        FROM ref.%1$I AS r
                        WHERE q3c_join(d.ra, d.dec, r.ra_j1954, r.dec_j1954, ($3 + sky.slow_padding_arcsec($2)) / 3600)
                        OFFSET 0
                    ) AS near
                    CROSS JOIN LATERAL sky.propagate(
                        near.ra, near.dec, near.pmra_masyr, near.pmdec_masyr, $2 - near.epoch_jyear
                    ) AS p
                    WHERE NOT sky.is_fast(near.pmra_masyr, near.pmdec_masyr)
                    OFFSET 0
                ) AS c
                WHERE c.sep <= $3
                ORDER BY c.sep, c.source_id
                LIMIT 1
            ) AS n
            WHERE d.extraction_id = $1
        ),
        -- The few stars above 100 mas/yr near the image, where they were when it was exposed.
        fast_star AS MATERIALIZED (
            SELECT r.source_id, p.ra_deg, p.dec_deg
            FROM ref.%1$I AS r
            CROSS JOIN LATERAL sky.propagate(r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, $2 - r.epoch_jyear) AS p
            WHERE sky.is_fast(r.pmra_masyr, r.pmdec_masyr)
            AND q3c_join($4, $5, r.ra_j1954, r.dec_j1954, $6 / 3600)
        ),
        fast AS (
            SELECT DISTINCT ON (d.number)
                d.number, f.source_id, sky.separation_arcsec(d.ra, d.dec, f.ra_deg, f.dec_deg) AS sep,
                count(*) OVER (PARTITION BY d.number) AS n_within
            FROM fast_star AS f
            CROSS JOIN LATERAL (
                SELECT d.extraction_id, d.number, d.ra, d.dec
                FROM vasco.detection AS d
                WHERE q3c_join(f.ra_deg, f.dec_deg, d.ra, d.dec, $3 / 3600)
                OFFSET 0
            ) AS d
            WHERE d.extraction_id = $1
            ORDER BY d.number, sep, f.source_id
        )
        SELECT
            coalesce(s.number, f.number),
            CASE WHEN coalesce((s.sep, s.source_id) <= (f.sep, f.source_id), f.number IS NULL)
                THEN s.source_id ELSE f.source_id END,
            least(s.sep, f.sep),
            (coalesce(s.n_within, 0) + coalesce(f.n_within, 0))::integer
        FROM slow AS s FULL JOIN fast AS f USING (number)
    $query$, catalog_name)
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
