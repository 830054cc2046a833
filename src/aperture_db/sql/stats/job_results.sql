-- For each job its newest run, and what the newest completed one reported. Error messages and
-- metadata can hold secrets: only numbers are read. Privilege: SELECT on job_runs.
SELECT
    job.name AS job_name,
    newest.status AS last_status,
    newest.started_at AS last_started_at,
    completed.completed_at,
    completed.items_total::bigint AS items_total,
    completed.total_series,
    completed.total_episodes
FROM unnest(%(jobs)s::text[]) AS job (name)
LEFT JOIN LATERAL (
    SELECT run.status, run.started_at
    FROM job_runs AS run
    WHERE run.job_name = job.name
    ORDER BY run.started_at DESC
    LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT
        run.completed_at,
        run.items_total,
        CASE jsonb_typeof(run.metadata -> 'totalSeries')
            WHEN 'number' THEN (run.metadata ->> 'totalSeries')::numeric::bigint
        END AS total_series,
        CASE jsonb_typeof(run.metadata -> 'totalEpisodes')
            WHEN 'number' THEN (run.metadata ->> 'totalEpisodes')::numeric::bigint
        END AS total_episodes
    FROM job_runs AS run
    WHERE run.job_name = job.name AND run.status = 'completed'
    ORDER BY run.started_at DESC
    LIMIT 1
) AS completed ON true
