-- Where the given extensions are, and whether the server has them to install. Privilege: none.
SELECT
    wanted.name,
    n.nspname AS schema,
    EXISTS (SELECT FROM pg_available_extensions AS a WHERE a.name = wanted.name) AS is_available
FROM unnest(%(names)s::text[]) AS wanted (name)
LEFT JOIN pg_extension AS e ON e.extname = wanted.name
LEFT JOIN pg_namespace AS n ON n.oid = e.extnamespace
