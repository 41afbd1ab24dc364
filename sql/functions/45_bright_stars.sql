-- What the stages about bright stars share.

CREATE OR REPLACE FUNCTION stage.catalogs_of(families jsonb)
RETURNS text[]
LANGUAGE sql STABLE
RETURN ARRAY(
    SELECT c.catalog
    FROM ref.catalog AS c
    WHERE c.family IN (SELECT jsonb_array_elements_text(families)) AND NOT c.moving
    ORDER BY c.catalog
);
COMMENT ON FUNCTION stage.catalogs_of IS 'Catalogues of fixed sources of some families';

-- Stars of some catalogues about some detections of an extraction, at the plate's epoch. A magnitude that is missing,
-- not a number or a sentinel such as -999 is none: no star of the night sky is brighter than -2.
CREATE OR REPLACE FUNCTION stage.bright_stars(
    which_extraction_id bigint, numbers integer[], catalogs text[], radius_arcsec double precision, mag_max double precision
)
RETURNS TABLE (number integer, catalog text, source_id bigint, mag real, sep_arcsec double precision)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    known text;
BEGIN
    FOREACH known IN ARRAY catalogs LOOP
        RETURN QUERY
        SELECT s.number, known, s.source_id, s.mag, s.sep_arcsec
        FROM sky.sources_about(which_extraction_id, numbers, known, radius_arcsec, mag_max::real, false) AS s
        WHERE s.mag >= -2;
    END LOOP;
END
$$;
COMMENT ON FUNCTION stage.bright_stars IS
    'Stars of some catalogues down to a magnitude about some detections of an extraction, at the plate''s epoch';

-- Whether any of some catalogues answers for all of a circle. The survey must hold all of it too. A circle within
-- the match radius is answered for where its middle is covered.
CREATE OR REPLACE FUNCTION stage.circle_look(
    catalogs text[], at_ra_deg double precision, at_dec_deg double precision, cell bigint, radius_arcsec double precision
)
RETURNS TABLE (state vasco.look_state, catalog text, lookup_id bigint, reason text)
LANGUAGE plpgsql STABLE ROWS 1
AS $$
DECLARE
    known ref.catalog;
    rest int8multirange;
    outline int8multirange;
    failure text;
    asked text := CASE WHEN catalogs = '{}' THEN 'no such catalogue is registered' ELSE format(
        'no complete look-up of %s covers %s arcsec about it', array_to_string(catalogs, ' or '), radius_arcsec
    ) END;
BEGIN
    FOR known IN SELECT c.* FROM ref.catalog AS c WHERE c.catalog = ANY (catalogs) ORDER BY c.catalog LOOP
        SELECT f.hpx29 INTO outline FROM ref.footprint AS f WHERE f.catalog = known.catalog;
        IF known.dec_min > -90 AND at_dec_deg - radius_arcsec / 3600 < known.dec_min
            OR known.dec_max < 90 AND at_dec_deg + radius_arcsec / 3600 > known.dec_max
            OR outline IS NOT NULL
            AND NOT sky.circle_cells(at_ra_deg, at_dec_deg, radius_arcsec, radius_arcsec / 8 + 1) <@ outline
        THEN
            asked := format('%s arcsec about it reach outside the survey of %s', radius_arcsec, known.catalog);
            CONTINUE;
        END IF;
        -- Where the middle is not covered the rest need not be looked at.
        rest := ref.uncovered(known.catalog, int8multirange(int8range(cell, cell + 1)));
        IF isempty(rest) AND radius_arcsec > known.match_radius_arcsec THEN
            rest := sky.circle_uncovered(known.catalog, at_ra_deg, at_dec_deg, radius_arcsec);
        END IF;
        IF isempty(rest) THEN
            RETURN QUERY
            SELECT 'clear'::vasco.look_state, known.catalog, l.lookup_id, NULL::text
            FROM sky.covering_lookup(known.catalog, cell) AS l;
            RETURN;
        END IF;
        failure := coalesce(failure, (
            SELECT known.catalog || ': ' || ref.failure_text(max(g.lookup_id))
            FROM ref.gaps_overlapping(known.catalog, rest) AS g
        ));
    END LOOP;
    RETURN QUERY
    SELECT CASE WHEN failure IS NULL THEN 'not_covered' ELSE 'unknown' END::vasco.look_state, NULL::text, NULL::bigint,
        coalesce(failure, asked);
END
$$;
COMMENT ON FUNCTION stage.circle_look IS
    'What the look-ups of some catalogues know of a circle: clear where those of one cover all of it, else unknown or not_covered';

