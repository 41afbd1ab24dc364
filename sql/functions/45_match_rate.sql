-- The one way to count matches: how many of some positions have a counterpart, between which limits the true rate
-- lies, and how many would have one by chance, which the same positions tell when they are moved aside.

-- Wilson's score interval (Wilson 1927, JASA 22, 209), which holds for few and for none as well. Of no positions
-- at all nothing is known: from 0 to 1.
CREATE OR REPLACE FUNCTION sky.wilson_interval(n_matched bigint, n bigint, z double precision DEFAULT 1.959963984540054)
RETURNS TABLE (lower_limit double precision, upper_limit double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1
AS $$
    SELECT
        CASE WHEN n_matched = 0 OR n = 0 THEN 0 ELSE greatest(0, c.middle - c.half) END,
        CASE WHEN n_matched = n OR n = 0 THEN 1 ELSE least(1, c.middle + c.half) END
    FROM (
        SELECT
            (r.rate + r.z2 / 2) / (1 + r.z2) AS middle,
            sqrt(r.z2 * (r.rate * (1 - r.rate) + r.z2 / 4)) / (1 + r.z2) AS half
        FROM (
            SELECT n_matched / nullif(n, 0)::double precision AS rate, z * z / nullif(n, 0) AS z2
        ) AS r
    ) AS c
$$;
COMMENT ON FUNCTION sky.wilson_interval IS 'Wilson''s interval of a rate at z standard deviations, 95 % by default';

-- Positions as they are, and moved aside: one row per position, and one per position and angle.
CREATE OR REPLACE FUNCTION sky.displaced(
    ra_deg double precision[], dec_deg double precision[], displacement_arcsec double precision,
    position_angles_deg double precision[]
)
RETURNS TABLE (place bigint, is_displaced boolean, at_ra_deg double precision, at_dec_deg double precision)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF (cardinality(ra_deg) = cardinality(dec_deg)) IS NOT TRUE THEN
        RAISE EXCEPTION 'there are % right ascensions and % declinations', cardinality(ra_deg), cardinality(dec_deg)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (
        SELECT 1 FROM unnest(ra_deg, dec_deg) AS p (ra, dec)
        WHERE (p.ra >= 0 AND p.ra < 360 AND p.dec BETWEEN -90 AND 90) IS NOT TRUE
    ) THEN
        RAISE EXCEPTION 'a position has a right ascension from 0 to below 360 and a declination from -90 to 90'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    SELECT p.place, false, p.ra, p.dec FROM unnest(ra_deg, dec_deg) WITH ORDINALITY AS p (ra, dec, place)
    UNION ALL
    SELECT p.place, true, o.ra_deg, o.dec_deg
    FROM unnest(ra_deg, dec_deg) WITH ORDINALITY AS p (ra, dec, place)
    CROSS JOIN LATERAL unnest(position_angles_deg) AS a (angle)
    CROSS JOIN LATERAL sky.offset_position(p.ra, p.dec, displacement_arcsec, a.angle) AS o;
END
$$;
COMMENT ON FUNCTION sky.displaced IS 'Positions, and the same positions moved aside along great circles at some angles';

-- The counts of positions as they are and moved aside, with their rates; both rows also where there are no positions.
CREATE OR REPLACE FUNCTION sky.rates(is_displaced boolean[], covered boolean[], matched boolean[], z double precision)
RETURNS TABLE (
    what text, n bigint, n_matched bigint, rate double precision, lower_limit double precision, upper_limit double precision,
    n_not_covered bigint
)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 2
AS $$
    SELECT
        CASE WHEN k.displaced THEN 'displaced' ELSE 'positions' END,
        t.n, t.n_matched, t.n_matched / nullif(t.n, 0)::double precision, w.lower_limit, w.upper_limit, t.n_not_covered
    FROM (VALUES (false), (true)) AS k (displaced)
    CROSS JOIN LATERAL (
        SELECT
            count(*) FILTER (WHERE c.covered) AS n, count(*) FILTER (WHERE c.matched) AS n_matched,
            count(*) FILTER (WHERE NOT c.covered) AS n_not_covered
        FROM unnest(is_displaced, covered, matched) AS c (displaced, covered, matched)
        WHERE c.displaced = k.displaced
    ) AS t
    CROSS JOIN LATERAL sky.wilson_interval(t.n_matched, t.n, z) AS w
    ORDER BY k.displaced
$$;
COMMENT ON FUNCTION sky.rates IS 'How many of the covered positions are matched, as they are and moved aside, with the intervals of the rates';

-- How many of some positions a catalogue of fixed sources has a counterpart for, at an epoch of each (null: where
-- the catalogue has it), and how many by chance. Only positions that a complete look-up covers count, as they are
-- and moved aside; how many are not is said beside it. One position moved aside at several angles counts as so many
-- that know nothing of each other.
CREATE OR REPLACE FUNCTION sky.match_rate(
    ra_deg double precision[], dec_deg double precision[], epoch_jyear double precision[],
    catalog_name text, radius_arcsec double precision,
    displacement_arcsec double precision DEFAULT 360, position_angles_deg double precision[] DEFAULT '{0,60,120,180,240,300}',
    z double precision DEFAULT 1.959963984540054
)
RETURNS TABLE (
    what text, n bigint, n_matched bigint, rate double precision, lower_limit double precision, upper_limit double precision,
    n_not_covered bigint
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    moved boolean := epoch_jyear IS NOT NULL;
    vouched double precision := ref.vouched_radius_arcsec(catalog_name, moved);
    limits ref.catalog;
    outline int8multirange;
    farthest_epoch double precision := 2100;
BEGIN
    IF vouched IS NULL THEN
        RAISE EXCEPTION 'no registered catalogue of fixed sources is called %', coalesce(catalog_name, 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF (radius_arcsec > 0 AND radius_arcsec <= vouched) IS NOT TRUE THEN
        RAISE EXCEPTION 'radius % arcsec is not between 0 and %, as far as look-ups of % vouch for',
            coalesce(radius_arcsec::text, 'null'), vouched, catalog_name
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF moved THEN
        IF cardinality(epoch_jyear) <> cardinality(ra_deg)
            OR EXISTS (SELECT 1 FROM unnest(epoch_jyear) AS e WHERE (e BETWEEN 1850 AND 2100) IS NOT TRUE)
        THEN
            RAISE EXCEPTION 'every one of % positions needs an epoch between 1850 and 2100', cardinality(ra_deg)
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        farthest_epoch := (SELECT 1954.0 + max(abs(e - 1954.0)) FROM unnest(epoch_jyear) AS e);
    END IF;
    SELECT c.* INTO limits FROM ref.catalog AS c WHERE c.catalog = catalog_name;
    -- Adding nothing unpacks it once for all.
    outline := (SELECT f.hpx29 + '{}' FROM ref.footprint AS f WHERE f.catalog = catalog_name);

    RETURN QUERY EXECUTE format($query$
        WITH at AS MATERIALIZED (
            SELECT d.is_displaced, d.at_ra_deg, d.at_dec_deg, ($3)[d.place] AS epoch, v.covered
            FROM sky.displaced($1, $2, $6, $7) AS d
            CROSS JOIN LATERAL (SELECT sky.cell(d.at_ra_deg, d.at_dec_deg) AS cell OFFSET 0) AS c
            CROSS JOIN LATERAL (
                SELECT EXISTS (SELECT 1 FROM sky.covering_lookup(%1$L, c.cell))
                    AND d.at_dec_deg BETWEEN $8 AND $9 AND coalesce($10 @> c.cell, true) AS covered
                OFFSET 0
            ) AS v
        ),
        counted AS (
            SELECT p.is_displaced, p.covered, m.matched
            FROM at AS p
            CROSS JOIN LATERAL (
                SELECT p.covered AND EXISTS (
                    SELECT 1
                    FROM (
                        SELECT * FROM (
                            SELECT r.* FROM ref.%1$I AS r
                            WHERE q3c_join(p.at_ra_deg, p.at_dec_deg, r.ra_j1954, r.dec_j1954, $11)
                            OFFSET 0
                        ) AS slow
                        WHERE NOT sky.is_fast(slow.pmra_masyr, slow.pmdec_masyr)
                        UNION ALL
                        SELECT * FROM (
                            SELECT r.* FROM ref.%1$I AS r
                            WHERE sky.is_fast(r.pmra_masyr, r.pmdec_masyr)
                            AND q3c_join(p.at_ra_deg, p.at_dec_deg, r.ra_j1954, r.dec_j1954, $12)
                            OFFSET 0
                        ) AS fast
                    ) AS c
                    CROSS JOIN LATERAL sky.propagate(
                        c.ra, c.dec, c.pmra_masyr, c.pmdec_masyr, coalesce(p.epoch - c.epoch_jyear, 0)
                    ) AS s
                    WHERE sky.separation_arcsec(p.at_ra_deg, p.at_dec_deg, s.ra_deg, s.dec_deg) <= $4
                ) AS matched
                OFFSET 0
            ) AS m
        )
        SELECT r.*
        FROM (
            SELECT array_agg(c.is_displaced) AS is_displaced, array_agg(c.covered) AS covered, array_agg(c.matched) AS matched
            FROM counted AS c
        ) AS k
        CROSS JOIN LATERAL sky.rates(k.is_displaced, k.covered, k.matched, $5) AS r
    $query$, catalog_name)
    USING ra_deg, dec_deg, epoch_jyear, radius_arcsec, z, displacement_arcsec, position_angles_deg, limits.dec_min,
        limits.dec_max, outline, (radius_arcsec + sky.slow_padding_arcsec(farthest_epoch)) / 3600,
        (radius_arcsec + sky.fast_padding_arcsec(farthest_epoch)) / 3600;
END
$$;
COMMENT ON FUNCTION sky.match_rate IS
    'How many of some positions a catalogue has a counterpart for, and how many by chance, with their intervals';

-- The same for detections: how many of some positions are detected on another plate. A position counts where an
-- extracted image of another plate of that band covers it, to edge_arcsec from its edges. Plates that are null
-- exclude none. Nothing is moved.
CREATE OR REPLACE FUNCTION sky.persistence_rate(
    ra_deg double precision[], dec_deg double precision[], plate_ids text[], radius_arcsec double precision,
    displacement_arcsec double precision DEFAULT 360, position_angles_deg double precision[] DEFAULT '{0,60,120,180,240,300}',
    z double precision DEFAULT 1.959963984540054, plate_band text DEFAULT 'red', edge_arcsec double precision DEFAULT 60
)
RETURNS TABLE (
    what text, n bigint, n_matched bigint, rate double precision, lower_limit double precision, upper_limit double precision,
    n_not_covered bigint
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    widest double precision := (SELECT max(i.radius_deg) FROM plate.image AS i WHERE i.status = 'ok');
BEGIN
    IF (radius_arcsec > 0 AND edge_arcsec >= radius_arcsec) IS NOT TRUE THEN
        RAISE EXCEPTION 'radius_arcsec must be above 0, and edge_arcsec not below it'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF plate_ids IS NOT NULL AND cardinality(plate_ids) <> cardinality(ra_deg) THEN
        RAISE EXCEPTION 'every position needs a plate: there are % positions and % plates',
            cardinality(ra_deg), cardinality(plate_ids)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    RETURN QUERY
    -- Extractions of other plates whose image covers a position; what is detected there otherwise does not count.
    WITH at AS MATERIALIZED (
        SELECT d.is_displaced, d.at_ra_deg, d.at_dec_deg, o.extraction_ids
        FROM sky.displaced(ra_deg, dec_deg, displacement_arcsec, position_angles_deg) AS d
        CROSS JOIN LATERAL (SELECT sky.cells_about(d.at_ra_deg, d.at_dec_deg, edge_arcsec) AS cells OFFSET 0) AS c
        CROSS JOIN LATERAL (
            SELECT array_agg(e.extraction_id) AS extraction_ids
            FROM (
                SELECT b.image_id, b.plate_id, b.band, b.status, b.footprint
                FROM plate.image AS b
                WHERE q3c_join(d.at_ra_deg, d.at_dec_deg, b.ra, b.dec, widest)
                OFFSET 0
            ) AS i
            JOIN vasco.extraction AS e USING (image_id)
            WHERE i.status = 'ok' AND i.band = plate_band AND i.plate_id IS DISTINCT FROM plate_ids[d.place]
            AND i.footprint @> c.cells
            AND EXISTS (SELECT 1 FROM vasco.detection AS a WHERE a.extraction_id = e.extraction_id)
        ) AS o
    ),
    counted AS (
        SELECT p.is_displaced, p.extraction_ids IS NOT NULL AS covered, m.matched
        FROM at AS p
        CROSS JOIN LATERAL (
            SELECT EXISTS (
                SELECT 1
                FROM (
                    SELECT a.extraction_id FROM vasco.detection AS a
                    WHERE q3c_join(p.at_ra_deg, p.at_dec_deg, a.ra, a.dec, radius_arcsec / 3600)
                    OFFSET 0
                ) AS near
                WHERE near.extraction_id = ANY (p.extraction_ids)
            ) AS matched
            OFFSET 0
        ) AS m
    )
    SELECT r.*
    FROM (
        SELECT array_agg(c.is_displaced) AS is_displaced, array_agg(c.covered) AS covered, array_agg(c.matched) AS matched
        FROM counted AS c
    ) AS k
    CROSS JOIN LATERAL sky.rates(k.is_displaced, k.covered, k.matched, z) AS r;
END
$$;
COMMENT ON FUNCTION sky.persistence_rate IS
    'How many of some positions are detected on another plate, and how many by chance, with their intervals';
