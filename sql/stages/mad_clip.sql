-- Clip FWHM and ELONGATION at some robust sigmas about the median of a declared population, image by
-- image. The window is stored with its population. A population without spread clips nothing.
--
-- population = passed: the seeds' choice, what passed the stages named in `of_stages`. Often a handful,
-- and every fault of a veto moves the window. population = reference_stars: known unblended stars, so
-- that a veto fault cannot move it.
-- Parameters: population, of_stages, k, min_population.

-- The windows that mad_clip would use.
CREATE OR REPLACE FUNCTION stage.clip_windows(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, quantity text, n integer, median double precision, mad double precision,
    lower double precision, upper double precision
)
LANGUAGE sql
AS $$
    WITH population AS MATERIALIZED (
        SELECT d.*
        FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
        WHERE params ->> 'population' = 'passed'
        AND NOT EXISTS (
            SELECT 1
            FROM jsonb_array_elements_text(params -> 'of_stages') AS o (stage)
            LEFT JOIN vasco.verdict AS v
                ON v.run_id = which_run_id AND v.stage = o.stage
                AND v.extraction_id = d.extraction_id AND v.number = d.number
            WHERE v.outcome IS DISTINCT FROM 'pass'
        )
        UNION ALL
        SELECT d.*
        FROM vasco.run_image AS i
        CROSS JOIN LATERAL stage.reference_stars(i.extraction_id, NULL) AS r
        JOIN vasco.detection AS d ON d.extraction_id = i.extraction_id AND d.number = r.number
        WHERE params ->> 'population' = 'reference_stars'
        AND i.run_id = which_run_id AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids))
    ),
    value AS (
        SELECT p.extraction_id, q.quantity, q.x
        FROM population AS p
        CROSS JOIN LATERAL (VALUES ('fwhm_image', p.fwhm_image::double precision), ('elongation', p.elongation)) AS q (quantity, x)
        WHERE q.x <> 'NaN'
    ),
    middle AS (
        SELECT v.extraction_id, v.quantity, percentile_cont(0.5) WITHIN GROUP (ORDER BY v.x) AS median, count(*) AS n
        FROM value AS v
        GROUP BY v.extraction_id, v.quantity
    ),
    spread AS (
        SELECT m.extraction_id, m.quantity, m.n, m.median,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(v.x - m.median)) AS mad
        FROM middle AS m JOIN value AS v USING (extraction_id, quantity)
        GROUP BY m.extraction_id, m.quantity, m.n, m.median
    )
    -- 1.4826 MAD is the standard deviation of a normal distribution.
    SELECT s.extraction_id, s.quantity, s.n::integer, s.median, s.mad,
        CASE WHEN s.mad > 0 AND s.n >= (params ->> 'min_population')::integer
            THEN s.median - (params ->> 'k')::double precision * 1.4826 * s.mad END,
        CASE WHEN s.mad > 0 AND s.n >= (params ->> 'min_population')::integer
            THEN s.median + (params ->> 'k')::double precision * 1.4826 * s.mad END
    FROM spread AS s
$$;
COMMENT ON FUNCTION stage.clip_windows IS 'Clipping windows of FWHM and ELONGATION per image, with the population that makes them';

CREATE OR REPLACE FUNCTION stage.mad_clip(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM vasco.clip_window AS w
    WHERE w.run_id = which_run_id AND w.stage = stage_name
    AND (extraction_ids IS NULL OR w.extraction_id = ANY (extraction_ids))
    AND NOT EXISTS (
        SELECT 1 FROM stage.clip_windows(which_run_id, stage_name, params, extraction_ids) AS n
        WHERE n.extraction_id = w.extraction_id AND n.quantity = w.quantity
    );
    INSERT INTO vasco.clip_window AS w (run_id, stage, extraction_id, quantity, population, n, median, mad, lower, upper)
    SELECT which_run_id, stage_name, n.extraction_id, n.quantity, params ->> 'population', n.n, n.median, n.mad, n.lower, n.upper
    FROM stage.clip_windows(which_run_id, stage_name, params, extraction_ids) AS n
    ON CONFLICT ON CONSTRAINT clip_window_pkey DO UPDATE
    SET population = excluded.population, n = excluded.n, median = excluded.median, mad = excluded.mad,
        lower = excluded.lower, upper = excluded.upper
    WHERE (w.population, w.n, w.median, w.mad, w.lower, w.upper)
        IS DISTINCT FROM (excluded.population, excluded.n, excluded.median, excluded.mad, excluded.lower, excluded.upper);

    -- The value judged is how many robust sigmas the worse of the two quantities lies off; 0 where nothing is clipped.
    RETURN QUERY
    SELECT d.extraction_id, d.number, j.outcome, j.judged, j.reason, NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    CROSS JOIN LATERAL (
        SELECT CASE WHEN d.fwhm_image = 'NaN' OR d.elongation = 'NaN' THEN 'NaN' ELSE coalesce(max(
            CASE WHEN w.lower IS NULL THEN 0 ELSE
                abs(CASE w.quantity WHEN 'fwhm_image' THEN d.fwhm_image ELSE d.elongation END - w.median) / (1.4826 * w.mad)
            END
        ), 0) END AS sigmas
        FROM vasco.clip_window AS w
        WHERE w.run_id = which_run_id AND w.stage = stage_name AND w.extraction_id = d.extraction_id
    ) AS s
    CROSS JOIN LATERAL stage.judge(
        s.sigmas, s.sigmas <= (params ->> 'k')::double precision,
        'FWHM or ELONGATION', format('within %s sigma of the %s', params ->> 'k', params ->> 'population')
    ) AS j;
END
$$;
COMMENT ON FUNCTION stage.mad_clip IS 'Clip FWHM and ELONGATION about the median of a declared population, image by image';
