-- Width and sharpness against the reference stars of the same image (vasco60's MORPH): too wide, or less
-- sharp than the stars by more than its own error allows, is no point source.
--
-- Reference stars are unblended, round detections within match_arcsec of a Gaia star of middling brightness.
-- epoch = plate: where the star was when the plate was exposed. epoch = catalog: where the catalogue has
-- it, as the seed compared them; fast stars are lost.
-- Only those with SPREAD_MODEL count. With sample these are the first so many of stage.reference_stars,
-- which are always measured, so that the medians do not depend on what else happened to be; null means all
-- that are measured, the seed's choice after a full pass 2.
--
-- Parameters: gaia_mag_min and gaia_mag_max (exclusive), match_arcsec (inclusive), epoch (plate or catalog),
-- elongation_max (exclusive), sample, min_psf_stars, fwhm_ratio_max and spread_snr_max (inclusive).

-- What chooses the reference stars, in words.
CREATE OR REPLACE FUNCTION stage.psf_population(params jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format(
        '%s < G < %s within %s arcsec at the %s''s epoch, ELONGATION < %s, FLAGS = 0, %s',
        params ->> 'gaia_mag_min', params ->> 'gaia_mag_max', params ->> 'match_arcsec', params ->> 'epoch',
        params ->> 'elongation_max', coalesce('of a sample of ' || (params ->> 'sample'), 'all')
    )
$$;
COMMENT ON FUNCTION stage.psf_population IS 'What chooses the reference stars of the morph stage, in words';

-- The reference stars of an extraction.
CREATE OR REPLACE FUNCTION stage.psf_stars(which_extraction_id bigint, params jsonb)
RETURNS TABLE (number integer)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    gaia text;
    parts text[] := '{}';
BEGIN
    IF (params ->> 'epoch') NOT IN ('plate', 'catalog') THEN
        RAISE EXCEPTION 'morph: epoch must be plate or catalog, not %', params ->> 'epoch';
    END IF;
    FOR gaia IN SELECT c.catalog FROM ref.catalog AS c WHERE c.family = 'gaia' ORDER BY c.catalog LOOP
        parts := parts || format(
            CASE params ->> 'epoch'
                WHEN 'catalog' THEN 'SELECT n.number FROM sky.near_at_catalog_epoch($1, %1$L, $2, $3, $4) AS n'
                WHEN 'plate' THEN
                    'SELECT m.number FROM ('
                    'SELECT a.number, a.source_id FROM vasco.match AS a WHERE a.extraction_id = $1 '
                    'AND a.catalog = %1$L AND a.state = ''matched'' AND a.sep_arcsec <= $2 OFFSET 0'
                    ') AS m CROSS JOIN LATERAL ('
                    'SELECT b.mag FROM ref.%1$I AS b WHERE b.source_id = m.source_id OFFSET 0'
                    ') AS r WHERE r.mag > $3 AND r.mag < $4'
            END,
            gaia
        );
    END LOOP;
    IF parts = '{}' THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($query$
        SELECT d.number
        FROM (%s) AS n
        CROSS JOIN LATERAL (
            SELECT a.number, a.flags, a.elongation FROM vasco.detection AS a
            WHERE a.extraction_id = $1 AND a.number = n.number
            OFFSET 0
        ) AS d
        WHERE d.flags = 0 AND d.elongation < $5
    $query$, array_to_string(parts, ' UNION '))
    USING which_extraction_id, (params ->> 'match_arcsec')::double precision,
        (params ->> 'gaia_mag_min')::double precision, (params ->> 'gaia_mag_max')::double precision,
        (params ->> 'elongation_max')::real;
END
$$;
COMMENT ON FUNCTION stage.psf_stars IS 'Reference stars of an extraction for the morph stage';

-- The medians of an extraction's reference stars.
CREATE OR REPLACE FUNCTION stage.psf_medians(which_extraction_id bigint, params jsonb)
RETURNS TABLE (n_known integer, n_stars integer, fwhm_median_px double precision, spread_median double precision)
LANGUAGE sql STABLE ROWS 1
AS $$
    WITH sample AS MATERIALIZED (
        SELECT r.number
        FROM stage.reference_stars(which_extraction_id, (params ->> 'sample')::integer) AS r
        WHERE params ->> 'sample' IS NOT NULL
    ),
    star AS (
        SELECT d.fwhm_image::double precision AS fwhm, d.spread_model::double precision AS spread,
            d.fwhm_image <> 'NaN' AND coalesce(d.spread_model, 'NaN') <> 'NaN' AS measured
        FROM stage.psf_stars(which_extraction_id, params) AS s
        CROSS JOIN LATERAL (
            SELECT a.fwhm_image, a.spread_model FROM vasco.detection AS a
            WHERE a.extraction_id = which_extraction_id AND a.number = s.number
            OFFSET 0
        ) AS d
        WHERE params ->> 'sample' IS NULL OR s.number IN (SELECT k.number FROM sample AS k)
    )
    SELECT
        count(*)::integer, (count(*) FILTER (WHERE s.measured))::integer,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY s.fwhm) FILTER (WHERE s.measured),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY s.spread) FILTER (WHERE s.measured)
    FROM star AS s
