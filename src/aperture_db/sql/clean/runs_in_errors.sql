-- Runs that an error refers to. Privilege: SELECT on api_errors.
SELECT job_id FROM api_errors WHERE job_id IS NOT NULL
