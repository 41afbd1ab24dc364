-- Veto, or flag, by moving objects within a radius of its own about the trails that were predicted over the image:
-- the seeds turn away what is within 5 arcsec and flag what is within 60. Only look-ups for the very image and its
-- time count, where that is in conflict or not known none does, and a position is clear only where a whole one reaches
-- as far about it as this stage searches.
-- The uncertainty of a predicted position, error_sigmas times, may widen the search, by error_max_arcsec at most;
-- an object without one is where it was predicted. The value is the distance from the trail, arcsec.
-- Another family may be heard against each claim: where that has the body elsewhere, by more than agree_arcsec and the
-- uncertainties of both, or knows it and does not have it there, nobody knows. What only one was asked about, or would
-- know of, stands on the one's word. Unless another body passed that is not in dispute.
-- Parameters: family, radius_arcsec (inclusive), error_sigmas, error_max_arcsec (both 0 where left out); against, a family,
-- and agree_arcsec (radius_arcsec where left out); reading (literal, decimal_hours or corrected) and instant (start or
-- mid) of the time for which look-ups count, the corrected middle where left out.
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
    against text := params ->> 'against';
    agree double precision := coalesce((params ->> 'agree_arcsec')::double precision, radius);
    reading text := coalesce(params ->> 'reading', 'corrected');
    instant text := coalesce(params ->> 'instant', 'mid');
    image record;
BEGIN
    PERFORM stage.require_family(stage_name, family_name, true);
    IF against IS NOT NULL THEN
        PERFORM stage.require_family(stage_name, against, true);
    END IF;
    IF (radius > 0 AND error_sigmas >= 0 AND error_max >= 0) IS NOT TRUE THEN
        RAISE EXCEPTION 'stage %: radius_arcsec must be above 0, error_sigmas and error_max_arcsec not below', stage_name
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF agree <= 0 THEN
        RAISE EXCEPTION 'stage %: agree_arcsec must be above 0', stage_name USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF reading NOT IN ('literal', 'decimal_hours', 'corrected') OR instant NOT IN ('start', 'mid') THEN
        RAISE EXCEPTION 'stage %: reading is literal, decimal_hours or corrected, instant start or mid; not % and %',
            stage_name, reading, instant USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF against IS NOT NULL AND (reading, instant) <> ('corrected', 'mid') THEN
        RAISE EXCEPTION 'stage %: families are compared for the corrected middle of the exposure only', stage_name
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF against = family_name THEN
        RAISE EXCEPTION 'stage %: the family % cannot be heard against itself', stage_name, against
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    FOR image IN
        SELECT e.extraction_id, e.image_id, k.trouble
        FROM vasco.run_image AS r
        JOIN vasco.extraction AS e USING (extraction_id)
        CROSS JOIN LATERAL plate.moment_of(e.image_id, reading, instant) AS k
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
            CROSS JOIN LATERAL stage.moving_cones(image.image_id, c.catalog, reading, instant) AS m
            WHERE c.family = family_name
        ),
        claim AS MATERIALIZED (
            SELECT d.number, d.ra, d.dec, t.lookup_id, t.source_id, t.name, s.sep_arcsec
            FROM ref.catalog AS c
            CROSS JOIN LATERAL sky.trails(image.image_id, c.catalog, reading, instant) AS t
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
        ),
        said AS MATERIALIZED (
            SELECT a.*
            FROM (SELECT array_agg(DISTINCT m.source_id) AS source_ids FROM claim AS m) AS g
            -- Without a claim or another family the array or its name is NULL, and nobody is asked.
            CROSS JOIN LATERAL sky.moving_agreement(
                image.image_id, family_name, against, g.source_ids, agree, error_sigmas, error_max
            ) AS a
        ),
        near AS (
            SELECT DISTINCT ON (m.number)
                m.number, m.sep_arcsec, k.disputed,
                concat_ws('; ', format(
                    '%s was predicted to pass at %s arcsec%s', m.name, round(m.sep_arcsec::numeric, 3),
                    CASE WHEN k.disputed THEN format(' (by %s at %s)', family_name, sky.position_text(a.ra_deg, a.dec_deg)) END
                ), a.words) AS words
            FROM claim AS m
            LEFT JOIN said AS a USING (lookup_id, source_id)
            CROSS JOIN LATERAL (
                SELECT coalesce(a.state IN ('apart', 'missing'), false) AND NOT EXISTS (
                    -- Both may put it on the detection from two sides.
                    SELECT 1
                    FROM sky.trail_separation(
                        m.ra, m.dec, a.other_ra_deg, a.other_dec_deg, a.other_half_ra_arcsec, a.other_half_dec_arcsec
                    ) AS s
                    WHERE s.sep_arcsec <= radius + least(error_sigmas * coalesce(a.other_error_arcsec, 0), error_max)
                ) AS disputed
            ) AS k
            ORDER BY m.number, k.disputed, m.sep_arcsec, m.source_id
        ),
        known AS (
            SELECT
                n.number, n.sep_arcsec, n.disputed, n.words, NULL::bigint AS complete_rank, NULL::bigint AS failed_rank,
                false AS judged
            FROM near AS n
            UNION ALL
            SELECT d.number, NULL, NULL, NULL, r.complete_rank, r.failed_rank, true
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
                k.number, max(k.sep_arcsec) AS sep_arcsec, bool_or(k.disputed) AS disputed, max(k.words) AS words,
                max(k.complete_rank) AS complete_rank, max(k.failed_rank) AS failed_rank
            FROM known AS k
            GROUP BY k.number
            HAVING bool_or(k.judged)
        )
        SELECT
            image.extraction_id, l.number,
            CASE
                WHEN l.disputed THEN 'unknown'
                WHEN l.sep_arcsec IS NOT NULL THEN 'fail'
                WHEN l.complete_rank IS NOT NULL THEN 'pass'
                WHEN l.failed_rank IS NOT NULL OR image.trouble IS NOT NULL THEN 'unknown'
                ELSE 'not_covered'
            END::vasco.outcome,
            l.sep_arcsec,
            CASE
                WHEN l.sep_arcsec IS NOT NULL THEN l.words
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
