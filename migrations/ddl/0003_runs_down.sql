-- Takes out again what 0003_runs.sql made.
SELECT 1;
