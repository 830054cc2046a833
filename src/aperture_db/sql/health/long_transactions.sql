-- Transactions of this database that run on; those that sit idle are idle_in_transaction's.
-- Privilege: pg_monitor (or pg_read_all_stats).
SELECT
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
    AND a.pid <> pg_backend_pid()
    AND a.backend_type = 'client backend'
    AND a.xact_start IS NOT NULL
    AND a.state NOT LIKE 'idle in transaction%%'
ORDER BY a.xact_start
