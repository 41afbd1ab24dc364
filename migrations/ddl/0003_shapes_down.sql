-- Takes out again what 0003_shapes.sql made.
DROP TABLE vasco.shape_measure;
DROP TABLE vasco.morph_measure;
DROP TABLE vasco.psf_statistics;
