-- The connected database and its server.
-- Privilege: none; the size needs CONNECT on the database or pg_read_all_stats, else it is NULL.
SELECT
    current_database() AS name,
    current_user AS role,
    current_setting('server_version') AS server_version,
    pg_is_in_recovery() AS is_standby,
    clock_timestamp() AS read_at,
    CASE
        WHEN has_database_privilege(current_database(), 'CONNECT')
            OR pg_has_role('pg_read_all_stats', 'USAGE')
        THEN pg_database_size(current_database())
    END AS size_bytes
