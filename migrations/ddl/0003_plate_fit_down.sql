-- Takes out again what 0003_plate_fit.sql made. Best positions stay where accepted fits moved them.
DROP TABLE vasco.plate_fit;
