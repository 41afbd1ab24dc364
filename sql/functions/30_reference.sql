-- Reference tables and coverage.

-- Make the table of a registered catalogue.
CREATE OR REPLACE FUNCTION ref.create_source_table(catalog_name text)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('CREATE TABLE IF NOT EXISTS ref.%I (LIKE ref.source_template INCLUDING ALL)', catalog_name);
    EXECUTE format('COMMENT ON TABLE ref.%I IS %L', catalog_name, 'Sources of the reference catalogue ' || catalog_name);
    EXECUTE format('CREATE UNIQUE INDEX IF NOT EXISTS %I ON ref.%I (source_id)', catalog_name || '_source_id', catalog_name);
    EXECUTE format(
        'CREATE INDEX IF NOT EXISTS %I ON ref.%I (q3c_ang2ipix(ra_j1954, dec_j1954))', catalog_name || '_sky', catalog_name
    );
    EXECUTE format(
        'CREATE INDEX IF NOT EXISTS %I ON ref.%I (q3c_ang2ipix(ra_j1954, dec_j1954)) WHERE sky.is_fast(pmra_masyr, pmdec_masyr)',
        catalog_name || '_fast', catalog_name
    );
END
$$;
COMMENT ON FUNCTION ref.create_source_table IS 'Make the source table of a registered catalogue, with its indexes';

-- Add ranges to a catalogue's coverage, keeping it disjoint; what is covered already stays as it is.
CREATE OR REPLACE FUNCTION ref.add_coverage(catalog_name text, by_lookup_id bigint, ranges int8multirange)
RETURNS bigint
LANGUAGE sql
AS $$
    WITH known AS (
        SELECT coalesce(range_agg(hpx29), '{}') AS ranges FROM ref.coverage WHERE catalog = catalog_name
    ),
    added AS (
        INSERT INTO ref.coverage (catalog, hpx29, lookup_id)
        SELECT catalog_name, r, by_lookup_id
        FROM unnest(ranges - (SELECT k.ranges FROM known AS k)) AS r
        RETURNING 1
    )
    SELECT count(*) FROM added
$$;
COMMENT ON FUNCTION ref.add_coverage IS 'Add ranges of HEALPix cells of order 29 to a catalogue''s coverage; returns the rows added';
