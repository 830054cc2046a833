-- Who keeps tables of this database from being read: holders of ACCESS EXCLUSIVE, and those who
-- wait for it, because readers queue behind them too. A lock on an index or a TOAST table counts
-- for its table. Without a pid: a prepared transaction.
-- Privilege: none; pg_read_all_stats to see state and age of other users' sessions.
SELECT
    coalesce(main.oid, i.indrelid, l.relation) AS table_oid,
    l.granted AS is_held,
    l.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds
FROM pg_locks AS l
LEFT JOIN pg_index AS i ON i.indexrelid = l.relation
LEFT JOIN pg_class AS main
    ON main.reltoastrelid <> 0 AND main.reltoastrelid = coalesce(i.indrelid, l.relation)
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation'
    AND l.mode = 'AccessExclusiveLock'
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.pid IS DISTINCT FROM pg_backend_pid()
ORDER BY table_oid, l.granted DESC, l.pid
