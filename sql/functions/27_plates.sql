-- Where a position is on plates and images, and which of them contain it.

-- The part of the DSS polynomial beyond its three linear terms, in arcsec; u and v in mm, the coordinate that is
-- asked for first. Lasker et al. 1990, AJ 99, 2019.
CREATE OR REPLACE FUNCTION sky.dss_bend(c double precision[], u double precision, v double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN c[4] * u * u + c[5] * u * v + c[6] * v * v + c[7] * (u * u + v * v)
    + c[8] * u * u * u + c[9] * u * u * v + c[10] * u * v * v + c[11] * v * v * v
    + c[12] * u * (u * u + v * v) + c[13] * u * (u * u + v * v) * (u * u + v * v);
COMMENT ON FUNCTION sky.dss_bend IS 'Terms of the DSS polynomial above the first order, in arcsec';

-- The linear terms of the polynomial are inverted, and what the others add at the place so found is taken off before
-- they are inverted again. On 932 plates the linear terms alone are up to 143 arcsec off, and each turn takes off a
-- factor of fifty: the third leaves a milliarcsecond.
CREATE OR REPLACE FUNCTION sky.pixel_at(which_solution_id bigint, at_ra_deg double precision, at_dec_deg double precision)
RETURNS TABLE (x double precision, y double precision)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
AS $$
    SELECT
        CASE s.kind
            WHEN 'dss' THEN (s.ppo3_um - 1000 * m3.x) / s.x_pixel_um - s.cnpix1 + 0.5
            ELSE s.crpix1 + (s.cd[4] * p.xi - s.cd[2] * p.eta) / (3600 * s.det)
        END,
        CASE s.kind
            WHEN 'dss' THEN (s.ppo6_um + 1000 * m3.y) / s.y_pixel_um - s.cnpix2 + 0.5
            ELSE s.crpix2 + (s.cd[1] * p.eta - s.cd[3] * p.xi) / (3600 * s.det)
        END
    FROM (
        SELECT o.*,
            CASE o.kind
                WHEN 'dss' THEN o.amdx[1] * o.amdy[1] - o.amdx[2] * o.amdy[2]
                ELSE o.cd[1] * o.cd[4] - o.cd[2] * o.cd[3]
            END AS det
        FROM plate.solution AS o
        WHERE o.solution_id = which_solution_id
        OFFSET 0
    ) AS s
    CROSS JOIN LATERAL (
        SELECT cosd(at_dec_deg) * sind(at_ra_deg - s.tangent_ra) AS east,
            cosd(s.tangent_dec) * sind(at_dec_deg)
                - sind(s.tangent_dec) * cosd(at_dec_deg) * cosd(at_ra_deg - s.tangent_ra) AS north,
            sind(s.tangent_dec) * sind(at_dec_deg)
                + cosd(s.tangent_dec) * cosd(at_dec_deg) * cosd(at_ra_deg - s.tangent_ra) AS outward
        OFFSET 0
    ) AS g
    CROSS JOIN LATERAL (
        -- What is on the far side of the sky is on no pixel.
        SELECT g.east / g.outward * 206264.80624709636 AS xi, g.north / g.outward * 206264.80624709636 AS eta
        WHERE g.outward > 0
        OFFSET 0
    ) AS p
    CROSS JOIN LATERAL (
        SELECT (s.amdy[1] * (p.xi - s.amdx[3]) - s.amdx[2] * (p.eta - s.amdy[3])) / s.det AS x,
            (s.amdx[1] * (p.eta - s.amdy[3]) - s.amdy[2] * (p.xi - s.amdx[3])) / s.det AS y
        OFFSET 0
    ) AS m0
    CROSS JOIN LATERAL (
        SELECT sky.dss_bend(s.amdx, m0.x, m0.y) AS xi, sky.dss_bend(s.amdy, m0.y, m0.x) AS eta OFFSET 0
    ) AS b0
    CROSS JOIN LATERAL (
        SELECT m0.x - (s.amdy[1] * b0.xi - s.amdx[2] * b0.eta) / s.det AS x,
            m0.y - (s.amdx[1] * b0.eta - s.amdy[2] * b0.xi) / s.det AS y
        OFFSET 0
    ) AS m1
    CROSS JOIN LATERAL (
        SELECT sky.dss_bend(s.amdx, m1.x, m1.y) AS xi, sky.dss_bend(s.amdy, m1.y, m1.x) AS eta OFFSET 0
    ) AS b1
    CROSS JOIN LATERAL (
        SELECT m0.x - (s.amdy[1] * b1.xi - s.amdx[2] * b1.eta) / s.det AS x,
            m0.y - (s.amdx[1] * b1.eta - s.amdy[2] * b1.xi) / s.det AS y
        OFFSET 0
    ) AS m2
    CROSS JOIN LATERAL (
        SELECT sky.dss_bend(s.amdx, m2.x, m2.y) AS xi, sky.dss_bend(s.amdy, m2.y, m2.x) AS eta OFFSET 0
    ) AS b2
    CROSS JOIN LATERAL (
        SELECT m0.x - (s.amdy[1] * b2.xi - s.amdx[2] * b2.eta) / s.det AS x,
            m0.y - (s.amdx[1] * b2.eta - s.amdy[2] * b2.xi) / s.det AS y
        OFFSET 0
    ) AS m3
$$;
COMMENT ON FUNCTION sky.pixel_at IS
    'FITS pixel of a position by an astrometric solution, to 0.01 arcsec on a plate; no row on the far side of the sky';

-- Plates whose middle is within reach of a position: half the diagonal of the largest plate. A nominal scale stands
-- for the true one, hence the tenth of a degree more.
CREATE OR REPLACE FUNCTION sky.plates_near(at_ra_deg double precision, at_dec_deg double precision)
RETURNS TABLE (
    plate_id text, band text, solution_id bigint, naxis1 integer, naxis2 integer, scale_arcsec_px double precision,
    sep_deg double precision
)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 5
AS $$
    SELECT n.plate_id, n.band, n.solution_id, n.naxis1, n.naxis2, n.scale_arcsec_px,
        q3c_dist(at_ra_deg, at_dec_deg, n.ra, n.dec)
    FROM (
        SELECT 0.1 + max(
            sqrt(w.naxis1::double precision ^ 2 + w.naxis2::double precision ^ 2) * w.scale_arcsec_px / 7200
        ) AS deg
        FROM plate.plate AS w
        OFFSET 0
    ) AS reach
    CROSS JOIN LATERAL (
        SELECT p.plate_id, p.band, p.solution_id, p.naxis1, p.naxis2, p.scale_arcsec_px, p.ra, p.dec
        FROM plate.plate AS p
        WHERE q3c_join(at_ra_deg, at_dec_deg, p.ra, p.dec, reach.deg)
        OFFSET 0
    ) AS n
$$;
COMMENT ON FUNCTION sky.plates_near IS 'Plates that may contain a position, with the distance of the middle of their scan';

-- Plates whose scan contains a position, and how far inside its nearest edge it is.
CREATE OR REPLACE FUNCTION sky.plates_at(at_ra_deg double precision, at_dec_deg double precision)
RETURNS TABLE (
    plate_id text, band text, x double precision, y double precision, sep_deg double precision, edge_arcsec double precision
)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 3
AS $$
    SELECT n.plate_id, n.band, p.x, p.y, n.sep_deg, e.edge_px * n.scale_arcsec_px
    FROM sky.plates_near(at_ra_deg, at_dec_deg) AS n
    CROSS JOIN LATERAL sky.pixel_at(n.solution_id, at_ra_deg, at_dec_deg) AS p
    CROSS JOIN LATERAL (
        SELECT least(p.x - 0.5, n.naxis1 + 0.5 - p.x, p.y - 0.5, n.naxis2 + 0.5 - p.y) AS edge_px
        OFFSET 0
    ) AS e
    WHERE e.edge_px >= 0
    ORDER BY n.sep_deg, n.plate_id
$$;
COMMENT ON FUNCTION sky.plates_at IS
    'Plates whose scan contains a position, that with the nearest middle first, and the distance to its nearest edge';

-- The one red plate that a position belongs to, so that plates that overlap share out the sky: that whose scan has its
-- middle nearest. The margin is 1 less the ratio of the distances to the nearest and the next, null if there is no next.
CREATE OR REPLACE FUNCTION sky.primary_plate(
    at_ra_deg double precision, at_dec_deg double precision, plates text[] DEFAULT NULL
)
RETURNS TABLE (plate_id text, sep_deg double precision, margin double precision)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
AS $$
    SELECT o.plate_id, o.sep_deg, 1 - o.sep_deg / o.next_deg
    FROM (
        SELECT n.plate_id, n.sep_deg, nullif(lead(n.sep_deg) OVER (ORDER BY n.sep_deg, n.plate_id), 0) AS next_deg
        FROM sky.plates_near(at_ra_deg, at_dec_deg) AS n
        WHERE n.band = 'red' AND (plates IS NULL OR n.plate_id = ANY (plates))
    ) AS o
    ORDER BY o.sep_deg, o.plate_id
    LIMIT 1
$$;
COMMENT ON FUNCTION sky.primary_plate IS
    'The red plate, of all or of some, whose scan has its middle nearest to a position: one row, or none where no plate is near';

-- Usable images whose footprint contains a HEALPix cell of order 29, and how far inside the nearest edge its position is:
-- a footprint holds every cell that the image touches, so up to 13 arcsec outside.
CREATE OR REPLACE FUNCTION sky.images_at(at_ra_deg double precision, at_dec_deg double precision, cell bigint)
RETURNS TABLE (image_id bigint, plate_id text, edge_arcsec double precision)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 3
AS $$
    SELECT n.image_id, n.plate_id,
        n.scale_arcsec_px * least(p.x - 0.5, n.naxis1 + 0.5 - p.x, p.y - 0.5, n.naxis2 + 0.5 - p.y)
    FROM (SELECT max(w.radius_deg) + 0.01 AS deg FROM plate.image AS w OFFSET 0) AS reach
    CROSS JOIN LATERAL (
        SELECT i.image_id, i.plate_id, i.status, i.footprint, i.solution_id, i.naxis1, i.naxis2, i.scale_arcsec_px,
            i.radius_deg, i.ra, i.dec
        FROM plate.image AS i
        WHERE q3c_join(at_ra_deg, at_dec_deg, i.ra, i.dec, reach.deg)
        OFFSET 0
    ) AS n
    CROSS JOIN LATERAL sky.pixel_at(n.solution_id, at_ra_deg, at_dec_deg) AS p
    WHERE n.status = 'ok'
    AND q3c_dist(at_ra_deg, at_dec_deg, n.ra, n.dec) <= n.radius_deg + 0.01
    AND n.footprint @> cell
$$;
COMMENT ON FUNCTION sky.images_at IS 'Images whose footprint contains a position, and its distance inside their nearest edge';
