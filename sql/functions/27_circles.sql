-- Whether all of a circle is covered. Coverage answers for positions: all sources within a catalogue's match
-- radius of a covered position are known. A wider search needs covered positions all over its circle.

-- No point of a HEALPix cell is farther from its centre than a corner of the cells where the polar caps begin
-- (Gorski et al. 2005, ApJ 622, 759; max_pixrad of the HEALPix library); a hundredth more for curved edges.
CREATE OR REPLACE FUNCTION sky.cell_radius_arcsec(cell_order integer)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 1.01 * 3600 * q3c_dist(
    45 / 2.0::double precision ^ cell_order, asind(2 / 3.0::double precision),
    0, asind(1 - (1 - 1 / 2.0::double precision ^ cell_order) ^ 2 / 3)
);
COMMENT ON FUNCTION sky.cell_radius_arcsec IS 'How far from its centre a HEALPix cell of an order reaches at most, in arcsec';

-- From the twelve base cells down: a cell that the circle may touch is cut in four until it lies wholly in the
-- circle or is small enough. Cells are followed by face and place in it, from which their centres are found without
-- taking their numbers apart.
CREATE OR REPLACE FUNCTION sky.circle_cells(
    at_ra_deg double precision, at_dec_deg double precision, radius_arcsec double precision, slack_arcsec double precision
)
RETURNS int8multirange
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    finest integer := (
        SELECT coalesce(min(o), 24) FROM generate_series(0, 24) AS o WHERE 2 * sky.cell_radius_arcsec(o) <= slack_arcsec
    );
    reach double precision[] := ARRAY(SELECT sky.cell_radius_arcsec(o) FROM generate_series(0, finest) AS o ORDER BY o);
BEGIN
    RETURN (
        WITH RECURSIVE node AS (
            SELECT 0 AS cell_order, f AS face, 0::bigint AS x, 0::bigint AS y, f::bigint AS cell, false AS inside
            FROM generate_series(0, 11) AS f
            UNION ALL
            SELECT c.cell_order, c.face, c.x, c.y, c.cell, s.sep <= radius_arcsec - reach[c.cell_order + 1]
            FROM (
                SELECT n.cell_order + 1 AS cell_order, n.face, 2 * n.x + k % 2 AS x, 2 * n.y + k / 2 AS y, 4 * n.cell + k AS cell
                FROM node AS n
                CROSS JOIN generate_series(0, 3) AS k
                WHERE n.cell_order < finest AND NOT n.inside
                OFFSET 0
            ) AS c
            CROSS JOIN LATERAL (
                SELECT (1::bigint << c.cell_order)::double precision AS nside,
                    ((2 + c.face / 4) * (1::bigint << c.cell_order) - c.x - c.y - 1)::double precision AS ring
                OFFSET 0
            ) AS r
            CROSS JOIN LATERAL (SELECT least(r.ring, 4 * r.nside - r.ring, r.nside) AS width OFFSET 0) AS w
            CROSS JOIN LATERAL (
                SELECT 3600 * q3c_dist(
                    at_ra_deg, at_dec_deg,
                    45 * ((CASE c.face / 4 WHEN 1 THEN 0 ELSE 1 END + 2 * (c.face % 4)) * w.width + c.x - c.y) / w.width,
                    CASE
                        WHEN r.ring < r.nside THEN asind(1 - w.width ^ 2 / (3 * r.nside ^ 2))
                        WHEN r.ring > 3 * r.nside THEN asind(w.width ^ 2 / (3 * r.nside ^ 2) - 1)
                        ELSE asind((2 * r.nside - r.ring) * 2 / (3 * r.nside))
                    END
                ) AS sep
                OFFSET 0
            ) AS s
            -- Near the poles asind is good to a few mas.
            WHERE s.sep <= radius_arcsec + reach[c.cell_order + 1] + 0.01
        )
        SELECT range_agg(int8range(n.cell << (58 - 2 * n.cell_order), (n.cell + 1) << (58 - 2 * n.cell_order)))
        FROM node AS n
        WHERE n.inside OR n.cell_order = finest
    );
