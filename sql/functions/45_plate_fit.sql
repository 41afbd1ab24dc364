-- What a residual solution of an image is fitted to.

-- Detections of an extraction that may tie it to the sky, at their raw positions, each with its star where
-- there is one: the nearest of a catalogue within the radius, at the plate's epoch. A star is given to the
-- detection that is nearest to it, and to no other. Best positions play no part, so that a fit that moved
-- them finds the same ties again. Fast stars are few and have an index of their own; the circle for them is
-- as wide as they may have gone. Null limits of flags or SNR_WIN let every detection be a tie.
CREATE OR REPLACE FUNCTION stage.tie_points(
    which_extraction_id bigint, catalog_name text, radius_arcsec double precision,
    max_flags integer DEFAULT 0, min_snr double precision DEFAULT 30
)
RETURNS TABLE (
    number integer, x_image double precision, y_image double precision, ra_raw double precision, dec_raw double precision,
    source_id bigint, ra_deg double precision, dec_deg double precision, sep_arcsec double precision
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    at_epoch_jyear double precision;
BEGIN
    SELECT i.epoch_jyear INTO STRICT at_epoch_jyear
    FROM vasco.extraction AS e JOIN plate.image AS i USING (image_id)
    WHERE e.extraction_id = which_extraction_id;

    RETURN QUERY EXECUTE format($query$
        WITH nearest AS MATERIALIZED (
            SELECT d.number, d.xwin_image, d.ywin_image, d.ra_raw, d.dec_raw, n.*
            FROM vasco.detection AS d
            LEFT JOIN LATERAL (
                SELECT c.source_id, c.ra_deg, c.dec_deg, c.sep
                FROM (
                    SELECT near.source_id, p.ra_deg, p.dec_deg,
                        sky.separation_arcsec(d.ra_raw, d.dec_raw, p.ra_deg, p.dec_deg) AS sep
                    FROM (
                        SELECT * FROM (
                            SELECT r.source_id, r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, r.epoch_jyear
                            FROM ref.%1$I AS r
                            WHERE q3c_join(
                                d.ra_raw, d.dec_raw, r.ra_j1954, r.dec_j1954, ($3 + sky.slow_padding_arcsec($2)) / 3600
                            )
                            OFFSET 0
                        ) AS slow
                        WHERE NOT sky.is_fast(slow.pmra_masyr, slow.pmdec_masyr)
                        UNION ALL
                        SELECT r.source_id, r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, r.epoch_jyear
                        FROM ref.%1$I AS r
                        WHERE sky.is_fast(r.pmra_masyr, r.pmdec_masyr)
                        AND q3c_join(
                            d.ra_raw, d.dec_raw, r.ra_j1954, r.dec_j1954, ($3 + sky.fast_padding_arcsec($2)) / 3600
                        )
                    ) AS near
                    CROSS JOIN LATERAL sky.propagate(
                        near.ra, near.dec, near.pmra_masyr, near.pmdec_masyr, $2 - near.epoch_jyear
                    ) AS p
                    OFFSET 0
                ) AS c
                WHERE c.sep <= $3
                ORDER BY c.sep, c.source_id
                LIMIT 1
            ) AS n ON true
            WHERE d.extraction_id = $1 AND ($4 IS NULL OR d.flags <= $4)
            -- NaN is above all numbers.
            AND ($5 IS NULL OR (d.snr_win >= $5 AND d.snr_win < 'Infinity'))
        ),
        ranked AS (
            SELECT n.*, row_number() OVER (PARTITION BY n.source_id ORDER BY n.sep, n.number) AS place FROM nearest AS n
        )
        SELECT
            r.number, r.xwin_image, r.ywin_image, r.ra_raw, r.dec_raw,
            CASE WHEN r.place = 1 THEN r.source_id END, CASE WHEN r.place = 1 THEN r.ra_deg END,
            CASE WHEN r.place = 1 THEN r.dec_deg END, CASE WHEN r.place = 1 THEN r.sep END
        FROM ranked AS r
        ORDER BY r.number
    $query$, catalog_name)
    USING which_extraction_id, at_epoch_jyear, radius_arcsec, max_flags, min_snr;
END
$$;
COMMENT ON FUNCTION stage.tie_points IS
    'Unblended, bright detections of an extraction at their raw positions, with the star each is tied to, if any, '
    'at the plate''s epoch';

-- The catalogue of a family that has stars for most of an extraction's ties; of equal ones the first by name. Ties are only
-- counted where there is a choice.
CREATE OR REPLACE FUNCTION stage.catalog_to_tie_to(
    which_extraction_id bigint, family_name text, radius_arcsec double precision, max_flags integer, min_snr double precision
)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    image plate.image;
    choice text[];
BEGIN
    SELECT i.* INTO STRICT image
    FROM vasco.extraction AS e JOIN plate.image AS i USING (image_id)
    WHERE e.extraction_id = which_extraction_id;
    -- A windowed position may lie some pixels outside the image, and a fast star may have come from farther.
    choice := ARRAY(
        SELECT c.catalog
        FROM ref.catalog AS c
        WHERE c.family = family_name AND ref.has_sources_near(
            c.catalog, image.ra, image.dec,
            image.radius_deg + (60 + radius_arcsec + sky.fast_padding_arcsec(image.epoch_jyear)) / 3600
        )
    );
    IF cardinality(choice) < 2 THEN
        RETURN choice[1];
    END IF;
    RETURN (
        SELECT c.catalog
        FROM unnest(choice) AS c (catalog)
        CROSS JOIN LATERAL (
            SELECT count(t.source_id) AS n
            FROM stage.tie_points(which_extraction_id, c.catalog, radius_arcsec, max_flags, min_snr) AS t
        ) AS found
        ORDER BY found.n DESC, c.catalog
        LIMIT 1
    );
END
$$;
COMMENT ON FUNCTION stage.catalog_to_tie_to IS 'Catalogue of a family that has stars for most of an extraction''s ties, if any is near';

-- Whether an image's positions are to be tied anew: other stars are matched than before, or none were known when they
-- were tied, or they never were. Imported images have no raw positions.
CREATE OR REPLACE FUNCTION stage.fit_is_due(which_extraction_id bigint, family_name text, changed_catalogs text[])
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT i.release_id IS NULL AND (
        EXISTS (SELECT 1 FROM ref.catalog AS c WHERE c.family = family_name AND c.catalog = ANY (changed_catalogs))
        OR NOT EXISTS (
            SELECT 1
            FROM vasco.plate_fit AS f
            WHERE f.extraction_id = which_extraction_id AND f.kind = 'plate_fit'
            AND (f.catalog IS NOT NULL OR NOT EXISTS (
                SELECT 1 FROM vasco.match AS m
                WHERE m.extraction_id = which_extraction_id AND m.state = 'matched'
                AND m.catalog IN (SELECT c.catalog FROM ref.catalog AS c WHERE c.family = family_name)
                OFFSET 0
            ))
        )
    )
    FROM vasco.extraction AS e
    JOIN plate.image AS i USING (image_id)
    WHERE e.extraction_id = which_extraction_id
$$;
COMMENT ON FUNCTION stage.fit_is_due IS
    'Whether an image''s positions are to be tied to stars anew, because its matches with them changed or it never was';
