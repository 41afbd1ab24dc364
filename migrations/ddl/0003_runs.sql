-- Runs by name: what a stage tolerates, what it depends on, and the ledger of what was judged.

ALTER TABLE vasco.run_stage
    ADD COLUMN tolerates vasco.outcome[] NOT NULL DEFAULT '{}'
        CHECK (NOT 'pass' = ANY (tolerates) AND array_position(tolerates, NULL) IS NULL),
    ADD COLUMN scope text NOT NULL DEFAULT 'image' CHECK (scope IN ('image', 'sky'));
COMMENT ON TABLE vasco.run_stage IS 'The stages of a run, in order; a candidate passes every one, or has an outcome that the stage tolerates';
COMMENT ON COLUMN vasco.run_stage.tolerates IS
    'Outcomes that do not stop a detection, but mark it; a stage that tolerates fail is a flag [-] {meta.code}';
COMMENT ON COLUMN vasco.run_stage.scope IS
    'image: a verdict depends on its own image alone; sky: also on overlapping images of the run [-] {meta.code}';
COMMENT ON COLUMN vasco.run_stage.step IS
    'Stages of one step judge the same detections: those that every stage of the step before let go on [-] {meta.number}';

-- What was judged, image by image: an image of which nothing was left is not one that nobody judged.
CREATE TABLE vasco.run_ledger (
    run_id bigint NOT NULL,
    stage text NOT NULL,
    extraction_id bigint NOT NULL,
    n_in integer NOT NULL,
    n_pass integer NOT NULL CHECK (n_pass >= 0),
    n_fail integer NOT NULL CHECK (n_fail >= 0),
    n_unknown integer NOT NULL CHECK (n_unknown >= 0),
    n_not_covered integer NOT NULL CHECK (n_not_covered >= 0),
    revision integer NOT NULL,
    function_sha256 text,
    judged_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, stage, extraction_id),
    FOREIGN KEY (run_id, stage) REFERENCES vasco.run_stage,
    FOREIGN KEY (run_id, extraction_id) REFERENCES vasco.run_image,
    CHECK (n_in = n_pass + n_fail + n_unknown + n_not_covered)
);
COMMENT ON TABLE vasco.run_ledger IS 'The ledger of a run: what each stage made of each image, also where nothing was left to judge';
COMMENT ON COLUMN vasco.run_ledger.run_id IS 'Run [-] {meta.id}';
COMMENT ON COLUMN vasco.run_ledger.stage IS 'Stage [-] {meta.id}';
COMMENT ON COLUMN vasco.run_ledger.extraction_id IS 'Extraction [-] {meta.id}';
COMMENT ON COLUMN vasco.run_ledger.n_in IS 'Detections that were judged [-] {meta.number}';
COMMENT ON COLUMN vasco.run_ledger.n_pass IS 'Of these pass [-] {meta.number}';
COMMENT ON COLUMN vasco.run_ledger.n_fail IS 'Of these fail [-] {meta.number}';
COMMENT ON COLUMN vasco.run_ledger.n_unknown IS 'Of these unknown [-] {meta.number}';
COMMENT ON COLUMN vasco.run_ledger.n_not_covered IS 'Of these not_covered [-] {meta.number}';
COMMENT ON COLUMN vasco.run_ledger.revision IS 'Revision of the extraction that was judged [-] {meta.version}';
COMMENT ON COLUMN vasco.run_ledger.function_sha256 IS
    'SHA-256 of the SQL file that judged; null where the function is in none of that name [-] {meta.checksum}';
COMMENT ON COLUMN vasco.run_ledger.judged_at IS 'When the stage last judged the image [-] {time}';

-- What was judged before a match or a position changed is stale.
ALTER TABLE vasco.extraction ADD COLUMN revision integer NOT NULL DEFAULT 0 CHECK (revision >= 0);
COMMENT ON COLUMN vasco.extraction.revision IS 'Counts the changes of its matches and positions [-] {meta.version}';
