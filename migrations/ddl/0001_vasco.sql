-- Extractions, detections, matches, runs and verdicts.

CREATE TABLE vasco.extraction (
    extraction_id bigint PRIMARY KEY,
    image_id bigint NOT NULL REFERENCES plate.image,
    config_name text NOT NULL,
    config_sha256 text NOT NULL,
    sextractor_version text NOT NULL,
    psfex_version text NOT NULL,
    psf_stars_loaded integer,
    psf_stars_accepted integer CHECK (psf_stars_accepted > 0),
    psf_fwhm_px real,
    psf_chi2 real,
    n_detections integer NOT NULL CHECK (n_detections >= 0),
    tool_warnings text[] NOT NULL,
    extracted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX extraction_image ON vasco.extraction (image_id);
COMMENT ON TABLE vasco.extraction IS 'One run of the extraction tools on one image with one configuration';
COMMENT ON COLUMN vasco.extraction.extraction_id IS 'Hash of image, configuration and tool versions [-] {meta.id;meta.main}';
COMMENT ON COLUMN vasco.extraction.image_id IS 'Image [-] {meta.id}';
COMMENT ON COLUMN vasco.extraction.config_name IS 'Name of the configuration [-] {meta.id}';
COMMENT ON COLUMN vasco.extraction.config_sha256 IS 'SHA-256 of the configuration [-] {meta.checksum}';
COMMENT ON COLUMN vasco.extraction.sextractor_version IS 'Version of SExtractor [-] {meta.version}';
COMMENT ON COLUMN vasco.extraction.psfex_version IS 'Version of PSFEx [-] {meta.version}';
COMMENT ON COLUMN vasco.extraction.psf_stars_loaded IS 'Stars PSFEx looked at [-] {meta.number}';
COMMENT ON COLUMN vasco.extraction.psf_stars_accepted IS 'Stars PSFEx made the model of [-] {meta.number}';
COMMENT ON COLUMN vasco.extraction.psf_fwhm_px IS 'FWHM of the PSF model [pix] {instr.det.psf}';
COMMENT ON COLUMN vasco.extraction.psf_chi2 IS 'Reduced chi2 of the PSF model [-] {stat.fit.chi2}';
COMMENT ON COLUMN vasco.extraction.n_detections IS 'Detections on the image [-] {meta.number}';
COMMENT ON COLUMN vasco.extraction.tool_warnings IS 'Warnings of the tools, each after the step that gave it [-] {meta.note}';
COMMENT ON COLUMN vasco.extraction.extracted_at IS 'When it was done [-] {time}';

-- Eight-byte columns first, then four, then two: no padding inside a row.
CREATE TABLE vasco.detection (
    extraction_id bigint NOT NULL REFERENCES vasco.extraction,
    ra double precision NOT NULL CHECK (ra >= 0 AND ra < 360),
    dec double precision NOT NULL CHECK (dec BETWEEN -90 AND 90),
    ra_raw double precision NOT NULL CHECK (ra_raw >= 0 AND ra_raw < 360),
    dec_raw double precision NOT NULL CHECK (dec_raw BETWEEN -90 AND 90),
    xwin_image double precision NOT NULL,
    ywin_image double precision NOT NULL,
    hpx29 bigint NOT NULL CHECK (hpx29 >= 0),
    number integer NOT NULL CHECK (number > 0),
    x_image real NOT NULL,
    y_image real NOT NULL,
    elongation real NOT NULL,
    ellipticity real NOT NULL,
    fwhm_image real NOT NULL,
    flux_auto real NOT NULL,
    mag_auto real NOT NULL,
    flux_aper real NOT NULL,
    class_star real NOT NULL,
    snr_win real NOT NULL,
    spread_model real,
    spreaderr_model real,
    flags smallint NOT NULL,
    xmin_image smallint NOT NULL,
    xmax_image smallint NOT NULL,
    ymin_image smallint NOT NULL,
    ymax_image smallint NOT NULL,
    PRIMARY KEY (extraction_id, number),
    CHECK ((spread_model IS NULL) = (spreaderr_model IS NULL))
);
CREATE INDEX detection_sky ON vasco.detection (q3c_ang2ipix(ra, dec));
COMMENT ON TABLE vasco.detection IS 'Every detection on every image';
COMMENT ON COLUMN vasco.detection.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.detection.ra IS 'Best right ascension, J2000 [deg] {pos.eq.ra;meta.main}';
COMMENT ON COLUMN vasco.detection.dec IS 'Best declination, J2000 [deg] {pos.eq.dec;meta.main}';
COMMENT ON COLUMN vasco.detection.ra_raw IS 'Right ascension of XWIN, YWIN through the header''s solution [deg] {pos.eq.ra}';
COMMENT ON COLUMN vasco.detection.dec_raw IS 'Declination of XWIN, YWIN through the header''s solution [deg] {pos.eq.dec}';
COMMENT ON COLUMN vasco.detection.xwin_image IS 'Windowed position in x [pix] {pos.cartesian.x;instr.det}';
COMMENT ON COLUMN vasco.detection.ywin_image IS 'Windowed position in y [pix] {pos.cartesian.y;instr.det}';
COMMENT ON COLUMN vasco.detection.hpx29 IS 'HEALPix cell of the best position, order 29, nested [-] {pos.healpix}';
COMMENT ON COLUMN vasco.detection.number IS 'Number within the extraction [-] {meta.id;meta.main}';
COMMENT ON COLUMN vasco.detection.x_image IS 'Isophotal position in x [pix] {pos.cartesian.x;instr.det}';
COMMENT ON COLUMN vasco.detection.y_image IS 'Isophotal position in y [pix] {pos.cartesian.y;instr.det}';
COMMENT ON COLUMN vasco.detection.elongation IS 'Axis ratio a/b [-] {phys.angSize;arith.ratio}';
COMMENT ON COLUMN vasco.detection.ellipticity IS '1 - b/a [-] {src.ellipticity}';
COMMENT ON COLUMN vasco.detection.fwhm_image IS 'FWHM of a Gaussian core [pix] {phys.angSize}';
COMMENT ON COLUMN vasco.detection.flux_auto IS 'Kron flux, photographic density [ct] {phot.count}';
COMMENT ON COLUMN vasco.detection.mag_auto IS 'Kron magnitude, instrumental [mag] {phot.mag}';
COMMENT ON COLUMN vasco.detection.flux_aper IS 'Flux in a 5 pix aperture, photographic density [ct] {phot.count}';
COMMENT ON COLUMN vasco.detection.class_star IS 'Star-galaxy classifier, 1 for a star [-] {src.class.starGalaxy}';
COMMENT ON COLUMN vasco.detection.snr_win IS 'Signal-to-noise in the window [-] {stat.snr}';
COMMENT ON COLUMN vasco.detection.spread_model IS 'SPREAD_MODEL: 0 for a point source, null where not measured [-] {src.morph.param}';
COMMENT ON COLUMN vasco.detection.spreaderr_model IS 'Error of SPREAD_MODEL [-] {stat.error;src.morph.param}';
COMMENT ON COLUMN vasco.detection.flags IS 'SExtractor''s extraction flags [-] {meta.code.qual}';
COMMENT ON COLUMN vasco.detection.xmin_image IS 'First column of the detection [pix] {pos.cartesian.x;stat.min}';
COMMENT ON COLUMN vasco.detection.xmax_image IS 'Last column of the detection [pix] {pos.cartesian.x;stat.max}';
COMMENT ON COLUMN vasco.detection.ymin_image IS 'First row of the detection [pix] {pos.cartesian.y;stat.min}';
COMMENT ON COLUMN vasco.detection.ymax_image IS 'Last row of the detection [pix] {pos.cartesian.y;stat.max}';

CREATE TABLE vasco.match (
    extraction_id bigint NOT NULL,
    number integer NOT NULL,
    catalog text NOT NULL REFERENCES ref.catalog,
    state vasco.look_state NOT NULL,
    source_id bigint,
    sep_arcsec double precision CHECK (sep_arcsec >= 0),
    n_within integer NOT NULL CHECK (n_within >= 0),
    lookup_id bigint,
    lookup_complete boolean,
    reason text,
    PRIMARY KEY (extraction_id, number, catalog),
    FOREIGN KEY (extraction_id, number) REFERENCES vasco.detection,
    FOREIGN KEY (lookup_id, catalog, lookup_complete) REFERENCES ref.lookup (lookup_id, catalog, complete),
    CHECK ((state = 'matched') = (source_id IS NOT NULL)),
    CHECK ((state = 'matched') = (sep_arcsec IS NOT NULL)),
    CHECK ((state = 'matched') = (n_within > 0)),
    -- "No counterpart" exists only where a complete look-up covered the position.
    CHECK (state <> 'clear' OR (lookup_id IS NOT NULL AND lookup_complete IS TRUE)),
    CHECK ((lookup_id IS NULL) = (lookup_complete IS NULL)),
    CHECK (state <> 'unknown' OR reason IS NOT NULL)
);
COMMENT ON TABLE vasco.match IS 'What each catalogue says of each detection, at the plate''s epoch';
COMMENT ON COLUMN vasco.match.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.match.number IS 'Detection within the extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.match.catalog IS 'Catalogue [-] {meta.id}';
COMMENT ON COLUMN vasco.match.state IS 'matched, clear, unknown or not_covered [-] {meta.code.status}';
COMMENT ON COLUMN vasco.match.source_id IS 'Nearest counterpart [-] {meta.id.cross}';
COMMENT ON COLUMN vasco.match.sep_arcsec IS 'Its separation at the plate''s epoch [arcsec] {pos.angDistance}';
COMMENT ON COLUMN vasco.match.n_within IS 'Sources within the match radius [-] {meta.number}';
COMMENT ON COLUMN vasco.match.lookup_id IS 'Complete look-up that covers the position [-] {meta.id}';
COMMENT ON COLUMN vasco.match.lookup_complete IS 'True where a look-up is named; ties it to a complete one [-] {meta.code.qual}';
COMMENT ON COLUMN vasco.match.reason IS 'Why the state is unknown [-] {meta.note}';

CREATE TABLE vasco.run (
    run_id bigint PRIMARY KEY,
    run text NOT NULL UNIQUE,
    profile text NOT NULL,
    parameters jsonb NOT NULL,
    code_version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE vasco.run IS 'A profile with its parameters, applied to a selection of images';
COMMENT ON COLUMN vasco.run.run_id IS 'Hash of name and parameters [-] {meta.id;meta.main}';
COMMENT ON COLUMN vasco.run.run IS 'Name of the run [-] {meta.id}';
COMMENT ON COLUMN vasco.run.profile IS 'Profile [-] {meta.id}';
COMMENT ON COLUMN vasco.run.parameters IS 'The whole profile as it was when the run began [-] {meta.record}';
COMMENT ON COLUMN vasco.run.code_version IS 'Version of vascodb [-] {meta.version}';
COMMENT ON COLUMN vasco.run.started_at IS 'When it was begun [-] {time}';

CREATE TABLE vasco.run_image (
    run_id bigint NOT NULL REFERENCES vasco.run,
    extraction_id bigint NOT NULL REFERENCES vasco.extraction,
    PRIMARY KEY (run_id, extraction_id)
);
COMMENT ON TABLE vasco.run_image IS 'The selection: extractions that a run judges';
COMMENT ON COLUMN vasco.run_image.run_id IS 'Run [-] {meta.id}';
COMMENT ON COLUMN vasco.run_image.extraction_id IS 'Extraction [-] {meta.id}';

CREATE TABLE vasco.run_stage (
    run_id bigint NOT NULL REFERENCES vasco.run,
    ordinal smallint NOT NULL CHECK (ordinal > 0),
    stage text NOT NULL,
    step smallint NOT NULL CHECK (step > 0),
    function text NOT NULL,
    parameters jsonb NOT NULL,
    PRIMARY KEY (run_id, stage),
    UNIQUE (run_id, ordinal)
);
COMMENT ON TABLE vasco.run_stage IS 'The stages of a run, in order; all are required';
COMMENT ON COLUMN vasco.run_stage.run_id IS 'Run [-] {meta.id}';
COMMENT ON COLUMN vasco.run_stage.ordinal IS 'Place in the order [-] {meta.number}';
COMMENT ON COLUMN vasco.run_stage.stage IS 'Name of the stage [-] {meta.id}';
COMMENT ON COLUMN vasco.run_stage.step IS 'Stages of one step judge the same detections: those that passed every earlier step [-] {meta.number}';
COMMENT ON COLUMN vasco.run_stage.function IS 'Function in schema stage that judges [-] {meta.id}';
COMMENT ON COLUMN vasco.run_stage.parameters IS 'Its parameters [-] {meta.record}';

CREATE TABLE vasco.verdict (
    run_id bigint NOT NULL,
    stage text NOT NULL,
    extraction_id bigint NOT NULL,
    number integer NOT NULL,
    outcome vasco.outcome NOT NULL,
    value double precision,
    reason text,
    lookup_id bigint REFERENCES ref.lookup,
    PRIMARY KEY (run_id, stage, extraction_id, number),
    FOREIGN KEY (run_id, stage) REFERENCES vasco.run_stage,
    FOREIGN KEY (run_id, extraction_id) REFERENCES vasco.run_image,
    FOREIGN KEY (extraction_id, number) REFERENCES vasco.detection,
    -- A pass stands on a measured value or on a look-up; everything else says why.
    CHECK (outcome <> 'pass' OR value IS NOT NULL OR lookup_id IS NOT NULL),
    CHECK (outcome = 'pass' OR reason IS NOT NULL)
);
CREATE INDEX verdict_detection ON vasco.verdict (extraction_id, number);
COMMENT ON TABLE vasco.verdict IS 'What each stage of each run says of each detection it judged';
COMMENT ON COLUMN vasco.verdict.run_id IS 'Run [-] {meta.id}';
COMMENT ON COLUMN vasco.verdict.stage IS 'Stage [-] {meta.id}';
COMMENT ON COLUMN vasco.verdict.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.verdict.number IS 'Detection within the extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.verdict.outcome IS 'pass, fail, unknown or not_covered [-] {meta.code.status}';
COMMENT ON COLUMN vasco.verdict.value IS 'The measured value the stage judged, in the unit of its threshold [-] {stat.value}';
COMMENT ON COLUMN vasco.verdict.reason IS 'Why it did not pass [-] {meta.note}';
COMMENT ON COLUMN vasco.verdict.lookup_id IS 'Complete look-up it stands on [-] {meta.id}';

CREATE TABLE vasco.clip_window (
    run_id bigint NOT NULL,
    stage text NOT NULL,
    extraction_id bigint NOT NULL,
    quantity text NOT NULL,
    bin smallint NOT NULL CHECK (bin > 0),
    population text NOT NULL,
    n integer NOT NULL CHECK (n >= 0),
    mag_min real,
    mag_max real,
    median double precision NOT NULL,
    mad double precision NOT NULL,
    lower double precision,
    upper double precision,
    PRIMARY KEY (run_id, stage, extraction_id, quantity, bin),
    FOREIGN KEY (run_id, stage) REFERENCES vasco.run_stage,
    FOREIGN KEY (run_id, extraction_id) REFERENCES vasco.run_image
);
COMMENT ON TABLE vasco.clip_window IS 'Windows of clipping stages, with the population that made them, per image and bin of magnitude';
COMMENT ON COLUMN vasco.clip_window.run_id IS 'Run [-] {meta.id}';
COMMENT ON COLUMN vasco.clip_window.stage IS 'Stage [-] {meta.id}';
COMMENT ON COLUMN vasco.clip_window.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.clip_window.quantity IS 'Clipped column of vasco.detection [-] {meta.id}';
COMMENT ON COLUMN vasco.clip_window.bin IS 'Bin of magnitude, brightest first [-] {meta.number}';
COMMENT ON COLUMN vasco.clip_window.population IS 'Detections the window was made of [-] {meta.note}';
COMMENT ON COLUMN vasco.clip_window.n IS 'Their number [-] {meta.number}';
COMMENT ON COLUMN vasco.clip_window.mag_min IS 'Brightest MAG_AUTO that the bin judges; null for no limit [mag] {phot.mag;stat.min}';
COMMENT ON COLUMN vasco.clip_window.mag_max IS 'Faintest MAG_AUTO that the bin judges; null for no limit [mag] {phot.mag;stat.max}';
COMMENT ON COLUMN vasco.clip_window.median IS 'Their median, in the unit of the quantity [-] {stat.value;stat.median}';
COMMENT ON COLUMN vasco.clip_window.mad IS 'Their median absolute deviation, in the unit of the quantity [-] {stat.param}';
COMMENT ON COLUMN vasco.clip_window.lower IS 'Lower limit; null where nothing is clipped [-] {stat.value;stat.min}';
COMMENT ON COLUMN vasco.clip_window.upper IS 'Upper limit; null where nothing is clipped [-] {stat.value;stat.max}';
