-- Takes out again what 0003_objects.sql made.
DROP TABLE vasco.object_member, vasco.object, vasco.object_build;
DROP INDEX plate.plate_reach, plate.image_radius;
