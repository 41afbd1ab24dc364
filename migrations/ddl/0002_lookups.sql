-- Look-ups of outside services: every one on record, whether it went well or not.

ALTER TABLE ref.lookup
    DROP CONSTRAINT lookup_kind_check,
    DROP CONSTRAINT lookup_status_check,
    DROP CONSTRAINT lookup_check,
    ADD COLUMN service text,
    ADD COLUMN cause text,
    ADD COLUMN http_status smallint,
    ADD COLUMN response_bytes bigint CHECK (response_bytes >= 0),
    ADD COLUMN attempts smallint NOT NULL DEFAULT 1 CHECK (attempts > 0),
    ADD COLUMN seconds real CHECK (seconds >= 0),
    ADD COLUMN canary_id bigint REFERENCES ref.lookup,
    ADD CONSTRAINT lookup_kind_check
        CHECK (kind IN ('file', 'bulk', 'area', 'list', 'moving', 'canary', 'footprint')),
    ADD CONSTRAINT lookup_status_check CHECK (status IN ('ok', 'failed', 'split')),
    -- What did not go well says why, and adds nothing.
    ADD CONSTRAINT lookup_failure_check CHECK (status = 'ok' OR (cause IS NOT NULL AND error IS NOT NULL AND NOT complete)),
    -- A service's answer is believed only beside a canary that was sent with it and came back right.
    ADD CONSTRAINT lookup_canary_check
        CHECK (NOT complete OR kind NOT IN ('area', 'list', 'moving') OR canary_id IS NOT NULL),
    ADD CONSTRAINT lookup_service_check CHECK (kind IN ('file', 'bulk') OR service IS NOT NULL);

CREATE INDEX lookup_region ON ref.lookup (catalog, region) WHERE status <> 'failed';
CREATE INDEX lookup_asked ON ref.lookup (catalog, asked_at);

COMMENT ON COLUMN ref.lookup.kind IS
    'How it was asked: file or bulk (sources and coverage vouched for by the user), area (all sources of a region), '
    'list (all sources near given positions), moving (all moving objects of a region at a time), canary (a position '
    'whose answer is known), footprint (the survey''s own outline) [-] {meta.code}';
COMMENT ON COLUMN ref.lookup.status IS
    'ok, failed, or split (the answer was cut at a cap, and the region was asked for again in parts) [-] {meta.code.status}';
COMMENT ON COLUMN ref.lookup.service IS 'Service that was asked, a name of the settings; null for files [-] {meta.id}';
COMMENT ON COLUMN ref.lookup.cause IS 'Kind of failure; docs/how-to/look-ups.md lists them [-] {meta.code.error}';
COMMENT ON COLUMN ref.lookup.http_status IS 'HTTP status of the last attempt [-] {meta.code.status}';
COMMENT ON COLUMN ref.lookup.response_bytes IS 'Length of the answer [byte] {meta.number}';
COMMENT ON COLUMN ref.lookup.attempts IS 'How often it was tried [-] {meta.number}';
COMMENT ON COLUMN ref.lookup.seconds IS 'How long it took, with all attempts [s] {time.duration}';
COMMENT ON COLUMN ref.lookup.canary_id IS 'The canary that vouches for the service at that time [-] {meta.id}';

ALTER TABLE ref.catalog
    ADD COLUMN footprint text NOT NULL DEFAULT 'declination' CHECK (footprint IN ('declination', 'moc')),
    ADD COLUMN moving boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN ref.catalog.footprint IS
    'What bounds the survey: declination (its limits) or moc (an outline that must be fetched first) [-] {meta.code}';
COMMENT ON COLUMN ref.catalog.moving IS 'Whether it is of moving objects, asked for each image at its own time [-] {meta.code}';

-- The survey's own outline, where declination limits do not tell it.
CREATE TABLE ref.footprint (
    catalog text PRIMARY KEY REFERENCES ref.catalog,
    hpx29 int8multirange NOT NULL CHECK (NOT isempty(hpx29)),
    lookup_id bigint NOT NULL REFERENCES ref.lookup
);
COMMENT ON TABLE ref.footprint IS 'Outlines of surveys that are bounded by more than declination';
COMMENT ON COLUMN ref.footprint.catalog IS 'Catalogue [-] {meta.id;meta.main}';
COMMENT ON COLUMN ref.footprint.hpx29 IS 'HEALPix cells of order 29, nested, that were surveyed [-] {pos.healpix}';
COMMENT ON COLUMN ref.footprint.lookup_id IS 'Look-up that brought it [-] {meta.id}';

-- Sky where a look-up was tried and failed, and none covers it: a detection there is unknown.
CREATE TABLE ref.gap (
    catalog text NOT NULL REFERENCES ref.catalog,
    hpx29 int8range NOT NULL CHECK (NOT isempty(hpx29) AND lower(hpx29) >= 0),
    lookup_id bigint NOT NULL REFERENCES ref.lookup
);
CREATE UNIQUE INDEX gap_lower ON ref.gap (catalog, lower(hpx29));
COMMENT ON TABLE ref.gap IS
    'Sky where a look-up failed and none has covered since: disjoint ranges per catalogue, disjoint from its coverage';
