-- The slowest statements of this database by their mean time. Only those whose texts are kept
-- without the values: others, such as ALTER ROLE, could show a secret. Statements that ran once or
-- twice tell little. Privilege: pg_monitor (or pg_read_all_stats).
SELECT
    s.queryid::text AS id,
    s.userid::bigint AS user_oid,
    s.dbid::bigint AS database_oid,
    s.calls,
    s.mean_exec_time / 1000 AS mean_seconds,
    s.total_exec_time / 1000 AS total_seconds,
    regexp_replace(s.query, '\s+', ' ', 'g') AS text
FROM {schema}.pg_stat_statements AS s
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.calls >= %(min_calls)s
    AND s.query ~* '^\s*(select|insert|update|delete|merge|with)\M'
ORDER BY s.mean_exec_time DESC
LIMIT 3
