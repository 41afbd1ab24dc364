-- What the export of a run writes, in the seeds' terms. A detection is known by its extraction and number; its name,
-- planned plate and date come with its image.

-- The stages of a run as an export needs them: with the catalogues of the family that they ask, how far about a
-- detection those are searched, and when the stage was last at work.
CREATE OR REPLACE FUNCTION api.export_stages(which_run_id bigint)
RETURNS TABLE (
    ordinal smallint, stage text, step smallint, function text, parameters jsonb, tolerates text[], catalogs text[],
    radius_arcsec double precision, moving boolean, judged_at timestamptz
)
LANGUAGE sql STABLE
AS $$
    SELECT s.ordinal, s.stage, s.step, s.function, s.parameters, s.tolerates::text[], c.catalogs,
        coalesce((s.parameters ->> 'radius_arcsec')::double precision, c.radius_arcsec), coalesce(c.moving, false), (
            SELECT max(l.judged_at) FROM vasco.run_ledger AS l WHERE l.run_id = s.run_id AND l.stage = s.stage
        )
    FROM vasco.run_stage AS s
    CROSS JOIN LATERAL (
        SELECT array_agg(k.catalog ORDER BY k.catalog) AS catalogs, max(k.match_radius_arcsec) AS radius_arcsec,
            bool_or(k.moving) AS moving
        FROM ref.catalog AS k
        WHERE k.family = s.parameters ->> 'family'
    ) AS c
    WHERE s.run_id = which_run_id
    ORDER BY s.ordinal
$$;
COMMENT ON FUNCTION api.export_stages IS 'Stages of a run, with the catalogues that they ask and when they were last at work';

-- The releases of which a run has every list, with what each says of its first stage.
CREATE OR REPLACE FUNCTION api.whole_releases(which_run_id bigint)
RETURNS TABLE (release_id bigint, tiles_root text, veto_start_rows bigint)
LANGUAGE sql STABLE
AS $$
    WITH joined AS MATERIALIZED (
        SELECT r.extraction_id FROM vasco.run_image AS r WHERE r.run_id = which_run_id
    )
    SELECT t.release_id, min(s.parameters ->> 'tiles_root'), min((s.parameters ->> 'veto_start_rows')::bigint)
    FROM vasco.release_tile AS t
    LEFT JOIN vasco.release_stage AS s ON s.release_id = t.release_id AND s.stage = 'S0'
    WHERE t.release_id IN (
        SELECT k.release_id FROM vasco.release_tile AS k WHERE k.extraction_id IN (SELECT j.extraction_id FROM joined AS j)
    )
    GROUP BY t.release_id
    HAVING count(t.extraction_id) = count(*) FILTER (WHERE t.extraction_id IN (SELECT j.extraction_id FROM joined AS j))
$$;
COMMENT ON FUNCTION api.whole_releases IS 'Releases of which a run has every list, and what they say of their first stage';

-- The images of a run, by the names of their tiles. As in the seeds, the plate is the one that the plan names; where
-- there was no plan, the one that the image shows. A run that has every list of a release also names the tiles whose
-- lists are missing there: they have no extraction. tile_path is the image's file, or the tile's folder in the release.
CREATE OR REPLACE FUNCTION api.export_images(which_run_id bigint)
RETURNS TABLE (
    extraction_id bigint, tile_id text, plate_id text, tile_path text, date_obs_raw text, is_imported boolean, note text
)
LANGUAGE sql STABLE
AS $$
    SELECT a.extraction_id, a.tile_id, a.plate_id, coalesce(a.path, s.parameters ->> 'tiles_root' || '/' || a.tile_id),
        a.date_obs_raw, a.release_id IS NOT NULL, a.note
    FROM (
        SELECT r.extraction_id, i.tile_id, coalesce(i.planned_plate, i.plate_id) AS plate_id, i.path, i.date_obs_raw,
            i.release_id, t.note
        FROM vasco.run_image AS r
        JOIN vasco.extraction AS e USING (extraction_id)
        JOIN plate.image AS i USING (image_id)
        LEFT JOIN vasco.release_tile AS t USING (extraction_id)
        WHERE r.run_id = which_run_id
        UNION ALL
        SELECT NULL, t.tile_id, coalesce(i.planned_plate, i.plate_id), NULL, i.date_obs_raw, t.release_id, t.note
        FROM vasco.release_tile AS t
        JOIN plate.image AS i USING (image_id)
        WHERE t.extraction_id IS NULL AND t.release_id IN (SELECT w.release_id FROM api.whole_releases(which_run_id) AS w)
    ) AS a
    LEFT JOIN vasco.release_stage AS s ON s.release_id = a.release_id AND s.stage = 'S0'
    ORDER BY a.tile_id COLLATE "C", a.plate_id COLLATE "C", a.extraction_id
