-- Where a position lies on the scan of a plate.

-- Standard coordinates about a tangent point. Differences are taken before products, so that it is exact for the
-- smallest distances, the poles included.
CREATE OR REPLACE FUNCTION sky.standard_coordinates(
    at_ra_deg double precision, at_dec_deg double precision, tangent_ra_deg double precision, tangent_dec_deg double precision
)
RETURNS TABLE (xi_arcsec double precision, eta_arcsec double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1
AS $$
    SELECT
        206264.80624709636 * cosd(at_dec_deg) * sind(at_ra_deg - tangent_ra_deg) / c.cos_distance,
        206264.80624709636 * (
            sind(at_dec_deg - tangent_dec_deg)
            + 2 * sind(tangent_dec_deg) * cosd(at_dec_deg) * sind((at_ra_deg - tangent_ra_deg) / 2) ^ 2
        ) / c.cos_distance
    FROM (
        SELECT sind(tangent_dec_deg) * sind(at_dec_deg)
            + cosd(tangent_dec_deg) * cosd(at_dec_deg) * cosd(at_ra_deg - tangent_ra_deg) AS cos_distance
        OFFSET 0
    ) AS c
    WHERE c.cos_distance > 0
$$;
COMMENT ON FUNCTION sky.standard_coordinates IS
    'Coordinates of a position on the plane tangent to the sky at a point, in arcsec; no row 90 degrees or more from it';

-- The other way round than the DSS polynomial is given (Lasker et al. 1990, AJ 99, 2019): its linear part is solved
-- for what the rest leaves, again and again. The rest is below a thousandth of a change of place, so six turns are
-- good to far below a micrometre anywhere on a plate.
CREATE OR REPLACE FUNCTION sky.plate_pixel(solution plate.solution, at_ra_deg double precision, at_dec_deg double precision)
RETURNS TABLE (x double precision, y double precision)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 1
AS $$
DECLARE
    xi double precision;
    eta double precision;
    a double precision[] := solution.amdx;
    b double precision[] := solution.amdy;
    determinant double precision;
    u double precision := 0;
    v double precision := 0;
    r2 double precision;
    xi_rest double precision;
    eta_rest double precision;
BEGIN
    SELECT s.xi_arcsec, s.eta_arcsec INTO xi, eta
    FROM sky.standard_coordinates(at_ra_deg, at_dec_deg, solution.tangent_ra, solution.tangent_dec) AS s;
    IF xi IS NULL THEN
        RETURN;
    END IF;
    IF solution.kind = 'tan' THEN
        xi := xi / 3600;
        eta := eta / 3600;
        determinant := solution.cd[1] * solution.cd[4] - solution.cd[2] * solution.cd[3];
        x := solution.crpix1 + (solution.cd[4] * xi - solution.cd[2] * eta) / determinant;
        y := solution.crpix2 + (solution.cd[1] * eta - solution.cd[3] * xi) / determinant;
        RETURN NEXT;
        RETURN;
    END IF;
    determinant := a[1] * b[1] - a[2] * b[2];
    FOR turn IN 0..6 LOOP
        r2 := u * u + v * v;
        xi_rest := xi - (
            a[3] + a[4] * u * u + a[5] * u * v + a[6] * v * v + a[7] * r2
            + a[8] * u * u * u + a[9] * u * u * v + a[10] * u * v * v + a[11] * v * v * v
            + a[12] * u * r2 + a[13] * u * r2 * r2
        );
        eta_rest := eta - (
            b[3] + b[4] * v * v + b[5] * u * v + b[6] * u * u + b[7] * r2
            + b[8] * v * v * v + b[9] * u * v * v + b[10] * u * u * v + b[11] * u * u * u
            + b[12] * v * r2 + b[13] * v * r2 * r2
        );
        u := (b[1] * xi_rest - a[2] * eta_rest) / determinant;
        v := (a[1] * eta_rest - b[2] * xi_rest) / determinant;
        -- So far off the plate the polynomial means nothing, and would overflow.
        IF abs(u) + abs(v) > 1000 THEN
            RETURN;
        END IF;
    END LOOP;
    x := (solution.ppo3_um - 1000 * u) / solution.x_pixel_um - solution.cnpix1 + 0.5;
    y := (solution.ppo6_um + 1000 * v) / solution.y_pixel_um - solution.cnpix2 + 0.5;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION sky.plate_pixel IS
    'FITS pixel of a position by an astrometric solution; no row where it is off the plate by more than its solution bears';
