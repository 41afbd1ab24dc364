-- Match one extraction against one catalogue and store what is new or different. Detections and
-- counterparts are brought together by UNION and GROUP BY, and compared with what is stored by EXCEPT:
-- not by joins, whose sizes the planner cannot know in the transaction that wrote the rows.

-- Detections of an extraction that lie within the survey of a catalogue. An outline that was not fetched
-- bounds nothing.
CREATE OR REPLACE FUNCTION stage.in_survey(which_extraction_id bigint, catalog_name text)
RETURNS TABLE (number integer, hpx29 bigint, inside boolean)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    limits ref.catalog;
    -- Of the outline only what the detections meet; it may have a hundred thousand ranges.
    outline int8multirange;
BEGIN
    SELECT c.* INTO limits FROM ref.catalog AS c WHERE c.catalog = catalog_name;
    SELECT f.hpx29 * (
        SELECT coalesce(range_agg(int8range(d.hpx29, d.hpx29 + 1)), '{}')
        FROM vasco.detection AS d
        WHERE d.extraction_id = which_extraction_id
    )
    INTO outline
    FROM ref.footprint AS f
    WHERE f.catalog = catalog_name;

    RETURN QUERY
    SELECT d.number, d.hpx29,
        d.dec BETWEEN limits.dec_min AND limits.dec_max
        AND (
            outline IS NULL
            OR d.hpx29 IN (SELECT generate_series(lower(r), upper(r) - 1) FROM unnest(outline) AS r)
        )
    FROM vasco.detection AS d
    WHERE d.extraction_id = which_extraction_id;
END
$$;
COMMENT ON FUNCTION stage.in_survey IS 'Detections of an extraction, and whether a catalogue''s survey reaches them';

-- What a catalogue of stars and galaxies says of each detection of an extraction. Where the survey does not
-- reach, an empty answer means nothing.
CREATE OR REPLACE FUNCTION stage.look_fixed(which_extraction_id bigint, catalog_name text)
RETURNS TABLE (
    number integer, state vasco.look_state, source_id bigint, sep_arcsec double precision, n_within integer,
    lookup_id bigint, reason text
)
LANGUAGE sql STABLE
AS $$
    WITH known AS (
        SELECT n.number, n.source_id, n.sep_arcsec, n.n_within, NULL::bigint AS lookup_id, NULL::bigint AS gap_id, true AS inside
        FROM ref.catalog AS c
        CROSS JOIN LATERAL sky.nearest_at_epoch(which_extraction_id, c.catalog, c.match_radius_arcsec) AS n
        WHERE c.catalog = catalog_name
        UNION ALL
        SELECT d.number, NULL, NULL, 0, l.lookup_id, g.lookup_id, d.inside
        FROM stage.in_survey(which_extraction_id, catalog_name) AS d
        LEFT JOIN LATERAL sky.covering_lookup(catalog_name, d.hpx29) AS l ON true
        LEFT JOIN LATERAL sky.gap_at(catalog_name, d.hpx29) AS g ON true
    ),
    look AS (
        SELECT
            k.number, max(k.source_id) AS source_id, max(k.sep_arcsec) AS sep_arcsec, max(k.n_within) AS n_within,
            max(k.lookup_id) AS lookup_id, max(k.gap_id) AS gap_id, bool_and(k.inside) AS inside
        FROM known AS k
        GROUP BY k.number
    ),
    judged AS (
        SELECT l.*,
            CASE
                WHEN l.source_id IS NOT NULL THEN 'matched'
                WHEN NOT l.inside THEN 'not_covered'
                WHEN l.lookup_id IS NOT NULL THEN 'clear'
                WHEN l.gap_id IS NOT NULL THEN 'unknown'
                ELSE 'not_covered'
            END::vasco.look_state AS state
        FROM look AS l
    )
    SELECT
        j.number, j.state, j.source_id, j.sep_arcsec, j.n_within,
        CASE WHEN j.inside THEN j.lookup_id END,
        CASE
            WHEN j.state = 'unknown' THEN ref.failure_text(j.gap_id)
            WHEN j.state = 'not_covered' AND NOT j.inside THEN 'outside the survey'
        END
    FROM judged AS j
$$;
COMMENT ON FUNCTION stage.look_fixed IS 'What a catalogue of fixed sources says of each detection of an extraction';

