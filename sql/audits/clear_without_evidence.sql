-- Matches "clear", and verdicts of "no counterpart" (passed vetoes, matches not kept), that do not stand on a
-- complete look-up of that catalogue or family.
SELECT 'match' AS what, m.extraction_id, m.number, m.catalog AS claimed_by, m.lookup_id
FROM vasco.match AS m
LEFT JOIN ref.lookup AS l ON l.lookup_id = m.lookup_id AND l.catalog = m.catalog
WHERE m.state = 'clear' AND l.complete IS NOT TRUE
UNION ALL
SELECT 'imported match', m.extraction_id, m.number, m.catalog, m.lookup_id
FROM vasco.imported_match AS m
LEFT JOIN ref.lookup AS l ON l.lookup_id = m.lookup_id AND l.catalog = m.catalog
WHERE m.state = 'clear' AND l.complete IS NOT TRUE
UNION ALL
SELECT 'verdict', v.extraction_id, v.number, s.parameters ->> 'family', v.lookup_id
FROM vasco.verdict AS v
JOIN vasco.run_stage AS s
    ON s.run_id = v.run_id AND s.stage = v.stage
    AND s.function IN ('veto', 'veto_at', 'ps1_southern_cut', 'moving', 'keep_match')
LEFT JOIN ref.lookup AS l ON l.lookup_id = v.lookup_id
LEFT JOIN ref.catalog AS c ON c.catalog = l.catalog
WHERE v.outcome = CASE s.function WHEN 'keep_match' THEN 'fail' ELSE 'pass' END::vasco.outcome
AND (l.complete IS NOT TRUE OR c.family IS DISTINCT FROM s.parameters ->> 'family')
ORDER BY 1, 2, 3, 4;
