-- Sessions of this database that sit idle in an open transaction.
-- Privilege: pg_monitor (or pg_read_all_stats).
SELECT
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    a.state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds,
    extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS idle_seconds
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
    AND a.pid <> pg_backend_pid()
    AND a.state IN ('idle in transaction', 'idle in transaction (aborted)')
ORDER BY idle_seconds DESC
