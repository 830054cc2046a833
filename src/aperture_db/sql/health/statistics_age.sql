-- For how long the statistics of this database have been counting; NULL where they were never
-- reset. Privilege: none.
SELECT extract(epoch FROM clock_timestamp() - stats_reset)::float8 AS counted_seconds
FROM pg_stat_database
WHERE datname = current_database()
