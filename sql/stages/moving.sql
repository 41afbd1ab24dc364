-- Veto, or flag, by moving objects within a radius of its own about the trails that were predicted over the image:
-- the seeds turn away what is within 5 arcsec and flag what is within 60. Only look-ups for the very image and its
-- time count, where that is in conflict or not known none does, and a position is clear only where a whole one reaches
-- as far about it as this stage searches.
-- The uncertainty of a predicted position, error_sigmas times, may widen the search, by error_max_arcsec at most;
-- an object without one is where it was predicted. The value is the distance from the trail, arcsec.
-- Parameters: family, radius_arcsec (inclusive), error_sigmas, error_max_arcsec (both 0 where left out).
CREATE OR REPLACE FUNCTION stage.moving(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE plpgsql
AS $$
DECLARE
    family_name text := params ->> 'family';
    radius double precision := (params ->> 'radius_arcsec')::double precision;
    error_sigmas double precision := coalesce((params ->> 'error_sigmas')::double precision, 0);
    error_max double precision := coalesce((params ->> 'error_max_arcsec')::double precision, 0);
    image record;
BEGIN
    PERFORM stage.require_family(stage_name, family_name, true);
    IF (radius > 0 AND error_sigmas >= 0 AND error_max >= 0) IS NOT TRUE THEN
        RAISE EXCEPTION 'stage %: radius_arcsec must be above 0, error_sigmas and error_max_arcsec not below', stage_name
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    FOR image IN
        SELECT e.extraction_id, e.image_id, k.trouble
        FROM vasco.run_image AS r
        JOIN vasco.extraction AS e USING (extraction_id)
        CROSS JOIN LATERAL plate.moment_of(e.image_id) AS k
        WHERE r.run_id = which_run_id AND (extraction_ids IS NULL OR e.extraction_id = ANY (extraction_ids))
    LOOP
        RETURN QUERY
        -- The rim of a whole look-up holds the match radius; who searches farther has so much less of it.
        WITH cone AS MATERIALIZED (
            SELECT
                m.lookup_id, m.complete, m.ra_deg, m.dec_deg,
                m.radius_arcsec - CASE WHEN m.complete
                    THEN greatest(0, radius + error_max - c.match_radius_arcsec) ELSE 0 END AS radius_arcsec,
                row_number() OVER (ORDER BY m.age_rank, c.catalog) AS age_rank
            FROM ref.catalog AS c
            CROSS JOIN LATERAL stage.moving_cones(image.image_id, c.catalog) AS m
            WHERE c.family = family_name
        ),
        near AS (
            SELECT DISTINCT ON (d.number) d.number, t.name, s.sep_arcsec
            FROM ref.catalog AS c
            CROSS JOIN LATERAL sky.trails(image.image_id, c.catalog) AS t
            CROSS JOIN LATERAL (
                SELECT a.extraction_id, a.number, a.ra, a.dec
                FROM vasco.detection AS a
                WHERE q3c_join(t.ra_deg, t.dec_deg, a.ra, a.dec, (radius + error_max + t.half_arcsec + 0.001) / 3600)
                OFFSET 0
            ) AS d
            CROSS JOIN LATERAL sky.trail_separation(
                d.ra, d.dec, t.ra_deg, t.dec_deg, t.half_ra_arcsec, t.half_dec_arcsec
            ) AS s
            WHERE c.family = family_name AND d.extraction_id = image.extraction_id
            AND s.sep_arcsec <= radius + least(error_sigmas * coalesce(t.error_arcsec, 0), error_max)
            ORDER BY d.number, s.sep_arcsec, t.source_id
        ),
        known AS (
            SELECT n.number, n.name, n.sep_arcsec, NULL::bigint AS complete_rank, NULL::bigint AS failed_rank, false AS judged
            FROM near AS n
            UNION ALL
            SELECT d.number, NULL, NULL, r.complete_rank, r.failed_rank, true
            FROM stage.input(which_run_id, stage_name, ARRAY[image.extraction_id]) AS d
            CROSS JOIN LATERAL (
                SELECT
                    max(c.age_rank) FILTER (WHERE c.complete) AS complete_rank,
                    max(c.age_rank) FILTER (WHERE NOT c.complete) AS failed_rank
                FROM cone AS c
                WHERE sky.separation_arcsec(d.ra, d.dec, c.ra_deg, c.dec_deg) <= c.radius_arcsec
            ) AS r
        ),
        look AS (
            SELECT
                k.number, max(k.name) AS name, max(k.sep_arcsec) AS sep_arcsec, max(k.complete_rank) AS complete_rank,
                max(k.failed_rank) AS failed_rank
            FROM known AS k
            GROUP BY k.number
            HAVING bool_or(k.judged)
        )
        SELECT
            image.extraction_id, l.number,
            CASE
                WHEN l.sep_arcsec IS NOT NULL THEN 'fail'
                WHEN l.complete_rank IS NOT NULL THEN 'pass'
                WHEN l.failed_rank IS NOT NULL OR image.trouble IS NOT NULL THEN 'unknown'
                ELSE 'not_covered'
            END::vasco.outcome,
            l.sep_arcsec,
            CASE
                WHEN l.sep_arcsec IS NOT NULL THEN format(
                    '%s was predicted to pass at %s arcsec', l.name, round(l.sep_arcsec::numeric, 3)
                )
                WHEN l.complete_rank IS NOT NULL THEN NULL
                WHEN image.trouble IS NOT NULL THEN image.trouble
                WHEN l.failed_rank IS NOT NULL THEN (
                    SELECT ref.failure_text(c.lookup_id) FROM cone AS c WHERE c.age_rank = l.failed_rank
                )
                ELSE format(
                    'no complete %s look-up for the image covers %s arcsec about the position', family_name, radius + error_max
                )
            END,
            CASE WHEN l.sep_arcsec IS NULL THEN (
                SELECT c.lookup_id FROM cone AS c WHERE c.age_rank = l.complete_rank
            ) END
        FROM look AS l;
    END LOOP;
END
$$;
COMMENT ON FUNCTION stage.moving IS 'Veto or flag by moving objects, within a radius of its own about their trails';