COMMENT ON COLUMN ref.gap.catalog IS 'Catalogue [-] {meta.id}';
COMMENT ON COLUMN ref.gap.hpx29 IS 'Range of HEALPix cells of order 29, nested [-] {pos.healpix}';
COMMENT ON COLUMN ref.gap.lookup_id IS 'The newest look-up that failed there [-] {meta.id}';

-- Moving objects: what a service predicted over an image at the time of its exposure.
CREATE TABLE ref.moving_look (
    lookup_id bigint PRIMARY KEY REFERENCES ref.lookup,
    catalog text NOT NULL REFERENCES ref.catalog,
    image_id bigint NOT NULL REFERENCES plate.image,
    complete boolean NOT NULL,
    ra double precision NOT NULL CHECK (ra >= 0 AND ra < 360),
    dec double precision NOT NULL CHECK (dec BETWEEN -90 AND 90),
    radius_deg double precision NOT NULL CHECK (radius_deg > 0),
    epoch_jd double precision NOT NULL,
    observer text NOT NULL,
    FOREIGN KEY (lookup_id, catalog, complete) REFERENCES ref.lookup (lookup_id, catalog, complete)
);
CREATE INDEX moving_look_image ON ref.moving_look (catalog, image_id);
COMMENT ON TABLE ref.moving_look IS 'Look-ups for moving objects: cones over an image at the middle of its exposure';
COMMENT ON COLUMN ref.moving_look.lookup_id IS 'Look-up [-] {meta.id;meta.main}';
COMMENT ON COLUMN ref.moving_look.catalog IS 'Catalogue [-] {meta.id}';
COMMENT ON COLUMN ref.moving_look.image_id IS 'Image [-] {meta.id}';
COMMENT ON COLUMN ref.moving_look.complete IS 'Whether the look-up is complete [-] {meta.code.qual}';
COMMENT ON COLUMN ref.moving_look.ra IS 'Centre of the cone, right ascension [deg] {pos.eq.ra}';
COMMENT ON COLUMN ref.moving_look.dec IS 'Centre of the cone, declination [deg] {pos.eq.dec}';
COMMENT ON COLUMN ref.moving_look.radius_deg IS 'Radius of the cone, rim included [deg] {pos.angDistance}';
COMMENT ON COLUMN ref.moving_look.epoch_jd IS 'Time asked for, UTC [d] {time.epoch}';
COMMENT ON COLUMN ref.moving_look.observer IS 'IAU observatory code asked for [-] {meta.id}';

CREATE TABLE ref.moving_object (
    lookup_id bigint NOT NULL REFERENCES ref.moving_look,
    source_id bigint NOT NULL,
    name text NOT NULL,
    number integer,
    class text,
    ra double precision NOT NULL CHECK (ra >= 0 AND ra < 360),
    dec double precision NOT NULL CHECK (dec BETWEEN -90 AND 90),
    rate_ra_arcsec_h real,
    rate_dec_arcsec_h real,
    mag real,
    error_arcsec real CHECK (error_arcsec >= 0),
    PRIMARY KEY (lookup_id, source_id)
);
CREATE INDEX moving_object_sky ON ref.moving_object (q3c_ang2ipix(ra, dec));
COMMENT ON TABLE ref.moving_object IS 'Moving objects that were predicted over an image';
COMMENT ON COLUMN ref.moving_object.lookup_id IS 'Look-up that brought it [-] {meta.id}';
COMMENT ON COLUMN ref.moving_object.source_id IS 'Hash of its name [-] {meta.id;meta.main}';
COMMENT ON COLUMN ref.moving_object.name IS 'Name or provisional designation [-] {meta.id}';
COMMENT ON COLUMN ref.moving_object.number IS 'Number, if it has one [-] {meta.id}';
COMMENT ON COLUMN ref.moving_object.class IS 'Dynamical class [-] {src.class}';
COMMENT ON COLUMN ref.moving_object.ra IS 'Right ascension at that time, astrometric J2000 [deg] {pos.eq.ra;meta.main}';
COMMENT ON COLUMN ref.moving_object.dec IS 'Declination at that time, astrometric J2000 [deg] {pos.eq.dec;meta.main}';
COMMENT ON COLUMN ref.moving_object.rate_ra_arcsec_h IS 'Motion in right ascension times cos(dec) [arcsec/h] {pos.pm;pos.eq.ra}';
COMMENT ON COLUMN ref.moving_object.rate_dec_arcsec_h IS 'Motion in declination [arcsec/h] {pos.pm;pos.eq.dec}';
COMMENT ON COLUMN ref.moving_object.mag IS 'Predicted V magnitude [mag] {phot.mag;em.opt.V}';
COMMENT ON COLUMN ref.moving_object.error_arcsec IS 'Uncertainty of the predicted position [arcsec] {stat.error;pos}';

