-- Schedules of jobs whose names are not those of the code. Privilege: SELECT on job_config.
SELECT job_name AS name, coalesce(is_enabled AND schedule_type <> 'manual', false) AS is_scheduled
FROM job_config
WHERE job_name <> ALL (%(known)s)
ORDER BY name
