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
-- The schemas that have tables of these names, and which. Privilege: none.
SELECT n.nspname::text, array_agg(c.relname::text)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = ANY (%(names)s::text[])
    AND c.relkind IN ('r', 'p')
    AND n.nspname !~ '^pg_'
GROUP BY n.nspname
ORDER BY n.nspname
