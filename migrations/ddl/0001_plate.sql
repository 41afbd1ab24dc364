-- Plates, tiles, images, solutions and exposure times.

CREATE TABLE plate.solution (
    solution_id bigint PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('dss', 'tan')),
    amdx double precision[],
    amdy double precision[],
    ppo3_um double precision,
    ppo6_um double precision,
    x_pixel_um double precision,
    y_pixel_um double precision,
    cnpix1 double precision,
    cnpix2 double precision,
    tangent_ra double precision NOT NULL CHECK (tangent_ra >= 0 AND tangent_ra < 360),
    tangent_dec double precision NOT NULL CHECK (tangent_dec BETWEEN -90 AND 90),
    crpix1 double precision,
    crpix2 double precision,
    cd double precision[],
    CHECK (
        kind <> 'dss'
        OR (
            cardinality(amdx) = 13 AND cardinality(amdy) = 13
            AND num_nulls(ppo3_um, ppo6_um, x_pixel_um, y_pixel_um, cnpix1, cnpix2) = 0
        )
    ),
    CHECK (kind <> 'tan' OR (cardinality(cd) = 4 AND num_nulls(crpix1, crpix2) = 0))
);
COMMENT ON TABLE plate.solution IS 'Astrometric solutions: the DSS polynomial or a tangent plane';
COMMENT ON COLUMN plate.solution.solution_id IS 'Hash of the solution''s numbers [-] {meta.id;meta.main}';
COMMENT ON COLUMN plate.solution.kind IS 'dss: 13-term polynomial on the plate; tan: linear tangent plane [-] {meta.code}';
COMMENT ON COLUMN plate.solution.amdx IS 'AMDX1 to AMDX13, arcsec per power of mm [arcsec] {stat.fit.param}';
COMMENT ON COLUMN plate.solution.amdy IS 'AMDY1 to AMDY13, arcsec per power of mm [arcsec] {stat.fit.param}';
COMMENT ON COLUMN plate.solution.ppo3_um IS 'Plate centre of the scan in x, header PPO3 [um] {pos.cartesian.x;instr.det}';
COMMENT ON COLUMN plate.solution.ppo6_um IS 'Plate centre of the scan in y, header PPO6 [um] {pos.cartesian.y;instr.det}';
COMMENT ON COLUMN plate.solution.x_pixel_um IS 'Pixel size on the plate in x [um] {phys.size;instr.pixel}';
COMMENT ON COLUMN plate.solution.y_pixel_um IS 'Pixel size on the plate in y [um] {phys.size;instr.pixel}';
COMMENT ON COLUMN plate.solution.cnpix1 IS 'Scan position of the first pixel in x [pix] {pos.cartesian.x;instr.det}';
COMMENT ON COLUMN plate.solution.cnpix2 IS 'Scan position of the first pixel in y [pix] {pos.cartesian.y;instr.det}';
COMMENT ON COLUMN plate.solution.tangent_ra IS 'Right ascension of the tangent point, J2000 [deg] {pos.eq.ra}';
COMMENT ON COLUMN plate.solution.tangent_dec IS 'Declination of the tangent point, J2000 [deg] {pos.eq.dec}';
COMMENT ON COLUMN plate.solution.crpix1 IS 'Pixel of the tangent point in x, tan only [pix] {pos.wcs.crpix}';
COMMENT ON COLUMN plate.solution.crpix2 IS 'Pixel of the tangent point in y, tan only [pix] {pos.wcs.crpix}';
COMMENT ON COLUMN plate.solution.cd IS 'CD1_1, CD1_2, CD2_1, CD2_2, tan only [deg/pix] {pos.wcs.cdmatrix}';