-- Where look-ups for moving objects over an image were whole, and where they failed; the newest has the
-- highest rank.
CREATE OR REPLACE FUNCTION stage.moving_cones(
    which_image_id bigint, catalog_name text, which_reading text DEFAULT 'corrected', instant text DEFAULT 'mid'
)
RETURNS TABLE (
    lookup_id bigint, complete boolean, ra_deg double precision, dec_deg double precision,
    radius_arcsec double precision, age_rank bigint
)
LANGUAGE sql STABLE
AS $$
    SELECT
        m.lookup_id, m.complete, m.ra, m.dec,
        m.radius_deg * 3600 - CASE WHEN m.complete THEN c.coverage_margin_arcsec ELSE 0 END,
        row_number() OVER (ORDER BY l.asked_at, l.lookup_id)
    FROM ref.looks_in_time(which_image_id, catalog_name, which_reading, instant) AS m
    JOIN ref.lookup AS l ON l.lookup_id = m.lookup_id
    JOIN ref.catalog AS c ON c.catalog = m.catalog
$$;
COMMENT ON FUNCTION stage.moving_cones IS 'Cones over an image in which a catalogue of moving objects was asked, without the rim where complete';

-- What a catalogue of moving objects says of each detection: only look-ups for this very image count. Where
-- several contain a detection, the newest is named. Without a time that can be trusted nobody asks, and nobody knows.
CREATE OR REPLACE FUNCTION stage.look_moving(which_extraction_id bigint, catalog_name text)
RETURNS TABLE (
    number integer, state vasco.look_state, source_id bigint, sep_arcsec double precision, n_within integer,
    lookup_id bigint, reason text
)
LANGUAGE sql STABLE
AS $$
    WITH cone AS MATERIALIZED (
        SELECT c.*
        FROM vasco.extraction AS e
        CROSS JOIN LATERAL stage.moving_cones(e.image_id, catalog_name) AS c
        WHERE e.extraction_id = which_extraction_id
    ),
    known AS (
        SELECT n.number, n.source_id, n.sep_arcsec, n.n_within, NULL::bigint AS complete_rank, NULL::bigint AS failed_rank
        FROM ref.catalog AS c
        CROSS JOIN LATERAL sky.nearest_trail(which_extraction_id, c.catalog, c.match_radius_arcsec) AS n
        WHERE c.catalog = catalog_name
        UNION ALL
        SELECT d.number, NULL, NULL, 0, r.complete_rank, r.failed_rank
        FROM vasco.detection AS d
        CROSS JOIN LATERAL (
            SELECT
                max(c.age_rank) FILTER (WHERE c.complete) AS complete_rank,
                max(c.age_rank) FILTER (WHERE NOT c.complete) AS failed_rank
            FROM cone AS c
            WHERE sky.separation_arcsec(d.ra, d.dec, c.ra_deg, c.dec_deg) <= c.radius_arcsec
        ) AS r
        WHERE d.extraction_id = which_extraction_id
    ),
    look AS (
        SELECT
            k.number, max(k.source_id) AS source_id, max(k.sep_arcsec) AS sep_arcsec, max(k.n_within) AS n_within,
            max(k.complete_rank) AS complete_rank, max(k.failed_rank) AS failed_rank
        FROM known AS k
        GROUP BY k.number
    ),
    judged AS (
        SELECT l.*, k.trouble,
            CASE
                WHEN l.source_id IS NOT NULL THEN 'matched'
                WHEN l.complete_rank IS NOT NULL THEN 'clear'
                WHEN l.failed_rank IS NOT NULL OR k.trouble IS NOT NULL THEN 'unknown'
                ELSE 'not_covered'
            END::vasco.look_state AS state
        FROM look AS l
        CROSS JOIN vasco.extraction AS e
        CROSS JOIN LATERAL plate.moment_of(e.image_id) AS k
        WHERE e.extraction_id = which_extraction_id
    )
    SELECT
        j.number, j.state, j.source_id, j.sep_arcsec, j.n_within,
        (SELECT c.lookup_id FROM cone AS c WHERE c.age_rank = j.complete_rank),
        CASE WHEN j.state = 'unknown' THEN coalesce(j.trouble, (
            SELECT ref.failure_text(c.lookup_id) FROM cone AS c WHERE c.age_rank = j.failed_rank
        )) END
    FROM judged AS j
