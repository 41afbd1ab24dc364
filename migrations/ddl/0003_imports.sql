-- Releases of other pipelines, taken in as external runs.

CREATE TABLE vasco.release (
    release_id bigint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    run_tag text,
    path text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE vasco.release IS 'Published releases and run folders of other pipelines that were imported';
COMMENT ON COLUMN vasco.release.release_id IS 'Hash of the contents of its files [-] {meta.id;meta.main}';
COMMENT ON COLUMN vasco.release.name IS 'Name it was imported under [-] {meta.id}';
COMMENT ON COLUMN vasco.release.run_tag IS 'Name that the run gives itself in its summary or ledgers [-] {meta.id}';
COMMENT ON COLUMN vasco.release.path IS 'Folder it came from, on this machine [-] {meta.id;meta.file}';
COMMENT ON COLUMN vasco.release.recorded_at IS 'When it was imported [-] {time}';

CREATE TABLE vasco.release_file (
    release_id bigint NOT NULL REFERENCES vasco.release,
    file_name text NOT NULL,
    sha256 text NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    rows_in bigint CHECK (rows_in >= 0),
    rows_kept bigint,
    rows_rejected bigint,
    PRIMARY KEY (release_id, file_name),
    CHECK (num_nulls(rows_in, rows_kept, rows_rejected) IN (0, 3)),
    CHECK (rows_in = rows_kept + rows_rejected)
);
COMMENT ON TABLE vasco.release_file IS 'Files of a release that were read';
COMMENT ON COLUMN vasco.release_file.release_id IS 'Release [-] {meta.id}';
COMMENT ON COLUMN vasco.release_file.file_name IS 'Name of the file, without .gz [-] {meta.id;meta.file}';
COMMENT ON COLUMN vasco.release_file.sha256 IS 'SHA-256 of its uncompressed content [-] {meta.checksum}';
COMMENT ON COLUMN vasco.release_file.size_bytes IS 'Length of that content [byte] {phys.size;meta.file}';
COMMENT ON COLUMN vasco.release_file.rows_in IS 'Rows it has; null for what is no table [-] {meta.number}';
COMMENT ON COLUMN vasco.release_file.rows_kept IS 'Rows that were taken in [-] {meta.number}';
COMMENT ON COLUMN vasco.release_file.rows_rejected IS 'Rows of other runs, left out [-] {meta.number}';

-- Images that were never seen here: only what the release says of them.
ALTER TABLE plate.image
    ALTER COLUMN sha256 DROP NOT NULL,
    ALTER COLUMN file_name DROP NOT NULL,
    ALTER COLUMN size_bytes DROP NOT NULL,
    ALTER COLUMN naxis1 DROP NOT NULL,
    ALTER COLUMN naxis2 DROP NOT NULL,
    ALTER COLUMN header DROP NOT NULL,
    ALTER COLUMN path DROP NOT NULL,
    ADD COLUMN planned_plate text,
    ADD COLUMN release_id bigint REFERENCES vasco.release,
    DROP CONSTRAINT image_status_check,
    DROP CONSTRAINT image_check,
    ADD CONSTRAINT image_status_check CHECK (status IN ('ok', 'refused', 'imported')),
    ADD CONSTRAINT image_reason_check CHECK (status <> 'refused' OR status_reason IS NOT NULL),
    ADD CONSTRAINT image_file_check CHECK (
        status = 'imported' OR num_nulls(sha256, file_name, size_bytes, naxis1, naxis2, header, path) = 0
    ),
    ADD CONSTRAINT image_imported_check CHECK (
        status <> 'imported' OR num_nulls(tile_id, plate_id, ra, dec, radius_deg, footprint) = 0
    ),
    ADD CONSTRAINT image_release_check CHECK ((status = 'imported') = (release_id IS NOT NULL));
CREATE INDEX image_release ON plate.image (release_id) WHERE release_id IS NOT NULL;
COMMENT ON COLUMN plate.image.image_id IS 'Hash of the file''s bytes, or of release and tile [-] {meta.id;meta.main}';
COMMENT ON COLUMN plate.image.sha256 IS 'SHA-256 of the file; null for imported images [-] {meta.checksum}';
COMMENT ON COLUMN plate.image.file_name IS 'Name of the file; null for imported images [-] {meta.id;meta.file}';
COMMENT ON COLUMN plate.image.status IS
    'ok, refused because it is no POSS-I red plate, or imported: never seen here, known from a release [-] {meta.code.status}';
COMMENT ON COLUMN plate.image.plate_id IS
    'The plate it shows, header REGION, whatever was planned; of an imported image see vasco.release_tile [-] {meta.id}';
COMMENT ON COLUMN plate.image.planned_plate IS 'Plate that the plan names, attribution only [-] {meta.id}';
COMMENT ON COLUMN plate.image.release_id IS 'Release that an imported image is known from [-] {meta.id}';
COMMENT ON COLUMN plate.image.footprint IS
    'Sky it covers, as HEALPix ranges of order 29, nested; of an imported image the square of its tile, roughly [-] {pos.healpix}';

-- A tile whose list of survivors is missing is not one without survivors, so it has no extraction.
CREATE TABLE vasco.release_tile (
    release_id bigint NOT NULL REFERENCES vasco.release,
    tile_id text NOT NULL REFERENCES plate.tile,
    image_id bigint NOT NULL UNIQUE REFERENCES plate.image,
    extraction_id bigint UNIQUE REFERENCES vasco.extraction,
    obs_start timestamptz,
    status text NOT NULL CHECK (status IN ('rows', 'empty', 'missing')),
    note text,
    plate_source text NOT NULL CHECK (plate_source IN ('plan', 'date', 'release')),
    psf_stars integer CHECK (psf_stars >= 0),
    rows_filtered integer NOT NULL CHECK (rows_filtered >= 0),
    rows_emitted integer NOT NULL CHECK (rows_emitted >= 0),
    PRIMARY KEY (release_id, tile_id),
    CHECK ((status = 'missing') = (extraction_id IS NULL))
);
COMMENT ON TABLE vasco.release_tile IS 'Tiles of a release as its manifest lists them';
COMMENT ON COLUMN vasco.release_tile.release_id IS 'Release [-] {meta.id}';
COMMENT ON COLUMN vasco.release_tile.tile_id IS 'Tile [-] {meta.id}';
COMMENT ON COLUMN vasco.release_tile.image_id IS 'Image [-] {meta.id}';
COMMENT ON COLUMN vasco.release_tile.extraction_id IS 'Extraction; null where the survivors are missing [-] {meta.id}';
COMMENT ON COLUMN vasco.release_tile.obs_start IS
    'Start of the exposure, literal reading of the release''s date; null where it gives none [-] {time.start;obs.exposure}';
COMMENT ON COLUMN vasco.release_tile.status IS
    'rows; empty (no survivors); missing (no list of survivors: lost, or empty; nobody can tell) [-] {meta.code.status}';
COMMENT ON COLUMN vasco.release_tile.note IS 'The manifest''s own note [-] {meta.note}';
COMMENT ON COLUMN vasco.release_tile.plate_source IS
    'How the plate is known: plan (attribution only), date (the exposure''s, that of one plate alone), release (its word) [-] {meta.code}';
COMMENT ON COLUMN vasco.release_tile.psf_stars IS
    'Stars of Gaia that the release found on the tile; null where it does not say [-] {meta.number}';
COMMENT ON COLUMN vasco.release_tile.rows_filtered IS 'Survivors of the tile, by the manifest [-] {meta.number}';
COMMENT ON COLUMN vasco.release_tile.rows_emitted IS 'Those of them that went into the first stage, before duplicates were dropped [-] {meta.number}';

-- Of an imported detection little was published. One that was extracted here has all that SExtractor measures.
ALTER TABLE vasco.detection
    ALTER COLUMN ra_raw DROP NOT NULL,
    ALTER COLUMN dec_raw DROP NOT NULL,
    ALTER COLUMN xwin_image DROP NOT NULL,
    ALTER COLUMN ywin_image DROP NOT NULL,
    ALTER COLUMN x_image DROP NOT NULL,
    ALTER COLUMN y_image DROP NOT NULL,
    ALTER COLUMN elongation DROP NOT NULL,
    ALTER COLUMN ellipticity DROP NOT NULL,
    ALTER COLUMN fwhm_image DROP NOT NULL,
    ALTER COLUMN flux_auto DROP NOT NULL,
    ALTER COLUMN mag_auto DROP NOT NULL,
    ALTER COLUMN flux_aper DROP NOT NULL,
    ALTER COLUMN class_star DROP NOT NULL,
    ALTER COLUMN snr_win DROP NOT NULL,
    ALTER COLUMN flags DROP NOT NULL,
    ALTER COLUMN xmin_image DROP NOT NULL,
    ALTER COLUMN xmax_image DROP NOT NULL,
    ALTER COLUMN ymin_image DROP NOT NULL,
    ALTER COLUMN ymax_image DROP NOT NULL,
    ADD CONSTRAINT detection_measured_check CHECK (
        xwin_image IS NULL
        OR num_nulls(
            ra_raw, dec_raw, ywin_image, x_image, y_image, elongation, ellipticity, fwhm_image, flux_auto, mag_auto,
            flux_aper, class_star, snr_win, flags, xmin_image, xmax_image, ymin_image, ymax_image
        ) = 0
    );
COMMENT ON COLUMN vasco.detection.ra_raw IS
    'Right ascension of XWIN, YWIN through the header''s solution; null where imported [deg] {pos.eq.ra}';
COMMENT ON COLUMN vasco.detection.dec_raw IS
    'Declination of XWIN, YWIN through the header''s solution; null where imported [deg] {pos.eq.dec}';
COMMENT ON COLUMN vasco.detection.xwin_image IS 'Windowed position in x; null where imported [pix] {pos.cartesian.x;instr.det}';

-- Files of releases are look-ups of a kind of their own: evidence of what others were answered, without coverage. A
-- file that is about no catalogue names none.
ALTER TABLE ref.lookup
    ALTER COLUMN catalog DROP NOT NULL,
    DROP CONSTRAINT lookup_kind_check,
    DROP CONSTRAINT lookup_service_check,
    ADD CONSTRAINT lookup_kind_check
        CHECK (kind IN ('file', 'bulk', 'area', 'list', 'moving', 'canary', 'footprint', 'import')),
    ADD CONSTRAINT lookup_service_check CHECK (kind IN ('file', 'bulk', 'import') OR service IS NOT NULL),
    ADD CONSTRAINT lookup_catalog_check CHECK (kind = 'import' OR catalog IS NOT NULL);
COMMENT ON COLUMN ref.lookup.catalog IS
    'Catalogue that was asked; null for files of a release that are about none [-] {meta.id}';
COMMENT ON COLUMN ref.lookup.kind IS
    'How it was asked: file or bulk (sources and coverage vouched for by the user), area (all sources of a region), '
    'list (all sources near given positions), moving (all moving objects of a region at a time), canary (a position '
    'whose answer is known), footprint (the survey''s own outline), import (by another pipeline, as its release says) [-] {meta.code}';

CREATE TABLE vasco.release_stage (
    release_id bigint NOT NULL REFERENCES vasco.release,
    ordinal smallint NOT NULL CHECK (ordinal > 0),
    stage text NOT NULL,
    rows_in bigint NOT NULL CHECK (rows_in >= 0),
    rows_kept bigint NOT NULL CHECK (rows_kept BETWEEN 0 AND rows_in),
    parameters jsonb NOT NULL,
    lookup_id bigint NOT NULL REFERENCES ref.lookup,
    PRIMARY KEY (release_id, stage),
    UNIQUE (release_id, ordinal)
);
COMMENT ON TABLE vasco.release_stage IS 'Stages of a release as published, in their order';
COMMENT ON COLUMN vasco.release_stage.release_id IS 'Release [-] {meta.id}';
COMMENT ON COLUMN vasco.release_stage.ordinal IS 'Place in the order [-] {meta.number}';
COMMENT ON COLUMN vasco.release_stage.stage IS 'Stage as its files are called, such as S0M_MORPH [-] {meta.id}';
COMMENT ON COLUMN vasco.release_stage.rows_in IS 'Detections it judged [-] {meta.number}';
COMMENT ON COLUMN vasco.release_stage.rows_kept IS 'Detections it kept [-] {meta.number}';
COMMENT ON COLUMN vasco.release_stage.parameters IS 'Parameters in its ledger [-] {meta.record}';
COMMENT ON COLUMN vasco.release_stage.lookup_id IS 'The file that says so, as a look-up [-] {meta.id}';

CREATE TABLE vasco.published_verdict (
    extraction_id bigint NOT NULL,
    number integer NOT NULL,
    stage text NOT NULL,
    rejected boolean NOT NULL,
    reason text,
    metrics jsonb NOT NULL,
    lookup_id bigint NOT NULL REFERENCES ref.lookup,
    PRIMARY KEY (extraction_id, number, stage),
    FOREIGN KEY (extraction_id, number) REFERENCES vasco.detection
);
COMMENT ON TABLE vasco.published_verdict IS 'What each stage of a release said of each detection it judged';
COMMENT ON COLUMN vasco.published_verdict.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.published_verdict.number IS 'Detection within the extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.published_verdict.stage IS 'Stage as its files are called, such as S0M_MORPH [-] {meta.id}';
COMMENT ON COLUMN vasco.published_verdict.rejected IS 'Whether the stage dropped it [-] {meta.code.status}';
COMMENT ON COLUMN vasco.published_verdict.reason IS 'The release''s own reason [-] {meta.note}';
COMMENT ON COLUMN vasco.published_verdict.metrics IS 'What the stage measured or was answered: its row in the file [-] {meta.record}';
COMMENT ON COLUMN vasco.published_verdict.lookup_id IS 'The file that says so, as a look-up [-] {meta.id}';

CREATE TABLE vasco.imported_match (
    extraction_id bigint NOT NULL,
    number integer NOT NULL,
    catalog text NOT NULL REFERENCES ref.catalog,
    state vasco.look_state NOT NULL,
    source text NOT NULL,
    sep_arcsec double precision CHECK (sep_arcsec >= 0),
    n_within integer NOT NULL CHECK (n_within >= 0),
    lookup_id bigint,
    lookup_complete boolean,
    reason text,
    PRIMARY KEY (extraction_id, number, catalog),
    FOREIGN KEY (extraction_id, number) REFERENCES vasco.detection,
    FOREIGN KEY (lookup_id, catalog, lookup_complete) REFERENCES ref.lookup (lookup_id, catalog, complete),
    CHECK (state = 'matched' OR sep_arcsec IS NULL),
    CHECK ((state = 'matched') = (n_within > 0)),
    CHECK (state <> 'clear' OR (lookup_id IS NOT NULL AND lookup_complete IS TRUE)),
    CHECK ((lookup_id IS NULL) = (lookup_complete IS NULL)),
    CHECK (state <> 'unknown' OR reason IS NOT NULL)
);
COMMENT ON TABLE vasco.imported_match IS 'What a release says of its detections in reference catalogues, beside vasco.match';
COMMENT ON COLUMN vasco.imported_match.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.imported_match.number IS 'Detection within the extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.imported_match.catalog IS 'Catalogue [-] {meta.id}';
COMMENT ON COLUMN vasco.imported_match.state IS 'matched, clear, unknown or not_covered [-] {meta.code.status}';
COMMENT ON COLUMN vasco.imported_match.source IS 'File of the release that says so [-] {meta.ref}';
COMMENT ON COLUMN vasco.imported_match.sep_arcsec IS 'Separation of the counterpart, where the release gives it [arcsec] {pos.angDistance}';
COMMENT ON COLUMN vasco.imported_match.n_within IS 'Counterparts, at least [-] {meta.number}';
COMMENT ON COLUMN vasco.imported_match.lookup_id IS 'The file that says so, as a look-up [-] {meta.id}';
COMMENT ON COLUMN vasco.imported_match.lookup_complete IS 'Whether it is complete [-] {meta.code.qual}';
COMMENT ON COLUMN vasco.imported_match.reason IS 'Why the state is unknown, or what else there is to say [-] {meta.note}';
