-- What is measured of detections beyond SExtractor's columns: PSF statistics of an image, shapes of single detections.
SELECT 1;
