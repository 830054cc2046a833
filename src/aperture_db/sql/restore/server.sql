-- What decides whether this session can restore. Privilege: none.
SELECT
    current_setting('server_version') AS version,
    current_user AS role,
    pg_is_in_recovery() AS is_standby,
    current_setting('transaction_read_only') = 'on' AS is_read_only,
    has_database_privilege(current_database(), 'CREATE') AS may_create_schemas,
    ARRAY(SELECT nspname::text FROM pg_namespace) AS schemas
