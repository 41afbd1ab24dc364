-- Residual solutions of images, fitted to stars of known position.

CREATE TABLE vasco.plate_fit (
    extraction_id bigint NOT NULL REFERENCES vasco.extraction,
    kind text NOT NULL CHECK (kind IN ('plate_fit', 'wcsfix')),
    accepted boolean NOT NULL,
    reason text CHECK (accepted OR reason IS NOT NULL),
    catalog text REFERENCES ref.catalog,
    epoch_jyear double precision NOT NULL,
    radius_arcsec double precision NOT NULL CHECK (radius_arcsec > 0),
    n_eligible integer NOT NULL CHECK (n_eligible >= 0),
    n_ties integer NOT NULL CHECK (n_ties BETWEEN 0 AND n_eligible),
    n_kept integer NOT NULL CHECK (n_kept BETWEEN 0 AND n_ties),
    iterations smallint NOT NULL CHECK (iterations >= 0),
    degree smallint CHECK (degree BETWEEN 0 AND 5),
    tangent_ra double precision NOT NULL CHECK (tangent_ra >= 0 AND tangent_ra < 360),
    tangent_dec double precision NOT NULL CHECK (tangent_dec BETWEEN -90 AND 90),
    unit_deg double precision NOT NULL CHECK (unit_deg > 0),
    coef_x double precision[],
    coef_y double precision[],
    offset_ra_arcsec double precision,
    offset_dec_arcsec double precision,
    sigma_before_arcsec double precision CHECK (sigma_before_arcsec >= 0),
    sigma_arcsec double precision CHECK (sigma_arcsec >= 0),
    clip_arcsec double precision CHECK (clip_arcsec > 0),
    largest_residual_arcsec double precision CHECK (largest_residual_arcsec >= 0),
    worst_cell_arcsec double precision CHECK (worst_cell_arcsec >= 0),
    coverage double precision CHECK (coverage BETWEEN 0 AND 1),
    largest_shift_arcsec double precision CHECK (largest_shift_arcsec >= 0),
    extrapolation_arcsec double precision CHECK (extrapolation_arcsec >= 0),
    parameters jsonb NOT NULL,
    PRIMARY KEY (extraction_id, kind),
    -- An accepted fit has all of its numbers; none of them is NaN, which PostgreSQL takes for the largest number.
    CHECK (
        NOT accepted
        OR (
            n_kept > 0
            AND num_nulls(
                catalog, degree, coef_x, coef_y, offset_ra_arcsec, offset_dec_arcsec, sigma_before_arcsec, sigma_arcsec,
                clip_arcsec, largest_residual_arcsec, worst_cell_arcsec, coverage, largest_shift_arcsec, extrapolation_arcsec
            ) = 0
            AND greatest(
                sigma_arcsec, largest_residual_arcsec, worst_cell_arcsec, largest_shift_arcsec, extrapolation_arcsec
            ) < 'Infinity'
        )
    ),
    CHECK (cardinality(coef_x) = (degree + 1) * (degree + 2) / 2),
    CHECK (cardinality(coef_y) = cardinality(coef_x)),
    CHECK (array_position(coef_x || coef_y, 'NaN') IS NULL AND array_position(coef_x || coef_y, NULL) IS NULL)
);
COMMENT ON TABLE vasco.plate_fit IS
    'What is left between an image''s own astrometric solution and stars of known position, as a polynomial: '
    'plate_fit in the tangent plane, accepted by its residuals; wcsfix as the seeds made it, for comparison';