CREATE TABLE plate.plate (
    plate_id text PRIMARY KEY,
    band text NOT NULL CHECK (band IN ('red', 'blue', 'other')),
    survey text,
    plate_label text,
    plate_code text,
    ra double precision NOT NULL CHECK (ra >= 0 AND ra < 360),
    dec double precision NOT NULL CHECK (dec BETWEEN -90 AND 90),
    naxis1 integer NOT NULL CHECK (naxis1 > 0),
    naxis2 integer NOT NULL CHECK (naxis2 > 0),
    scale_arcsec_px double precision NOT NULL CHECK (scale_arcsec_px > 0),
    wcs_kind text NOT NULL,
    wcs_available text[] NOT NULL,
    solution_id bigint NOT NULL REFERENCES plate.solution,
    exposure_minutes real CHECK (exposure_minutes > 0),
    date_obs_raw text,
    ut_raw text,
    epoch_jyear double precision,
    time_quality text NOT NULL CHECK (time_quality IN ('agreed', 'single', 'conflicting', 'unknown')),
    header jsonb NOT NULL,
    header_sha256 text NOT NULL,
    path text
);
CREATE INDEX plate_sky ON plate.plate (q3c_ang2ipix(ra, dec));
COMMENT ON TABLE plate.plate IS 'Photographic plates, from their archive headers';
COMMENT ON COLUMN plate.plate.plate_id IS 'Plate, header REGION, such as XE486 [-] {meta.id;meta.main}';
COMMENT ON COLUMN plate.plate.band IS 'Band of the plate: red (XE), blue (XO) or other [-] {instr.bandpass}';
COMMENT ON COLUMN plate.plate.survey IS 'Survey, header SURVEY [-] {meta.id}';
COMMENT ON COLUMN plate.plate.plate_label IS 'Observers'' plate number, header PLTLABEL [-] {meta.id}';
COMMENT ON COLUMN plate.plate.plate_code IS 'Scan archive''s plate code, header PLATEID [-] {meta.id}';
COMMENT ON COLUMN plate.plate.ra IS 'Right ascension of the middle of the scan, J2000 [deg] {pos.eq.ra;meta.main}';
COMMENT ON COLUMN plate.plate.dec IS 'Declination of the middle of the scan, J2000 [deg] {pos.eq.dec;meta.main}';
COMMENT ON COLUMN plate.plate.naxis1 IS 'Width of the scan [pix] {pos.wcs.naxis}';
COMMENT ON COLUMN plate.plate.naxis2 IS 'Height of the scan [pix] {pos.wcs.naxis}';
COMMENT ON COLUMN plate.plate.scale_arcsec_px IS 'Pixel scale of this plate [arcsec/pix] {instr.scale}';
COMMENT ON COLUMN plate.plate.wcs_kind IS 'Astrometric solution in use: dss or tan [-] {meta.code}';
COMMENT ON COLUMN plate.plate.wcs_available IS 'Solutions the header offers, best first [-] {meta.code}';
COMMENT ON COLUMN plate.plate.solution_id IS 'The solution in use [-] {meta.id}';
COMMENT ON COLUMN plate.plate.exposure_minutes IS 'Length of the exposure [min] {time.duration;obs.exposure}';
COMMENT ON COLUMN plate.plate.date_obs_raw IS 'Header DATE-OBS as written [-] {time.start;obs.exposure}';
COMMENT ON COLUMN plate.plate.ut_raw IS 'Header UT as written [-] {time.start;obs.exposure}';
COMMENT ON COLUMN plate.plate.epoch_jyear IS 'Julian epoch of mid-exposure, decimal-hour reading [yr] {time.epoch}';
COMMENT ON COLUMN plate.plate.time_quality IS 'How sure the time is: agreed, single, conflicting or unknown [-] {meta.code.qual}';
COMMENT ON COLUMN plate.plate.header IS 'The whole header [-] {meta.record}';
COMMENT ON COLUMN plate.plate.header_sha256 IS 'SHA-256 of the header''s canonical JSON [-] {meta.checksum}';
COMMENT ON COLUMN plate.plate.path IS 'File the header came from, on this machine [-] {meta.id;meta.file}';

