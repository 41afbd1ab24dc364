-- Stars that moved: a star of the family is within the radius at one epoch, the plate's or the catalogue's own, and
-- beyond it at the other. At the plate's: the detection is the star, which a search without proper motion would miss.
-- At the catalogue's: it stands there today, but did not then, and a search without proper motion would take it
-- for the detection. The value is how far the star moved between the two, in arcsec: of stars that crossed the
-- radius the farthest moved, else of those within it; none where there is none.
-- A source within the radius without a proper motion leaves it unknown, as it is where no catalogue with proper
-- motions covers the position.
-- Parameters: family, radius_arcsec (inclusive).
CREATE OR REPLACE FUNCTION stage.high_pm(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    WITH setting AS (
        SELECT
            ARRAY(
                SELECT c.catalog FROM ref.catalog AS c
                WHERE c.family = params ->> 'family' AND c.has_pm AND NOT c.moving
                ORDER BY c.catalog
            ) AS catalogs,
            stage.reach_arcsec(params) AS radius
    ),
    input AS MATERIALIZED (
        SELECT d.* FROM stage.input_by_image(which_run_id, stage_name, extraction_ids) AS d
    ),
    star AS (
        SELECT i.extraction_id, s.number, k.catalog, s.source_id, s.sep_arcsec, s.sep_catalog_epoch_arcsec AS sep_own,
            s.moved_arcsec, s.has_motion, (s.sep_arcsec <= p.radius) <> (s.sep_catalog_epoch_arcsec <= p.radius) AS crosses
        FROM setting AS p
        CROSS JOIN input AS i
        CROSS JOIN LATERAL unnest(p.catalogs) AS k (catalog)
        CROSS JOIN LATERAL sky.sources_about(i.extraction_id, i.numbers, k.catalog, p.radius, NULL, true) AS s
    ),
    chosen AS MATERIALIZED (
        SELECT DISTINCT ON (s.extraction_id, s.number)
            s.extraction_id, s.number, s.crosses, CASE WHEN s.has_motion THEN s.moved_arcsec END AS moved,
            CASE
                WHEN s.crosses THEN format(
                    '%s source %s moved %s arcsec: at %s arcsec at the plate''s epoch, at %s arcsec at the catalogue''s',
                    s.catalog, s.source_id, round(s.moved_arcsec::numeric, 2), round(s.sep_arcsec::numeric, 2),
                    round(s.sep_own::numeric, 2)
                )
                WHEN NOT s.has_motion THEN format(
                    '%s source %s at %s arcsec has no proper motion', s.catalog, s.source_id, round(s.sep_arcsec::numeric, 2)
                )
            END AS finding
        FROM star AS s
        ORDER BY s.extraction_id, s.number, s.crosses DESC, s.has_motion, s.moved_arcsec DESC, s.catalog, s.source_id
    ),
    -- Brought together by UNION and GROUP BY, not by a join, whose size the planner cannot know.
    known AS (
        SELECT c.extraction_id, c.number, c.crosses, c.moved, c.finding, NULL::vasco.look_state AS state, NULL::text AS reason,
            NULL::bigint AS lookup_id
        FROM chosen AS c
        UNION ALL
        SELECT i.extraction_id, l.number, NULL, NULL, NULL, l.state, l.reason, l.lookup_id
        FROM setting AS p
        CROSS JOIN input AS i
        CROSS JOIN LATERAL stage.circle_looks(i.extraction_id, i.numbers, p.catalogs, p.radius) AS l
    )
    SELECT k.extraction_id, k.number,
        CASE
            WHEN bool_or(k.crosses) THEN 'fail'
            WHEN max(k.finding) IS NOT NULL THEN 'unknown'
            WHEN max(k.state) = 'clear' THEN 'pass'
            WHEN max(k.state) = 'unknown' THEN 'unknown'
            ELSE 'not_covered'
        END::vasco.outcome,
        max(k.moved), coalesce(max(k.finding), max(k.reason)),
        CASE WHEN max(k.finding) IS NULL THEN max(k.lookup_id) END
    FROM known AS k
    GROUP BY k.extraction_id, k.number
$$;
COMMENT ON FUNCTION stage.high_pm IS
    'Annotation of detections that a star of a family moved to or from between the plate''s epoch and its own';