COMMENT ON COLUMN vasco.plate_fit.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.plate_fit.kind IS 'plate_fit: tangent plane; wcsfix: the seeds'' fit in plain differences of RA and Dec [-] {meta.code}';
COMMENT ON COLUMN vasco.plate_fit.accepted IS 'Whether it may be used; a wcsfix has no test of its residuals [-] {meta.code.qual}';
COMMENT ON COLUMN vasco.plate_fit.reason IS 'Why it was refused [-] {meta.note}';
COMMENT ON COLUMN vasco.plate_fit.catalog IS 'Catalogue of the stars; null where none has any there [-] {meta.id}';
COMMENT ON COLUMN vasco.plate_fit.epoch_jyear IS 'Epoch to which the stars were moved, the plate''s [yr] {time.epoch}';
COMMENT ON COLUMN vasco.plate_fit.radius_arcsec IS 'Within which the nearest star was taken for the detection [arcsec] {pos.angDistance;stat.max}';
COMMENT ON COLUMN vasco.plate_fit.n_eligible IS 'Detections that could be ties, with a star or without [-] {meta.number}';
COMMENT ON COLUMN vasco.plate_fit.n_ties IS 'Detections with a star within the radius [-] {meta.number}';
COMMENT ON COLUMN vasco.plate_fit.n_kept IS 'Ties left after clipping, which the fit was made of [-] {meta.number;stat.fit}';
COMMENT ON COLUMN vasco.plate_fit.iterations IS 'Rounds of clipping [-] {meta.number}';
COMMENT ON COLUMN vasco.plate_fit.degree IS 'Degree of the polynomial [-] {stat.fit.param}';
COMMENT ON COLUMN vasco.plate_fit.tangent_ra IS 'Right ascension of the origin: middle of the image, or of the tile for a wcsfix [deg] {pos.eq.ra}';
COMMENT ON COLUMN vasco.plate_fit.tangent_dec IS 'Declination of the origin [deg] {pos.eq.dec}';
COMMENT ON COLUMN vasco.plate_fit.unit_deg IS 'Length that counts as 1 in the polynomial [deg] {phys.angSize}';
COMMENT ON COLUMN vasco.plate_fit.coef_x IS
    'Correction eastward in arcsec, for a wcsfix of RA itself in degrees: terms 1, x, y, x2, xy, y2, ... [-] {stat.fit.param}';
COMMENT ON COLUMN vasco.plate_fit.coef_y IS
    'Correction northward in arcsec, for a wcsfix in degrees: the same terms [-] {stat.fit.param}';
COMMENT ON COLUMN vasco.plate_fit.offset_ra_arcsec IS 'Median of star minus raw position, eastward [arcsec] {pos.eq.ra;arith.diff;stat.median}';
COMMENT ON COLUMN vasco.plate_fit.offset_dec_arcsec IS 'Median of star minus raw position, northward [arcsec] {pos.eq.dec;arith.diff;stat.median}';
COMMENT ON COLUMN vasco.plate_fit.sigma_before_arcsec IS 'Robust scatter per coordinate of raw positions about their median offset [arcsec] {stat.stdev;pos.angDistance}';
COMMENT ON COLUMN vasco.plate_fit.sigma_arcsec IS
    'Robust scatter of the residuals: per coordinate, for a wcsfix that of their length in plain degrees [arcsec] {stat.fit.residual;stat.stdev}';
COMMENT ON COLUMN vasco.plate_fit.clip_arcsec IS 'Residual above which ties were left out [arcsec] {stat.fit.residual;stat.max}';
COMMENT ON COLUMN vasco.plate_fit.largest_residual_arcsec IS 'Largest residual on the sky of a tie that was kept [arcsec] {stat.fit.residual;stat.max}';
COMMENT ON COLUMN vasco.plate_fit.worst_cell_arcsec IS
    'Largest median residual of a cell of the image''s grid; a detection without a star counts with the radius [arcsec] {stat.fit.residual;stat.max}';
COMMENT ON COLUMN vasco.plate_fit.coverage IS 'Share of the cells of the image''s grid that hold ties that were kept [-] {stat.value;arith.ratio}';
COMMENT ON COLUMN vasco.plate_fit.largest_shift_arcsec IS 'Largest correction of any detection of the image [arcsec] {pos.angDistance;stat.max}';
COMMENT ON COLUMN vasco.plate_fit.extrapolation_arcsec IS
    'How far corrections of detections, in either coordinate, leave the range of those of ties that were kept [arcsec] {pos.angDistance;stat.max}';
COMMENT ON COLUMN vasco.plate_fit.parameters IS 'How ties were chosen, and the limits of acceptance [-] {meta.record}';
