-- Reference catalogues: registry, look-ups, coverage, and the template of their source tables.

CREATE TABLE ref.catalog (
    catalog text PRIMARY KEY CHECK (catalog ~ '^[a-z][a-z0-9_]{1,40}$'),
    family text NOT NULL,
    title text NOT NULL,
    epoch_jyear real NOT NULL,
    has_pm boolean NOT NULL,
    match_radius_arcsec real NOT NULL CHECK (match_radius_arcsec > 0 AND match_radius_arcsec <= 60),
    coverage_margin_arcsec real NOT NULL CHECK (coverage_margin_arcsec >= match_radius_arcsec),
    mag_band text NOT NULL,
    depth_mag real NOT NULL,
    dec_min real NOT NULL DEFAULT -90 CHECK (dec_min BETWEEN -90 AND 90),
    dec_max real NOT NULL DEFAULT 90 CHECK (dec_max BETWEEN -90 AND 90),
    service text NOT NULL,
    licence text NOT NULL,
    citation text NOT NULL
);
COMMENT ON TABLE ref.catalog IS 'Registered reference catalogues; each has a table ref.<catalog>';
COMMENT ON COLUMN ref.catalog.catalog IS 'Name of the catalogue and of its table [-] {meta.id;meta.main}';
COMMENT ON COLUMN ref.catalog.family IS 'Catalogues of one family stand for each other in a profile [-] {meta.code.class}';
COMMENT ON COLUMN ref.catalog.title IS 'Full name [-] {meta.title}';
COMMENT ON COLUMN ref.catalog.epoch_jyear IS 'Epoch of positions that carry none of their own [yr] {time.epoch}';
COMMENT ON COLUMN ref.catalog.has_pm IS 'Whether it has proper motions [-] {meta.code}';
COMMENT ON COLUMN ref.catalog.match_radius_arcsec IS 'A source this near at the plate''s epoch is a counterpart [arcsec] {pos.angDistance}';
COMMENT ON COLUMN ref.catalog.coverage_margin_arcsec IS 'Rim of a look-up that does not count as covered: match radius and motion [arcsec] {pos.angDistance}';
COMMENT ON COLUMN ref.catalog.mag_band IS 'Band of its magnitude [-] {instr.bandpass}';
COMMENT ON COLUMN ref.catalog.depth_mag IS 'Magnitude to which it is nearly complete [mag] {phot.mag;stat.max}';
COMMENT ON COLUMN ref.catalog.dec_min IS 'Southern limit of the survey [deg] {pos.eq.dec;stat.min}';
COMMENT ON COLUMN ref.catalog.dec_max IS 'Northern limit of the survey [deg] {pos.eq.dec;stat.max}';
COMMENT ON COLUMN ref.catalog.service IS 'Where it is served [-] {meta.ref.url}';
COMMENT ON COLUMN ref.catalog.licence IS 'Terms of use [-] {meta.note}';
COMMENT ON COLUMN ref.catalog.citation IS 'What to cite [-] {meta.bib}';

CREATE TABLE ref.lookup (
    lookup_id bigint PRIMARY KEY,
    catalog text NOT NULL REFERENCES ref.catalog,
    kind text NOT NULL CHECK (kind IN ('file')),
    endpoint text NOT NULL,
    parameters jsonb NOT NULL,
    region text NOT NULL,
    status text NOT NULL CHECK (status IN ('ok', 'failed')),
    error text CHECK (status = 'ok' OR error IS NOT NULL),
    rows_in bigint NOT NULL CHECK (rows_in >= 0),
    rows_kept bigint NOT NULL,
    rows_rejected bigint NOT NULL,
    row_cap bigint CHECK (row_cap > 0),
    overflow boolean NOT NULL,
    complete boolean NOT NULL,
    response_sha256 text,
    asked_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (lookup_id, catalog, complete),
    CHECK (rows_in = rows_kept + rows_rejected),
    -- A complete look-up went well, was not cut off, and left a trace of what was answered.
    CHECK (
        NOT complete
        OR (status = 'ok' AND NOT overflow AND (row_cap IS NULL OR rows_in < row_cap) AND response_sha256 IS NOT NULL)
    )
);
CREATE INDEX lookup_endpoint ON ref.lookup (catalog, endpoint);
COMMENT ON TABLE ref.lookup IS 'Every query to a reference catalogue, with its evidence, whether it went well or not';
COMMENT ON COLUMN ref.lookup.lookup_id IS 'Hash of catalogue, region and answer [-] {meta.id;meta.main}';
COMMENT ON COLUMN ref.lookup.catalog IS 'Catalogue that was asked [-] {meta.id}';
COMMENT ON COLUMN ref.lookup.kind IS 'How it was asked: file (sources and coverage vouched for by the user) [-] {meta.code}';
COMMENT ON COLUMN ref.lookup.endpoint IS 'File name or address that answered [-] {meta.ref}';
COMMENT ON COLUMN ref.lookup.parameters IS 'What was asked [-] {meta.record}';
COMMENT ON COLUMN ref.lookup.region IS 'Region that was asked for [-] {meta.note}';
COMMENT ON COLUMN ref.lookup.status IS 'ok or failed [-] {meta.code.status}';
COMMENT ON COLUMN ref.lookup.error IS 'Why it failed [-] {meta.code.error}';
COMMENT ON COLUMN ref.lookup.rows_in IS 'Rows in the answer [-] {meta.number}';
COMMENT ON COLUMN ref.lookup.rows_kept IS 'Rows kept [-] {meta.number}';
COMMENT ON COLUMN ref.lookup.rows_rejected IS 'Rows rejected [-] {meta.number}';
COMMENT ON COLUMN ref.lookup.row_cap IS 'Largest number of rows the service would have sent [-] {meta.number;stat.max}';
COMMENT ON COLUMN ref.lookup.overflow IS 'Whether the service said that it cut the answer [-] {meta.code.qual}';
COMMENT ON COLUMN ref.lookup.complete IS 'Whether the answer holds everything in the region [-] {meta.code.qual}';
COMMENT ON COLUMN ref.lookup.response_sha256 IS 'SHA-256 of the answer [-] {meta.checksum}';
COMMENT ON COLUMN ref.lookup.asked_at IS 'When it was asked [-] {time}';

