-- What people read.

CREATE OR REPLACE VIEW api.detections AS
SELECT
    i.tile_id || ':' || d.number AS src_id, i.plate_id, d.extraction_id, d.number, d.ra, d.dec,
    d.xwin_image, d.ywin_image, d.mag_auto, d.flux_auto, d.snr_win, d.flags, d.fwhm_image,
    d.fwhm_image * i.scale_arcsec_px AS fwhm_arcsec, d.elongation, d.spread_model, d.spreaderr_model,
    d.class_star, i.epoch_jyear, i.image_id, i.tile_id
FROM vasco.detection AS d
JOIN vasco.extraction AS e USING (extraction_id)
JOIN plate.image AS i USING (image_id);
COMMENT ON VIEW api.detections IS 'Every detection with its tile, plate and epoch';
COMMENT ON COLUMN api.detections.src_id IS 'Name of the detection: tile and number [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.detections.plate_id IS 'Plate, header REGION [-] {meta.id}';
COMMENT ON COLUMN api.detections.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN api.detections.number IS 'Number within the extraction [-] {meta.id}';
COMMENT ON COLUMN api.detections.ra IS 'Best right ascension, J2000, at the plate''s epoch [deg] {pos.eq.ra;meta.main}';
COMMENT ON COLUMN api.detections.dec IS 'Best declination, J2000, at the plate''s epoch [deg] {pos.eq.dec;meta.main}';
COMMENT ON COLUMN api.detections.xwin_image IS 'Windowed position in x [pix] {pos.cartesian.x;instr.det}';
COMMENT ON COLUMN api.detections.ywin_image IS 'Windowed position in y [pix] {pos.cartesian.y;instr.det}';
COMMENT ON COLUMN api.detections.mag_auto IS 'Kron magnitude, instrumental [mag] {phot.mag}';
COMMENT ON COLUMN api.detections.flux_auto IS 'Kron flux, photographic density [ct] {phot.count}';
COMMENT ON COLUMN api.detections.snr_win IS 'Signal-to-noise in the window [-] {stat.snr}';
COMMENT ON COLUMN api.detections.flags IS 'SExtractor''s extraction flags [-] {meta.code.qual}';
COMMENT ON COLUMN api.detections.fwhm_image IS 'FWHM of a Gaussian core [pix] {phys.angSize}';
COMMENT ON COLUMN api.detections.fwhm_arcsec IS 'The same by the plate''s own scale [arcsec] {phys.angSize}';
COMMENT ON COLUMN api.detections.elongation IS 'Axis ratio a/b [-] {phys.angSize;arith.ratio}';
COMMENT ON COLUMN api.detections.spread_model IS 'SPREAD_MODEL: 0 for a point source, null where not measured [-] {src.morph.param}';
COMMENT ON COLUMN api.detections.spreaderr_model IS 'Error of SPREAD_MODEL [-] {stat.error;src.morph.param}';
COMMENT ON COLUMN api.detections.class_star IS 'Star-galaxy classifier, 1 for a star [-] {src.class.starGalaxy}';
COMMENT ON COLUMN api.detections.epoch_jyear IS 'Julian epoch of mid-exposure [yr] {time.epoch}';
COMMENT ON COLUMN api.detections.image_id IS 'Image [-] {meta.id}';
COMMENT ON COLUMN api.detections.tile_id IS 'Tile that the image covers [-] {meta.id}';

-- A candidate has, of every stage of its run, a pass or an outcome that the stage tolerates; what was tolerated
-- is said. A missing verdict is not a pass. It starts from what the last stage lets through, image by image and
-- fenced, so that it stays fast whatever the planner thinks it knows of verdicts just written.
CREATE OR REPLACE VIEW api.candidates AS
SELECT
    r.run, d.src_id, im.plate_id, d.ra, d.dec, d.mag_auto, d.snr_win, d.fwhm_arcsec, d.elongation, d.spread_model,
    d.xwin_image, d.ywin_image, im.epoch_jyear, im.tile_id, passed.marks, r.run_id, i.extraction_id, reached.number
