-- The story of one detection: what every catalogue says of it, and what every stage.

-- The nearest source of a catalogue of fixed sources within 10 arcmin: one row or none. One statement holds
-- three searches, the narrow first: planning takes longer than searching, and a wide circle in a crowd holds
-- thousands. They stop at the first that finds anything, which is the nearest whichever comes first. Most
-- catalogues hold nothing at all; their tables have no page.
CREATE OR REPLACE FUNCTION api.nearest_fixed(
    catalog_name text, at_ra_deg double precision, at_dec_deg double precision, at_epoch_jyear double precision
)
RETURNS TABLE (
    source_id bigint, sep_arcsec double precision, sep_catalog_epoch_arcsec double precision,
    mag real, pmra_masyr real, pmdec_masyr real
)
LANGUAGE plpgsql STABLE ROWS 1
AS $$
BEGIN
    IF pg_relation_size(format('ref.%I', catalog_name)::regclass) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($query$
        SELECT n.source_id, n.sep, sky.separation_arcsec($1, $2, n.ra, n.dec), n.mag, n.pmra_masyr, n.pmdec_masyr
        FROM (VALUES (10.0::double precision), (60.0), (600.0)) AS search (radius)
        CROSS JOIN LATERAL (
            SELECT c.*, sky.separation_arcsec($1, $2, p.ra_deg, p.dec_deg) AS sep
            FROM (
                SELECT * FROM (
                    SELECT r.* FROM ref.%1$I AS r
                    WHERE q3c_join($1, $2, r.ra_j1954, r.dec_j1954, (search.radius + sky.slow_padding_arcsec($3)) / 3600)
                    OFFSET 0
                ) AS slow
                WHERE NOT sky.is_fast(slow.pmra_masyr, slow.pmdec_masyr)
                UNION ALL
                SELECT r.* FROM ref.%1$I AS r
                WHERE sky.is_fast(r.pmra_masyr, r.pmdec_masyr)
                AND q3c_join($1, $2, r.ra_j1954, r.dec_j1954, (search.radius + $4) / 3600)
            ) AS c
            CROSS JOIN LATERAL sky.propagate(c.ra, c.dec, c.pmra_masyr, c.pmdec_masyr, $3 - c.epoch_jyear) AS p
            WHERE sky.separation_arcsec($1, $2, p.ra_deg, p.dec_deg) <= search.radius
            ORDER BY sep, c.source_id
            LIMIT 1
        ) AS n
        LIMIT 1
    $query$, catalog_name)
    USING at_ra_deg, at_dec_deg, at_epoch_jyear, sky.fast_padding_arcsec(at_epoch_jyear);
END
$$;
COMMENT ON FUNCTION api.nearest_fixed IS
    'Nearest source of a catalogue of fixed sources within 10 arcmin of a position at an epoch';

