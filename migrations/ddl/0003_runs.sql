-- Runs by name: what a stage tolerates, and the ledger of what was judged.
SELECT 1;
