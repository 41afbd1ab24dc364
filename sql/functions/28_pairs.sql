-- Pairs of positions near each other, and the groups that such pairs make.

-- All pairs of detections of some extractions within a radius, each once: the smaller key comes first.
CREATE OR REPLACE FUNCTION sky.pairs_within(extraction_ids bigint[], radius_arcsec double precision)
RETURNS TABLE (
    extraction_id_1 bigint, number_1 integer, extraction_id_2 bigint, number_2 integer, sep_arcsec double precision
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT a.extraction_id, a.number, b.extraction_id, b.number, sky.separation_arcsec(a.ra, a.dec, b.ra, b.dec)
    FROM (SELECT DISTINCT u.id FROM unnest(extraction_ids) AS u (id)) AS e
    CROSS JOIN LATERAL (
        SELECT d.extraction_id, d.number, d.ra, d.dec FROM vasco.detection AS d WHERE d.extraction_id = e.id OFFSET 0
    ) AS a
    CROSS JOIN LATERAL (
        SELECT d.extraction_id, d.number, d.ra, d.dec
        FROM vasco.detection AS d
        WHERE q3c_join(a.ra, a.dec, d.ra, d.dec, radius_arcsec / 3600)
        OFFSET 0
    ) AS b
    WHERE (a.extraction_id, a.number) < (b.extraction_id, b.number) AND b.extraction_id = ANY (extraction_ids)
$$;
COMMENT ON FUNCTION sky.pairs_within(bigint[], double precision) IS
    'Pairs of detections of some extractions within a radius, each once';

-- The same of positions that are in no table. They go into a table of the session, indexed as every other; numbers
-- count from 1 in the order given. What is no position (null, not a number) is in no pair.
CREATE OR REPLACE FUNCTION sky.pairs_within(ra_deg double precision[], dec_deg double precision[], radius_arcsec double precision)
RETURNS TABLE (number_1 integer, number_2 integer, sep_arcsec double precision)
LANGUAGE plpgsql
AS $$
BEGIN
    CREATE TEMPORARY TABLE position_to_pair ON COMMIT DROP AS
    SELECT u.number::integer AS number, u.ra, u.dec
    FROM unnest(ra_deg, dec_deg) WITH ORDINALITY AS u (ra, dec, number)
    WHERE abs(u.ra) < 'Infinity' AND abs(u.dec) <= 90
    ORDER BY q3c_ang2ipix(u.ra, u.dec);
    CREATE INDEX position_to_pair_sky ON position_to_pair (q3c_ang2ipix(ra, dec));
    RETURN QUERY
    SELECT a.number, b.number, sky.separation_arcsec(a.ra, a.dec, b.ra, b.dec)
    FROM position_to_pair AS a
    CROSS JOIN LATERAL (
        SELECT p.number, p.ra, p.dec
        FROM position_to_pair AS p
        WHERE q3c_join(a.ra, a.dec, p.ra, p.dec, radius_arcsec / 3600)
        OFFSET 0
    ) AS b
    WHERE a.number < b.number;
    DROP TABLE position_to_pair;
END
$$;
COMMENT ON FUNCTION sky.pairs_within(double precision[], double precision[], double precision) IS
    'Pairs of positions within a radius, each once, by their places in the arrays';

-- Connected components of a graph: members are the numbers from 1, and the smallest of a component is its name. Union-find
-- with path halving, the smaller root on top, so that the answer does not depend on the order of the pairs.
CREATE OR REPLACE FUNCTION sky.components(n_members integer, firsts integer[], seconds integer[])
RETURNS TABLE (member integer, component integer)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    parent integer[] := ARRAY(SELECT generate_series(1, n_members));
    a integer;
    b integer;
BEGIN
    FOR pair IN 1 .. coalesce(cardinality(firsts), 0) LOOP
        a := firsts[pair];
        b := seconds[pair];
        WHILE parent[a] <> a LOOP
            parent[a] := parent[parent[a]];
            a := parent[a];
        END LOOP;
        WHILE parent[b] <> b LOOP
            parent[b] := parent[parent[b]];
            b := parent[b];
        END LOOP;
        IF a < b THEN
            parent[b] := a;
        ELSIF b < a THEN
            parent[a] := b;
        END IF;
    END LOOP;
    -- No parent is larger than its child, so going up, every parent is a root already.
    FOR i IN 1 .. n_members LOOP
        parent[i] := parent[parent[i]];
    END LOOP;
    RETURN QUERY SELECT u.place::integer, u.root FROM unnest(parent) WITH ORDINALITY AS u (root, place);
END
$$;
COMMENT ON FUNCTION sky.components IS
    'Connected components of the numbers 1 to n under some pairs of them; each is named after its smallest member';

-- Groups of some detections: two are linked if they are within a radius of each other, one radius for two of the same
-- part (a plate, a tile; null is a part too), another for two of different parts (null: never); links of links count.
-- Members are told by their place in the arrays.
CREATE OR REPLACE FUNCTION sky.group_detections(
    extraction_ids bigint[], numbers integer[], parts text[],
    same_part_arcsec double precision, other_part_arcsec double precision DEFAULT NULL
)
RETURNS TABLE (place integer, group_place integer)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    firsts integer[];
    seconds integer[];
BEGIN
    WITH member AS MATERIALIZED (
        SELECT u.place::integer AS place, u.part, d.extraction_id, d.number, d.ra, d.dec
        FROM unnest(extraction_ids, numbers, parts) WITH ORDINALITY AS u (extraction_id, number, part, place)
        CROSS JOIN LATERAL (
            SELECT a.extraction_id, a.number, a.ra, a.dec
            FROM vasco.detection AS a
            WHERE a.extraction_id = u.extraction_id AND a.number = u.number
            OFFSET 0
        ) AS d
    ),
    near AS (
        SELECT m.place AS of_place, m.part AS of_part, n.extraction_id, n.number,
            sky.separation_arcsec(m.ra, m.dec, n.ra, n.dec) AS sep
        FROM member AS m
        CROSS JOIN LATERAL (
            SELECT d.extraction_id, d.number, d.ra, d.dec
            FROM vasco.detection AS d
            WHERE q3c_join(m.ra, m.dec, d.ra, d.dec, greatest(same_part_arcsec, other_part_arcsec) / 3600)
            OFFSET 0
        ) AS n
        WHERE (m.extraction_id, m.number) < (n.extraction_id, n.number)
    ),
    -- Which member a neighbour is, if any: by sorting, because the planner cannot know the size of a join.
    known AS (
        SELECT k.of_place, k.of_part, k.sep, max(k.place) OVER same AS place, max(k.part) OVER same AS part
        FROM (
            SELECT m.place, m.part, NULL::integer AS of_place, NULL::text AS of_part, NULL::double precision AS sep,
                m.extraction_id, m.number
            FROM member AS m
            UNION ALL
            SELECT NULL, NULL, n.of_place, n.of_part, n.sep, n.extraction_id, n.number FROM near AS n
        ) AS k
        WINDOW same AS (PARTITION BY k.extraction_id, k.number)
    )
    SELECT array_agg(k.of_place), array_agg(k.place) INTO firsts, seconds
    FROM known AS k
    WHERE k.of_place IS NOT NULL AND k.place IS NOT NULL
    AND k.sep <= CASE WHEN k.part IS NOT DISTINCT FROM k.of_part THEN same_part_arcsec ELSE other_part_arcsec END;

    RETURN QUERY SELECT c.member, c.component FROM sky.components(coalesce(cardinality(numbers), 0), firsts, seconds) AS c;
END
$$;
COMMENT ON FUNCTION sky.group_detections IS
    'Groups of detections linked within a radius, transitively; each is named after its member that comes first';