$$;
COMMENT ON FUNCTION stage.look_moving IS 'What a catalogue of moving objects says of each detection of an extraction';

CREATE OR REPLACE FUNCTION stage.look(which_extraction_id bigint, catalog_name text)
RETURNS TABLE (
    number integer, state vasco.look_state, source_id bigint, sep_arcsec double precision, n_within integer,
    lookup_id bigint, reason text
)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF (SELECT c.moving FROM ref.catalog AS c WHERE c.catalog = catalog_name) THEN
        RETURN QUERY SELECT m.* FROM stage.look_moving(which_extraction_id, catalog_name) AS m;
    ELSIF EXISTS (
        SELECT 1 FROM vasco.extraction AS e JOIN plate.image AS i USING (image_id)
        WHERE e.extraction_id = which_extraction_id AND i.epoch_jyear IS NULL
    ) THEN
        -- Stars cannot be moved to an epoch that nobody knows, as of some imported images: nothing is found
        -- there, and that means nothing.
        RETURN QUERY
        SELECT f.number,
            CASE f.state WHEN 'clear' THEN 'unknown' ELSE f.state END::vasco.look_state,
            f.source_id, f.sep_arcsec, f.n_within, NULL::bigint,
            CASE f.state WHEN 'clear' THEN 'the date of the image is not known' ELSE f.reason END
        FROM stage.look_fixed(which_extraction_id, catalog_name) AS f;
    ELSE
        RETURN QUERY SELECT f.* FROM stage.look_fixed(which_extraction_id, catalog_name) AS f;
    END IF;
END
$$;
COMMENT ON FUNCTION stage.look IS 'What a catalogue says of each detection of an extraction';

CREATE OR REPLACE FUNCTION stage.match(which_extraction_id bigint, catalog_name text)
RETURNS TABLE (matched bigint, clear bigint, unknown bigint, not_covered bigint, written bigint)
LANGUAGE plpgsql
AS $$
DECLARE
    n_written bigint;
BEGIN
    WITH merged AS (
        INSERT INTO vasco.match (
            extraction_id, number, catalog, state, source_id, sep_arcsec, n_within, lookup_id, lookup_complete, reason
        )
        SELECT
            which_extraction_id, l.number, catalog_name, l.state, l.source_id, l.sep_arcsec, l.n_within, l.lookup_id,
            CASE WHEN l.lookup_id IS NOT NULL THEN true END, l.reason
        FROM stage.look(which_extraction_id, catalog_name) AS l
        EXCEPT
        SELECT
            m.extraction_id, m.number, m.catalog, m.state, m.source_id, m.sep_arcsec, m.n_within, m.lookup_id,
            m.lookup_complete, m.reason
        FROM vasco.match AS m
        WHERE m.extraction_id = which_extraction_id AND m.catalog = catalog_name
        ORDER BY 2
        ON CONFLICT (extraction_id, number, catalog) DO UPDATE
        SET state = excluded.state, source_id = excluded.source_id, sep_arcsec = excluded.sep_arcsec,
            n_within = excluded.n_within, lookup_id = excluded.lookup_id, lookup_complete = excluded.lookup_complete,
            reason = excluded.reason
        RETURNING 1
    )
    SELECT count(*) INTO n_written FROM merged;
    IF n_written > 0 THEN
        UPDATE vasco.extraction AS e SET revision = e.revision + 1 WHERE e.extraction_id = which_extraction_id;
    END IF;

    RETURN QUERY
    SELECT
        count(*) FILTER (WHERE m.state = 'matched'),
        count(*) FILTER (WHERE m.state = 'clear'),
        count(*) FILTER (WHERE m.state = 'unknown'),
        count(*) FILTER (WHERE m.state = 'not_covered'),
        n_written
    FROM vasco.match AS m
    WHERE m.extraction_id = which_extraction_id AND m.catalog = catalog_name;
END
$$;
COMMENT ON FUNCTION stage.match IS
    'Match an extraction against a catalogue at the plate''s epoch and store it; returns the states and the rows written';

