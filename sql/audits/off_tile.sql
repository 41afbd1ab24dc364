-- Detections that lie off their tile, farther from its centre than its half diagonal and 2 arcmin more, or off the
-- footprint of their image, by more than a minute of arc: coordinates that went wrong.
SELECT f.what, f.tile_id, f.extraction_id, f.number, f.ra, f.dec, f.sep_arcmin
FROM (
    SELECT
        'tile' AS what, i.tile_id, d.extraction_id, d.number, d.ra, d.dec,
        sky.separation_arcsec(t.ra, t.dec, d.ra, d.dec) / 60 AS sep_arcmin
    FROM plate.image AS i
    JOIN plate.tile AS t USING (tile_id)
    JOIN vasco.extraction AS e USING (image_id)
    JOIN vasco.detection AS d USING (extraction_id)
    WHERE sky.separation_arcsec(t.ra, t.dec, d.ra, d.dec) / 60 > t.size_arcmin / sqrt(2) + 2
    UNION ALL
    SELECT
        'image', i.tile_id, d.extraction_id, d.number, d.ra, d.dec, sky.separation_arcsec(i.ra, i.dec, d.ra, d.dec) / 60
    FROM plate.image AS i
    JOIN vasco.extraction AS e USING (image_id)
    -- The cells outside, all at once. Only for those is anything measured.
    CROSS JOIN LATERAL (
        SELECT range_agg(int8range(a.hpx29, a.hpx29 + 1)) - i.footprint AS cells
        FROM vasco.detection AS a
        WHERE a.extraction_id = e.extraction_id
    ) AS outside
    JOIN vasco.detection AS d ON d.extraction_id = e.extraction_id AND d.hpx29 <@ outside.cells
    WHERE NOT isempty(outside.cells) AND NOT sky.cells_about(d.ra, d.dec, 60) && i.footprint
) AS f
ORDER BY f.what, f.tile_id, f.extraction_id, f.number;
