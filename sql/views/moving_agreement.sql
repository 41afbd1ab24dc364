-- SkyBoT and the asteroids predicted here, side by side.

-- One row per image and body. The state is that of sky.moving_agreement; where only one has the body, its columns tell which.
CREATE OR REPLACE VIEW api.moving_agreement AS
SELECT
    i.image_id, i.plate_id, i.tile_id, b.number, b.name, b.state, b.apart_arcsec,
    b.skybot_ra, b.skybot_dec, b.skybot_mag, b.asteroids_ra, b.asteroids_dec, b.asteroids_mag, b.words
FROM plate.image AS i
CROSS JOIN LATERAL (
    (
        SELECT DISTINCT ON (coalesce(a.number::text, lower(a.name)))
            coalesce(a.number, a.other_number) AS number, a.name, a.state, a.apart_arcsec,
            a.ra_deg AS skybot_ra, a.dec_deg AS skybot_dec, a.mag AS skybot_mag,
            a.other_ra_deg AS asteroids_ra, a.other_dec_deg AS asteroids_dec, a.other_mag AS asteroids_mag, a.words
        FROM sky.moving_agreement(i.image_id, 'skybot', 'asteroids') AS a
        ORDER BY coalesce(a.number::text, lower(a.name)), a.apart_arcsec, a.lookup_id
    )
    UNION ALL
    (
        -- What both have is there already.
        SELECT DISTINCT ON (coalesce(a.number::text, lower(a.name)))
            a.number, a.name, a.state, NULL::double precision, NULL::double precision, NULL::double precision, NULL::real,
            a.ra_deg, a.dec_deg, a.mag, a.words
        FROM sky.moving_agreement(i.image_id, 'asteroids', 'skybot') AS a
        WHERE a.other_lookup_id IS NULL
        ORDER BY coalesce(a.number::text, lower(a.name)), a.lookup_id
    )
) AS b;
COMMENT ON VIEW api.moving_agreement IS 'Moving objects predicted over images: what SkyBoT and the file of elements say of each, and whether they agree';
COMMENT ON COLUMN api.moving_agreement.image_id IS 'Image [-] {meta.id}';
COMMENT ON COLUMN api.moving_agreement.plate_id IS 'Plate, header REGION [-] {meta.id}';
COMMENT ON COLUMN api.moving_agreement.tile_id IS 'Tile [-] {meta.id}';
COMMENT ON COLUMN api.moving_agreement.number IS 'Number of the body, if it has one [-] {meta.id}';
COMMENT ON COLUMN api.moving_agreement.name IS 'Name or provisional designation [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.moving_agreement.state IS
    'agree, apart, missing (the other knows it and has it nowhere near), not known (the other would not know it), failed or not asked [-] {meta.code}';
COMMENT ON COLUMN api.moving_agreement.apart_arcsec IS 'Between the two predictions for the middle of the exposure [arcsec] {pos.angDistance}';
COMMENT ON COLUMN api.moving_agreement.skybot_ra IS 'Right ascension by SkyBoT, astrometric J2000 [deg] {pos.eq.ra}';
COMMENT ON COLUMN api.moving_agreement.skybot_dec IS 'Declination by SkyBoT [deg] {pos.eq.dec}';
COMMENT ON COLUMN api.moving_agreement.skybot_mag IS 'V magnitude by SkyBoT [mag] {phot.mag;em.opt.V}';
COMMENT ON COLUMN api.moving_agreement.asteroids_ra IS 'Right ascension by the elements, astrometric J2000 [deg] {pos.eq.ra}';
COMMENT ON COLUMN api.moving_agreement.asteroids_dec IS 'Declination by the elements [deg] {pos.eq.dec}';
COMMENT ON COLUMN api.moving_agreement.asteroids_mag IS 'V magnitude by the elements [mag] {phot.mag;em.opt.V}';
COMMENT ON COLUMN api.moving_agreement.words IS 'What the other says of it, for people [-] {meta.note}';
