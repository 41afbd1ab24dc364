-- The story of one detection: what every catalogue says of it, and what every stage.

-- The nearest source of every catalogue, wherever it is within 10 arcmin, with its distance at the
-- plate's epoch and at the catalogue's own.
CREATE OR REPLACE FUNCTION api.nearest_sources(which_extraction_id bigint, which_number integer)
RETURNS TABLE (
    catalog text, state vasco.look_state, lookup_id bigint, covered_by text, match_radius_arcsec real,
    source_id bigint, sep_plate_epoch_arcsec double precision, sep_catalog_epoch_arcsec double precision,
    mag real, pmra_masyr real, pmdec_masyr real
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    d record;
    c record;
    n record;
    search_radius double precision;
BEGIN
    SELECT det.ra, det.dec, det.hpx29, i.epoch_jyear INTO STRICT d
    FROM vasco.detection AS det
    JOIN vasco.extraction AS e USING (extraction_id)
    JOIN plate.image AS i USING (image_id)
    WHERE det.extraction_id = which_extraction_id AND det.number = which_number;

    FOR c IN SELECT k.catalog, k.match_radius_arcsec FROM ref.catalog AS k ORDER BY k.catalog LOOP
        catalog := c.catalog;
        match_radius_arcsec := c.match_radius_arcsec;
        lookup_id := (SELECT l.lookup_id FROM sky.covering_lookup(c.catalog, d.hpx29) AS l);
        covered_by := (SELECT l.endpoint || ', ' || l.region FROM ref.lookup AS l WHERE l.lookup_id = nearest_sources.lookup_id);
        state := coalesce(
            (
                SELECT m.state FROM vasco.match AS m
                WHERE m.extraction_id = which_extraction_id AND m.number = which_number AND m.catalog = c.catalog
            ),
            'not_covered'
        );
        FOREACH search_radius IN ARRAY ARRAY[10.0, 60.0, 600.0] LOOP
            SELECT s.* INTO n FROM sky.neighbours(c.catalog, d.ra, d.dec, search_radius, d.epoch_jyear) AS s LIMIT 1;
            EXIT WHEN FOUND;
        END LOOP;
        source_id := n.source_id;
        sep_plate_epoch_arcsec := n.sep_arcsec;
        sep_catalog_epoch_arcsec := n.sep_catalog_epoch_arcsec;
        mag := n.mag;
        pmra_masyr := n.pmra_masyr;
        pmdec_masyr := n.pmdec_masyr;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION api.nearest_sources IS
    'Per catalogue the nearest source to a detection, its distance at the plate''s epoch and its own, and the coverage';

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
