-- Purpose: whether the schema can be changed at all, and what is in it already.
-- Privilege: none beyond CONNECT.
SELECT
    current_user AS role,
    pg_is_in_recovery() AS is_standby,
    current_setting('transaction_read_only') = 'on' AS is_read_only,
    current_schema() AS schema,
    current_setting('search_path') AS search_path,
    -- A schema that the role may not enter drops out of its search_path.
    current_setting('search_path') ~ '\mpublic\M'
        AND NOT coalesce(
            has_schema_privilege(to_regnamespace('public')::oid, 'USAGE'), true
        ) AS is_public_closed,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
    records.oid IS NOT NULL AS is_tracked,
    pg_get_userbyid(records.relowner) AS records_owner,
    coalesce(
        has_table_privilege(records.oid, 'INSERT') AND has_table_privilege(records.oid, 'UPDATE'),
        true
    ) AS may_record,
    ARRAY(
        SELECT relname::text
        FROM pg_class
        WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relkind = 'r'
          AND relname IN ('users', 'sessions', 'movies', 'embeddings', 'watch_history')
        ORDER BY relname
    ) AS aperture_tables
FROM (SELECT) AS one
LEFT JOIN pg_class AS records ON records.oid = to_regclass('aperture_migrations')