END
$$;
COMMENT ON FUNCTION sky.circle_cells IS
    'HEALPix cells of order 29 that hold all of a circle and reach no farther beyond it than some slack';

-- A position within a match radius of a covered one is answered for, so the circle may reach that far beyond the
-- covered cells. A coarse look is enough for most; what it cannot settle is looked at more closely. At a rim of the
-- coverage up to an eighth of the radius is lost, never the other way round.
CREATE OR REPLACE FUNCTION sky.circle_uncovered(
    catalog_name text, at_ra_deg double precision, at_dec_deg double precision, radius_arcsec double precision
)
RETURNS int8multirange
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    inner_radius double precision := greatest(0, radius_arcsec - (
        SELECT c.match_radius_arcsec FROM ref.catalog AS c WHERE c.catalog = catalog_name
    ));
    rest int8multirange;
BEGIN
    FOR divisor IN 1..8 BY 7 LOOP
        rest := ref.uncovered(
            catalog_name, sky.circle_cells(at_ra_deg, at_dec_deg, inner_radius, greatest(inner_radius / divisor, 1))
        );
        EXIT WHEN isempty(rest);
    END LOOP;
    RETURN rest;
END
$$;
COMMENT ON FUNCTION sky.circle_uncovered IS
    'Cells of order 29 in a circle, or just beyond it, that a catalogue''s coverage does not answer for; empty where the circle is covered';

CREATE OR REPLACE FUNCTION sky.circle_covered(
    catalog_name text, at_ra_deg double precision, at_dec_deg double precision, radius_arcsec double precision
)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN isempty(sky.circle_uncovered(catalog_name, at_ra_deg, at_dec_deg, radius_arcsec));
COMMENT ON FUNCTION sky.circle_covered IS
    'Whether all sources of a catalogue within a radius of a position are known from complete look-ups';

-- How far about a detection a stage with these parameters asks for sources, or objects: null for one that does not.
CREATE OR REPLACE FUNCTION stage.reach_arcsec(params jsonb)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(
    (params ->> 'radius_max_arcsec')::double precision,
    (params ->> 'radius_arcsec')::double precision + coalesce((params ->> 'error_max_arcsec')::double precision, 0)
);
COMMENT ON FUNCTION stage.reach_arcsec IS 'How far about a detection a stage with some parameters searches, in arcsec';

-- Beyond a detection covered positions must reach so far for a circle about it to count as covered; see
-- sky.circle_uncovered, and of moving objects stage.moving.
CREATE OR REPLACE FUNCTION ref.circle_rim_arcsec(catalog_name text, radius_arcsec double precision)
RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN c.moving OR x.excess_arcsec = 0 THEN x.excess_arcsec
        ELSE x.excess_arcsec + greatest(x.excess_arcsec / 8, 1)
    END
    FROM ref.catalog AS c
    CROSS JOIN LATERAL (SELECT greatest(0, radius_arcsec - c.match_radius_arcsec) AS excess_arcsec) AS x
    WHERE c.catalog = catalog_name
$$;
COMMENT ON FUNCTION ref.circle_rim_arcsec IS
    'How far about a position a catalogue must be covered for a circle about it to count as covered, in arcsec';

-- What the stages of some parameters, and those of all runs so far, ask of a catalogue about the outermost detections.
CREATE OR REPLACE FUNCTION ref.stage_rim_arcsec(catalog_name text, parameters jsonb)
RETURNS double precision
LANGUAGE sql STABLE
AS $$
    SELECT coalesce(max(ref.circle_rim_arcsec(c.catalog, stage.reach_arcsec(p.params))), 0)
    FROM ref.catalog AS c
    CROSS JOIN (
        SELECT jsonb_array_elements(parameters) AS params
        UNION
        SELECT s.parameters FROM vasco.run_stage AS s
    ) AS p
    WHERE c.catalog = catalog_name AND (p.params ->> 'family' = c.family OR p.params -> 'families' ? c.family)
$$;
COMMENT ON FUNCTION ref.stage_rim_arcsec IS
    'How far beyond detections a catalogue must be covered for stages with some parameters, and those of all runs, in arcsec';
