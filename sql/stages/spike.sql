-- Diffraction spikes: what lies near a bright star is likely part of its spikes. Stars are where they were at the
-- plate's epoch. The limit falls with distance, as spikes do: a star rejects where it is brighter than
-- line_mag - line_mag_per_arcsec * distance, or, at any distance within the radius, no fainter than steady_mag.
-- Solano et al. 2022, MNRAS 515, 1380, give both rules; their "90 arcmin" is a slip for 90 arcsec.
--
-- form = nearest: only the nearest star counts, as in the seeds: a faint star hides a bright one behind it.
-- form = any: each star counts.
-- The value is by how many magnitudes the worst star (or the nearest) is fainter than its limit; none where there is
-- no star. It is a pass only where look-ups of one of the families cover the whole circle.
--
-- Parameters: families, form, radius_arcsec (inclusive), mag_max (inclusive; fainter stars are not looked at),
-- line_mag, line_mag_per_arcsec (exclusive), steady_mag (inclusive; left out for none).
CREATE OR REPLACE FUNCTION stage.spike(
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
                s.number, least(s.line_margin, s.steady_margin) AS margin,
                CASE WHEN s.rejects THEN s.label || ', in reach of its spikes' END AS rejection
            FROM (
                SELECT b.number, b.mag - l.line AS line_margin, b.mag - l.steady AS steady_margin,
                    -- In the precision of the magnitudes: 15.3 as a real is not 15.3 as a double precision.
                    b.mag < l.line::real OR coalesce(b.mag <= l.steady::real, false) AS rejects,
                    format('%s star of magnitude %s at %s arcsec', b.catalog, b.mag, round(b.sep_arcsec::numeric, 2)) AS label,
                    row_number() OVER (PARTITION BY b.number ORDER BY b.sep_arcsec, b.mag, b.source_id) AS nearness
                FROM stage.bright_stars(i.extraction_id, i.numbers, p.catalogs, p.radius, p.mag_max) AS b
                CROSS JOIN LATERAL (
                    SELECT
                        (params ->> 'line_mag')::double precision
                        - (params ->> 'line_mag_per_arcsec')::double precision * b.sep_arcsec AS line,
                        (params ->> 'steady_mag')::double precision AS steady
                ) AS l
            ) AS s
            WHERE params ->> 'form' = 'any' OR s.nearness = 1
            ORDER BY s.number, s.rejects DESC, least(s.line_margin, s.steady_margin), s.nearness
        ) AS w
    ) AS k
    CROSS JOIN LATERAL stage.judge_stars(
        i.extraction_id, i.numbers, k.numbers, k.margins, k.rejections, p.catalogs, p.radius
    ) AS j
$$;
COMMENT ON FUNCTION stage.spike IS 'Veto of what lies in reach of the diffraction spikes of a bright star';
