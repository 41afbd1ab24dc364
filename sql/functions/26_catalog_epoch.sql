-- Detections of an extraction within a radius of where a catalogue has a source of such brightness, at the
-- catalogue's own epoch, by the positions of the header's solution. The sky index is of J1954.0: slow
-- sources are at most the padding away from there; the few fast ones look for detections themselves.
CREATE OR REPLACE FUNCTION sky.near_at_catalog_epoch(
    which_extraction_id bigint, catalog_name text, radius_arcsec double precision,
    mag_above double precision, mag_below double precision
)
RETURNS TABLE (number integer)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    image plate.image;
    catalog_epoch double precision;
    padding double precision;
    fast_padding double precision;
BEGIN
    SELECT i.* INTO STRICT image
    FROM vasco.extraction AS e JOIN plate.image AS i USING (image_id)
    WHERE e.extraction_id = which_extraction_id;
    SELECT c.epoch_jyear INTO STRICT catalog_epoch FROM ref.catalog AS c WHERE c.catalog = catalog_name;
    padding := radius_arcsec + sky.slow_padding_arcsec(catalog_epoch);
    -- A windowed position may lie some pixels outside the image.
    fast_padding := image.radius_deg * 3600 + 60 + radius_arcsec + sky.fast_padding_arcsec(catalog_epoch);

    RETURN QUERY EXECUTE format($query$
        SELECT d.number
        FROM vasco.detection AS d
        CROSS JOIN LATERAL (
            SELECT 1
            FROM (
                SELECT r.ra, r.dec, r.mag, r.pmra_masyr, r.pmdec_masyr
                FROM ref.%1$I AS r
                WHERE q3c_join(d.ra_raw, d.dec_raw, r.ra_j1954, r.dec_j1954, $3 / 3600)
                OFFSET 0
            ) AS near
            WHERE NOT sky.is_fast(near.pmra_masyr, near.pmdec_masyr) AND near.mag > $4 AND near.mag < $5
            AND sky.separation_arcsec(d.ra_raw, d.dec_raw, near.ra, near.dec) <= $2
            LIMIT 1
        ) AS slow
        WHERE d.extraction_id = $1
        UNION
        SELECT d.number
        FROM (
            SELECT r.ra, r.dec, r.mag
            FROM ref.%1$I AS r
            WHERE sky.is_fast(r.pmra_masyr, r.pmdec_masyr)
            AND q3c_join($6, $7, r.ra_j1954, r.dec_j1954, $8 / 3600)
            OFFSET 0
        ) AS fast
        CROSS JOIN LATERAL (
            SELECT a.extraction_id, a.number, a.ra_raw, a.dec_raw
            FROM vasco.detection AS a
            WHERE q3c_join(fast.ra, fast.dec, a.ra, a.dec, ($2 + $9) / 3600)
            OFFSET 0
        ) AS d
        WHERE d.extraction_id = $1 AND fast.mag > $4 AND fast.mag < $5
        AND sky.separation_arcsec(d.ra_raw, d.dec_raw, fast.ra, fast.dec) <= $2
    $query$, catalog_name)
    USING which_extraction_id, radius_arcsec, padding, mag_above, mag_below, image.ra, image.dec, fast_padding,
        -- The index of detections is of their best positions, a plate refinement away from the raw ones.
        60.0::double precision;
END
$$;
COMMENT ON FUNCTION sky.near_at_catalog_epoch IS
    'Detections of an extraction near sources of a catalogue at the catalogue''s own epoch, of some range of brightness';
