-- Haloes: what lies in the halo of a bright star is likely made by it. A halo's surface brightness falls with the
-- square of the distance (King 1971, PASP 83, 199, on plates of the same telescope), so it fades into the sky at
-- a radius that grows with the root of the star's flux:
--     radius = radius_arcsec * 10^(0.2 * (mag_max - mag)), radius_max_arcsec at most.
-- The seeds' mask of bright stars begins with 15 arcsec at magnitude 12 as well. Stars are where they were at the
-- plate's epoch. The value is how far outside the halo the detection is, in arcsec, of the star for which that is
-- least; none where there is no star within radius_max_arcsec. It is a pass only where look-ups of one of the families
-- cover that whole circle.
-- Parameters: families, mag_max (inclusive), radius_arcsec (at mag_max), radius_max_arcsec (both inclusive).
CREATE OR REPLACE FUNCTION stage.halo(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    WITH setting AS (
        SELECT stage.catalogs_of(params -> 'families') AS catalogs, stage.reach_arcsec(params) AS radius,
            (params ->> 'mag_max')::double precision AS mag_max
    )
    SELECT i.extraction_id, j.*
    FROM setting AS p
    CROSS JOIN stage.input_by_image(which_run_id, stage_name, extraction_ids) AS i
    CROSS JOIN LATERAL (
        SELECT array_agg(w.number) AS numbers, array_agg(w.margin) AS margins, array_agg(w.rejection) AS rejections
        FROM (
            SELECT DISTINCT ON (s.number)
                s.number, s.sep_arcsec - h.halo AS margin,
                CASE WHEN s.sep_arcsec <= h.halo THEN format(
                    '%s star of magnitude %s at %s arcsec, in its halo of %s arcsec',
                    s.catalog, s.mag, round(s.sep_arcsec::numeric, 2), round(h.halo::numeric, 1)
                ) END AS rejection
            FROM stage.bright_stars(i.extraction_id, i.numbers, p.catalogs, p.radius, p.mag_max) AS s
            CROSS JOIN LATERAL (
                SELECT least(
                    p.radius,
                    (params ->> 'radius_arcsec')::double precision * 10 ^ (0.2::double precision * (p.mag_max - s.mag))
                ) AS halo
            ) AS h
            ORDER BY s.number, s.sep_arcsec - h.halo, s.source_id
        ) AS w
    ) AS k
    CROSS JOIN LATERAL stage.judge_stars(
        i.extraction_id, i.numbers, k.numbers, k.margins, k.rejections, p.catalogs, p.radius
    ) AS j
$$;
COMMENT ON FUNCTION stage.halo IS 'Veto of what lies in the halo of a bright star';
