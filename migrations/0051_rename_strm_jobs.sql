-- The jobs that write the virtual libraries are named after what they write; history follows.

UPDATE job_config SET job_name = 'sync-movie-libraries', updated_at = now()
WHERE job_name = 'sync-strm';
UPDATE job_config SET job_name = 'sync-series-libraries', updated_at = now()
WHERE job_name = 'sync-series-strm';

UPDATE job_runs SET job_name = 'sync-movie-libraries' WHERE job_name = 'sync-strm';
UPDATE job_runs SET job_name = 'sync-series-libraries' WHERE job_name = 'sync-series-strm';
