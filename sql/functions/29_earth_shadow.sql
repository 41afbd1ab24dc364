-- The Earth's shadow at the height of geosynchronous satellites, seen from Palomar, where the plates were taken.
-- What glints in the sun cannot glint there.
--
-- All is done in the mean equator and equinox of date: the line of sight is precessed to it (IAU 1976: Lieske 1979,
-- A&A 73, 282), the Sun is Meeus's of low precision with aberration (Astronomical Algorithms, 1998, ch. 25), the
-- observer is turned there by the mean sidereal time (ch. 12). Against the IAU 2006 models the distance is good to
-- 0.01 deg in the 1950s; the Sun's own radius, a quarter of a degree, blurs the shadow's edge by far more.
CREATE OR REPLACE FUNCTION sky.earth_shadow_distance_deg(ra_deg double precision, dec_deg double precision, at_utc timestamptz)
RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    -- Palomar (MPC 675): degrees east, degrees north, km above WGS 84; radius of the geosynchronous orbit in km.
    lon CONSTANT double precision := -116.863;
    lat CONSTANT double precision := 33.356;
    height CONSTANT double precision := 1.706;
    orbit CONSTANT double precision := 42164;
    days double precision := extract(epoch FROM at_utc - '2000-01-01 12:00:00+00')::double precision / 86400;
    t double precision := days / 36525;
    -- The Sun.
    anomaly double precision := 357.52911 + 35999.05029 * t - 0.0001537 * t ^ 2;
    sun_lon double precision := 280.46646 + 36000.76983 * t + 0.0003032 * t ^ 2 - 0.00569
        + (1.914602 - 0.004817 * t - 0.000014 * t ^ 2) * sind(anomaly)
        + (0.019993 - 0.000101 * t) * sind(2 * anomaly) + 0.000289 * sind(3 * anomaly);
    obliquity double precision := 23.4392911 - 0.0130042 * t;
    -- The line of sight.
    zeta double precision := (2306.2181 * t + 0.30188 * t ^ 2 + 0.017998 * t ^ 3) / 3600;
    z double precision := (2306.2181 * t + 1.09468 * t ^ 2 + 0.018203 * t ^ 3) / 3600;
    theta double precision := (2004.3109 * t - 0.42665 * t ^ 2 - 0.041833 * t ^ 3) / 3600;
    a double precision := cosd(dec_deg) * sind(ra_deg + zeta);
    b double precision := cosd(theta) * cosd(dec_deg) * cosd(ra_deg + zeta) - sind(theta) * sind(dec_deg);
    sight double precision[] := ARRAY[
        b * cosd(z) - a * sind(z), b * sind(z) + a * cosd(z),
        sind(theta) * cosd(dec_deg) * cosd(ra_deg + zeta) + cosd(theta) * sind(dec_deg)
    ];
    -- The observer.
    sidereal double precision := 280.46061837 + 360.98564736629 * days + 0.000387933 * t ^ 2 + lon;
    curvature double precision := 6378.137 / sqrt(1 - 0.00669437999014 * sind(lat) ^ 2);
    observer double precision[] := ARRAY[
        (curvature + height) * cosd(lat) * cosd(sidereal), (curvature + height) * cosd(lat) * sind(sidereal),
        (curvature * (1 - 0.00669437999014) + height) * sind(lat)
    ];
    along double precision := observer[1] * sight[1] + observer[2] * sight[2] + observer[3] * sight[3];
    -- From the observer to where the line of sight meets the orbit's sphere.
    way double precision := sqrt(
        along ^ 2 + orbit ^ 2 - observer[1] ^ 2 - observer[2] ^ 2 - observer[3] ^ 2
    ) - along;
    towards_sun double precision := (
        (observer[1] + way * sight[1]) * cosd(sun_lon)
        + (observer[2] + way * sight[2]) * sind(sun_lon) * cosd(obliquity)
        + (observer[3] + way * sight[3]) * sind(sun_lon) * sind(obliquity)
    ) / orbit;
BEGIN
    -- least() takes NaN for large.
    IF towards_sun = 'NaN' THEN
        RETURN NULL;
    END IF;
    RETURN acosd(greatest(-1, least(1, -towards_sun)));
END
$$;
COMMENT ON FUNCTION sky.earth_shadow_distance_deg IS
    'Geocentric angle between the axis of the Earth''s shadow and the place at geosynchronous height that Palomar saw in a direction at a time, in degrees';