CREATE TABLE plate.tile (
    tile_id text PRIMARY KEY,
    ra double precision NOT NULL CHECK (ra >= 0 AND ra < 360),
    dec double precision NOT NULL CHECK (dec BETWEEN -90 AND 90),
    size_arcmin real NOT NULL CHECK (size_arcmin > 0)
);
COMMENT ON TABLE plate.tile IS 'Squares of sky';
COMMENT ON COLUMN plate.tile.tile_id IS 'Tile, named after its centre [-] {meta.id;meta.main}';
COMMENT ON COLUMN plate.tile.ra IS 'Right ascension of the centre, J2000 [deg] {pos.eq.ra;meta.main}';
COMMENT ON COLUMN plate.tile.dec IS 'Declination of the centre, J2000 [deg] {pos.eq.dec;meta.main}';
COMMENT ON COLUMN plate.tile.size_arcmin IS 'Length of a side [arcmin] {phys.angSize}';

CREATE TABLE plate.image (
    image_id bigint PRIMARY KEY,
    sha256 text NOT NULL UNIQUE,
    file_name text NOT NULL,
    size_bytes bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('ok', 'refused')),
    status_reason text CHECK (status = 'ok' OR status_reason IS NOT NULL),
    plate_id text,
    survey text,
    band text CHECK (band IN ('red', 'blue', 'other')),
    tile_id text REFERENCES plate.tile,
    naxis1 integer NOT NULL CHECK (naxis1 > 0),
    naxis2 integer NOT NULL CHECK (naxis2 > 0),
    ra double precision CHECK (ra >= 0 AND ra < 360),
    dec double precision CHECK (dec BETWEEN -90 AND 90),
    radius_deg double precision CHECK (radius_deg > 0),
    footprint int8multirange,
    scale_arcsec_px double precision CHECK (scale_arcsec_px > 0),
    wcs_kind text,
    wcs_available text[],
    solution_id bigint REFERENCES plate.solution,
    exposure_minutes real CHECK (exposure_minutes > 0),
    date_obs_raw text,
    ut_raw text,
    epoch_jyear double precision,
    time_quality text CHECK (time_quality IN ('agreed', 'single', 'conflicting', 'unknown')),
    header jsonb NOT NULL,
    path text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CHECK (
        status <> 'ok'
        OR num_nulls(plate_id, tile_id, ra, dec, radius_deg, footprint, scale_arcsec_px, solution_id, epoch_jyear) = 0
    )
);
CREATE INDEX image_sky ON plate.image (q3c_ang2ipix(ra, dec));
CREATE INDEX image_plate ON plate.image (plate_id);
CREATE INDEX image_tile ON plate.image (tile_id);
COMMENT ON TABLE plate.image IS 'Digitised images (tile cutouts or whole plates), also those that were refused';
COMMENT ON COLUMN plate.image.image_id IS 'Hash of the file''s bytes [-] {meta.id;meta.main}';
COMMENT ON COLUMN plate.image.sha256 IS 'SHA-256 of the file [-] {meta.checksum}';
COMMENT ON COLUMN plate.image.file_name IS 'Name of the file [-] {meta.id;meta.file}';
COMMENT ON COLUMN plate.image.size_bytes IS 'Size of the file [byte] {phys.size;meta.file}';
COMMENT ON COLUMN plate.image.status IS 'ok, or refused because it is no POSS-I red plate [-] {meta.code.status}';
COMMENT ON COLUMN plate.image.status_reason IS 'Why it was refused [-] {meta.note}';
COMMENT ON COLUMN plate.image.plate_id IS 'The plate it shows, header REGION, whatever was planned [-] {meta.id}';
COMMENT ON COLUMN plate.image.survey IS 'Survey, from SURVEY or, where an old header has none, from REGION [-] {meta.id}';
COMMENT ON COLUMN plate.image.band IS 'Band of the plate: red, blue or other [-] {instr.bandpass}';
COMMENT ON COLUMN plate.image.tile_id IS 'Tile it covers [-] {meta.id}';
COMMENT ON COLUMN plate.image.naxis1 IS 'Width [pix] {pos.wcs.naxis}';
COMMENT ON COLUMN plate.image.naxis2 IS 'Height [pix] {pos.wcs.naxis}';
COMMENT ON COLUMN plate.image.ra IS 'Right ascension of the middle pixel, J2000 [deg] {pos.eq.ra;meta.main}';
COMMENT ON COLUMN plate.image.dec IS 'Declination of the middle pixel, J2000 [deg] {pos.eq.dec;meta.main}';
COMMENT ON COLUMN plate.image.radius_deg IS 'Distance from the middle to the farthest corner [deg] {phys.angSize}';
COMMENT ON COLUMN plate.image.footprint IS 'Sky it covers, as HEALPix ranges of order 29, nested [-] {pos.healpix}';
COMMENT ON COLUMN plate.image.scale_arcsec_px IS 'Pixel scale of this plate [arcsec/pix] {instr.scale}';
COMMENT ON COLUMN plate.image.wcs_kind IS 'Astrometric solution in use: dss or tan [-] {meta.code}';
COMMENT ON COLUMN plate.image.wcs_available IS 'Solutions the header offers, best first [-] {meta.code}';
COMMENT ON COLUMN plate.image.solution_id IS 'The solution in use [-] {meta.id}';
COMMENT ON COLUMN plate.image.exposure_minutes IS 'Length of the exposure [min] {time.duration;obs.exposure}';
COMMENT ON COLUMN plate.image.date_obs_raw IS 'Header DATE-OBS as written [-] {time.start;obs.exposure}';
COMMENT ON COLUMN plate.image.ut_raw IS 'Header UT as written [-] {time.start;obs.exposure}';
COMMENT ON COLUMN plate.image.epoch_jyear IS 'Julian epoch of mid-exposure, decimal-hour reading [yr] {time.epoch}';
COMMENT ON COLUMN plate.image.time_quality IS 'How sure the time is: agreed, single, conflicting or unknown [-] {meta.code.qual}';
COMMENT ON COLUMN plate.image.header IS 'The whole header [-] {meta.record}';
COMMENT ON COLUMN plate.image.path IS 'Where the file lies on this machine [-] {meta.id;meta.file}';
COMMENT ON COLUMN plate.image.recorded_at IS 'When it was recorded [-] {time}';

