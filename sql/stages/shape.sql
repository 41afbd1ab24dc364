-- Shapes of detections against stars of like flux on the same image, from what vascodb.measure put into
-- vasco.shape_measure, or what others published.
--
-- variant = inverted: the seed's fixed limits on its own measure. It rejects on any criterion; with
-- missing_profile = ignore a profile that could not be compared, for want of neighbours, is no obstacle, as
-- in the seed; with unknown it is one.
-- Parameters: variant, profile_diff_max, elongation_max, circularity_min (all inclusive), missing_profile.
--
-- variant = direct: how far a detection lies from its neighbours, in robust sigmas of how far they lie from
-- each other; of the profile's distance in its logarithm, which is about normal. The outline judges only
-- where it has enough pixels. Sigmas of circularity below circularity_sigma_min are taken for that: so much
-- it depends on where in a pixel a star lies.
-- Parameters: variant, profile_sigmas, circularity_sigmas (both inclusive), min_neighbours, min_area_px,
-- circularity_sigma_min.

-- Detections that a shape stage judges and that have no measure yet; what failed is tried again. Of an imported
-- image there are no pixels here: what its release could not measure stays as it says.
CREATE OR REPLACE FUNCTION stage.shape_targets(
    which_run_id bigint, stage_name text, shape_variant text, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (extraction_id bigint, number integer)
LANGUAGE sql STABLE
AS $$
    SELECT d.extraction_id, d.number
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    WHERE NOT EXISTS (
        SELECT 1
        FROM vasco.shape_measure AS m
        WHERE m.extraction_id = d.extraction_id AND m.number = d.number AND m.variant = shape_variant AND m.failure IS NULL
        OFFSET 0
    )
    AND EXISTS (
        SELECT 1
        FROM vasco.extraction AS e
        JOIN plate.image AS i USING (image_id)
        WHERE e.extraction_id = d.extraction_id AND i.path IS NOT NULL
        OFFSET 0
    )
    ORDER BY d.extraction_id, d.number
$$;
COMMENT ON FUNCTION stage.shape_targets IS 'Detections that a shape stage judges and that are not measured yet';

-- All detections of an extraction for a measurement of shapes: positions in FITS pixels, and whether one is
-- an unblended known star.
CREATE OR REPLACE FUNCTION stage.shape_detections(which_extraction_id bigint)
RETURNS TABLE (
    number integer, x_px double precision, y_px double precision, flux double precision, elongation double precision,
    is_star boolean
)
LANGUAGE sql STABLE
AS $$
    SELECT d.number, d.xwin_image, d.ywin_image, d.flux_auto, d.elongation,
        d.flags = 0 AND EXISTS (
            SELECT 1
            FROM vasco.match AS m
            WHERE m.extraction_id = d.extraction_id AND m.number = d.number AND m.state = 'matched'
            AND m.catalog IN (SELECT c.catalog FROM ref.catalog AS c WHERE c.family = 'gaia')
            OFFSET 0
        )
    FROM vasco.detection AS d
    WHERE d.extraction_id = which_extraction_id
    ORDER BY d.number
$$;
COMMENT ON FUNCTION stage.shape_detections IS 'Detections of an extraction as a measurement of shapes needs them';

-- The seed's criteria that a measure breaks, each with the value as printed. A printed value has six digits;
-- where it equals the limit, what the publisher rejected decides.
CREATE OR REPLACE FUNCTION stage.shape_rejections(
    profile_diff double precision, elongation double precision, circularity double precision,
    published_rejections text[], params jsonb
)
RETURNS text[]
LANGUAGE sql IMMUTABLE
AS $$
    SELECT coalesce(array_agg(format('%s=%s%s%s', c.quantity, c.printed, c.sign, t.threshold) ORDER BY c.ordinal), '{}')
    FROM (
        VALUES
            (1, 'profile_diff', '>', profile_diff, to_char(profile_diff, 'FM9999999990.0000'), params ->> 'profile_diff_max'),
            (2, 'elongation', '>', elongation, to_char(elongation, 'FM9999999990.000'), params ->> 'elongation_max'),
            (3, 'circularity', '<', circularity, to_char(circularity, 'FM9999999990.000'), params ->> 'circularity_min')
    ) AS c (ordinal, quantity, sign, x, printed, bound)
    CROSS JOIN LATERAL (SELECT stage.limit_text(c.bound::numeric) AS threshold) AS t
    WHERE c.x <> 'NaN'
    AND CASE
        WHEN c.x = c.bound::double precision THEN coalesce(c.quantity || c.sign || t.threshold = ANY (published_rejections), false)
        WHEN c.sign = '>' THEN c.x > c.bound::double precision
        ELSE c.x < c.bound::double precision
    END
$$;
COMMENT ON FUNCTION stage.shape_rejections IS 'The seed''s criteria of SHAPE that a measure breaks, in its words';

CREATE OR REPLACE FUNCTION stage.shape_reject_reason(
    profile_diff double precision, elongation double precision, circularity double precision,
    published_rejections text[], params jsonb
)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT nullif(array_to_string(
        stage.shape_rejections(profile_diff, elongation, circularity, published_rejections, params), ';'
    ), '')
$$;
COMMENT ON FUNCTION stage.shape_reject_reason IS 'The seed''s reject_reason of SHAPE; null where there is none';

-- The value judged is the worst criterion as a part of its limit: above 1 fails.
CREATE OR REPLACE FUNCTION stage.shape_inverted(measure vasco.shape_measure, params jsonb)
RETURNS TABLE (outcome vasco.outcome, value double precision, reason text)
LANGUAGE sql IMMUTABLE ROWS 1
AS $$
    SELECT
        CASE WHEN r.reason IS NOT NULL THEN 'fail' WHEN g.missing IS NOT NULL THEN 'unknown' ELSE 'pass' END::vasco.outcome,
        greatest(
            measure.profile_diff / (params ->> 'profile_diff_max')::double precision,
            measure.elongation / (params ->> 'elongation_max')::double precision,
            (params ->> 'circularity_min')::double precision / nullif(measure.circularity, 0)
        ),
        coalesce(r.reason, g.missing)
    FROM (
        SELECT stage.shape_reject_reason(
            measure.profile_diff, measure.elongation, measure.circularity, measure.published_rejections, params
        ) AS reason
        OFFSET 0
    ) AS r
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN measure.circularity IS NULL THEN 'the outline could not be measured'
            WHEN measure.elongation IS NULL THEN 'ELONGATION was not measured'
            WHEN measure.profile_diff IS NULL AND params ->> 'missing_profile' IS DISTINCT FROM 'ignore' THEN
                format('the profile could not be compared (%s neighbours)', measure.n_neighbours)
        END AS missing
    ) AS g