FROM vasco.run AS r
CROSS JOIN LATERAL (
    SELECT max(a.ordinal) AS last_ordinal, count(*) AS n_stages FROM vasco.run_stage AS a WHERE a.run_id = r.run_id OFFSET 0
) AS all_stages
JOIN vasco.run_stage AS last ON last.run_id = r.run_id AND last.ordinal = all_stages.last_ordinal
JOIN vasco.run_image AS i ON i.run_id = r.run_id
JOIN vasco.extraction AS e USING (extraction_id)
JOIN plate.image AS im USING (image_id)
CROSS JOIN LATERAL (
    SELECT v.number
    FROM vasco.verdict AS v
    WHERE v.run_id = r.run_id AND v.stage = last.stage AND v.extraction_id = i.extraction_id
    AND stage.goes_on(v.outcome, last.tolerates)
) AS reached
CROSS JOIN LATERAL (
    SELECT
        count(*) AS n,
        array_agg(s.stage || ' ' || v.outcome ORDER BY s.ordinal) FILTER (WHERE v.outcome <> 'pass') AS marks
    FROM vasco.run_stage AS s
    CROSS JOIN LATERAL (
        SELECT o.outcome
        FROM vasco.verdict AS o
        WHERE o.run_id = s.run_id AND o.stage = s.stage AND o.extraction_id = i.extraction_id AND o.number = reached.number
        OFFSET 0
    ) AS v
    WHERE s.run_id = r.run_id AND stage.goes_on(v.outcome, s.tolerates)
    OFFSET 0
) AS passed
CROSS JOIN LATERAL (
    SELECT a.* FROM api.detections AS a
    WHERE a.extraction_id = i.extraction_id AND a.number = reached.number
    OFFSET 0
) AS d
WHERE passed.n = all_stages.n_stages;
COMMENT ON VIEW api.candidates IS 'Detections that every stage of a run let through';
COMMENT ON COLUMN api.candidates.run IS 'Name of the run [-] {meta.id}';
COMMENT ON COLUMN api.candidates.src_id IS 'Name of the detection: tile and number [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.candidates.plate_id IS 'Plate, header REGION [-] {meta.id}';
COMMENT ON COLUMN api.candidates.ra IS 'Best right ascension, J2000, at the plate''s epoch [deg] {pos.eq.ra;meta.main}';
COMMENT ON COLUMN api.candidates.dec IS 'Best declination, J2000, at the plate''s epoch [deg] {pos.eq.dec;meta.main}';
COMMENT ON COLUMN api.candidates.mag_auto IS 'Kron magnitude, instrumental [mag] {phot.mag}';
COMMENT ON COLUMN api.candidates.snr_win IS 'Signal-to-noise in the window [-] {stat.snr}';
COMMENT ON COLUMN api.candidates.fwhm_arcsec IS 'FWHM of a Gaussian core, by the plate''s own scale [arcsec] {phys.angSize}';
COMMENT ON COLUMN api.candidates.elongation IS 'Axis ratio a/b [-] {phys.angSize;arith.ratio}';
COMMENT ON COLUMN api.candidates.spread_model IS 'SPREAD_MODEL: 0 for a point source [-] {src.morph.param}';
COMMENT ON COLUMN api.candidates.xwin_image IS 'Windowed position in x [pix] {pos.cartesian.x;instr.det}';
COMMENT ON COLUMN api.candidates.ywin_image IS 'Windowed position in y [pix] {pos.cartesian.y;instr.det}';
COMMENT ON COLUMN api.candidates.epoch_jyear IS 'Julian epoch of mid-exposure [yr] {time.epoch}';
COMMENT ON COLUMN api.candidates.tile_id IS 'Tile that the image covers [-] {meta.id}';
COMMENT ON COLUMN api.candidates.marks IS
    'Stages that did not say pass, and what they said, where the run tolerates that; null where all passed [-] {meta.code.qual}';
COMMENT ON COLUMN api.candidates.run_id IS 'Run, as a number [-] {meta.id}';
COMMENT ON COLUMN api.candidates.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN api.candidates.number IS 'Number within the extraction [-] {meta.id}';

-- Per run, image and stage: the verdicts, and how many detections are left after it and all before it.
CREATE OR REPLACE VIEW api.funnel AS
SELECT
    r.run, i.extraction_id, im.tile_id, im.plate_id, f.ordinal, f.stage, f.judged, f.passed, f.failed, f.unknown,
    f.not_covered, f.remaining, r.run_id