CREATE TABLE ref.coverage (
    catalog text NOT NULL,
    hpx29 int8range NOT NULL CHECK (NOT isempty(hpx29) AND lower(hpx29) >= 0),
    lookup_id bigint NOT NULL,
    lookup_complete boolean NOT NULL DEFAULT true CHECK (lookup_complete),
    -- Only complete look-ups add coverage.
    FOREIGN KEY (lookup_id, catalog, lookup_complete) REFERENCES ref.lookup (lookup_id, catalog, complete)
);
CREATE UNIQUE INDEX coverage_lower ON ref.coverage (catalog, lower(hpx29));
COMMENT ON TABLE ref.coverage IS
    'Sky where a catalogue is known: disjoint ranges per catalogue; a search circle about any position '
    'in them lies wholly inside a complete look-up';
COMMENT ON COLUMN ref.coverage.catalog IS 'Catalogue [-] {meta.id}';
COMMENT ON COLUMN ref.coverage.hpx29 IS 'Range of HEALPix cells of order 29, nested [-] {pos.healpix}';
COMMENT ON COLUMN ref.coverage.lookup_id IS 'The complete look-up that covered it [-] {meta.id}';
COMMENT ON COLUMN ref.coverage.lookup_complete IS 'Always true; ties the row to a complete look-up [-] {meta.code.qual}';

-- Every ref.<catalog> is made LIKE this one; it stays empty itself.
CREATE TABLE ref.source_template (
    source_id bigint NOT NULL,
    ra double precision NOT NULL CHECK (ra >= 0 AND ra < 360),
    dec double precision NOT NULL CHECK (dec BETWEEN -90 AND 90),
    ra_j1954 double precision NOT NULL CHECK (ra_j1954 >= 0 AND ra_j1954 < 360),
    dec_j1954 double precision NOT NULL CHECK (dec_j1954 BETWEEN -90 AND 90),
    epoch_jyear real NOT NULL CHECK (epoch_jyear BETWEEN 1850 AND 2100),
    pmra_masyr real,
    pmdec_masyr real,
    mag real,
    designation text,
    CHECK ((pmra_masyr IS NULL) = (pmdec_masyr IS NULL)),
    CHECK (abs(pmra_masyr) < 20000 AND abs(pmdec_masyr) < 20000)
);
COMMENT ON TABLE ref.source_template IS 'The columns of every reference source table; empty';
COMMENT ON COLUMN ref.source_template.source_id IS 'The catalogue''s own number of the source [-] {meta.id;meta.main}';
COMMENT ON COLUMN ref.source_template.ra IS 'Right ascension at epoch_jyear, ICRS [deg] {pos.eq.ra;meta.main}';
COMMENT ON COLUMN ref.source_template.dec IS 'Declination at epoch_jyear, ICRS [deg] {pos.eq.dec;meta.main}';
COMMENT ON COLUMN ref.source_template.ra_j1954 IS 'Right ascension at J1954.0, the middle of the survey [deg] {pos.eq.ra}';
COMMENT ON COLUMN ref.source_template.dec_j1954 IS 'Declination at J1954.0, the middle of the survey [deg] {pos.eq.dec}';
COMMENT ON COLUMN ref.source_template.epoch_jyear IS 'Epoch of ra and dec [yr] {time.epoch}';
COMMENT ON COLUMN ref.source_template.pmra_masyr IS 'Proper motion in right ascension times cos(dec) [mas/yr] {pos.pm;pos.eq.ra}';
COMMENT ON COLUMN ref.source_template.pmdec_masyr IS 'Proper motion in declination [mas/yr] {pos.pm;pos.eq.dec}';
COMMENT ON COLUMN ref.source_template.mag IS 'Magnitude in the band given in ref.catalog [mag] {phot.mag}';
COMMENT ON COLUMN ref.source_template.designation IS 'The catalogue''s name of the source, where its number does not say it [-] {meta.id}';
