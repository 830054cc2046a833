-- Purpose: by table, the sessions that hold a lock on it in one of these modes, or queue for one. A
-- prepared transaction has no session and is not found.
-- Privilege: pg_monitor (or pg_read_all_stats) to see more than the pid of other users' sessions.
SELECT
    l.relation::oid AS table_oid,
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds
FROM pg_stat_activity AS a
JOIN (
    SELECT relation, pid, bool_or(granted) AS is_held
    FROM pg_locks
    WHERE locktype = 'relation'
      AND relation = ANY (%(oids)s::oid[])
      AND mode = ANY (%(modes)s)
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    GROUP BY relation, pid
) AS l USING (pid)
WHERE a.pid <> pg_backend_pid()
ORDER BY l.is_held DESC, a.xact_start
