-- The sessions whose locks on tables keep VACUUM from them: every lock is in the way of VACUUM
-- FULL, those that conflict with SHARE UPDATE EXCLUSIVE in the way of the rest. A prepared
-- transaction has no session and is not found.
-- Privilege: pg_read_all_stats to see more than the pid of other users' sessions.
SELECT DISTINCT ON (l.relation, a.pid)
    l.relation::oid AS table_oid,
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds
FROM pg_locks AS l
JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'relation' AND l.relation = ANY (%(oids)s::oid[]) AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.pid <> pg_backend_pid()
    AND (
        %(is_full)s
        OR l.mode IN (
            'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
            'AccessExclusiveLock'
        )
    )
ORDER BY l.relation, a.pid
