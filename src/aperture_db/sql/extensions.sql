-- name: installed
-- Purpose: what the server offers of the named extensions and what this database has of them.
-- Privilege: none.
SELECT
    wanted.name,
    installed.extversion AS installed_version,
    offered.default_version AS available_version,
    namespace.nspname::text AS schema,
    coalesce(namespace.nspname = ANY (%(path)s::text[]), true) AS is_on_search_path,
    coalesce(pg_has_role(installed.extowner, 'USAGE'), false) AS is_owned,
    coalesce(version.superuser, true) AS needs_superuser,
    coalesce(version.trusted, false) AS is_trusted
FROM unnest(%(names)s::text[]) WITH ORDINALITY AS wanted (name, position)
LEFT JOIN pg_extension AS installed ON installed.extname = wanted.name
LEFT JOIN pg_namespace AS namespace ON namespace.oid = installed.extnamespace
LEFT JOIN pg_available_extensions AS offered ON offered.name = wanted.name
LEFT JOIN pg_available_extension_versions AS version
    ON version.name = offered.name AND version.version = offered.default_version
ORDER BY wanted.position

-- name: probe_index
-- Purpose: an index like those of Aperture's embedding tables, on the vectors of the trial.
-- Privilege: none beyond probe_table.
CREATE INDEX aperture_db_probe_hnsw ON pg_temp.aperture_db_probe
USING hnsw (embedding {vector}.halfvec_cosine_ops)

-- name: probe_search
-- Purpose: the ten vectors nearest to the 250th, by the index or without it as the planner is told.
-- Privilege: none beyond probe_table.
SELECT id
FROM pg_temp.aperture_db_probe
ORDER BY embedding OPERATOR({vector}.<=>) (SELECT embedding FROM pg_temp.aperture_db_probe WHERE id = 250)
LIMIT 10

-- name: probe_table
-- Purpose: 500 vectors that differ, to be searched and rolled back.
-- Privilege: TEMPORARY on the database.
CREATE TEMPORARY TABLE pg_temp.aperture_db_probe AS
SELECT
    i AS id,
    ARRAY(SELECT sin(i * j)::real FROM generate_series(1, 16) AS j)::{vector}.halfvec(16) AS embedding
FROM generate_series(1, 500) AS i

-- name: server
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
