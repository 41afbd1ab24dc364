-- Takes out again what 0003_runs.sql made.
ALTER TABLE vasco.extraction DROP COLUMN revision;
DROP TABLE vasco.run_ledger;
ALTER TABLE vasco.run_stage DROP COLUMN tolerates, DROP COLUMN scope;
COMMENT ON TABLE vasco.run_stage IS 'The stages of a run, in order; all are required';
COMMENT ON COLUMN vasco.run_stage.step IS 'Stages of one step judge the same detections: those that passed every earlier step [-] {meta.number}';
