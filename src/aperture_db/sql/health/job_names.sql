-- Names in the history of jobs that are not those of the code. Privilege: SELECT on job_runs.
SELECT job_name AS name, count(*) AS runs
FROM job_runs
WHERE job_name <> ALL (%(known)s)
GROUP BY job_name
ORDER BY job_name
