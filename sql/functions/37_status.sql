-- What `vascodb status` counts.

-- How many sources a catalogue holds: counted up to a million, which takes a blink; beyond that estimated
-- as the planner does, by the rows per page that the last ANALYZE saw, and then at least a million and one.
CREATE OR REPLACE FUNCTION ref.count_sources(catalog_name text)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    most CONSTANT bigint := 1000000;
    estimate bigint;
    n bigint;
BEGIN
    IF (SELECT c.moving FROM ref.catalog AS c WHERE c.catalog = catalog_name) THEN
        RETURN (
            SELECT count(DISTINCT o.source_id)
            FROM ref.moving_look AS l
            JOIN ref.moving_object AS o USING (lookup_id)
            WHERE l.catalog = catalog_name
        );
    END IF;
    -- Null where there are no statistics yet.
    SELECT c.reltuples / nullif(c.relpages, 0) * (pg_relation_size(c.oid) / current_setting('block_size')::bigint)
    INTO estimate
    FROM pg_class AS c
    WHERE c.oid = format('ref.%I', catalog_name)::regclass AND c.reltuples >= 0;
    IF estimate > 2 * most THEN
        RETURN estimate;
    END IF;
    EXECUTE format('SELECT count(*) FROM (SELECT 1 FROM ref.%I LIMIT %s) AS s', catalog_name, most + 1) INTO n;
    RETURN CASE WHEN n > most THEN greatest(n, estimate) ELSE n END;
END
$$;
COMMENT ON FUNCTION ref.count_sources IS
    'Sources that a catalogue holds: counted up to a million, above that estimated; of moving objects those ever predicted';

-- Ages are for people, and to a tenth of a day.
CREATE OR REPLACE FUNCTION ref.age_d(since timestamptz)
RETURNS real
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN round(extract(epoch FROM now() - since) / 86400, 1)::real;
COMMENT ON FUNCTION ref.age_d IS 'Time since then in days, to a tenth';
