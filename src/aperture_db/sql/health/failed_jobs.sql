-- Jobs whose newest run failed, how often in a row, and when one last completed. Error messages
-- are not read: they can hold secrets. Privilege: SELECT on job_runs.
SELECT
    newest.job_name AS name,
    newest.id::text AS run_id,
    newest.started_at AS failed_at,
    completed.started_at AS completed_at,
    (
        SELECT count(*)
        FROM job_runs AS run
        WHERE run.job_name = newest.job_name
            AND run.status = 'failed'
            AND run.started_at > coalesce(completed.started_at, '-infinity')
    ) AS failures
FROM (
    SELECT DISTINCT ON (job_name) id, job_name, status, started_at
    FROM job_runs
    ORDER BY job_name, started_at DESC
) AS newest
LEFT JOIN LATERAL (
    SELECT run.started_at
    FROM job_runs AS run
    WHERE run.job_name = newest.job_name AND run.status = 'completed'
    ORDER BY run.started_at DESC
    LIMIT 1
) AS completed ON true
WHERE newest.status = 'failed' AND newest.job_name <> ALL (%(ignored)s)
ORDER BY failures DESC, name