$$;
COMMENT ON FUNCTION api.export_images IS 'Images of a run in the order of their tiles'' names, and tiles of its releases whose lists are missing';

-- How many detections a run began with: those of our own extractions, and what a release says of all of its tiles
-- together. Null where a release does not say, or the run has only a part of it.
CREATE OR REPLACE FUNCTION api.export_raw_detections(which_run_id bigint)
RETURNS bigint
LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN count(*) = count(k.n) THEN coalesce(sum(k.n), 0) END::bigint
    FROM (
        SELECT e.n_detections::bigint AS n
        FROM vasco.run_image AS r
        JOIN vasco.extraction AS e USING (extraction_id)
        JOIN plate.image AS i USING (image_id)
        WHERE r.run_id = which_run_id AND i.release_id IS NULL
        UNION ALL
        SELECT w.veto_start_rows
        FROM (
            SELECT DISTINCT t.release_id
            FROM vasco.run_image AS r
            JOIN vasco.release_tile AS t USING (extraction_id)
            WHERE r.run_id = which_run_id
        ) AS t
        LEFT JOIN api.whole_releases(which_run_id) AS w ON w.release_id = t.release_id
    ) AS k
$$;
COMMENT ON FUNCTION api.export_raw_detections IS 'Detections that a run began with; null where its releases do not say';

-- What a stage judged, in the order of tiles and numbers: the seeds' order.
CREATE OR REPLACE FUNCTION api.export_stage_rows(which_run_id bigint, stage_name text)
RETURNS TABLE (
    extraction_id bigint, number integer, ra_deg double precision, dec_deg double precision, outcome vasco.outcome,
    goes_on boolean, value double precision, reason text
)
LANGUAGE sql STABLE
AS $$
    SELECT i.extraction_id, v.number, d.ra, d.dec, v.outcome, stage.goes_on(v.outcome, s.tolerates), v.value, v.reason
    FROM vasco.run_stage AS s
    JOIN vasco.run_image AS i USING (run_id)
    JOIN vasco.extraction AS e USING (extraction_id)
    JOIN plate.image AS im USING (image_id)
    CROSS JOIN LATERAL (
        SELECT o.number, o.outcome, o.value, o.reason
        FROM vasco.verdict AS o
        WHERE o.run_id = s.run_id AND o.stage = s.stage AND o.extraction_id = i.extraction_id
        OFFSET 0
    ) AS v
    CROSS JOIN LATERAL (
        SELECT a.ra, a.dec FROM vasco.detection AS a
        WHERE a.extraction_id = i.extraction_id AND a.number = v.number
        OFFSET 0
    ) AS d
    WHERE s.run_id = which_run_id AND s.stage = stage_name
    ORDER BY im.tile_id COLLATE "C", v.number, i.extraction_id
$$;
COMMENT ON FUNCTION api.export_stage_rows IS 'Verdicts of a stage with the positions, in the order of tiles and numbers';

