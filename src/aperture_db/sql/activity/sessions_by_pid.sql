-- Purpose: the sessions of some server processes.
-- Privilege: pg_monitor (or pg_read_all_stats) to see more than the pid of other users' sessions.
SELECT
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds
FROM pg_stat_activity AS a
WHERE a.pid = ANY (%(pids)s)
