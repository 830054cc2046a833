-- Purpose: the server, the role and what the role may do.
-- Privilege: none.
SELECT
    version() AS version_text,
    current_setting('server_version') AS version,
    current_setting('server_version_num')::int AS version_number,
    current_setting('cluster_name') AS cluster_name,
    current_database()::text AS database,
    current_user::text AS role,
    pg_is_in_recovery() AS is_standby,
    me.rolsuper AS is_superuser,
    has_database_privilege(current_database(), 'CREATE') AS may_create_in_database,
    ARRAY(
        SELECT rolname::text FROM pg_roles WHERE rolname = ANY (%(known_roles)s)
    ) AS known_roles,
    ARRAY(
        SELECT rolname::text FROM pg_roles
        WHERE rolname = ANY (%(known_roles)s) AND pg_has_role(oid, 'USAGE')
    ) AS held_roles
FROM pg_roles AS me
WHERE me.rolname = current_user
