-- Sources of a catalogue about some detections of an extraction, in the two paths of sky.nearest_at_epoch: slow
-- stars by the index at J1954.0, detection by detection; the few fast ones moved first, star by star.
-- mag_max: only those at least so bright, null for all. own_epoch: also those that are within the radius where the
-- catalogue itself puts them.
CREATE OR REPLACE FUNCTION sky.sources_about(
    which_extraction_id bigint, numbers integer[], catalog_name text, radius_arcsec double precision, mag_max real,
    own_epoch boolean
)
RETURNS TABLE (
    number integer, source_id bigint, mag real, has_motion boolean,
    sep_arcsec double precision, sep_catalog_epoch_arcsec double precision, moved_arcsec double precision
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    image plate.image;
    -- No source has an epoch beyond these; the padding must reach to all of them.
    farthest double precision;
    slow_radius double precision;
    fast_radius double precision;
BEGIN
    SELECT i.* INTO STRICT image
    FROM vasco.extraction AS e JOIN plate.image AS i USING (image_id)
    WHERE e.extraction_id = which_extraction_id;
    farthest := CASE WHEN own_epoch THEN 2100 ELSE image.epoch_jyear END;
    slow_radius := radius_arcsec + sky.slow_padding_arcsec(farthest);
    -- A windowed position may lie some pixels outside the image.
    fast_radius := image.radius_deg * 3600 + 60 + radius_arcsec + sky.fast_padding_arcsec(farthest);

    RETURN QUERY EXECUTE format($query$
        WITH slow AS (
            SELECT n.number, d.ra AS at_ra, d.dec AS at_dec, s.*
            FROM unnest($2) AS n (number)
            CROSS JOIN LATERAL (
                SELECT a.ra, a.dec FROM vasco.detection AS a WHERE a.extraction_id = $1 AND a.number = n.number OFFSET 0
            ) AS d
            CROSS JOIN LATERAL (
                SELECT r.source_id, r.mag, r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, r.epoch_jyear
                FROM ref.%1$I AS r
                WHERE q3c_join(d.ra, d.dec, r.ra_j1954, r.dec_j1954, $5 / 3600)
                OFFSET 0
            ) AS s
            WHERE NOT sky.is_fast(s.pmra_masyr, s.pmdec_masyr) AND ($10 IS NULL OR s.mag <= $10)
        ),
        fast_star AS MATERIALIZED (
            SELECT r.source_id, r.mag, r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, r.epoch_jyear, p.ra_deg, p.dec_deg
            FROM ref.%1$I AS r
            CROSS JOIN LATERAL sky.propagate(r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, $4 - r.epoch_jyear) AS p
            WHERE sky.is_fast(r.pmra_masyr, r.pmdec_masyr)
            AND q3c_join($6, $7, r.ra_j1954, r.dec_j1954, $8 / 3600)
        ),
        fast AS (
            SELECT d.number, d.ra AS at_ra, d.dec AS at_dec, f.source_id, f.mag, f.ra, f.dec, f.pmra_masyr, f.pmdec_masyr,
                f.epoch_jyear
            FROM fast_star AS f
            CROSS JOIN LATERAL (
                SELECT f.ra_deg, f.dec_deg UNION ALL SELECT f.ra, f.dec WHERE $9
                OFFSET 0
            ) AS w
            CROSS JOIN LATERAL (
                SELECT a.extraction_id, a.number, a.ra, a.dec
                FROM vasco.detection AS a
                WHERE q3c_join(w.ra_deg, w.dec_deg, a.ra, a.dec, ($3 + 0.001) / 3600)
                OFFSET 0
            ) AS d
            WHERE d.extraction_id = $1 AND d.number = ANY ($2)
        )
        SELECT DISTINCT c.number, c.source_id, c.mag, c.pmra_masyr IS NOT NULL, s.sep, s.sep_own, s.moved
        FROM (SELECT * FROM slow UNION ALL SELECT * FROM fast) AS c
        CROSS JOIN LATERAL sky.propagate(c.ra, c.dec, c.pmra_masyr, c.pmdec_masyr, $4 - c.epoch_jyear) AS p
        CROSS JOIN LATERAL (
            SELECT
                sky.separation_arcsec(c.at_ra, c.at_dec, p.ra_deg, p.dec_deg) AS sep,
                sky.separation_arcsec(c.at_ra, c.at_dec, c.ra, c.dec) AS sep_own,
                sky.separation_arcsec(c.ra, c.dec, p.ra_deg, p.dec_deg) AS moved
            OFFSET 0
        ) AS s
        WHERE (s.sep <= $3 OR ($9 AND s.sep_own <= $3)) AND ($10 IS NULL OR c.mag <= $10)
    $query$, catalog_name)
    USING which_extraction_id, numbers, radius_arcsec, image.epoch_jyear, slow_radius, image.ra, image.dec, fast_radius,
        own_epoch, mag_max;
END
$$;
COMMENT ON FUNCTION sky.sources_about IS
    'Sources of a catalogue within a radius of some detections of an extraction, at the plate''s epoch or at either';
