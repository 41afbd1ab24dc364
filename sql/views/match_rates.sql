-- Match rates of a run's candidates; sky.match_rate and sky.persistence_rate take any positions.

CREATE OR REPLACE FUNCTION api.candidate_places(run_name text)
RETURNS TABLE (ra_deg double precision[], dec_deg double precision[], epoch_jyear double precision[], plate_ids text[])
LANGUAGE sql STABLE ROWS 1
AS $$
    SELECT
        coalesce(array_agg(c.ra ORDER BY c.src_id), '{}'), coalesce(array_agg(c.dec ORDER BY c.src_id), '{}'),
        coalesce(array_agg(c.epoch_jyear ORDER BY c.src_id), '{}'), coalesce(array_agg(c.plate_id ORDER BY c.src_id), '{}')
    FROM api.candidates AS c
    WHERE c.run = run_name
$$;
COMMENT ON FUNCTION api.candidate_places IS
    'Positions, epochs and plates of a run''s candidates as arrays in one order, as functions on any positions take them';

CREATE OR REPLACE FUNCTION api.match_rate(
    run_name text, catalog_name text, radius_arcsec double precision DEFAULT 5, displacement_arcmin double precision DEFAULT 6,
    position_angles_deg double precision[] DEFAULT '{0,60,120,180,240,300}', z double precision DEFAULT 1.959963984540054,
    unmoved boolean DEFAULT false
)
RETURNS TABLE (
    what text, n bigint, n_matched bigint, rate double precision, lower_limit double precision, upper_limit double precision,
    n_not_covered bigint
)
LANGUAGE sql STABLE
AS $$
    SELECT m.*
    FROM api.candidate_places(run_name) AS k
    CROSS JOIN LATERAL sky.match_rate(
        k.ra_deg, k.dec_deg, CASE WHEN NOT unmoved THEN k.epoch_jyear END, catalog_name, radius_arcsec, displacement_arcmin * 60,
        position_angles_deg, z
    ) AS m
$$;
COMMENT ON FUNCTION api.match_rate IS
    'How many candidates of a run a catalogue has a counterpart for, at the plate''s epoch or unmoved, and how many by chance';

CREATE OR REPLACE FUNCTION api.persistence_rate(
    run_name text, radius_arcsec double precision DEFAULT 5, displacement_arcmin double precision DEFAULT 6,
    position_angles_deg double precision[] DEFAULT '{0,60,120,180,240,300}', z double precision DEFAULT 1.959963984540054,
    plate_band text DEFAULT 'red'
)
RETURNS TABLE (
    what text, n bigint, n_matched bigint, rate double precision, lower_limit double precision, upper_limit double precision,
    n_not_covered bigint
)
LANGUAGE sql STABLE
AS $$
    SELECT m.*
    FROM api.candidate_places(run_name) AS k
    CROSS JOIN LATERAL sky.persistence_rate(
        k.ra_deg, k.dec_deg, k.plate_ids, radius_arcsec, displacement_arcmin * 60, position_angles_deg, z, plate_band
    ) AS m
$$;
COMMENT ON FUNCTION api.persistence_rate IS
    'How many candidates of a run are detected on another plate, and how many by chance';
