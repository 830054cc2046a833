-- Purpose: the HNSW indexes on the embedding tables of one dimension, with the statements that make
-- them.
-- Privilege: none.
SELECT index.relname, pg_get_indexdef(index.oid)
FROM pg_index
JOIN pg_class AS index ON index.oid = pg_index.indexrelid
JOIN pg_am ON pg_am.oid = index.relam
WHERE pg_am.amname = 'hnsw'
    AND pg_index.indrelid IN (
        to_regclass(%(suffix)s),
        to_regclass('series_' || %(suffix)s),
        to_regclass('episode_' || %(suffix)s)
    )
ORDER BY index.relname
