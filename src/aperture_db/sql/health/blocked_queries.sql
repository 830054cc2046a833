-- Sessions of this database that wait for a lock, since when, and who holds them up (0: a prepared
-- transaction). Privilege: pg_monitor (or pg_read_all_stats).
SELECT
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(extract(epoch FROM clock_timestamp() - max(l.waitstart)), 0)::float8 AS waiting_seconds,
    pg_blocking_pids(a.pid) AS blocking_pids
FROM pg_stat_activity AS a
JOIN pg_locks AS l ON l.pid = a.pid AND NOT l.granted
WHERE a.datname = current_database()
GROUP BY a.pid, a.application_name, a.backend_type, a.usename
HAVING cardinality(pg_blocking_pids(a.pid)) > 0
ORDER BY waiting_seconds DESC