$$;
COMMENT ON FUNCTION stage.psf_medians IS 'Medians of FWHM and SPREAD_MODEL of an extraction''s reference stars';

-- What the rule judges: as published where an image was imported with it, else from the stored medians.
CREATE OR REPLACE FUNCTION stage.morph_measures(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, fwhm_ratio double precision, spread_snr double precision,
    psf_fwhm_median double precision, psf_spread_median double precision, n_stars integer, n_known integer
)
LANGUAGE sql STABLE
AS $$
    SELECT d.extraction_id, d.number, m.*
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    LEFT JOIN LATERAL (
        SELECT k.fwhm_ratio, k.spread_snr, k.psf_fwhm_median, k.psf_spread_median, k.n_stars, k.n_known
        FROM (
            SELECT 1 AS rank, p.fwhm_ratio, p.spread_snr, p.psf_fwhm_median, p.psf_spread_median, p.n_stars, p.n_stars AS n_known
            FROM vasco.morph_measure AS p
            WHERE p.extraction_id = d.extraction_id AND p.number = d.number
            UNION ALL
            SELECT 2,
                nullif(d.fwhm_image::double precision / nullif(s.fwhm_median_px, 0), 'NaN'),
                nullif(
                    CASE WHEN d.spreaderr_model > 0
                        THEN (d.spread_model::double precision - s.spread_median) / d.spreaderr_model END,
                    'NaN'
                ),
                s.fwhm_median_px, s.spread_median, s.n_stars, s.n_known
            FROM vasco.psf_statistics AS s
            WHERE s.extraction_id = d.extraction_id AND s.population = stage.psf_population(params)
        ) AS k
        ORDER BY k.rank
        LIMIT 1
    ) AS m ON true
$$;
COMMENT ON FUNCTION stage.morph_measures IS
    'Width and sharpness of what a morph stage judges, against the reference stars, published or our own';

-- A limit as the seeds print it: 5 is 5.0.
CREATE OR REPLACE FUNCTION stage.limit_text(threshold numeric)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT
AS $$
    SELECT CASE WHEN threshold = trunc(threshold) THEN trunc(threshold)::text || '.0' ELSE trim_scale(threshold)::text END
$$;
COMMENT ON FUNCTION stage.limit_text IS 'A limit as the seeds print it';

