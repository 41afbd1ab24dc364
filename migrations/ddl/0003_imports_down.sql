-- Takes out again what 0003_imports.sql made.
SELECT 1;