FROM vasco.run AS r
JOIN vasco.run_image AS i USING (run_id)
JOIN vasco.extraction AS e USING (extraction_id)
JOIN plate.image AS im USING (image_id)
CROSS JOIN LATERAL (
    SELECT
        p.ordinal, p.stage,
        count(p.number) AS judged,
        count(*) FILTER (WHERE p.outcome = 'pass') AS passed,
        count(*) FILTER (WHERE p.outcome = 'fail') AS failed,
        count(*) FILTER (WHERE p.outcome = 'unknown') AS unknown,
        count(*) FILTER (WHERE p.outcome = 'not_covered') AS not_covered,
        count(*) FILTER (WHERE p.goes_on AND p.n_gone_on = p.place) AS remaining
    FROM (
        -- Stages that let it go on up to and with this one; a missing verdict does not.
        SELECT s.ordinal, s.stage, s.place, v.number, v.outcome, stage.goes_on(v.outcome, s.tolerates) AS goes_on,
            count(*) FILTER (WHERE stage.goes_on(v.outcome, s.tolerates))
                OVER (PARTITION BY v.number ORDER BY s.ordinal) AS n_gone_on
        FROM (
            SELECT a.run_id, a.ordinal, a.stage, a.tolerates, row_number() OVER (ORDER BY a.ordinal) AS place
            FROM vasco.run_stage AS a
            WHERE a.run_id = r.run_id
        ) AS s
        LEFT JOIN LATERAL (
            SELECT o.number, o.outcome
            FROM vasco.verdict AS o
            WHERE o.run_id = s.run_id AND o.stage = s.stage AND o.extraction_id = i.extraction_id
            OFFSET 0
        ) AS v ON true
    ) AS p
    GROUP BY p.ordinal, p.stage
) AS f;
COMMENT ON VIEW api.funnel IS 'Verdicts per run, image and stage, derived from the verdict rows';
COMMENT ON COLUMN api.funnel.run IS 'Name of the run [-] {meta.id}';
COMMENT ON COLUMN api.funnel.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN api.funnel.tile_id IS 'Tile that the image covers [-] {meta.id}';
COMMENT ON COLUMN api.funnel.plate_id IS 'Plate, header REGION [-] {meta.id}';
COMMENT ON COLUMN api.funnel.ordinal IS 'Place of the stage in its run [-] {meta.number}';
COMMENT ON COLUMN api.funnel.stage IS 'Stage [-] {meta.id}';
COMMENT ON COLUMN api.funnel.judged IS 'Detections that the stage judged [-] {meta.number}';
COMMENT ON COLUMN api.funnel.passed IS 'Verdicts pass [-] {meta.number}';
COMMENT ON COLUMN api.funnel.failed IS 'Verdicts fail [-] {meta.number}';
COMMENT ON COLUMN api.funnel.unknown IS 'Verdicts unknown: a look-up failed, or a value was not measured [-] {meta.number}';
COMMENT ON COLUMN api.funnel.not_covered IS 'Verdicts not_covered: nobody looked there [-] {meta.number}';
COMMENT ON COLUMN api.funnel.remaining IS 'Detections that this stage and all before it let go on [-] {meta.number}';
COMMENT ON COLUMN api.funnel.run_id IS 'Run, as a number [-] {meta.id}';

CREATE OR REPLACE VIEW api.match_states AS
SELECT
    m.extraction_id, m.catalog,
    count(*) FILTER (WHERE m.state = 'matched') AS matched,
    count(*) FILTER (WHERE m.state = 'clear') AS clear,
    count(*) FILTER (WHERE m.state = 'unknown') AS unknown,
    count(*) FILTER (WHERE m.state = 'not_covered') AS not_covered
FROM vasco.match AS m
GROUP BY m.extraction_id, m.catalog;
COMMENT ON VIEW api.match_states IS 'What each catalogue says of the detections of each extraction';
COMMENT ON COLUMN api.match_states.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN api.match_states.catalog IS 'Catalogue [-] {meta.id}';
COMMENT ON COLUMN api.match_states.matched IS 'Detections with a counterpart at the plate''s epoch [-] {meta.number}';
COMMENT ON COLUMN api.match_states.clear IS 'Detections without one where a complete look-up covers them [-] {meta.number}';
COMMENT ON COLUMN api.match_states.unknown IS 'Detections whose look-up failed [-] {meta.number}';
COMMENT ON COLUMN api.match_states.not_covered IS 'Detections where nobody looked [-] {meta.number}';

CREATE OR REPLACE VIEW api.fingerprint AS
WITH per_table AS (SELECT * FROM meta.fingerprint())
SELECT p.table_name, p.n_rows, p.fingerprint FROM per_table AS p
UNION ALL
SELECT 'all', sum(p.n_rows)::bigint, md5(string_agg(p.table_name || p.fingerprint, ',' ORDER BY p.table_name))
FROM per_table AS p;
COMMENT ON VIEW api.fingerprint IS 'One order-independent hash per table of content, and one for all';
COMMENT ON COLUMN api.fingerprint.table_name IS 'Table, or all [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.fingerprint.n_rows IS 'Rows [-] {meta.number}';
COMMENT ON COLUMN api.fingerprint.fingerprint IS 'Hash of the rows, whatever their order [-] {meta.checksum}';