-- What a release published of the detections that a stage judged, for a stage of its own such as MORPH, whatever it
-- was numbered there: a column that nobody measured here is as it was published.
CREATE OR REPLACE FUNCTION api.export_published(which_run_id bigint, stage_name text, kind text)
RETURNS TABLE (extraction_id bigint, number integer, metrics jsonb)
LANGUAGE sql STABLE
AS $$
    SELECT i.extraction_id, p.number, p.metrics
    FROM vasco.run_image AS i
    CROSS JOIN LATERAL (
        SELECT o.number FROM vasco.verdict AS o
        WHERE o.run_id = i.run_id AND o.stage = stage_name AND o.extraction_id = i.extraction_id
        OFFSET 0
    ) AS v
    CROSS JOIN LATERAL (
        SELECT a.number, a.metrics FROM vasco.published_verdict AS a
        WHERE a.extraction_id = i.extraction_id AND a.number = v.number
        AND substr(a.stage, strpos(a.stage, '_') + 1) = kind
        OFFSET 0
    ) AS p
    WHERE i.run_id = which_run_id
$$;
COMMENT ON FUNCTION api.export_published IS 'What a release published, in one kind of stage, of the detections that a stage judged';

-- Width and sharpness, with the seed's own words for a rejection.
CREATE OR REPLACE FUNCTION api.export_morph(which_run_id bigint, stage_name text)
RETURNS TABLE (
    extraction_id bigint, number integer, fwhm_image real, fwhm_ratio double precision, spread_model real,
    spreaderr_model real, spread_snr double precision, psf_fwhm_median double precision,
    psf_spread_median double precision, psf_star_count integer, reject_reason text
)
LANGUAGE sql STABLE
AS $$
    SELECT m.extraction_id, m.number, d.fwhm_image, m.fwhm_ratio, d.spread_model, d.spreaderr_model, m.spread_snr,
        m.psf_fwhm_median, m.psf_spread_median, m.n_stars,
        stage.morph_reject_reason(m.fwhm_ratio, m.spread_snr, m.n_stars, s.parameters)
    FROM vasco.run_stage AS s
    CROSS JOIN LATERAL stage.morph_measures(s.run_id, s.stage, s.parameters) AS m
    CROSS JOIN LATERAL (
        SELECT a.fwhm_image, a.spread_model, a.spreaderr_model FROM vasco.detection AS a
        WHERE a.extraction_id = m.extraction_id AND a.number = m.number
        OFFSET 0
    ) AS d
    WHERE s.run_id = which_run_id AND s.stage = stage_name
$$;
COMMENT ON FUNCTION api.export_morph IS 'Measures of what a morph stage judged, with the seed''s words for a rejection';

-- Shapes, with the criteria that the seed's limits break; a stage that judges in sigmas of the neighbours has none.
CREATE OR REPLACE FUNCTION api.export_shape(which_run_id bigint, stage_name text)
RETURNS TABLE (
    extraction_id bigint, number integer, profile_diff double precision, circularity double precision, area real,
    shape_defect real, circle_deviation real, shape_confidence text, elongation double precision, stars_used integer,
    rejections text[]
)
LANGUAGE sql STABLE
AS $$
    SELECT i.extraction_id, m.number, m.profile_diff, m.circularity, m.area_px, m.shape_defect, m.circle_deviation,
        m.confidence, m.elongation, m.n_neighbours,
        CASE WHEN m.variant = 'inverted' THEN stage.shape_rejections(
            m.profile_diff, m.elongation, m.circularity, m.published_rejections, s.parameters
        ) END
    FROM vasco.run_stage AS s
    JOIN vasco.run_image AS i USING (run_id)
    CROSS JOIN LATERAL (
        SELECT o.number FROM vasco.verdict AS o
        WHERE o.run_id = s.run_id AND o.stage = s.stage AND o.extraction_id = i.extraction_id
        OFFSET 0
    ) AS v
    CROSS JOIN LATERAL (
        SELECT a.* FROM vasco.shape_measure AS a
        WHERE a.extraction_id = i.extraction_id AND a.number = v.number AND a.variant = s.parameters ->> 'variant'
        OFFSET 0
    ) AS m
    WHERE s.run_id = which_run_id AND s.stage = stage_name
