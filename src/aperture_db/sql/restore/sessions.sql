-- The other sessions of this database. Privilege: pg_monitor (or pg_read_all_stats) to see more
-- than pid, user and application of other users' sessions.
SELECT
    pid,
    coalesce(application_name, '') AS application,
    coalesce(usename, '') AS "user",
    coalesce(host(client_addr), '') AS client,
    coalesce(state, '') AS state,
    extract(epoch FROM clock_timestamp() - backend_start)::float8 AS age_seconds
FROM pg_stat_activity
WHERE datname = current_database()
    AND usesysid IS NOT NULL
    AND coalesce(backend_type, 'client backend') = 'client backend'
    AND pid <> pg_backend_pid()
ORDER BY backend_start
