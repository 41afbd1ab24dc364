-- Images of which the ledger of a run does not add up, or says other numbers of a stage than its verdicts do.
SELECT
    r.run, c.stage, c.extraction_id, l.n_in, l.n_pass, l.n_fail, l.n_unknown, l.n_not_covered,
    c.n_pass AS counted_pass, c.n_fail AS counted_fail, c.n_unknown AS counted_unknown,
    c.n_not_covered AS counted_not_covered
FROM (
    -- What is in the ledger without a verdict counts as none.
    SELECT
        v.run_id, v.stage, v.extraction_id,
        count(*) FILTER (WHERE v.outcome = 'pass') AS n_pass, count(*) FILTER (WHERE v.outcome = 'fail') AS n_fail,
        count(*) FILTER (WHERE v.outcome = 'unknown') AS n_unknown,
        count(*) FILTER (WHERE v.outcome = 'not_covered') AS n_not_covered
    FROM (
        SELECT o.run_id, o.stage, o.extraction_id, o.outcome FROM vasco.verdict AS o
        UNION ALL
        SELECT b.run_id, b.stage, b.extraction_id, NULL FROM vasco.run_ledger AS b
    ) AS v
    GROUP BY v.run_id, v.stage, v.extraction_id
) AS c
JOIN vasco.run AS r USING (run_id)
LEFT JOIN vasco.run_ledger AS l USING (run_id, stage, extraction_id)
WHERE (l.n_pass, l.n_fail, l.n_unknown, l.n_not_covered) IS DISTINCT FROM (c.n_pass, c.n_fail, c.n_unknown, c.n_not_covered)
OR l.n_in <> l.n_pass + l.n_fail + l.n_unknown + l.n_not_covered
ORDER BY r.run, c.stage, c.extraction_id;
