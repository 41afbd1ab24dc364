-- Clip quantities at some robust sigmas about the median of a declared population, image by image.
-- Each window is stored with the population that made it. A population without spread clips nothing.
--
-- population = passed: the seeds' choice, what passed the stages named in `of_stages`. Often a handful,
-- and every fault of a veto moves the window.
-- population = stars: known unblended stars of the image, so that no fault of a veto can move it.
--
-- On photographic plates FWHM, SPREAD_MODEL and, at the faint end, ELONGATION of real stars change with
-- brightness by far more than they scatter. With stars_per_bin the population is cut into bins of
-- MAG_AUTO of about that many members, and a detection is compared with those of its own brightness.
--
-- Parameters: quantities (columns of vasco.detection), population, of_stages, k, min_population,
-- stars_per_bin (null for one bin).

-- The windows that mad_clip would use.
CREATE OR REPLACE FUNCTION stage.clip_windows(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, quantity text, bin smallint, n integer, mag_min real, mag_max real,
    median double precision, mad double precision, lower double precision, upper double precision
)
LANGUAGE sql
AS $$
    WITH passed AS (
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
    ),
    star AS (
        SELECT d.*
        FROM vasco.run_image AS i
        JOIN vasco.detection AS d USING (extraction_id)
        WHERE params ->> 'population' = 'stars'
        AND i.run_id = which_run_id AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids))
        AND d.flags = 0
        AND EXISTS (
            SELECT 1 FROM vasco.match AS m JOIN ref.catalog AS c USING (catalog)
            WHERE m.extraction_id = d.extraction_id AND m.number = d.number
            AND m.state = 'matched' AND c.family = 'gaia'
        )
    ),
    value AS MATERIALIZED (
        SELECT p.extraction_id, q.quantity, p.mag_auto, v.x
        FROM (SELECT * FROM passed UNION ALL SELECT * FROM star) AS p
        CROSS JOIN LATERAL jsonb_array_elements_text(params -> 'quantities') AS q (quantity)
        CROSS JOIN LATERAL (
            SELECT (CASE q.quantity
                WHEN 'fwhm_image' THEN p.fwhm_image WHEN 'elongation' THEN p.elongation
                WHEN 'spread_model' THEN p.spread_model
            END)::double precision AS x
        ) AS v
        WHERE v.x IS NOT NULL AND v.x <> 'NaN' AND p.mag_auto <> 'NaN'
    ),
    counted AS (
        SELECT v.extraction_id, v.quantity,
            greatest(1, count(*) / coalesce((params ->> 'stars_per_bin')::bigint, count(*)))::integer AS n_bins
        FROM value AS v
        GROUP BY v.extraction_id, v.quantity
    ),
    ranked AS (
        SELECT v.*, c.n_bins,
            1 + ((row_number() OVER w - 1) * c.n_bins / count(*) OVER (PARTITION BY v.extraction_id, v.quantity)) AS bin
        FROM value AS v JOIN counted AS c USING (extraction_id, quantity)
        WINDOW w AS (PARTITION BY v.extraction_id, v.quantity ORDER BY v.mag_auto, v.x)
    ),
    middle AS (
        SELECT r.extraction_id, r.quantity, r.bin, r.n_bins, count(*) AS n, max(r.mag_auto) AS faintest,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY r.x) AS median
        FROM ranked AS r
        GROUP BY r.extraction_id, r.quantity, r.bin, r.n_bins
    ),
    spread AS (
        SELECT m.extraction_id, m.quantity, m.bin, m.n_bins, m.n, m.faintest, m.median,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(r.x - m.median)) AS mad
        FROM middle AS m JOIN ranked AS r USING (extraction_id, quantity, bin)
        GROUP BY m.extraction_id, m.quantity, m.bin, m.n_bins, m.n, m.faintest, m.median
    )
    -- The first and the last bin also judge what is brighter or fainter than all of the population.
    -- 1.4826 MAD is the standard deviation of a normal distribution.
    SELECT s.extraction_id, s.quantity, s.bin::smallint, s.n::integer,
        lag(s.faintest) OVER w, CASE WHEN s.bin < s.n_bins THEN s.faintest END,
        s.median, s.mad,
        CASE WHEN s.mad > 0 AND s.n >= (params ->> 'min_population')::integer
            THEN s.median - (params ->> 'k')::double precision * 1.4826 * s.mad END,
        CASE WHEN s.mad > 0 AND s.n >= (params ->> 'min_population')::integer
            THEN s.median + (params ->> 'k')::double precision * 1.4826 * s.mad END
    FROM spread AS s
    WINDOW w AS (PARTITION BY s.extraction_id, s.quantity ORDER BY s.bin)
