-- Candidates of one run within 0.25 arcsec of each other on the same plate: one source that counts twice. Pairs on
-- different plates are two witnesses, and api.candidate_pairs lists both kinds.
SELECT p.run, p.src_id, p.other_src_id, p.plate_id, p.sep_arcsec
FROM api.candidate_pairs AS p
WHERE p.same_plate AND p.sep_arcsec <= 0.25
ORDER BY p.run, p.src_id, p.other_src_id;
