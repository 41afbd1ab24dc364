-- Releases of other pipelines, taken in as external runs.
SELECT 1;
