-- Candidates with a source of a catalogue that vetoes within its match radius at the catalogue's own epoch that
-- its proper motion puts elsewhere at the plate's. Each is a star that came there since, or a wrong motion.
SELECT
    k.run, k.src_id, k.stage, k.catalog, n.source_id, n.sep_arcsec AS sep_catalog_epoch_arcsec,
    sky.separation_arcsec(k.ra, k.dec, p.ra_deg, p.dec_deg) AS sep_arcsec, n.pmra_masyr, n.pmdec_masyr
FROM (
    SELECT c.run, c.src_id, s.stage, c.ra, c.dec, c.epoch_jyear, r.catalog, r.match_radius_arcsec
    FROM api.candidates AS c
    JOIN vasco.run_stage AS s ON s.run_id = c.run_id AND s.function IN ('veto', 'veto_at', 'ps1_southern_cut')
    JOIN ref.catalog AS r ON r.family = s.parameters ->> 'family'
    WHERE r.has_pm AND NOT r.moving AND NOT coalesce(to_jsonb(s) -> 'tolerates', '[]') @> '["fail"]'
) AS k
CROSS JOIN LATERAL sky.neighbours_unmoved(k.catalog, k.ra, k.dec, k.match_radius_arcsec) AS n
CROSS JOIN LATERAL sky.propagate(n.ra_deg, n.dec_deg, n.pmra_masyr, n.pmdec_masyr, k.epoch_jyear - n.epoch_jyear) AS p
WHERE sky.separation_arcsec(k.ra, k.dec, p.ra_deg, p.dec_deg) > k.match_radius_arcsec
ORDER BY k.run, k.src_id, k.catalog, n.sep_arcsec;
