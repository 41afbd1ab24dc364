-- Positions beside a position, and the HEALPix cell that a position is in: what displaced positions and the
-- edges of images are asked about.

-- The unit vector is turned towards the position angle: exact at the poles, where there is no north to add to.
CREATE OR REPLACE FUNCTION sky.offset_position(
    from_ra_deg double precision, from_dec_deg double precision, distance_arcsec double precision,
    position_angle_deg double precision
)
RETURNS TABLE (ra_deg double precision, dec_deg double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1
AS $$
    SELECT
        CASE WHEN p.a >= 0 THEN p.a WHEN p.a + 360 >= 360 THEN 0 ELSE p.a + 360 END,
        p.d
    FROM (
        SELECT atan2d(v.y, v.x) AS a, atan2d(v.z, sqrt(v.x * v.x + v.y * v.y)) AS d
        FROM (
            SELECT
                t.along * t.cos_dec * t.cos_ra - t.east * t.sin_ra - t.north * t.sin_dec * t.cos_ra AS x,
                t.along * t.cos_dec * t.sin_ra + t.east * t.cos_ra - t.north * t.sin_dec * t.sin_ra AS y,
                t.along * t.sin_dec + t.north * t.cos_dec AS z
            FROM (
                SELECT
                    sind(from_ra_deg) AS sin_ra, cosd(from_ra_deg) AS cos_ra,
                    sind(from_dec_deg) AS sin_dec, cosd(from_dec_deg) AS cos_dec,
                    cosd(distance_arcsec / 3600) AS along,
                    sind(distance_arcsec / 3600) * sind(position_angle_deg) AS east,
                    sind(distance_arcsec / 3600) * cosd(position_angle_deg) AS north
                OFFSET 0
            ) AS t
            OFFSET 0
        ) AS v
        OFFSET 0
    ) AS p
$$;
COMMENT ON FUNCTION sky.offset_position IS
    'Position at a distance from another along a great circle that leaves it at a position angle, north over east';

-- The bits of a number of 29 bits, each followed by a zero.
CREATE OR REPLACE FUNCTION sky.spread_bits(bits bigint)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    bits := (bits | (bits << 16)) & 281470681808895;
    bits := (bits | (bits << 8)) & 71777214294589695;
    bits := (bits | (bits << 4)) & 1085102592571150095;
    bits := (bits | (bits << 2)) & 3689348814741910323;
    RETURN (bits | (bits << 1)) & 6148914691236517205;
END
$$;
COMMENT ON FUNCTION sky.spread_bits IS 'The bits of a number of 29 bits on the even places of another';

-- Gorski et al. 2005, ApJ 622, 759, section 4 and appendix; near the poles by the cosine of the declination,
-- which keeps its digits where the sine is 1.
CREATE OR REPLACE FUNCTION sky.cell(at_ra_deg double precision, at_dec_deg double precision)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    n_side CONSTANT bigint := 536870912;
    z CONSTANT double precision := sind(at_dec_deg);
    turn CONSTANT double precision := at_ra_deg / 90 - 4 * floor(at_ra_deg / 360);
    quarter bigint;
    falling bigint;
    rising bigint;
    face bigint;
    x bigint;
    y bigint;
    from_pole double precision;
BEGIN
    IF abs(z) <= 2.0 / 3 THEN
        falling := floor(n_side * (0.5 + turn - 0.75 * z));
        rising := floor(n_side * (0.5 + turn + 0.75 * z));
        face := CASE
            WHEN falling / n_side = rising / n_side THEN (falling / n_side) % 4 + 4
            WHEN falling / n_side < rising / n_side THEN falling / n_side
            ELSE rising / n_side + 8
        END;
        x := rising % n_side;
        y := n_side - falling % n_side - 1;
    ELSE
        quarter := least(floor(turn), 3);
        from_pole := n_side * cosd(at_dec_deg) * sqrt(3 / (1 + abs(z)));
        falling := least(floor((turn - quarter) * from_pole), n_side - 1);
        rising := least(floor((1 - (turn - quarter)) * from_pole), n_side - 1);
        IF z > 0 THEN
            face := quarter;
            x := n_side - rising - 1;
            y := n_side - falling - 1;
        ELSE
            face := quarter + 8;
            x := falling;
            y := rising;
        END IF;
    END IF;
    RETURN (face << 58) | sky.spread_bits(x) | (sky.spread_bits(y) << 1);
END
$$;
COMMENT ON FUNCTION sky.cell IS 'HEALPix cell of order 29, nested, of a position in degrees';

-- A position and eight about it: where all their cells belong to an area, so does about all of the circle.
CREATE OR REPLACE FUNCTION sky.cells_about(at_ra_deg double precision, at_dec_deg double precision, distance_arcsec double precision)
RETURNS int8multirange
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT range_agg(int8range(c.cell, c.cell + 1))
    FROM (
        SELECT sky.cell(at_ra_deg, at_dec_deg) AS cell
        UNION ALL
        SELECT sky.cell(o.ra_deg, o.dec_deg)
        FROM generate_series(0, 315, 45) AS a (angle)
        CROSS JOIN LATERAL sky.offset_position(at_ra_deg, at_dec_deg, distance_arcsec, a.angle) AS o
    ) AS c
$$;
COMMENT ON FUNCTION sky.cells_about IS 'HEALPix cells of order 29 of a position and of eight positions at a distance about it';

-- Unlike sky.neighbours, which asks where the sources were at an epoch, this asks where the catalogue says they
-- are. The index is at J1954.0; the padding is what a slow star moves between that and the farthest epoch that a
-- source may have, 2100.
CREATE OR REPLACE FUNCTION sky.neighbours_unmoved(
    catalog_name text, at_ra_deg double precision, at_dec_deg double precision, radius_arcsec double precision
)
RETURNS TABLE (
    source_id bigint, ra_deg double precision, dec_deg double precision, mag real,
    pmra_masyr real, pmdec_masyr real, epoch_jyear real, sep_arcsec double precision
)
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN QUERY EXECUTE format($query$
        SELECT c.source_id, c.ra, c.dec, c.mag, c.pmra_masyr, c.pmdec_masyr, c.epoch_jyear, s.sep
        FROM (
            SELECT * FROM (
                SELECT r.* FROM ref.%1$I AS r
                WHERE q3c_join($1, $2, r.ra_j1954, r.dec_j1954, $4)
                OFFSET 0
            ) AS slow
            WHERE NOT sky.is_fast(slow.pmra_masyr, slow.pmdec_masyr)
            UNION ALL
            SELECT r.* FROM ref.%1$I AS r
            WHERE sky.is_fast(r.pmra_masyr, r.pmdec_masyr)
            AND q3c_join($1, $2, r.ra_j1954, r.dec_j1954, $5)
        ) AS c
        CROSS JOIN LATERAL (SELECT sky.separation_arcsec($1, $2, c.ra, c.dec) AS sep OFFSET 0) AS s
        WHERE s.sep <= $3
        ORDER BY s.sep, c.source_id
    $query$, catalog_name)
    USING at_ra_deg, at_dec_deg, radius_arcsec,
        (radius_arcsec + sky.slow_padding_arcsec(2100)) / 3600, (radius_arcsec + sky.fast_padding_arcsec(2100)) / 3600;
END
$$;
COMMENT ON FUNCTION sky.neighbours_unmoved IS
    'Sources whose position in a catalogue, at its own epoch, is within a radius of a position, nearest first';