$$;
COMMENT ON FUNCTION stage.clip_windows IS 'Clipping windows per image, quantity and bin of magnitude, with the population that makes them';

CREATE OR REPLACE FUNCTION stage.mad_clip(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE plpgsql
AS $$
BEGIN
    CREATE TEMPORARY TABLE IF NOT EXISTS new_window (
        extraction_id bigint, quantity text, bin smallint, n integer, mag_min real, mag_max real,
        median double precision, mad double precision, lower double precision, upper double precision
    ) ON COMMIT DROP;
    TRUNCATE new_window;
    INSERT INTO new_window SELECT * FROM stage.clip_windows(which_run_id, stage_name, params, extraction_ids);

    DELETE FROM vasco.clip_window AS w
    WHERE w.run_id = which_run_id AND w.stage = stage_name
    AND (extraction_ids IS NULL OR w.extraction_id = ANY (extraction_ids))
    AND NOT EXISTS (
        SELECT 1 FROM new_window AS n
        WHERE n.extraction_id = w.extraction_id AND n.quantity = w.quantity AND n.bin = w.bin
    );
    INSERT INTO vasco.clip_window AS w (
        run_id, stage, extraction_id, quantity, bin, population, n, mag_min, mag_max, median, mad, lower, upper
    )
    SELECT which_run_id, stage_name, n.extraction_id, n.quantity, n.bin, params ->> 'population', n.n,
        n.mag_min, n.mag_max, n.median, n.mad, n.lower, n.upper
    FROM new_window AS n
    ON CONFLICT ON CONSTRAINT clip_window_pkey DO UPDATE
    SET population = excluded.population, n = excluded.n, mag_min = excluded.mag_min, mag_max = excluded.mag_max,
        median = excluded.median, mad = excluded.mad, lower = excluded.lower, upper = excluded.upper
    WHERE (w.population, w.n, w.mag_min, w.mag_max, w.median, w.mad, w.lower, w.upper) IS DISTINCT FROM (
        excluded.population, excluded.n, excluded.mag_min, excluded.mag_max, excluded.median, excluded.mad,
        excluded.lower, excluded.upper
    );

    -- The value judged is how many robust sigmas the worst quantity lies off; 0 where nothing is clipped.
    RETURN QUERY
    SELECT d.extraction_id, d.number, j.outcome, j.judged, j.reason, NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN bool_or(v.x IS NULL OR v.x = 'NaN') THEN 'NaN'
                ELSE coalesce(max(abs(v.x - w.median) / (1.4826 * w.mad)) FILTER (WHERE w.lower IS NOT NULL), 0)
            END AS sigmas
        FROM jsonb_array_elements_text(params -> 'quantities') AS q (quantity)
        CROSS JOIN LATERAL (
            SELECT (CASE q.quantity
                WHEN 'fwhm_image' THEN d.fwhm_image WHEN 'elongation' THEN d.elongation
                WHEN 'spread_model' THEN d.spread_model
            END)::double precision AS x
        ) AS v
        LEFT JOIN new_window AS w
            ON w.extraction_id = d.extraction_id AND w.quantity = q.quantity
            AND (w.mag_min IS NULL OR d.mag_auto > w.mag_min) AND (w.mag_max IS NULL OR d.mag_auto <= w.mag_max)
    ) AS s
    CROSS JOIN LATERAL stage.judge(
        s.sigmas, s.sigmas <= (params ->> 'k')::double precision,
        upper(array_to_string(ARRAY(SELECT jsonb_array_elements_text(params -> 'quantities')), ' or ')) || ' in sigma',
        format('at most %s off the median of %s', params ->> 'k', CASE params ->> 'population'
            WHEN 'stars' THEN 'stars of like brightness' ELSE 'what passed before' END)
    ) AS j;
END
$$;
COMMENT ON FUNCTION stage.mad_clip IS 'Clip quantities about the median of a declared population, image by image, by brightness';
