-- The ordinary watch history jobs do a full sync, so the separate full-sync jobs go.

DELETE FROM job_config
WHERE job_name IN ('full-sync-movie-watch-history', 'full-sync-series-watch-history');

UPDATE job_config
SET updated_at = now()
WHERE job_name IN ('sync-movie-watch-history', 'sync-series-watch-history');
