-- Gate on the signal-to-noise ratio in the window.
-- Parameters: min (exclusive).
CREATE OR REPLACE FUNCTION stage.snr(
    which_run_id bigint, stage_name text, params jsonb, extraction_ids bigint[] DEFAULT NULL
)
RETURNS TABLE (
    extraction_id bigint, number integer, outcome vasco.outcome, value double precision, reason text, lookup_id bigint
)
LANGUAGE sql
AS $$
    SELECT d.extraction_id, d.number, j.outcome, j.judged, j.reason, NULL::bigint
    FROM stage.input(which_run_id, stage_name, extraction_ids) AS d
    CROSS JOIN LATERAL stage.judge(
        d.snr_win,
        d.snr_win > (params ->> 'min')::real,
        'SNR_WIN',
        format('above %s', params ->> 'min')
    ) AS j
$$;
COMMENT ON FUNCTION stage.snr IS 'Gate on the signal-to-noise ratio in the window';