-- The same about many detections. Those of one cell of order 10, three arcmin wide, are first taken together: a circle
-- about one of them that holds the circles of all, with what a single look would lose at a rim, so that the answer is
-- the same as one by one.
CREATE OR REPLACE FUNCTION stage.circle_looks(
    which_extraction_id bigint, numbers integer[], catalogs text[], radius_arcsec double precision
)
RETURNS TABLE (number integer, state vasco.look_state, lookup_id bigint, reason text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    neighbours record;
    -- The catalogue that covers all of them, if one does.
    covering text;
BEGIN
    FOR neighbours IN
        SELECT g.numbers, g.ras, g.decs, g.cells, (
            SELECT max(sky.separation_arcsec(g.ras[1], g.decs[1], m.ra, m.dec)) FROM unnest(g.ras, g.decs) AS m (ra, dec)
        ) AS reach
        FROM (
            SELECT array_agg(d.number) AS numbers, array_agg(d.ra) AS ras, array_agg(d.dec) AS decs, array_agg(d.hpx29) AS cells
            FROM unnest(numbers) AS n (number)
            CROSS JOIN LATERAL (
                SELECT a.number, a.ra, a.dec, a.hpx29
                FROM vasco.detection AS a
                WHERE a.extraction_id = which_extraction_id AND a.number = n.number
                OFFSET 0
            ) AS d
            GROUP BY d.hpx29 >> 38
        ) AS g
    LOOP
        covering := NULL;
        IF cardinality(neighbours.numbers) > 1 THEN
            SELECT l.catalog INTO covering
            FROM stage.circle_look(
                catalogs, neighbours.ras[1], neighbours.decs[1], neighbours.cells[1],
                radius_arcsec * 9 / 8 + 1 + neighbours.reach
            ) AS l;
        END IF;
        IF covering IS NOT NULL THEN
            RETURN QUERY
            SELECT m.number, 'clear'::vasco.look_state, l.lookup_id, NULL::text
            FROM unnest(neighbours.numbers, neighbours.cells) AS m (number, cell)
            CROSS JOIN LATERAL sky.covering_lookup(covering, m.cell) AS l;
        ELSE
            RETURN QUERY
            SELECT m.number, l.state, l.lookup_id, l.reason
            FROM unnest(neighbours.numbers, neighbours.ras, neighbours.decs, neighbours.cells) AS m (number, ra, dec, cell)
            CROSS JOIN LATERAL stage.circle_look(catalogs, m.ra, m.dec, m.cell, radius_arcsec) AS l;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION stage.circle_looks IS
    'What the look-ups of some catalogues know of circles about some detections of an extraction';

-- Verdicts on detections about which stars were looked for: a star that rejects is enough; that none does is known
-- only where all of the circle is covered. numbers are all that are judged; of those that have stars, star_numbers,
-- margins and rejections are their worst star's, a rejection null where it does not reject. The parts are brought
-- together by UNION and GROUP BY, not by a join of a size the planner cannot know.
CREATE OR REPLACE FUNCTION stage.judge_stars(
    which_extraction_id bigint, numbers integer[], star_numbers integer[], margins double precision[], rejections text[],
    catalogs text[], radius_arcsec double precision
)
RETURNS TABLE (number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint)
LANGUAGE sql STABLE
AS $$
    WITH given AS MATERIALIZED (
        SELECT g.number, max(g.margin) AS margin, max(g.rejection) AS rejection
        FROM (
            SELECT unnest(numbers) AS number, NULL::double precision AS margin, NULL::text AS rejection
            UNION ALL
            SELECT w.* FROM unnest(star_numbers, margins, rejections) AS w
        ) AS g
        GROUP BY g.number
    ),
    known AS (
        SELECT g.number, g.margin, g.rejection, NULL::vasco.look_state AS state, NULL::text AS reason, NULL::bigint AS lookup_id
        FROM given AS g
        UNION ALL
        SELECT l.number, NULL, NULL, l.state, l.reason, l.lookup_id
        FROM stage.circle_looks(
            which_extraction_id, ARRAY(SELECT g.number FROM given AS g WHERE g.rejection IS NULL), catalogs, radius_arcsec
        ) AS l
    )
    SELECT k.number,
        CASE
            WHEN max(k.rejection) IS NOT NULL THEN 'fail'
            WHEN max(k.state) = 'clear' THEN 'pass'
            WHEN max(k.state) = 'unknown' THEN 'unknown'
            ELSE 'not_covered'
        END::vasco.outcome,
        max(k.margin), coalesce(max(k.rejection), max(k.reason)), max(k.lookup_id)
    FROM known AS k
    GROUP BY k.number
$$;
COMMENT ON FUNCTION stage.judge_stars IS
    'Verdicts on detections by their worst star: fail where it rejects, pass only where look-ups cover all of the circle';