-- The nearest source of every catalogue, wherever it is within 10 arcmin, with its distance at the
-- plate's epoch and at the catalogue's own; of moving objects the nearest trail, and the middle of it.
-- Beside it the evidence: the complete look-up that covers the position, or the one that failed there.
CREATE OR REPLACE FUNCTION api.nearest_sources(which_extraction_id bigint, which_number integer)
RETURNS TABLE (
    catalog text, state vasco.look_state, reason text,
    lookup_id bigint, covered_by text, covered_at timestamptz, failed_lookup_id bigint, failure text, failed_at timestamptz,
    match_radius_arcsec real, source_id bigint, name text,
    sep_plate_epoch_arcsec double precision, sep_catalog_epoch_arcsec double precision,
    mag real, pmra_masyr real, pmdec_masyr real
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    d record;
    c record;
    n record;
BEGIN
    SELECT det.ra, det.dec, det.hpx29, i.epoch_jyear, i.image_id INTO STRICT d
    FROM vasco.detection AS det
    JOIN vasco.extraction AS e USING (extraction_id)
    JOIN plate.image AS i USING (image_id)
    WHERE det.extraction_id = which_extraction_id AND det.number = which_number;

    FOR c IN SELECT k.catalog, k.match_radius_arcsec, k.moving FROM ref.catalog AS k ORDER BY k.catalog LOOP
        catalog := c.catalog;
        match_radius_arcsec := c.match_radius_arcsec;
        -- look_state is declared in the order of precedence; a release's word stands beside our own.
        SELECT l.state, l.reason INTO state, reason
        FROM (
            SELECT m.state, m.reason
            FROM vasco.match AS m
            WHERE m.extraction_id = which_extraction_id AND m.number = which_number AND m.catalog = c.catalog
            UNION ALL
            SELECT p.state, concat_ws(': ', 'by ' || p.source, p.reason)
            FROM vasco.imported_match AS p
            WHERE p.extraction_id = which_extraction_id AND p.number = which_number AND p.catalog = c.catalog
        ) AS l
        ORDER BY l.state
        LIMIT 1;
        state := coalesce(state, 'not_covered');

        IF c.moving THEN
            SELECT
                (array_agg(m.lookup_id ORDER BY m.age_rank DESC) FILTER (WHERE m.complete))[1],
                (array_agg(m.lookup_id ORDER BY m.age_rank DESC) FILTER (WHERE NOT m.complete))[1]
            INTO lookup_id, failed_lookup_id
            FROM stage.moving_cones(d.image_id, c.catalog) AS m
            WHERE sky.separation_arcsec(d.ra, d.dec, m.ra_deg, m.dec_deg) <= m.radius_arcsec;
            SELECT
                m.source_id, m.name, m.sep_arcsec, m.sep_middle_arcsec AS sep_own, m.mag,
                NULL::real AS pmra_masyr, NULL::real AS pmdec_masyr
            INTO n
            FROM sky.moving_near(d.image_id, c.catalog, d.ra, d.dec, 600.0) AS m
            LIMIT 1;
        ELSE
            lookup_id := (SELECT l.lookup_id FROM sky.covering_lookup(c.catalog, d.hpx29) AS l);
            failed_lookup_id := (SELECT l.lookup_id FROM sky.gap_at(c.catalog, d.hpx29) AS l);
            SELECT
                s.source_id, NULL::text AS name, s.sep_arcsec, s.sep_catalog_epoch_arcsec AS sep_own, s.mag,
                s.pmra_masyr, s.pmdec_masyr
            INTO n
            FROM api.nearest_fixed(c.catalog, d.ra, d.dec, d.epoch_jyear) AS s;
        END IF;
        SELECT l.endpoint || ', ' || l.region, l.asked_at INTO covered_by, covered_at
        FROM ref.lookup AS l
        WHERE l.lookup_id = nearest_sources.lookup_id;
        SELECT ref.failure_text(l.lookup_id), l.asked_at INTO failure, failed_at
        FROM ref.lookup AS l
        WHERE l.lookup_id = failed_lookup_id;
        source_id := n.source_id;
        name := n.name;
        sep_plate_epoch_arcsec := n.sep_arcsec;
        sep_catalog_epoch_arcsec := n.sep_own;
        mag := n.mag;
        pmra_masyr := n.pmra_masyr;
        pmdec_masyr := n.pmdec_masyr;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION api.nearest_sources IS
    'Per catalogue the nearest source to a detection, its distance at the plate''s epoch and its own, and the evidence';

-- Moving objects that were predicted to pass by, and what the other families say of each: the match radius is for
-- matches, this one for people.
CREATE OR REPLACE FUNCTION api.moving_near(which_extraction_id bigint, which_number integer, radius_arcsec double precision DEFAULT 60)
RETURNS TABLE (
    catalog text, name text, number integer, class text, mag real, sep_arcsec double precision,
    sep_middle_arcsec double precision, trail_arcsec double precision, error_arcsec real, others text
)
LANGUAGE sql STABLE
AS $$
    WITH near AS MATERIALIZED (
        SELECT c.catalog, c.family, e.image_id, m.*
        FROM vasco.detection AS d
        JOIN vasco.extraction AS e USING (extraction_id)
        CROSS JOIN ref.catalog AS c
        CROSS JOIN LATERAL sky.moving_near(e.image_id, c.catalog, d.ra, d.dec, radius_arcsec) AS m
        WHERE d.extraction_id = which_extraction_id AND d.number = which_number AND c.moving
    ),
    said AS (
        SELECT a.lookup_id, a.source_id, string_agg(a.words, '; ' ORDER BY o.family) AS words
        FROM (
            SELECT n.image_id, n.family, array_agg(n.source_id) AS source_ids FROM near AS n GROUP BY n.image_id, n.family
        ) AS g
        JOIN (SELECT DISTINCT c.family FROM ref.catalog AS c WHERE c.moving) AS o ON o.family <> g.family
        CROSS JOIN LATERAL sky.moving_agreement(g.image_id, g.family, o.family, g.source_ids) AS a
        GROUP BY a.lookup_id, a.source_id
    )
    SELECT
        n.catalog, n.name, n.number, n.class, n.mag, n.sep_arcsec, n.sep_middle_arcsec, n.trail_arcsec, n.error_arcsec, s.words
    FROM near AS n
    LEFT JOIN said AS s USING (lookup_id, source_id)
    ORDER BY n.sep_arcsec, n.catalog, n.source_id
$$;
COMMENT ON FUNCTION api.moving_near IS 'Moving objects whose predicted trail passes near a detection, nearest first';

CREATE OR REPLACE VIEW api.verdicts AS
SELECT
    r.run, i.tile_id || ':' || v.number AS src_id, s.ordinal, v.stage, v.outcome, v.value,
    s.parameters, v.reason, l.endpoint AS evidence, v.run_id, v.extraction_id, v.number
FROM vasco.verdict AS v
JOIN vasco.run AS r USING (run_id)
JOIN vasco.run_stage AS s USING (run_id, stage)
JOIN vasco.extraction AS e USING (extraction_id)
JOIN plate.image AS i USING (image_id)
LEFT JOIN ref.lookup AS l USING (lookup_id);
COMMENT ON VIEW api.verdicts IS 'Every verdict with its stage''s parameters and its evidence';
COMMENT ON COLUMN api.verdicts.run IS 'Name of the run [-] {meta.id}';
COMMENT ON COLUMN api.verdicts.src_id IS 'Name of the detection: tile and number [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.verdicts.ordinal IS 'Place of the stage in its run [-] {meta.number}';
COMMENT ON COLUMN api.verdicts.stage IS 'Stage [-] {meta.id}';
COMMENT ON COLUMN api.verdicts.outcome IS 'pass, fail, unknown or not_covered [-] {meta.code.status}';
COMMENT ON COLUMN api.verdicts.value IS 'The measured value the stage judged, in the unit of its threshold [-] {stat.value}';
COMMENT ON COLUMN api.verdicts.parameters IS 'The stage''s parameters [-] {meta.record}';
COMMENT ON COLUMN api.verdicts.reason IS 'Why it did not pass [-] {meta.note}';
COMMENT ON COLUMN api.verdicts.evidence IS 'File or address of the complete look-up it stands on [-] {meta.ref}';
COMMENT ON COLUMN api.verdicts.run_id IS 'Run, as a number [-] {meta.id}';
COMMENT ON COLUMN api.verdicts.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN api.verdicts.number IS 'Number within the extraction [-] {meta.id}';
