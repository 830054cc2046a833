-- Purpose: whether the schema can be changed at all, and what is in it already.
-- Privilege: none beyond CONNECT.
SELECT
    pg_is_in_recovery() AS is_standby,
    current_setting('transaction_read_only') = 'on' AS is_read_only,
    current_schema() AS schema,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
    to_regclass('aperture_migrations') IS NOT NULL AS is_tracked,
    (
        SELECT count(*)
        FROM pg_class
        WHERE relnamespace = to_regnamespace(current_schema()) AND relkind = 'r'
          AND relname IN ('users', 'sessions', 'movies', 'embeddings', 'watch_history')
    ) AS aperture_table_count
