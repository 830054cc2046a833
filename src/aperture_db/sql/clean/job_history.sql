-- Finished runs beyond the newest of each job. The newest completed run of a job stays whatever
-- its age: what it counted tells whether a sync is complete. Runs that an error refers to stay,
-- because deleting them would change the error. Privilege: SELECT on job_runs and api_errors.
SELECT {columns}
FROM job_runs AS doomed
JOIN (
    SELECT
        id,
        row_number() OVER (PARTITION BY job_name ORDER BY started_at DESC, id) AS position,
        row_number() OVER (PARTITION BY job_name, status ORDER BY started_at DESC, id)
            AS position_in_status
    FROM job_runs
) AS ranked ON ranked.id = doomed.id
WHERE ranked.position > %(runs_per_job)s
    AND NOT (doomed.status = 'completed' AND ranked.position_in_status = 1)
    AND doomed.id NOT IN ({referenced})
