-- What is measured of detections beyond SExtractor's columns: PSF statistics of an image, shapes of single detections.

CREATE TABLE vasco.psf_statistics (
    extraction_id bigint NOT NULL REFERENCES vasco.extraction,
    population text NOT NULL,
    n_known integer NOT NULL CHECK (n_known >= n_stars),
    n_stars integer NOT NULL CHECK (n_stars >= 0),
    fwhm_median_px double precision CHECK (fwhm_median_px <> 'NaN'),
    spread_median double precision CHECK (spread_median <> 'NaN'),
    PRIMARY KEY (extraction_id, population),
    CHECK ((n_stars = 0) = (fwhm_median_px IS NULL)),
    CHECK ((n_stars = 0) = (spread_median IS NULL))
);
COMMENT ON TABLE vasco.psf_statistics IS 'Medians of the reference stars of an image, with the rule that chose them';
COMMENT ON COLUMN vasco.psf_statistics.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.psf_statistics.population IS 'What chose the stars, in words [-] {meta.note}';
COMMENT ON COLUMN vasco.psf_statistics.n_known IS 'Stars that were chosen [-] {meta.number}';
COMMENT ON COLUMN vasco.psf_statistics.n_stars IS 'Those of them that have FWHM and SPREAD_MODEL, of which the medians are [-] {meta.number}';
COMMENT ON COLUMN vasco.psf_statistics.fwhm_median_px IS 'Median FWHM_IMAGE [pix] {phys.angSize;stat.median}';
COMMENT ON COLUMN vasco.psf_statistics.spread_median IS 'Median SPREAD_MODEL [-] {src.morph.param;stat.median}';

CREATE TABLE vasco.morph_measure (
    extraction_id bigint NOT NULL,
    number integer NOT NULL,
    fwhm_ratio double precision CHECK (fwhm_ratio <> 'NaN'),
    spread_snr double precision CHECK (spread_snr <> 'NaN'),
    psf_fwhm_median double precision CHECK (psf_fwhm_median <> 'NaN'),
    psf_spread_median double precision CHECK (psf_spread_median <> 'NaN'),
    n_stars integer CHECK (n_stars >= 0),
    PRIMARY KEY (extraction_id, number),
    FOREIGN KEY (extraction_id, number) REFERENCES vasco.detection
);
COMMENT ON TABLE vasco.morph_measure IS
    'Width and sharpness against the image''s reference stars, as others published them; of own images they follow from psf_statistics';
COMMENT ON COLUMN vasco.morph_measure.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.morph_measure.number IS 'Detection within the extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.morph_measure.fwhm_ratio IS 'FWHM by the stars'' median [-] {phys.angSize;arith.ratio}';
COMMENT ON COLUMN vasco.morph_measure.spread_snr IS 'SPREAD_MODEL less the stars'' median, by its own error [-] {stat.snr;src.morph.param}';
COMMENT ON COLUMN vasco.morph_measure.psf_fwhm_median IS 'Median FWHM_IMAGE of the stars [pix] {phys.angSize;stat.median}';
COMMENT ON COLUMN vasco.morph_measure.psf_spread_median IS 'Median SPREAD_MODEL of the stars [-] {src.morph.param;stat.median}';
COMMENT ON COLUMN vasco.morph_measure.n_stars IS 'Their number [-] {meta.number}';

CREATE TABLE vasco.shape_measure (
    extraction_id bigint NOT NULL,
    number integer NOT NULL,
    variant text NOT NULL CHECK (variant IN ('inverted', 'direct')),
    profile_diff double precision CHECK (profile_diff >= 0 AND profile_diff <> 'NaN'),
    circularity double precision CHECK (circularity >= 0 AND circularity <> 'NaN'),
    elongation double precision CHECK (elongation <> 'NaN'),
    profile_log_median double precision CHECK (profile_log_median <> 'NaN'),
    profile_log_sigma double precision CHECK (profile_log_sigma >= 0 AND profile_log_sigma <> 'NaN'),
    circularity_median double precision CHECK (circularity_median <> 'NaN'),
    circularity_sigma double precision CHECK (circularity_sigma >= 0 AND circularity_sigma <> 'NaN'),
    area_px real CHECK (area_px >= 0 AND area_px <> 'NaN'),
    shape_defect real CHECK (shape_defect <> 'NaN'),
    circle_deviation real CHECK (circle_deviation <> 'NaN'),
    n_neighbours integer CHECK (n_neighbours >= 0),
    confidence text CHECK (confidence IN ('low', 'high')),
    published_rejections text[],
    failure text,
    PRIMARY KEY (extraction_id, number, variant),
    FOREIGN KEY (extraction_id, number) REFERENCES vasco.detection,
    -- Numbers, or why there are none.
    CHECK (failure IS NOT NULL OR n_neighbours IS NOT NULL),
    CHECK (failure IS NULL OR num_nonnulls(profile_diff, circularity) = 0)
);
COMMENT ON TABLE vasco.shape_measure IS
    'Radial profiles and outlines of detections against stars of like flux on the same image, measured or published';
COMMENT ON COLUMN vasco.shape_measure.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.shape_measure.number IS 'Detection within the extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.shape_measure.variant IS 'How: inverted, on a negative as the seeds do, or direct [-] {meta.code}';
COMMENT ON COLUMN vasco.shape_measure.profile_diff IS 'Distance of the radial profile from the mean of the neighbours''; null without neighbours [-] {src.morph.param}';
COMMENT ON COLUMN vasco.shape_measure.circularity IS '4 pi area by squared perimeter of the outline: 1 for a disc [-] {src.morph.param}';
COMMENT ON COLUMN vasco.shape_measure.elongation IS 'Axis ratio a/b [-] {phys.angSize;arith.ratio}';
COMMENT ON COLUMN vasco.shape_measure.profile_log_median IS 'Median of ln profile_diff of the neighbours, each from the others [-] {src.morph.param;stat.median}';
COMMENT ON COLUMN vasco.shape_measure.profile_log_sigma IS 'Robust sigma of the same [-] {src.morph.param;stat.stdev}';
COMMENT ON COLUMN vasco.shape_measure.circularity_median IS 'Median circularity of the neighbours [-] {src.morph.param;stat.median}';
COMMENT ON COLUMN vasco.shape_measure.circularity_sigma IS 'Robust sigma of the same [-] {src.morph.param;stat.stdev}';
COMMENT ON COLUMN vasco.shape_measure.area_px IS 'Area of the outline [pix2] {phys.angArea}';
COMMENT ON COLUMN vasco.shape_measure.shape_defect IS 'Depths of the outline''s dents by its greater side [-] {src.morph.param}';
COMMENT ON COLUMN vasco.shape_measure.circle_deviation IS 'Scatter of the outline''s points about the circle around them, by its radius [-] {src.morph.param}';
COMMENT ON COLUMN vasco.shape_measure.n_neighbours IS 'Detections of like flux it was compared with [-] {meta.number}';
COMMENT ON COLUMN vasco.shape_measure.confidence IS 'low for an outline below 100 pix2, else high [-] {meta.code.qual}';
COMMENT ON COLUMN vasco.shape_measure.published_rejections IS 'Criteria by which a publisher rejected it, such as elongation>1.1; they decide where a printed value equals the limit [-] {meta.note}';
COMMENT ON COLUMN vasco.shape_measure.failure IS 'Why it could not be measured [-] {meta.note}';
