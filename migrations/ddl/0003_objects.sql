-- Sources on the sky: detections of one source brought together, and the plates that cover and detect it.
SELECT 1;
