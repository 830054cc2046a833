-- Where the session is and as whom. Privilege: none.
SELECT
    current_database()::text AS database,
    current_user::text AS role,
    pg_is_in_recovery() AS is_standby,
    pg_has_role('pg_read_all_stats', 'USAGE') AS may_see_sessions
