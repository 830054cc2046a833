-- Whether this database has pg_stat_statements, in which schema, and whether the server loads it.
-- Privilege: none; the list of loaded libraries is only shown to pg_read_all_settings.
SELECT
    (
        SELECT n.nspname::text
        FROM pg_extension AS e
        JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_stat_statements'
    ) AS schema,
    EXISTS (SELECT FROM pg_settings WHERE name = 'pg_stat_statements.max') AS is_loaded