CREATE TABLE plate.exposure_time (
    plate_id text NOT NULL,
    source text NOT NULL,
    reading text NOT NULL CHECK (reading IN ('literal', 'decimal_hours', 'corrected')),
    start_utc timestamptz,
    mid_utc timestamptz,
    mid_epoch_jyear double precision,
    time_quality text NOT NULL CHECK (time_quality IN ('agreed', 'single', 'conflicting', 'unknown')),
    evidence text NOT NULL,
    PRIMARY KEY (plate_id, source, reading)
);
COMMENT ON TABLE plate.exposure_time IS 'Every reading of every statement of a plate''s exposure time';
COMMENT ON COLUMN plate.exposure_time.plate_id IS 'Plate, header REGION [-] {meta.id}';
COMMENT ON COLUMN plate.exposure_time.source IS 'The header that says so: plate, or image and its id [-] {meta.ref}';
COMMENT ON COLUMN plate.exposure_time.reading IS 'literal, decimal_hours (minutes are hundredths of an hour) or corrected [-] {meta.code}';
COMMENT ON COLUMN plate.exposure_time.start_utc IS 'Start of the exposure under this reading [-] {time.start;obs.exposure}';
COMMENT ON COLUMN plate.exposure_time.mid_utc IS 'Middle of the exposure under this reading [-] {time.epoch;obs.exposure}';
COMMENT ON COLUMN plate.exposure_time.mid_epoch_jyear IS 'The same as a Julian epoch [yr] {time.epoch}';
COMMENT ON COLUMN plate.exposure_time.time_quality IS 'How sure it is: agreed, single, conflicting or unknown [-] {meta.code.qual}';
COMMENT ON COLUMN plate.exposure_time.evidence IS 'Why, for people [-] {meta.note}';
