-- Schedules of jobs that no code knows any more. Privilege: SELECT on job_config.
SELECT {columns}
FROM job_config AS doomed
WHERE doomed.job_name = ANY (%(dead_jobs)s)
