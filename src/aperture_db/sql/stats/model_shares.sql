-- Shares of the models in tables of embeddings, as the last ANALYZE saw them.
-- Privilege: SELECT on the tables; tables without it give no row.
SELECT s.schemaname AS schema, s.tablename AS name, common.model, common.share::float8
FROM pg_stats AS s,
    unnest(s.most_common_vals::text::text[], s.most_common_freqs) AS common (model, share)
WHERE s.attname = 'model'
    AND (s.schemaname, s.tablename) IN (
        SELECT wanted.schema, wanted.name
        FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS wanted (schema, name)
    )
ORDER BY common.share DESC