-- Why the seed rejects, in its words, or null where it keeps; psf_insufficient is kept, with that reason.
CREATE OR REPLACE FUNCTION stage.morph_reject_reason(
    fwhm_ratio double precision, spread_snr double precision, n_stars integer, params jsonb
)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN coalesce(n_stars < (params ->> 'min_psf_stars')::integer, fwhm_ratio IS NULL) THEN 'psf_insufficient'
        ELSE nullif(concat_ws(
            ';',
            CASE WHEN nullif(fwhm_ratio, 'NaN') > (params ->> 'fwhm_ratio_max')::double precision THEN format(
                'fwhm_ratio=%s>%s', to_char(fwhm_ratio, 'FM9999999990.000'),
                stage.limit_text((params ->> 'fwhm_ratio_max')::numeric)
            ) END,
            CASE WHEN nullif(spread_snr, 'NaN') > (params ->> 'spread_snr_max')::double precision THEN format(
                'spread_snr=%s>%s', to_char(spread_snr, 'FM9999999990.0'),
                stage.limit_text((params ->> 'spread_snr_max')::numeric)
            ) END
        ), '')
    END
$$;
COMMENT ON FUNCTION stage.morph_reject_reason IS 'The seed''s reject_reason of MORPH; null where there is none';

CREATE OR REPLACE FUNCTION stage.morph(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE plpgsql
AS $$
BEGIN
    -- Whatever reaches this stage, so that what is stored does not depend on that. Images of which measures
    -- are published, or that were never extracted here, have no medians of ours.
    WITH wanted AS MATERIALIZED (
        SELECT i.extraction_id
        FROM vasco.run_image AS i
        WHERE i.run_id = which_run_id AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids))
        AND NOT EXISTS (SELECT 1 FROM vasco.morph_measure AS p WHERE p.extraction_id = i.extraction_id OFFSET 0)
        AND EXISTS (
            SELECT 1 FROM vasco.detection AS o WHERE o.extraction_id = i.extraction_id AND o.xwin_image IS NOT NULL OFFSET 0
        )
    )
    INSERT INTO vasco.psf_statistics AS stored (
        extraction_id, population, n_known, n_stars, fwhm_median_px, spread_median
    )
    SELECT w.extraction_id, stage.psf_population(params), s.*
    FROM wanted AS w
    CROSS JOIN LATERAL stage.psf_medians(w.extraction_id, params) AS s
    ON CONFLICT ON CONSTRAINT psf_statistics_pkey DO UPDATE
    SET n_known = excluded.n_known, n_stars = excluded.n_stars, fwhm_median_px = excluded.fwhm_median_px,
        spread_median = excluded.spread_median
    WHERE (stored.n_known, stored.n_stars, stored.fwhm_median_px, stored.spread_median)
        IS DISTINCT FROM (excluded.n_known, excluded.n_stars, excluded.fwhm_median_px, excluded.spread_median);

    -- The value judged is the worse of the two as a part of its limit: above 1 fails.
    RETURN QUERY
    SELECT
        m.extraction_id, m.number,
        CASE
            WHEN r.reject_reason = 'psf_insufficient' THEN 'unknown'
            WHEN r.reject_reason IS NOT NULL THEN 'fail'
            WHEN m.fwhm_ratio IS NULL OR m.spread_snr IS NULL THEN 'unknown'
            ELSE 'pass'
        END::vasco.outcome,
        greatest(
            m.fwhm_ratio / (params ->> 'fwhm_ratio_max')::double precision,
            m.spread_snr / (params ->> 'spread_snr_max')::double precision
        ),
        CASE
            WHEN r.reject_reason = 'psf_insufficient' THEN format(
                'psf_insufficient: %s reference stars are measured, of %s there are; %s are needed',
                coalesce(m.n_stars, 0), coalesce(m.n_known, 0), params ->> 'min_psf_stars'
            )
            WHEN r.reject_reason IS NOT NULL THEN r.reject_reason
            WHEN m.fwhm_ratio IS NULL THEN 'FWHM was not measured'
            WHEN m.spread_snr IS NULL THEN 'SPREAD_MODEL was not measured'
        END,
        NULL::bigint
    FROM stage.morph_measures(which_run_id, stage_name, params, extraction_ids) AS m
    CROSS JOIN LATERAL (
        SELECT stage.morph_reject_reason(m.fwhm_ratio, m.spread_snr, m.n_stars, params) AS reject_reason OFFSET 0
    ) AS r;
END
$$;
COMMENT ON FUNCTION stage.morph IS 'Gate on width and sharpness against the reference stars of the image';
