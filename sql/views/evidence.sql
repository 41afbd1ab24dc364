-- What is known of the reference catalogues, and on what evidence.

CREATE OR REPLACE VIEW api.catalogs AS
SELECT
    c.catalog, c.family, s.n AS sources, s.n <= 1000000 AS sources_exact,
    sky.cells_sqdeg(v.cells) AS coverage_sqdeg, l.lookups_complete, l.lookups_incomplete,
    sky.cells_sqdeg(g.cells) AS gap_sqdeg, l.canaries_failed,
    ref.age_d(l.newest_complete) AS newest_age_d,
    ref.age_d(l.oldest_complete) AS oldest_age_d,
    l.newest, l.newest_complete, l.oldest_complete, l.rows_kept, c.title
FROM ref.catalog AS c
CROSS JOIN LATERAL (SELECT ref.count_sources(c.catalog) AS n OFFSET 0) AS s
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE k.complete) AS lookups_complete,
        -- What was split is not missing: its parts were asked for one by one.
        count(*) FILTER (WHERE NOT k.complete AND k.status <> 'split') AS lookups_incomplete,
        coalesce(sum(k.rows_kept) FILTER (WHERE k.complete), 0)::bigint AS rows_kept,
        max(k.asked_at) AS newest,
        max(k.asked_at) FILTER (WHERE k.complete) AS newest_complete,
        min(k.asked_at) FILTER (WHERE k.complete) AS oldest_complete,
        (
            SELECT count(*) FROM ref.lookup AS n
            WHERE n.catalog = c.catalog AND n.kind = 'canary' AND NOT n.complete
        ) AS canaries_failed
    FROM ref.lookup AS k
    WHERE k.catalog = c.catalog AND k.kind NOT IN ('canary', 'import')
) AS l
CROSS JOIN LATERAL (
    SELECT sum((upper(g.hpx29) - lower(g.hpx29))::double precision) AS cells
    FROM ref.coverage AS g
    WHERE g.catalog = c.catalog
) AS v
CROSS JOIN LATERAL (
    SELECT sum((upper(g.hpx29) - lower(g.hpx29))::double precision) AS cells
    FROM ref.gap AS g
    WHERE g.catalog = c.catalog
) AS g;
COMMENT ON VIEW api.catalogs IS 'Reference catalogues: sources, sky covered, and how their look-ups went';
COMMENT ON COLUMN api.catalogs.catalog IS 'Catalogue [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.catalogs.family IS 'Catalogues of one family stand for each other in a profile [-] {meta.code.class}';
COMMENT ON COLUMN api.catalogs.sources IS 'Sources it holds [-] {meta.number}';
COMMENT ON COLUMN api.catalogs.sources_exact IS 'Whether they were counted; above a million they are estimated [-] {meta.code.qual}';
COMMENT ON COLUMN api.catalogs.coverage_sqdeg IS 'Sky where it is known [deg2] {pos.outline;phys.angArea}';
COMMENT ON COLUMN api.catalogs.lookups_complete IS 'Look-ups that brought everything in their region [-] {meta.number}';
COMMENT ON COLUMN api.catalogs.lookups_incomplete IS 'Look-ups that failed or were cut off [-] {meta.number}';
COMMENT ON COLUMN api.catalogs.gap_sqdeg IS 'Sky where look-ups failed and none has covered since: still to be tried again [deg2] {pos.outline;phys.angArea}';
COMMENT ON COLUMN api.catalogs.canaries_failed IS 'Canaries that did not come back right [-] {meta.number}';
COMMENT ON COLUMN api.catalogs.newest_age_d IS 'Age of the newest complete look-up [d] {time.duration}';
COMMENT ON COLUMN api.catalogs.oldest_age_d IS 'Age of the oldest complete look-up [d] {time.duration}';
COMMENT ON COLUMN api.catalogs.newest IS 'When it was last asked [-] {time}';
COMMENT ON COLUMN api.catalogs.newest_complete IS 'When it last answered completely [-] {time}';
COMMENT ON COLUMN api.catalogs.oldest_complete IS 'When it first answered completely [-] {time}';
COMMENT ON COLUMN api.catalogs.rows_kept IS 'Rows kept from all complete look-ups; a source that two of them brought counts twice [-] {meta.number}';
COMMENT ON COLUMN api.catalogs.title IS 'Full name [-] {meta.title}';

CREATE OR REPLACE VIEW api.lookups AS
SELECT
    l.lookup_id, l.catalog, l.kind, l.region, l.complete, l.status, l.cause, l.error, l.service, l.endpoint, l.asked_at,
    ref.age_d(l.asked_at) AS age_d,
    l.seconds, l.attempts, l.http_status, l.rows_in, l.rows_kept, l.rows_rejected, l.row_cap, l.overflow,
    l.response_bytes, l.response_sha256, l.canary_id, l.parameters