$$;
COMMENT ON FUNCTION api.export_shape IS 'Measures of what a shape stage judged, with the seed''s limits that they break';

-- The counterparts that a stage on look-ups found, with their catalogue and how many there were within the match radius.
CREATE OR REPLACE FUNCTION api.export_looks(which_run_id bigint, stage_name text)
RETURNS TABLE (extraction_id bigint, number integer, catalog text, n_within integer)
LANGUAGE sql STABLE
AS $$
    SELECT i.extraction_id, v.number, m.catalog, m.n_within
    FROM vasco.run_stage AS s
    JOIN vasco.run_image AS i USING (run_id)
    CROSS JOIN LATERAL (
        SELECT o.number FROM vasco.verdict AS o
        WHERE o.run_id = s.run_id AND o.stage = s.stage AND o.extraction_id = i.extraction_id
        OFFSET 0
    ) AS v
    CROSS JOIN LATERAL (
        SELECT k.catalog, k.n_within
        FROM (
            SELECT a.catalog, a.n_within, a.sep_arcsec
            FROM vasco.match AS a
            WHERE a.extraction_id = i.extraction_id AND a.number = v.number AND a.state = 'matched'
            AND a.catalog IN (SELECT c.catalog FROM ref.catalog AS c WHERE c.family = s.parameters ->> 'family')
            UNION ALL
            SELECT b.catalog, b.n_within, b.sep_arcsec
            FROM vasco.imported_match AS b
            WHERE b.extraction_id = i.extraction_id AND b.number = v.number AND b.state = 'matched'
            AND b.catalog IN (SELECT c.catalog FROM ref.catalog AS c WHERE c.family = s.parameters ->> 'family')
        ) AS k
        ORDER BY k.sep_arcsec, k.catalog
        LIMIT 1
    ) AS m
    WHERE s.run_id = which_run_id AND s.stage = stage_name
$$;
COMMENT ON FUNCTION api.export_looks IS 'Counterparts of what a stage on look-ups judged';

