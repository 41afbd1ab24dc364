-- Images by how badly their positions agree with stars of known position.

CREATE OR REPLACE VIEW api.plate_fits AS
SELECT
    im.tile_id, im.plate_id, f.kind, f.accepted, f.reason, f.worst_cell_arcsec, f.sigma_arcsec, f.sigma_before_arcsec,
    f.offset_ra_arcsec, f.offset_dec_arcsec, f.largest_residual_arcsec, f.largest_shift_arcsec,
    f.extrapolation_arcsec, f.coverage, f.degree, f.n_eligible, f.n_ties, f.n_kept, f.iterations, f.clip_arcsec, f.radius_arcsec, f.catalog, f.epoch_jyear,
    im.wcs_kind, f.extraction_id
FROM vasco.plate_fit AS f
JOIN vasco.extraction AS e USING (extraction_id)
JOIN plate.image AS im USING (image_id)
ORDER BY f.worst_cell_arcsec DESC NULLS FIRST, f.sigma_arcsec DESC NULLS FIRST, f.extraction_id, f.kind;
COMMENT ON VIEW api.plate_fits IS 'Residual solutions of images, the worst first; those that could not be made before all';
COMMENT ON COLUMN api.plate_fits.tile_id IS 'Tile that the image covers [-] {meta.id}';
COMMENT ON COLUMN api.plate_fits.plate_id IS 'Plate, header REGION [-] {meta.id}';
COMMENT ON COLUMN api.plate_fits.kind IS 'plate_fit: tangent plane; wcsfix: the seeds'' fit [-] {meta.code}';
COMMENT ON COLUMN api.plate_fits.accepted IS 'Whether it may be used; a wcsfix has no test of its residuals [-] {meta.code.qual}';
COMMENT ON COLUMN api.plate_fits.reason IS 'Why it was refused [-] {meta.note}';
COMMENT ON COLUMN api.plate_fits.worst_cell_arcsec IS 'Largest median residual of a cell of the image''s grid [arcsec] {stat.fit.residual;stat.max}';
COMMENT ON COLUMN api.plate_fits.sigma_arcsec IS 'Robust scatter of the residuals [arcsec] {stat.fit.residual;stat.stdev}';
COMMENT ON COLUMN api.plate_fits.sigma_before_arcsec IS 'Robust scatter of raw positions about their median offset [arcsec] {stat.stdev;pos.angDistance}';
COMMENT ON COLUMN api.plate_fits.offset_ra_arcsec IS 'Median of star minus raw position, eastward [arcsec] {pos.eq.ra;arith.diff;stat.median}';
COMMENT ON COLUMN api.plate_fits.offset_dec_arcsec IS 'Median of star minus raw position, northward [arcsec] {pos.eq.dec;arith.diff;stat.median}';
COMMENT ON COLUMN api.plate_fits.largest_residual_arcsec IS 'Largest residual of a tie that was kept [arcsec] {stat.fit.residual;stat.max}';
COMMENT ON COLUMN api.plate_fits.largest_shift_arcsec IS 'Largest correction of any detection [arcsec] {pos.angDistance;stat.max}';
COMMENT ON COLUMN api.plate_fits.extrapolation_arcsec IS 'How far corrections of detections leave the range of those of ties [arcsec] {pos.angDistance;stat.max}';
COMMENT ON COLUMN api.plate_fits.coverage IS 'Share of the cells of the image''s grid that hold ties [-] {stat.value;arith.ratio}';
COMMENT ON COLUMN api.plate_fits.degree IS 'Degree of the polynomial [-] {stat.fit.param}';
COMMENT ON COLUMN api.plate_fits.n_eligible IS 'Detections that could be ties [-] {meta.number}';
COMMENT ON COLUMN api.plate_fits.n_ties IS 'Detections with a star within the radius [-] {meta.number}';
COMMENT ON COLUMN api.plate_fits.n_kept IS 'Ties left after clipping [-] {meta.number;stat.fit}';
COMMENT ON COLUMN api.plate_fits.iterations IS 'Rounds of clipping [-] {meta.number}';
COMMENT ON COLUMN api.plate_fits.clip_arcsec IS 'Residual above which ties were left out [arcsec] {stat.fit.residual;stat.max}';
COMMENT ON COLUMN api.plate_fits.radius_arcsec IS 'Within which the nearest star was taken for the detection [arcsec] {pos.angDistance;stat.max}';
COMMENT ON COLUMN api.plate_fits.catalog IS 'Catalogue of the stars [-] {meta.id}';
COMMENT ON COLUMN api.plate_fits.epoch_jyear IS 'Epoch to which the stars were moved [yr] {time.epoch}';
COMMENT ON COLUMN api.plate_fits.wcs_kind IS 'The image''s own astrometric solution: dss or tan [-] {meta.code}';
COMMENT ON COLUMN api.plate_fits.extraction_id IS 'Extraction [-] {meta.id}';

-- Positions as the seeds published them, to ten decimals: right ascension and declination each corrected by a
-- polynomial in their plain differences from the tile's centre.
CREATE OR REPLACE FUNCTION api.wcsfix_positions(which_extraction_id bigint)
RETURNS TABLE (number integer, ra_corr double precision, dec_corr double precision)
LANGUAGE sql STABLE
AS $$
    SELECT
        d.number,
        mod(round((d.ra_raw + s.ra)::numeric, 10) + 360, 360)::double precision,
        round((d.dec_raw + s.dec)::numeric, 10)::double precision
    FROM vasco.plate_fit AS f
    CROSS JOIN LATERAL (
        SELECT a.* FROM vasco.detection AS a WHERE a.extraction_id = f.extraction_id OFFSET 0
    ) AS d
    CROSS JOIN LATERAL (
        SELECT
            d.ra_raw - f.tangent_ra - 360 * floor((d.ra_raw - f.tangent_ra + 180) / 360) AS x,
            d.dec_raw - f.tangent_dec AS y
    ) AS p
    CROSS JOIN LATERAL (
        SELECT sum(f.coef_x[t.place] * p.x ^ t.i * p.y ^ t.j) AS ra, sum(f.coef_y[t.place] * p.x ^ t.i * p.y ^ t.j) AS dec
        FROM (
            SELECT n.total - n.j AS i, n.j, n.total * (n.total + 1) / 2 + n.j + 1 AS place
            FROM (
                SELECT a.total, b.j FROM generate_series(0, f.degree) AS a (total), generate_series(0, a.total) AS b (j)
            ) AS n
        ) AS t
    ) AS s
    WHERE f.extraction_id = which_extraction_id AND f.kind = 'wcsfix' AND f.accepted
$$;
COMMENT ON FUNCTION api.wcsfix_positions IS
    'RA_corr and Dec_corr of the detections of an extraction, in degrees, by the seeds'' fit; none where it has none';