FROM ref.lookup AS l
ORDER BY l.asked_at DESC, l.lookup_id;
COMMENT ON VIEW api.lookups IS 'Every look-up with its evidence, newest first';
COMMENT ON COLUMN api.lookups.lookup_id IS 'Look-up [-] {meta.id;meta.main}';
COMMENT ON COLUMN api.lookups.catalog IS 'Catalogue that was asked [-] {meta.id}';
COMMENT ON COLUMN api.lookups.kind IS 'How it was asked: file, bulk, area, list, moving, canary, footprint or import [-] {meta.code}';
COMMENT ON COLUMN api.lookups.region IS 'Region that was asked for [-] {meta.note}';
COMMENT ON COLUMN api.lookups.complete IS 'Whether the answer holds everything in the region [-] {meta.code.qual}';
COMMENT ON COLUMN api.lookups.status IS 'ok, failed, or split into parts that were asked for again [-] {meta.code.status}';
COMMENT ON COLUMN api.lookups.cause IS 'Kind of failure [-] {meta.code.error}';
COMMENT ON COLUMN api.lookups.error IS 'Why it failed [-] {meta.note}';
COMMENT ON COLUMN api.lookups.service IS 'Service that was asked; null for files [-] {meta.id}';
COMMENT ON COLUMN api.lookups.endpoint IS 'File name or address that answered [-] {meta.ref}';
COMMENT ON COLUMN api.lookups.asked_at IS 'When it was asked [-] {time}';
COMMENT ON COLUMN api.lookups.age_d IS 'How long ago that is [d] {time.duration}';
COMMENT ON COLUMN api.lookups.seconds IS 'How long it took, with all attempts [s] {time.duration}';
COMMENT ON COLUMN api.lookups.attempts IS 'How often it was tried [-] {meta.number}';
COMMENT ON COLUMN api.lookups.http_status IS 'HTTP status of the last attempt [-] {meta.code.status}';
COMMENT ON COLUMN api.lookups.rows_in IS 'Rows in the answer [-] {meta.number}';
COMMENT ON COLUMN api.lookups.rows_kept IS 'Rows kept [-] {meta.number}';
COMMENT ON COLUMN api.lookups.rows_rejected IS 'Rows rejected [-] {meta.number}';
COMMENT ON COLUMN api.lookups.row_cap IS 'Largest number of rows the service would have sent [-] {meta.number;stat.max}';
COMMENT ON COLUMN api.lookups.overflow IS 'Whether the service said that it cut the answer [-] {meta.code.qual}';
COMMENT ON COLUMN api.lookups.response_bytes IS 'Length of the answer [byte] {meta.number}';
COMMENT ON COLUMN api.lookups.response_sha256 IS 'SHA-256 of the answer [-] {meta.checksum}';
COMMENT ON COLUMN api.lookups.canary_id IS 'The canary that vouches for the service at that time [-] {meta.id}';
COMMENT ON COLUMN api.lookups.parameters IS 'What was asked [-] {meta.record}';

CREATE OR REPLACE VIEW api.gaps AS
SELECT
    g.catalog, sky.cells_sqdeg(g.cells) AS gap_sqdeg, g.n_ranges, l.cause, l.error, l.service, l.region, l.asked_at,
    ref.age_d(l.asked_at) AS age_d, g.lookup_id
FROM (
    SELECT
        n.catalog, n.lookup_id, count(*) AS n_ranges,
        sum((upper(n.hpx29) - lower(n.hpx29))::double precision) AS cells
    FROM ref.gap AS n
    GROUP BY n.catalog, n.lookup_id
) AS g
JOIN ref.lookup AS l USING (lookup_id);
COMMENT ON VIEW api.gaps IS 'Look-ups that failed where none has covered since: what is still to be tried again';
COMMENT ON COLUMN api.gaps.catalog IS 'Catalogue [-] {meta.id}';
COMMENT ON COLUMN api.gaps.gap_sqdeg IS 'Sky that is still a gap because of this look-up [deg2] {pos.outline;phys.angArea}';
COMMENT ON COLUMN api.gaps.n_ranges IS 'Ranges of HEALPix cells of order 29 it consists of [-] {meta.number}';
COMMENT ON COLUMN api.gaps.cause IS 'Kind of failure [-] {meta.code.error}';
COMMENT ON COLUMN api.gaps.error IS 'Why it failed [-] {meta.note}';
COMMENT ON COLUMN api.gaps.service IS 'Service that was asked [-] {meta.id}';
COMMENT ON COLUMN api.gaps.region IS 'Region that was asked for [-] {meta.note}';
COMMENT ON COLUMN api.gaps.asked_at IS 'When it was asked [-] {time}';
COMMENT ON COLUMN api.gaps.age_d IS 'How long ago that is [d] {time.duration}';
COMMENT ON COLUMN api.gaps.lookup_id IS 'The look-up that failed [-] {meta.id;meta.main}';

CREATE OR REPLACE VIEW api.endpoints AS
SELECT
    e.service, e.endpoint, coalesce(e.last_good_at >= e.last_bad_at, e.last_bad_at IS NULL) AS good,
    e.last_good_at, e.last_bad_at, e.last_cause
FROM ref.endpoint AS e;
COMMENT ON VIEW api.endpoints IS 'Addresses of services, and how each answered last';
COMMENT ON COLUMN api.endpoints.service IS 'Service [-] {meta.id}';
COMMENT ON COLUMN api.endpoints.endpoint IS 'Address [-] {meta.ref.url}';
COMMENT ON COLUMN api.endpoints.good IS 'Whether the last answer was whole [-] {meta.code.status}';
COMMENT ON COLUMN api.endpoints.last_good_at IS 'Last whole answer [-] {time}';
COMMENT ON COLUMN api.endpoints.last_bad_at IS 'Last failure [-] {time}';
COMMENT ON COLUMN api.endpoints.last_cause IS 'Kind of the last failure [-] {meta.code.error}';
