-- Angles and proper motion on the sphere. Plain SQL expressions, so that the planner inlines them.

CREATE OR REPLACE FUNCTION sky.separation_arcsec(
    ra1 double precision, dec1 double precision, ra2 double precision, dec2 double precision
)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 3600 * q3c_dist(ra1, dec1, ra2, dec2);
COMMENT ON FUNCTION sky.separation_arcsec IS 'Great-circle distance of two positions in degrees, in arcsec';

-- Linear space motion without parallax and radial velocity (Hipparcos Catalogue, ESA SP-1200,
-- vol. 1, 1.5.5): the unit vector moves along the tangent plane. Exact at the poles, where adding
-- pm / cos(dec) to the right ascension is not. A missing motion is none.
-- It returns a table, because PostgreSQL inlines only such functions in FROM; the fence keeps the
-- trigonometry from being written out once per use.
CREATE OR REPLACE FUNCTION sky.moved_vector(
    from_ra_deg double precision, from_dec_deg double precision, pmra_masyr double precision, pmdec_masyr double precision,
    delta_yr double precision
)
RETURNS TABLE (x double precision, y double precision, z double precision, length double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1
AS $$
    SELECT
        t.cos_dec * t.cos_ra - t.east * t.sin_ra - t.north * t.sin_dec * t.cos_ra,
        t.cos_dec * t.sin_ra + t.east * t.cos_ra - t.north * t.sin_dec * t.sin_ra,
        t.sin_dec + t.north * t.cos_dec,
        sqrt(1 + t.east * t.east + t.north * t.north)
    FROM (
        SELECT
            sin(radians(from_ra_deg)) AS sin_ra, cos(radians(from_ra_deg)) AS cos_ra,
            sin(radians(from_dec_deg)) AS sin_dec, cos(radians(from_dec_deg)) AS cos_dec,
            radians(coalesce(pmra_masyr, 0) * delta_yr / 3600000.0) AS east,
            radians(coalesce(pmdec_masyr, 0) * delta_yr / 3600000.0) AS north
        OFFSET 0
    ) AS t
$$;
COMMENT ON FUNCTION sky.moved_vector IS
    'Vector towards a position in degrees moved by a proper motion in mas/yr over some years, and its length';

-- The same, projected back to the sphere.
CREATE OR REPLACE FUNCTION sky.propagate(
    from_ra_deg double precision, from_dec_deg double precision, pmra_masyr double precision, pmdec_masyr double precision,
    delta_yr double precision
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
            SELECT m.x, m.y, m.z
            FROM sky.moved_vector(from_ra_deg, from_dec_deg, pmra_masyr, pmdec_masyr, delta_yr) AS m
            OFFSET 0
        ) AS v
        OFFSET 0
    ) AS p
$$;
COMMENT ON FUNCTION sky.propagate IS 'Position in degrees moved by a proper motion in mas/yr over some years';

-- How far from a position such a moved source is, as the square of the distance of their unit vectors. Both are taken in
-- the source's own axes, towards east, towards north and outwards, where the source is moved to (east, north, 1), and the
-- position is at (x, y, z): half the trigonometry of two vectors from the origin. The position comes with the sine and
-- cosine of its declination, because many sources are held against one.
CREATE OR REPLACE FUNCTION sky.moved_chord_squared(
    from_ra_deg double precision, from_dec_deg double precision, pmra_masyr double precision, pmdec_masyr double precision,
    delta_yr double precision, to_ra_deg double precision, to_sin_dec double precision, to_cos_dec double precision
)
RETURNS TABLE (chord_squared double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1
AS $$
    SELECT
        (c.x - c.east / c.length) * (c.x - c.east / c.length)
        + (c.y - c.north / c.length) * (c.y - c.north / c.length)
        + (c.z - 1 / c.length) * (c.z - 1 / c.length)
    FROM (
        SELECT
            t.x, to_sin_dec * t.cos_dec - t.meridian * t.sin_dec AS y, to_sin_dec * t.sin_dec + t.meridian * t.cos_dec AS z,
            t.east, t.north, sqrt(1 + t.east * t.east + t.north * t.north) AS length
        FROM (
            SELECT
                sin(radians(from_dec_deg)) AS sin_dec, cos(radians(from_dec_deg)) AS cos_dec,
                to_cos_dec * sin(radians(to_ra_deg - from_ra_deg)) AS x,
                to_cos_dec * cos(radians(to_ra_deg - from_ra_deg)) AS meridian,
                radians(coalesce(pmra_masyr, 0) * delta_yr / 3600000.0) AS east,
                radians(coalesce(pmdec_masyr, 0) * delta_yr / 3600000.0) AS north
            OFFSET 0
        ) AS t
        OFFSET 0
    ) AS c
$$;
COMMENT ON FUNCTION sky.moved_chord_squared IS
    'Square of the distance between a position and one moved by a proper motion in mas/yr over some years, as unit vectors';

-- Distance between unit vectors and back. Differences of vectors keep small separations to 1e-10 arcsec, about
-- as well as positions in degrees do themselves.
CREATE OR REPLACE FUNCTION sky.chord_squared(sep_arcsec double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 4 * sin(radians(sep_arcsec / 7200)) * sin(radians(sep_arcsec / 7200));
COMMENT ON FUNCTION sky.chord_squared IS 'Square of the distance of two unit vectors that are so many arcsec apart';

CREATE OR REPLACE FUNCTION sky.chord_arcsec(chord_squared double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Opposite vectors may be a hair more than 2 apart. Not strict: with least() it would not be inlined then.
RETURN 7200 * degrees(asin(least(sqrt(chord_squared) / 2, 1)));
COMMENT ON FUNCTION sky.chord_arcsec IS 'Angle in arcsec between two unit vectors, from the square of their distance';

-- The rest of a star's displacement that an index at J1954.0 does not hold: stars up to 100 mas/yr
-- stay within this padding; faster ones are searched one by one.
CREATE OR REPLACE FUNCTION sky.slow_padding_arcsec(epoch_jyear double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 0.1 * abs(epoch_jyear - 1954.0) + 0.001;
COMMENT ON FUNCTION sky.slow_padding_arcsec IS 'How far a star of 100 mas/yr moves between J1954.0 and an epoch';

CREATE OR REPLACE FUNCTION sky.fast_padding_arcsec(epoch_jyear double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
-- Reference tables hold up to 20 arcsec/yr in each coordinate; Barnard's star, the fastest, has 10.4.
RETURN sqrt(2) * 20 * abs(epoch_jyear - 1954.0) + 0.001;
COMMENT ON FUNCTION sky.fast_padding_arcsec IS 'How far the fastest star in a reference table moves between J1954.0 and an epoch';

CREATE OR REPLACE FUNCTION sky.is_fast(pmra_masyr double precision, pmdec_masyr double precision)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(pmra_masyr * pmra_masyr + pmdec_masyr * pmdec_masyr > 10000.0, false);
COMMENT ON FUNCTION sky.is_fast IS 'Whether a proper motion is above 100 mas/yr; false where there is none';

-- One cell of order 29 is 4 pi / (12 * 4^29) steradian.
CREATE OR REPLACE FUNCTION sky.cells_sqdeg(n_cells double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(n_cells, 0) * 129600 / pi() / (12 * 4.0::double precision ^ 29);
COMMENT ON FUNCTION sky.cells_sqdeg IS 'Area of a number of HEALPix cells of order 29, in square degrees';