-- The names of the counterparts for which a veto turned detections away, as the catalogue has them: the nearest source
-- of the family, within the stage's radius and at its epoch.
CREATE OR REPLACE FUNCTION api.export_designations(which_run_id bigint, stage_name text)
RETURNS TABLE (extraction_id bigint, number integer, designation text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    params jsonb;
    parts text;
BEGIN
    SELECT s.parameters INTO params
    FROM vasco.run_stage AS s
    WHERE s.run_id = which_run_id AND s.stage = stage_name AND s.function IN ('veto', 'veto_at');
    SELECT string_agg(
        format(
            'SELECT %1$L AS catalog, s.sep_arcsec, r.designation '
            'FROM sky.%2$s AS s CROSS JOIN LATERAL ('
            'SELECT n.designation FROM ref.%1$I AS n WHERE n.source_id = s.source_id OFFSET 0) AS r',
            c.catalog,
            CASE params ->> 'epoch'
                WHEN 'catalog' THEN format('neighbours_unmoved(%L, d.ra, d.dec, %s)', c.catalog, p.radius)
                ELSE format('neighbours(%L, d.ra, d.dec, %s, i.epoch_jyear)', c.catalog, p.radius)
            END
        ),
        ' UNION ALL ' ORDER BY c.catalog
    )
    INTO parts
    FROM ref.catalog AS c
    CROSS JOIN LATERAL (
        SELECT coalesce((params ->> 'radius_arcsec')::double precision, c.match_radius_arcsec) AS radius
    ) AS p
    WHERE c.family = params ->> 'family' AND NOT c.moving;
    IF parts IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($query$
        SELECT r.extraction_id, v.number, m.designation
        FROM vasco.run_image AS r
        JOIN vasco.extraction AS e USING (extraction_id)
        JOIN plate.image AS i USING (image_id)
        CROSS JOIN LATERAL (
            SELECT o.number FROM vasco.verdict AS o
            WHERE o.run_id = $1 AND o.stage = $2 AND o.extraction_id = r.extraction_id AND o.outcome = 'fail'
            OFFSET 0
        ) AS v
        CROSS JOIN LATERAL (
            SELECT a.ra, a.dec FROM vasco.detection AS a
            WHERE a.extraction_id = r.extraction_id AND a.number = v.number
            OFFSET 0
        ) AS d
        CROSS JOIN LATERAL (SELECT k.designation FROM (%s) AS k ORDER BY k.sep_arcsec, k.catalog LIMIT 1) AS m
        WHERE r.run_id = $1
    $query$, parts)
    USING which_run_id, stage_name;
END
$$;
COMMENT ON FUNCTION api.export_designations IS 'Names of the sources for which a veto turned detections away';

-- Moving objects near what a stage judged, on images that were asked for themselves: within a radius of one's own,
-- with the time that the last look-up was for.
CREATE OR REPLACE FUNCTION api.export_moving(which_run_id bigint, stage_name text, wide_arcsec double precision)
RETURNS TABLE (extraction_id bigint, number integer, sep_arcsec double precision, epoch timestamptz)
LANGUAGE sql STABLE
AS $$
    WITH asked AS MATERIALIZED (
        SELECT e.extraction_id, to_timestamp(86400 * (l.epoch_jd - 2440587.5)) AS epoch
        FROM vasco.run_stage AS s
        JOIN vasco.run_image AS i USING (run_id)
        JOIN vasco.extraction AS e USING (extraction_id)
        CROSS JOIN LATERAL (
            SELECT max(m.epoch_jd) AS epoch_jd
            FROM ref.moving_look AS m
            WHERE m.image_id = e.image_id
            AND m.catalog IN (SELECT c.catalog FROM ref.catalog AS c WHERE c.family = s.parameters ->> 'family')
        ) AS l
        WHERE s.run_id = which_run_id AND s.stage = stage_name AND l.epoch_jd IS NOT NULL
    )
    SELECT m.extraction_id, m.number, CASE WHEN m.outcome = 'fail' THEN m.value END, a.epoch
    FROM vasco.run_stage AS s
    CROSS JOIN LATERAL stage.moving(
        s.run_id, s.stage, jsonb_build_object('family', s.parameters -> 'family', 'radius_arcsec', wide_arcsec),
        ARRAY(SELECT k.extraction_id FROM asked AS k)
    ) AS m
    JOIN asked AS a USING (extraction_id)
    WHERE s.run_id = which_run_id AND s.stage = stage_name
$$;
COMMENT ON FUNCTION api.export_moving IS 'Moving objects near what a stage judged, and the time they were asked for';

-- The time of exposure that stage.earth_shadow believes of each image: its own header's, else the plate's; none where
-- the statements at hand differ by more than a minute.
CREATE OR REPLACE FUNCTION api.export_shadow_times(which_run_id bigint, stage_name text)
RETURNS TABLE (extraction_id bigint, at_utc text)
LANGUAGE sql STABLE
AS $$
    SELECT i.extraction_id, to_char(t.at_utc AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
    FROM vasco.run_stage AS s
    JOIN vasco.run_image AS i USING (run_id)
    JOIN vasco.extraction AS e USING (extraction_id)
    CROSS JOIN LATERAL (
        SELECT plate.time_of(e.image_id, s.parameters ->> 'reading', s.parameters ->> 'instant') AS at_utc OFFSET 0
    ) AS t
    WHERE s.run_id = which_run_id AND s.stage = stage_name AND t.at_utc IS NOT NULL
$$;
COMMENT ON FUNCTION api.export_shadow_times IS 'Times of exposure that a stage by the Earth''s shadow believed, in UTC';