$$;
COMMENT ON FUNCTION stage.shape_inverted IS 'Verdict by the seed''s limits on a measure of a negative';

CREATE OR REPLACE FUNCTION stage.shape_direct(measure vasco.shape_measure, params jsonb)
RETURNS TABLE (outcome vasco.outcome, value double precision, reason text)
LANGUAGE sql IMMUTABLE ROWS 1
AS $$
    SELECT
        CASE
            WHEN f.too_few IS NOT NULL THEN 'unknown'
            WHEN f.broken IS NOT NULL THEN 'fail'
            WHEN f.missing IS NOT NULL THEN 'unknown'
            ELSE 'pass'
        END::vasco.outcome,
        CASE WHEN f.too_few IS NULL THEN greatest(
            z.profile / (params ->> 'profile_sigmas')::double precision,
            z.roundness / (params ->> 'circularity_sigmas')::double precision
        ) END,
        coalesce(f.too_few, f.broken, f.missing)
    FROM (
        SELECT
            -- A profile that equals the mean is as near as can be.
            CASE WHEN measure.profile_diff = 0 THEN 0
                ELSE (ln(measure.profile_diff) - measure.profile_log_median) / nullif(measure.profile_log_sigma, 0)
            END AS profile,
            CASE WHEN measure.area_px >= (params ->> 'min_area_px')::double precision THEN
                (measure.circularity_median - measure.circularity)
                / greatest(measure.circularity_sigma, (params ->> 'circularity_sigma_min')::double precision)
            END AS roundness
        OFFSET 0
    ) AS z
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN coalesce(measure.n_neighbours, 0) < (params ->> 'min_neighbours')::integer THEN format(
                '%s known stars of like flux on the image, %s are needed', coalesce(measure.n_neighbours, 0),
                params ->> 'min_neighbours'
            ) END AS too_few,
            nullif(concat_ws(
                '; ',
                CASE WHEN z.profile > (params ->> 'profile_sigmas')::double precision THEN format(
                    'the profile is %s sigma off its neighbours'', more than %s', round(z.profile::numeric, 1),
                    params ->> 'profile_sigmas'
                ) END,
                CASE WHEN z.roundness > (params ->> 'circularity_sigmas')::double precision THEN format(
                    'the outline is %s sigma less round than its neighbours'', more than %s',
                    round(z.roundness::numeric, 1), params ->> 'circularity_sigmas'
                ) END
            ), '') AS broken,
            CASE
                WHEN z.profile IS NULL THEN 'the profile could not be compared'
                WHEN measure.circularity IS NULL OR measure.area_px IS NULL THEN 'the outline could not be measured'
                WHEN z.roundness IS NULL AND measure.area_px >= (params ->> 'min_area_px')::double precision
                    THEN 'the outline could not be compared'
            END AS missing
    ) AS f
$$;
COMMENT ON FUNCTION stage.shape_direct IS 'Verdict in robust sigmas of the neighbours on a direct measure';

CREATE OR REPLACE FUNCTION stage.shape(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE plpgsql
AS $$
BEGIN
    IF coalesce(params ->> 'variant', '') NOT IN ('inverted', 'direct') THEN
        RAISE EXCEPTION 'shape: variant must be inverted or direct, not %', coalesce(params ->> 'variant', 'nothing');
    END IF;
    RETURN QUERY
    SELECT
        d.extraction_id, d.number,
        CASE WHEN m.known AND (m.measure).failure IS NULL THEN v.outcome ELSE 'unknown' END,
        CASE WHEN (m.measure).failure IS NULL THEN v.value END,
        CASE WHEN m.known THEN coalesce((m.measure).failure, v.reason) ELSE 'its shape was not measured' END,
        NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    LEFT JOIN LATERAL (
        SELECT s AS measure, true AS known
        FROM vasco.shape_measure AS s
        WHERE s.extraction_id = d.extraction_id AND s.number = d.number AND s.variant = params ->> 'variant'
        OFFSET 0
    ) AS m ON true
    LEFT JOIN LATERAL (
        SELECT i.* FROM stage.shape_inverted(m.measure, params) AS i WHERE params ->> 'variant' = 'inverted'
        UNION ALL
        SELECT r.* FROM stage.shape_direct(m.measure, params) AS r WHERE params ->> 'variant' = 'direct'
    ) AS v ON true;
END
$$;
COMMENT ON FUNCTION stage.shape IS 'Gate on the shape against stars of like flux on the image';