-- Whether a catalogue's coverage or gaps touch some ranges of cells: each range looks at the one stored
-- range that begins before it, and at those that begin in it.
CREATE OR REPLACE FUNCTION ref.knows_of(catalog_name text, ranges int8multirange)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT EXISTS (
        SELECT 1
        FROM unnest(ranges) AS r
        CROSS JOIN LATERAL (
            (
                SELECT c.hpx29 FROM ref.coverage AS c
                WHERE c.catalog = catalog_name AND lower(c.hpx29) < upper(r)
                ORDER BY lower(c.hpx29) DESC
                LIMIT 1
            )
            UNION ALL
            (
                SELECT g.hpx29 FROM ref.gap AS g
                WHERE g.catalog = catalog_name AND lower(g.hpx29) < upper(r)
                ORDER BY lower(g.hpx29) DESC
                LIMIT 1
            )
        ) AS k
        WHERE upper(k.hpx29) > lower(r)
    )
$$;
COMMENT ON FUNCTION ref.knows_of IS 'Whether a catalogue was ever asked, well or in vain, about any of some cells of order 29';

-- Catalogues of which anything at all is known: sources, sky that was asked for, well or in vain, or the paths of
-- moving objects.
CREATE OR REPLACE FUNCTION ref.known_catalogs()
RETURNS TABLE (catalog text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    has_sources boolean;
BEGIN
    FOR catalog IN SELECT c.catalog FROM ref.catalog AS c ORDER BY c.catalog LOOP
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM ref.%I)', catalog) INTO has_sources;
        IF has_sources
            OR EXISTS (SELECT 1 FROM ref.coverage AS k WHERE k.catalog = known_catalogs.catalog)
            OR EXISTS (SELECT 1 FROM ref.gap AS k WHERE k.catalog = known_catalogs.catalog)
            OR EXISTS (SELECT 1 FROM ref.moving_look AS k WHERE k.catalog = known_catalogs.catalog)
        THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ref.known_catalogs IS 'Catalogues of which anything at all is known';

-- Whether a catalogue has any source within a radius of a position, at J1954.0.
CREATE OR REPLACE FUNCTION ref.has_sources_near(
    catalog_name text, at_ra_deg double precision, at_dec_deg double precision, radius_deg double precision
)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found boolean;
BEGIN
    EXECUTE format(
        'SELECT EXISTS (SELECT 1 FROM ref.%I AS r WHERE q3c_join($1, $2, r.ra_j1954, r.dec_j1954, $3))', catalog_name
    )
    INTO found
    USING at_ra_deg, at_dec_deg, radius_deg;
    RETURN found;
END
$$;
COMMENT ON FUNCTION ref.has_sources_near IS 'Whether a catalogue has any source within a radius of a position, at J1954.0';

