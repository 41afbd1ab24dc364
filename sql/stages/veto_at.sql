-- Veto by a family of reference catalogues within a radius of its own, at the plate's epoch or with the positions
-- as the catalogue has them: the seeds' GSC, USNO-B and Pan-STARRS stages were of that kind. It passes only where
-- a complete look-up covered the position and found nothing.
-- With epoch = plate the radius may not exceed the catalogue's match radius, with epoch = catalog its rim: beyond
-- that a look-up says nothing of the whole circle. The value is the separation, arcsec.
-- Parameters: family, radius_arcsec (inclusive), epoch (plate or catalog).
CREATE OR REPLACE FUNCTION stage.veto_at(
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
    moved boolean := CASE params ->> 'epoch' WHEN 'plate' THEN true WHEN 'catalog' THEN false END;
    known ref.catalog;
    image record;
BEGIN
    PERFORM stage.require_family(stage_name, family_name, false);
    IF moved IS NULL THEN
        RAISE EXCEPTION 'stage %: epoch is %, neither plate nor catalog', stage_name, coalesce(params ->> 'epoch', 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR known IN SELECT c.* FROM ref.catalog AS c WHERE c.family = family_name ORDER BY c.catalog LOOP
        IF (radius > 0 AND radius <= ref.vouched_radius_arcsec(known.catalog, moved)) IS NOT TRUE THEN
            RAISE EXCEPTION 'stage %: radius % arcsec is not between 0 and %, as far as look-ups of % vouch for',
                stage_name, coalesce(radius::text, 'null'), ref.vouched_radius_arcsec(known.catalog, moved), known.catalog
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END LOOP;

    FOR image IN
        SELECT e.extraction_id, i.epoch_jyear
        FROM vasco.run_image AS r
        JOIN vasco.extraction AS e USING (extraction_id)
        JOIN plate.image AS i USING (image_id)
        WHERE r.run_id = which_run_id AND (extraction_ids IS NULL OR e.extraction_id = ANY (extraction_ids))
    LOOP
        RETURN QUERY
        WITH survey AS MATERIALIZED (
            SELECT c.catalog, s.number, s.inside
            FROM ref.catalog AS c
            CROSS JOIN LATERAL stage.in_survey(image.extraction_id, c.catalog) AS s
            WHERE c.family = family_name AND NOT s.inside
        ),
        look AS (
            SELECT d.number, c.catalog, n.sep_arcsec, l.lookup_id, g.lookup_id AS gap_id, NULL::boolean AS inside
            FROM stage.input(which_run_id, stage_name, ARRAY[image.extraction_id]) AS d
            CROSS JOIN ref.catalog AS c
            LEFT JOIN LATERAL (
                SELECT m.sep_arcsec FROM sky.neighbours(c.catalog, d.ra, d.dec, radius, image.epoch_jyear) AS m WHERE moved
                UNION ALL
                SELECT u.sep_arcsec FROM sky.neighbours_unmoved(c.catalog, d.ra, d.dec, radius) AS u WHERE NOT moved
                ORDER BY 1
                LIMIT 1
            ) AS n ON true
            LEFT JOIN LATERAL sky.covering_lookup(c.catalog, d.hpx29) AS l ON true
            LEFT JOIN LATERAL sky.gap_at(c.catalog, d.hpx29) AS g ON true
            WHERE c.family = family_name
            UNION ALL
            SELECT s.number, s.catalog, NULL, NULL, NULL, s.inside FROM survey AS s
        ),
        -- Brought together by GROUP BY, as in stage.look_fixed.
        merged AS (
            SELECT
                k.number, k.catalog, max(k.sep_arcsec) AS sep_arcsec, max(k.lookup_id) AS lookup_id,
                max(k.gap_id) AS gap_id, coalesce(bool_and(k.inside), true) AS inside
            FROM look AS k
            GROUP BY k.number, k.catalog
            HAVING bool_or(k.inside IS NULL)
        ),
        stated AS (
            SELECT m.*,
                CASE
                    WHEN m.sep_arcsec IS NOT NULL THEN 'matched'
                    WHEN NOT m.inside THEN 'not_covered'
                    WHEN m.lookup_id IS NOT NULL THEN 'clear'
                    WHEN m.gap_id IS NOT NULL THEN 'unknown'
                    ELSE 'not_covered'
                END::vasco.look_state AS state
            FROM merged AS m
        ),
        -- vasco.look_state is declared in the order of precedence within a family.
        best AS (
            SELECT DISTINCT ON (s.number) s.* FROM stated AS s ORDER BY s.number, s.state, s.sep_arcsec, s.catalog
        )
        SELECT
            image.extraction_id, b.number,
            CASE b.state
                WHEN 'matched' THEN 'fail' WHEN 'clear' THEN 'pass'
                WHEN 'unknown' THEN 'unknown' WHEN 'not_covered' THEN 'not_covered'
            END::vasco.outcome,
            b.sep_arcsec,
            CASE
                WHEN b.state = 'matched' THEN format(
                    '%s source at %s arcsec, %s', b.catalog, round(b.sep_arcsec::numeric, 3),
                    CASE WHEN moved THEN 'at the plate''s epoch' ELSE 'where the catalogue has it' END
                )
                WHEN b.state = 'unknown' THEN ref.failure_text(b.gap_id)
                WHEN b.state = 'not_covered' AND NOT b.inside THEN b.catalog || ': outside the survey'
                WHEN b.state = 'not_covered' THEN format('no complete %s look-up covers the position', family_name)
            END,
            CASE WHEN b.state = 'clear' THEN b.lookup_id END
        FROM best AS b;
    END LOOP;
END
$$;
COMMENT ON FUNCTION stage.veto_at IS 'Veto by a family of reference catalogues within a radius and at an epoch of its own';
