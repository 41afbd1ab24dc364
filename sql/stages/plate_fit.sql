-- Gate on an image's residual solution: whether its positions were compared with stars and found good, and where
-- in the image they are worst. Every detection of an image has the same verdict. Where nothing could be compared,
-- or what was found is not good enough, nothing is known of the detection itself: unknown, not fail.
-- Parameters: kind (plate_fit or wcsfix), sigma_max_arcsec, worst_max_arcsec (inclusive; the worst cell of the
-- image), n_min (ties kept), coverage_min (inclusive).
CREATE OR REPLACE FUNCTION stage.plate_fit(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT
        d.extraction_id, d.number,
        CASE WHEN f.against IS NULL THEN 'pass' ELSE 'unknown' END::vasco.outcome,
        f.sigma_arcsec,
        f.against,
        NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    LEFT JOIN LATERAL (
        SELECT a.* FROM vasco.plate_fit AS a
        WHERE a.extraction_id = d.extraction_id AND a.kind = params ->> 'kind'
        OFFSET 0
    ) AS p ON true
    CROSS JOIN LATERAL (
        SELECT
            p.sigma_arcsec,
            -- IS NOT TRUE: a limit that is not given is not met.
            CASE
                WHEN p.kind IS NULL THEN format('no %s was made of the image', params ->> 'kind')
                WHEN NOT p.accepted THEN p.reason
                WHEN (p.n_kept >= (params ->> 'n_min')::integer) IS NOT TRUE
                    THEN format('%s ties, not at least %s', p.n_kept, params ->> 'n_min')
                WHEN (p.coverage >= (params ->> 'coverage_min')::double precision) IS NOT TRUE
                    THEN format('ties in %s of the image, not in %s', round(p.coverage::numeric, 2), params ->> 'coverage_min')
                WHEN (p.worst_cell_arcsec <= (params ->> 'worst_max_arcsec')::double precision) IS NOT TRUE
                    THEN format(
                        'residual of %s arcsec in the worst part of the image, not up to %s',
                        round(p.worst_cell_arcsec::numeric, 2), params ->> 'worst_max_arcsec'
                    )
                WHEN (p.sigma_arcsec <= (params ->> 'sigma_max_arcsec')::double precision) IS NOT TRUE
                    THEN format(
                        'residuals of %s arcsec, not up to %s', round(p.sigma_arcsec::numeric, 2),
                        params ->> 'sigma_max_arcsec'
                    )
            END AS against
    ) AS f
$$;
COMMENT ON FUNCTION stage.plate_fit IS 'Gate on the residuals of an image against stars of known position';
