-- Takes out again what 0003_plate_fit.sql made. Positions go back to those of the images' own solutions only
-- when the images are ingested again.
DROP TABLE vasco.plate_fit;
