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
        SELECT stage.catalogs_of(params -> 'families') AS catalogs,
            stage.reach_arcsec(params) AS radius
    ),
    input AS MATERIALIZED (
        SELECT d.extraction_id, array_agg(d.number) AS numbers
        FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
        GROUP BY d.extraction_id
    ),
    star AS (
        SELECT i.extraction_id, s.number, s.sep_arcsec, s.mag - l.line AS line_margin, s.mag - l.steady AS steady_margin,
            -- In the precision of the magnitudes: 15.3 as a real is not 15.3 as a double precision.
            s.mag < l.line::real OR coalesce(s.mag <= l.steady::real, false) AS rejects,
            format('%s star of magnitude %s at %s arcsec', s.catalog, s.mag, round(s.sep_arcsec::numeric, 2)) AS label,
            row_number() OVER (PARTITION BY i.extraction_id, s.number ORDER BY s.sep_arcsec, s.mag, s.source_id) AS nearness
        FROM setting AS p
        CROSS JOIN input AS i
        CROSS JOIN LATERAL stage.bright_stars(
            i.extraction_id, i.numbers, p.catalogs, p.radius, (params ->> 'mag_max')::double precision
        ) AS s
        CROSS JOIN LATERAL (
            SELECT
                (params ->> 'line_mag')::double precision
                - (params ->> 'line_mag_per_arcsec')::double precision * s.sep_arcsec AS line,
                (params ->> 'steady_mag')::double precision AS steady
        ) AS l
    ),
    worst AS (
        SELECT DISTINCT ON (s.extraction_id, s.number)
            s.extraction_id, s.number, least(s.line_margin, s.steady_margin) AS margin,
            CASE WHEN s.rejects THEN s.label || ', in reach of its spikes' END AS rejection
        FROM star AS s
        WHERE params ->> 'form' = 'any' OR s.nearness = 1
        ORDER BY s.extraction_id, s.number, s.rejects DESC, least(s.line_margin, s.steady_margin), s.nearness
    ),
    -- Brought together by UNION and GROUP BY, not by a join, whose size the planner cannot know.
    merged AS (
        SELECT u.extraction_id, u.number, max(u.margin) AS margin, max(u.rejection) AS rejection
        FROM (
            SELECT n.extraction_id, n.number, NULL::double precision AS margin, NULL::text AS rejection
            FROM input AS i
            CROSS JOIN LATERAL (SELECT i.extraction_id, unnest(i.numbers) AS number) AS n
            UNION ALL
            SELECT w.extraction_id, w.number, w.margin, w.rejection FROM worst AS w
        ) AS u
        GROUP BY u.extraction_id, u.number
    ),
    image AS (
        SELECT m.extraction_id, array_agg(m.number) AS numbers, array_agg(m.margin) AS margins,
            array_agg(m.rejection) AS rejections
        FROM merged AS m
        GROUP BY m.extraction_id
    )
    SELECT i.extraction_id, j.*
    FROM setting AS p
    CROSS JOIN image AS i
    CROSS JOIN LATERAL stage.judge_stars(i.extraction_id, i.numbers, i.margins, i.rejections, p.catalogs, p.radius) AS j
$$;
COMMENT ON FUNCTION stage.spike IS 'Veto of what lies in reach of the diffraction spikes of a bright star';
