-- name: custom_model_dimension
-- The dimension that an administrator entered for an embedding model of one's own.
-- Privilege: SELECT on custom_ai_models.
SELECT embedding_dimensions
FROM {schema}.custom_ai_models
WHERE provider = %(provider)s
    AND function_type = 'embeddings'
    AND model_id = %(model)s
    AND embedding_dimensions IS NOT NULL

-- name: embedding_tables
-- Aperture's embedding tables, with the type of their vectors.
-- Privilege: none.
SELECT
    c.oid,
    n.nspname AS schema,
    c.relname AS name,
    format_type(a.atttypid, a.atttypmod) AS vector_type
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a
    ON a.attrelid = c.oid AND a.attname = 'embedding' AND NOT a.attisdropped
WHERE c.relkind = 'r'
    AND n.nspname = {schema_name}
    AND c.relname ~ '^(series_|episode_)?embeddings(_[0-9]+|_legacy)?$'
ORDER BY c.relname

-- name: settings
-- Settings of Aperture by key. Privilege: SELECT on system_settings.
SELECT key, value
FROM {schema}.system_settings
WHERE key = ANY (%(keys)s)

-- name: landmarks
-- Every schema that is not PostgreSQL's own: tables of these names, extensions of these names, and
-- whether the role may enter it; in each row the session, also where there is no schema.
-- Privilege: none.
SELECT
    n.nspname::text,
    ARRAY(
        SELECT c.relname::text
        FROM pg_class AS c
        WHERE c.relnamespace = n.oid
            AND c.relname = ANY ({names}::text[])
            AND c.relkind IN ('r', 'p')
    ),
    EXISTS (
        SELECT
        FROM pg_extension AS e
        WHERE e.extnamespace = n.oid AND e.extname = ANY ({extensions}::text[])
    ),
    has_schema_privilege(n.oid, 'USAGE'),
    current_user::text,
    session_user::text,
    current_database()::text,
    pg_is_in_recovery()
FROM (SELECT) AS session
LEFT JOIN pg_namespace AS n ON n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY n.nspname
