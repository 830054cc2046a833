-- Who keeps tables of this database from being read: holders of ACCESS EXCLUSIVE, and those who
-- wait for it, because readers queue behind them too. A lock on an index or a TOAST table counts
-- for its table. Privilege: none; the age of other users' transactions needs pg_read_all_stats.
SELECT
    coalesce(i.indrelid, main.oid, l.relation) AS table_oid,
    l.pid,
    nullif(a.application_name, '') AS application_name,
    a.usename AS user,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds,
    l.granted AS is_held
FROM pg_locks AS l
LEFT JOIN pg_class AS toast ON toast.oid = l.relation AND toast.relkind = 't'
LEFT JOIN pg_class AS main ON main.reltoastrelid = toast.oid
LEFT JOIN pg_index AS i ON i.indexrelid = l.relation
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation'
    AND l.mode = 'AccessExclusiveLock'
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.pid IS DISTINCT FROM pg_backend_pid()
ORDER BY table_oid, l.granted DESC, l.pid
