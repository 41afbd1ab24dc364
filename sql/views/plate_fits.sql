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
