-- Pieces that the stages which stand on look-ups share.

-- The veto's verdict on one detection.
CREATE OR REPLACE FUNCTION stage.veto_verdict(which_extraction_id bigint, which_number integer, family_name text)
RETURNS TABLE (outcome vasco.outcome, value double precision, reason text, lookup_id bigint)
LANGUAGE sql STABLE ROWS 1
AS $$
    SELECT
        CASE s.state
            WHEN 'matched' THEN 'fail' WHEN 'clear' THEN 'pass'
            WHEN 'unknown' THEN 'unknown' WHEN 'not_covered' THEN 'not_covered'
        END::vasco.outcome,
        s.sep_arcsec,
        CASE s.state
            -- A release may say that there is one, but not where.
            WHEN 'matched' THEN s.catalog || coalesce(' source at ' || round(s.sep_arcsec::numeric, 3) || ' arcsec', ' source')
            WHEN 'unknown' THEN s.reason
            WHEN 'not_covered' THEN coalesce(
                s.catalog || ': ' || s.reason, format('no complete %s look-up covers the position', family_name)
            )
        END,
        CASE WHEN s.state = 'clear' THEN s.lookup_id END
    FROM stage.family_look(which_extraction_id, which_number, family_name) AS s
$$;
COMMENT ON FUNCTION stage.veto_verdict IS 'What the veto by a family of reference catalogues says of one detection';

-- The rim of a look-up holds the match radius and what a star moved since the 1950s. Who asks where sources were
-- may search as far as the match radius and no farther; who takes positions as the catalogue has them, or a
-- catalogue whose sources are not moved, may use all of the rim.
CREATE OR REPLACE FUNCTION ref.vouched_radius_arcsec(catalog_name text, moved boolean)
RETURNS double precision
LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN c.has_pm AND moved THEN c.match_radius_arcsec ELSE c.coverage_margin_arcsec END
    FROM ref.catalog AS c
    WHERE c.catalog = catalog_name AND NOT c.moving
$$;
COMMENT ON FUNCTION ref.vouched_radius_arcsec IS
    'How far about a covered position a catalogue of fixed sources is known, with or without their motion since the plate';

-- A stage that asks a family of catalogues in a way of its own; what does not go together is an error in words.
CREATE OR REPLACE FUNCTION stage.require_family(stage_name text, family_name text, of_moving_objects boolean)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ref.catalog AS c WHERE c.family = family_name) THEN
        RAISE EXCEPTION 'stage %: no registered catalogue is of the family %', stage_name, coalesce(family_name, 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT 1 FROM ref.catalog AS c WHERE c.family = family_name AND c.moving <> of_moving_objects) THEN
        RAISE EXCEPTION 'stage %: the family % is % moving objects', stage_name, family_name,
            CASE WHEN of_moving_objects THEN 'not of' ELSE 'of' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION stage.require_family IS 'Raise an error where a family is not registered, or of another kind than a stage needs';