-- Catalogues to match an extraction against: those of the families asked for, loaded or not, and every other
-- that knows anything of its sky, so that its word can be read beside theirs.
CREATE OR REPLACE FUNCTION stage.catalogs_to_match(which_extraction_id bigint, families text[])
RETURNS TABLE (catalog text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    known ref.catalog;
    image plate.image;
    wanted boolean;
BEGIN
    SELECT i.* INTO STRICT image
    FROM vasco.extraction AS e JOIN plate.image AS i USING (image_id)
    WHERE e.extraction_id = which_extraction_id;

    FOR known IN SELECT c.* FROM ref.catalog AS c ORDER BY c.catalog LOOP
        wanted := known.family = ANY (families)
            OR ref.knows_of(known.catalog, image.footprint)
            OR EXISTS (
                SELECT 1 FROM ref.moving_look AS m
                WHERE m.image_id = image.image_id AND m.catalog = known.catalog
            )
            -- What was known once may be known no more; then that is to be said.
            OR EXISTS (
                SELECT 1 FROM vasco.match AS m
                WHERE m.extraction_id = which_extraction_id AND m.catalog = known.catalog
                AND m.number = (SELECT min(d.number) FROM vasco.detection AS d WHERE d.extraction_id = which_extraction_id)
            )
            OR ref.has_sources_near(known.catalog, image.ra, image.dec, image.radius_deg);
        IF wanted THEN
            catalog := known.catalog;
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION stage.catalogs_to_match IS
    'Catalogues to match an extraction against: of the required families, and every other that knows anything of its sky';

-- What a family of catalogues (Gaia EDR3 and DR3, say) says of a detection: a counterpart in any of
-- them is a counterpart; otherwise a failed look-up in any leaves it unknown unless another covers it.
-- One index probe per detection: LIMIT keeps the planner from turning it into a join, whose size it
-- cannot know in the transaction that wrote the rows.
CREATE OR REPLACE FUNCTION stage.family_look(which_extraction_id bigint, which_number integer, family_name text)
RETURNS TABLE (state vasco.look_state, sep_arcsec double precision, catalog text, lookup_id bigint, reason text)
LANGUAGE sql STABLE ROWS 1
AS $$
    SELECT l.state, l.sep_arcsec, l.catalog, l.lookup_id, l.reason
    FROM (
        SELECT m.state, m.sep_arcsec, m.catalog, m.lookup_id, m.reason
        FROM vasco.match AS m
        WHERE m.extraction_id = which_extraction_id AND m.number = which_number
        AND m.catalog IN (SELECT c.catalog FROM ref.catalog AS c WHERE c.family = family_name)
        UNION ALL
        -- What a release says of an imported detection stands beside what was found here.
        SELECT p.state, p.sep_arcsec, p.catalog, p.lookup_id, p.reason
        FROM vasco.imported_match AS p
        WHERE p.extraction_id = which_extraction_id AND p.number = which_number
        AND p.catalog IN (SELECT c.catalog FROM ref.catalog AS c WHERE c.family = family_name)
        UNION ALL
        SELECT 'not_covered', NULL, NULL, NULL, NULL
    ) AS l
    -- look_state is declared in this order of precedence.
    ORDER BY l.state, l.sep_arcsec, l.catalog
    LIMIT 1
$$;
COMMENT ON FUNCTION stage.family_look IS 'What a family of catalogues says of one detection; not_covered where nobody looked';

CREATE OR REPLACE FUNCTION stage.family_state(which_extraction_id bigint, family_name text)
RETURNS TABLE (number integer, state vasco.look_state, sep_arcsec double precision, catalog text, lookup_id bigint, reason text)
LANGUAGE sql STABLE
AS $$
    SELECT d.number, l.state, l.sep_arcsec, l.catalog, l.lookup_id, l.reason
    FROM vasco.detection AS d
    CROSS JOIN LATERAL stage.family_look(d.extraction_id, d.number, family_name) AS l
    WHERE d.extraction_id = which_extraction_id
$$;
COMMENT ON FUNCTION stage.family_state IS 'What a family of catalogues says of each detection of an extraction';

-- Known stars of middling brightness, not blended: the local PSF's witnesses. Which ones are taken
-- depends on nothing but their numbers, spread over the image by a multiplicative hash.
CREATE OR REPLACE FUNCTION stage.reference_stars(which_extraction_id bigint, n_stars integer)
RETURNS TABLE (number integer)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    gaia text;
    parts text[] := '{}';
BEGIN
    FOR gaia IN SELECT c.catalog FROM ref.catalog AS c WHERE c.family = 'gaia' ORDER BY c.catalog LOOP
        parts := parts || format(
            'SELECT 1 FROM ('
            'SELECT a.source_id FROM vasco.match AS a '
            'WHERE a.extraction_id = $1 AND a.number = d.number AND a.catalog = %1$L AND a.state = ''matched'' OFFSET 0'
            ') AS m CROSS JOIN LATERAL ('
            'SELECT b.mag FROM ref.%1$I AS b WHERE b.source_id = m.source_id OFFSET 0'
            ') AS r WHERE r.mag > 12 AND r.mag < 18',
            gaia
        );
    END LOOP;
    IF parts = '{}' THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($query$
        SELECT d.number
        FROM vasco.detection AS d
        CROSS JOIN LATERAL (SELECT 1 FROM (%s) AS any_catalog LIMIT 1) AS star
        WHERE d.extraction_id = $1 AND d.flags = 0 AND d.elongation < 1.3::real
        ORDER BY (d.number * 2654435761) %% 4294967296, d.number
        LIMIT $2
    $query$, array_to_string(parts, ' UNION ALL '))
    USING which_extraction_id, n_stars;
END
$$;
COMMENT ON FUNCTION stage.reference_stars IS
    'A fixed sample of unblended stars with 12 < G < 18 of an extraction; null for all of them';
