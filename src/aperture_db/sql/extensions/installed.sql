-- Purpose: what the server offers of the named extensions and what this database has of them.
-- Privilege: none.
SELECT
    wanted.name,
    installed.extversion AS installed_version,
    offered.default_version AS available_version,
    namespace.nspname::text AS schema,
    coalesce(namespace.nspname = ANY (current_schemas(true)), true) AS is_on_search_path,
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