-- Where services answered last: the mirror that is asked first.
CREATE TABLE ref.endpoint (
    service text NOT NULL,
    endpoint text NOT NULL,
    last_good_at timestamptz,
    last_bad_at timestamptz,
    last_cause text CHECK ((last_bad_at IS NULL) = (last_cause IS NULL)),
    PRIMARY KEY (service, endpoint)
);
COMMENT ON TABLE ref.endpoint IS 'Addresses of services, and when each last answered well';
COMMENT ON COLUMN ref.endpoint.service IS 'Service [-] {meta.id}';
COMMENT ON COLUMN ref.endpoint.endpoint IS 'Address [-] {meta.ref.url}';
COMMENT ON COLUMN ref.endpoint.last_good_at IS 'Last whole answer [-] {time}';
COMMENT ON COLUMN ref.endpoint.last_bad_at IS 'Last failure [-] {time}';
COMMENT ON COLUMN ref.endpoint.last_cause IS 'Kind of the last failure [-] {meta.code.error}';

-- Jobs that a service is still working on; whoever comes back asks for their results.
CREATE TABLE ref.async_job (
    job_key bigint PRIMARY KEY,
    service text NOT NULL,
    endpoint text NOT NULL,
    job_url text NOT NULL,
    submitted_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ref.async_job IS 'Asynchronous jobs at services whose results are still to be fetched';
COMMENT ON COLUMN ref.async_job.job_key IS 'Hash of service and query [-] {meta.id;meta.main}';
COMMENT ON COLUMN ref.async_job.service IS 'Service [-] {meta.id}';
COMMENT ON COLUMN ref.async_job.endpoint IS 'Address it was submitted to [-] {meta.ref.url}';
COMMENT ON COLUMN ref.async_job.job_url IS 'Where the job is [-] {meta.ref.url}';
COMMENT ON COLUMN ref.async_job.submitted_at IS 'When it was submitted [-] {time}';

-- Images that were asked for.
CREATE TABLE plate.fetch (
    fetch_id bigint PRIMARY KEY,
    service text NOT NULL,
    request jsonb NOT NULL,
    name text NOT NULL,
    state text NOT NULL CHECK (state IN ('ok', 'non_poss', 'unavailable', 'retryable')),
    endpoint text,
    cause text,
    detail text,
    http_status smallint,
    attempts smallint NOT NULL CHECK (attempts > 0),
    seconds real CHECK (seconds >= 0),
    size_bytes bigint CHECK (size_bytes >= 0),
    sha256 text,
    path text,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CHECK (state <> 'ok' OR num_nulls(sha256, path, size_bytes, endpoint) = 0),
    CHECK (state = 'ok' OR num_nulls(cause, detail) = 0)
);
CREATE INDEX fetch_name ON plate.fetch (name);
COMMENT ON TABLE plate.fetch IS 'Images that were asked for, and how that went the last time';
COMMENT ON COLUMN plate.fetch.fetch_id IS 'Hash of service and request [-] {meta.id;meta.main}';
COMMENT ON COLUMN plate.fetch.service IS 'Service [-] {meta.id}';
COMMENT ON COLUMN plate.fetch.request IS 'What was asked for [-] {meta.record}';
COMMENT ON COLUMN plate.fetch.name IS 'Tile or plate [-] {meta.id}';
COMMENT ON COLUMN plate.fetch.state IS
    'ok; non_poss (the archive has another survey there); unavailable (the archive has nothing); retryable [-] {meta.code.status}';
COMMENT ON COLUMN plate.fetch.endpoint IS 'Address that answered [-] {meta.ref.url}';
COMMENT ON COLUMN plate.fetch.cause IS 'Kind of failure [-] {meta.code.error}';
COMMENT ON COLUMN plate.fetch.detail IS 'What was wrong [-] {meta.note}';
COMMENT ON COLUMN plate.fetch.http_status IS 'HTTP status of the last attempt [-] {meta.code.status}';
COMMENT ON COLUMN plate.fetch.attempts IS 'How often it was tried, over all calls [-] {meta.number}';
COMMENT ON COLUMN plate.fetch.seconds IS 'How long the last call took [s] {time.duration}';
COMMENT ON COLUMN plate.fetch.size_bytes IS 'Length of the file [byte] {meta.number}';
COMMENT ON COLUMN plate.fetch.sha256 IS 'SHA-256 of the file [-] {meta.checksum}';
COMMENT ON COLUMN plate.fetch.path IS 'Where the file is [-] {meta.ref;meta.file}';
COMMENT ON COLUMN plate.fetch.recorded_at IS 'When it was last tried [-] {time}';
