-- Clip quantities at some robust sigmas about the median of a declared population, image by image.
-- Each window is stored with the population that made it. A population without spread clips nothing.
--
-- population = passed: the seeds' choice, what passed the stages named in `of_stages`. Often a handful,
-- and every fault of a veto moves the window.
-- population = stars: known unblended stars of the image, so that no fault of a veto can move it. With
-- sample, only that many of stage.reference_stars: the ones that are always measured against the PSF, so
-- that a window of SPREAD_MODEL does not depend on what else happened to be measured.
--
-- On photographic plates FWHM, SPREAD_MODEL and, at the faint end, ELONGATION of real stars change with
-- brightness by far more than they scatter. With stars_per_bin the population is cut into bins of
-- MAG_AUTO of about that many members, and a detection is compared with those of its own brightness.
--
-- Parameters: quantities (columns of vasco.detection), population, sample (null for all), of_stages, k,
-- min_population, stars_per_bin (null for one bin).

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
    sample AS MATERIALIZED (
        SELECT i.extraction_id, r.number
        FROM vasco.run_image AS i
        CROSS JOIN LATERAL stage.reference_stars(i.extraction_id, (params ->> 'sample')::integer) AS r
        WHERE params ->> 'sample' IS NOT NULL
        AND i.run_id = which_run_id AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids))
    ),
    -- One index probe per detection, fenced: the planner knows nothing of matches just written.
    star AS (
        SELECT d.*
        FROM vasco.run_image AS i
        CROSS JOIN LATERAL (
            SELECT a.* FROM vasco.detection AS a WHERE a.extraction_id = i.extraction_id AND a.flags = 0 OFFSET 0
        ) AS d
        CROSS JOIN LATERAL (
            SELECT 1
            FROM vasco.match AS m
            WHERE m.extraction_id = d.extraction_id AND m.number = d.number AND m.state = 'matched'
            AND m.catalog IN (SELECT c.catalog FROM ref.catalog AS c WHERE c.family = 'gaia')
            LIMIT 1
        ) AS known
        WHERE params ->> 'population' = 'stars'
        AND (
            params ->> 'sample' IS NULL
            OR (d.extraction_id, d.number) IN (SELECT s.extraction_id, s.number FROM sample AS s)
        )
        AND i.run_id = which_run_id AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids))
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
        SELECT v.*, count(*) OVER whole AS n_all,
            row_number() OVER (PARTITION BY v.extraction_id, v.quantity ORDER BY v.mag_auto, v.x) AS place,
            greatest(1, count(*) OVER whole / coalesce((params ->> 'stars_per_bin')::bigint, count(*) OVER whole)) AS n_bins
        FROM value AS v
        WINDOW whole AS (PARTITION BY v.extraction_id, v.quantity)
    ),
    middle AS (
        SELECT c.extraction_id, c.quantity, b.bin, c.n_bins, count(*) AS n, max(c.mag_auto) AS faintest,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY c.x) AS median, array_agg(c.x) AS members
        FROM counted AS c
        CROSS JOIN LATERAL (SELECT 1 + (c.place - 1) * c.n_bins / c.n_all AS bin) AS b
        GROUP BY c.extraction_id, c.quantity, b.bin, c.n_bins
    ),
    spread AS (
        SELECT m.*, (
            SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(x - m.median)) FROM unnest(m.members) AS x
        ) AS mad
        FROM middle AS m
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
    WITH made AS MATERIALIZED (
        SELECT which_run_id AS run_id, stage_name AS stage, n.extraction_id, n.quantity, n.bin,
            params ->> 'population' AS population, n.n, n.mag_min, n.mag_max, n.median, n.mad, n.lower, n.upper
        FROM stage.clip_windows(which_run_id, stage_name, params, extraction_ids) AS n
    ),
    stored AS MATERIALIZED (
        SELECT w.*
        FROM vasco.run_image AS i
        CROSS JOIN LATERAL (
            SELECT c.*, c.ctid AS place FROM vasco.clip_window AS c
            WHERE c.run_id = which_run_id AND c.stage = stage_name AND c.extraction_id = i.extraction_id
            OFFSET 0
        ) AS w
        WHERE i.run_id = which_run_id AND (extraction_ids IS NULL OR i.extraction_id = ANY (extraction_ids))
    ),
    gone AS (
        DELETE FROM vasco.clip_window AS w
        WHERE w.ctid = ANY (ARRAY(
            SELECT s.place FROM stored AS s
            WHERE (s.extraction_id, s.quantity, s.bin) NOT IN (SELECT m.extraction_id, m.quantity, m.bin FROM made AS m)
        ))
    )
    INSERT INTO vasco.clip_window (
        run_id, stage, extraction_id, quantity, bin, population, n, mag_min, mag_max, median, mad, lower, upper
    )
    SELECT * FROM made
    EXCEPT
    SELECT s.run_id, s.stage, s.extraction_id, s.quantity, s.bin, s.population, s.n, s.mag_min, s.mag_max, s.median,
        s.mad, s.lower, s.upper
    FROM stored AS s
    ON CONFLICT ON CONSTRAINT clip_window_pkey DO UPDATE
    SET population = excluded.population, n = excluded.n, mag_min = excluded.mag_min, mag_max = excluded.mag_max,
        median = excluded.median, mad = excluded.mad, lower = excluded.lower, upper = excluded.upper;

    -- The value judged is how many robust sigmas the worst quantity lies off; 0 where nothing is clipped.
    RETURN QUERY
    SELECT d.extraction_id, d.number, j.outcome, j.judged, j.reason, NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN bool_or(v.x IS NULL OR v.x = 'NaN')
                -- Of unknown brightness: no bin is its own.
                OR d.mag_auto IS NULL AND params ->> 'stars_per_bin' IS NOT NULL THEN 'NaN'
                ELSE coalesce(max(abs(v.x - w.median) / (1.4826 * w.mad)) FILTER (WHERE w.lower IS NOT NULL), 0)
            END AS sigmas
        FROM jsonb_array_elements_text(params -> 'quantities') AS q (quantity)
        CROSS JOIN LATERAL (
            SELECT (CASE q.quantity
                WHEN 'fwhm_image' THEN d.fwhm_image WHEN 'elongation' THEN d.elongation
                WHEN 'spread_model' THEN d.spread_model
            END)::double precision AS x
        ) AS v
        LEFT JOIN LATERAL (
            SELECT c.lower, c.median, c.mad
            FROM vasco.clip_window AS c
            WHERE c.run_id = which_run_id AND c.stage = stage_name AND c.extraction_id = d.extraction_id
            AND c.quantity = q.quantity AND (c.mag_max IS NULL OR d.mag_auto <= c.mag_max)
            ORDER BY c.bin
            LIMIT 1
        ) AS w ON true
    ) AS s
    CROSS JOIN LATERAL stage.judge(
        s.sigmas, s.sigmas <= (params ->> 'k')::double precision,
        upper(translate(replace(params ->> 'quantities', ',', ' or'), '[]"', '')) || ' in sigma',
        format('at most %s off the median of %s', params ->> 'k', CASE params ->> 'population'
            WHEN 'stars' THEN 'stars of like brightness' ELSE 'what passed before' END)
    ) AS j;
END
$$;
COMMENT ON FUNCTION stage.mad_clip IS 'Clip quantities about the median of a declared population, image by image, by brightness';
