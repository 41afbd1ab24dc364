-- Angles and proper motion on the sphere. Plain SQL expressions, so that the planner inlines them.

CREATE OR REPLACE FUNCTION sky.separation_arcsec(
    ra1 double precision, dec1 double precision, ra2 double precision, dec2 double precision
)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 3600 * q3c_dist(ra1, dec1, ra2, dec2);
COMMENT ON FUNCTION sky.separation_arcsec IS 'Great-circle distance of two positions in degrees, in arcsec';

-- Linear space motion without parallax and radial velocity (Hipparcos Catalogue, ESA SP-1200,
-- vol. 1, 1.5.5): the unit vector moves along the tangent plane and is projected back. Exact at
-- the poles, where adding pm / cos(dec) to the right ascension is not. A missing motion is none.
CREATE OR REPLACE FUNCTION sky.propagate(
    ra double precision, dec double precision, pmra_masyr double precision, pmdec_masyr double precision,
    delta_yr double precision, OUT ra_deg double precision, OUT dec_deg double precision
)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT
        CASE WHEN a >= 360 THEN 0 ELSE a END,
        d
    FROM (
        SELECT
            (atan2d(m.y, m.x) + CASE WHEN atan2d(m.y, m.x) < 0 THEN 360 ELSE 0 END) AS a,
            atan2d(m.z, sqrt(m.x * m.x + m.y * m.y)) AS d
        FROM (
            SELECT
                cosd(dec) * cosd(ra) - s.e * sind(ra) - s.n * sind(dec) * cosd(ra) AS x,
                cosd(dec) * sind(ra) + s.e * cosd(ra) - s.n * sind(dec) * sind(ra) AS y,
                sind(dec) + s.n * cosd(dec) AS z
            FROM (
                SELECT
                    radians(coalesce(pmra_masyr, 0) * delta_yr / 3600000.0) AS e,
                    radians(coalesce(pmdec_masyr, 0) * delta_yr / 3600000.0) AS n
            ) AS s
        ) AS m
    ) AS p
$$;
COMMENT ON FUNCTION sky.propagate IS 'Position in degrees moved by a proper motion in mas/yr over some years';

-- How far apart a position and a moving star are, `delta_yr` after the star's own epoch.
CREATE OR REPLACE FUNCTION sky.separation_at_epoch_arcsec(
    ra double precision, dec double precision,
    star_ra double precision, star_dec double precision,
    pmra_masyr double precision, pmdec_masyr double precision, delta_yr double precision
)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT 3600 * q3c_dist(ra, dec, p.ra_deg, p.dec_deg)
    FROM sky.propagate(star_ra, star_dec, pmra_masyr, pmdec_masyr, delta_yr) AS p
$$;
COMMENT ON FUNCTION sky.separation_at_epoch_arcsec IS
    'Distance in arcsec between a position and a star moved by its proper motion over some years';

-- The rest of a star's displacement that an index at J1954.0 does not hold: stars up to 100 mas/yr
-- stay within this padding; faster ones are searched one by one.
CREATE OR REPLACE FUNCTION sky.slow_padding_arcsec(epoch_jyear double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 0.1 * abs(epoch_jyear - 1954.0) + 0.001;
COMMENT ON FUNCTION sky.slow_padding_arcsec IS 'How far a star of 100 mas/yr moves between J1954.0 and an epoch';

CREATE OR REPLACE FUNCTION sky.is_fast(pmra_masyr double precision, pmdec_masyr double precision)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(pmra_masyr * pmra_masyr + pmdec_masyr * pmdec_masyr > 10000.0, false);
COMMENT ON FUNCTION sky.is_fast IS 'Whether a proper motion is above 100 mas/yr; false where there is none';
