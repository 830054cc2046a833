-- Indexes that a failed or cancelled CONCURRENTLY left unusable; those being built now are none.
-- Privilege: none.
SELECT
    i.indexrelid::regclass::text AS name,
    c.relname::text AS index_name,
    i.indrelid::regclass::text AS table_name,
    pg_relation_size(i.indexrelid) AS size_bytes
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT (i.indisvalid AND i.indisready)
    AND c.relkind = 'i'
    AND n.nspname !~ '^pg_'
    AND NOT EXISTS (
        SELECT
        FROM pg_stat_progress_create_index AS p
        WHERE p.relid = i.indrelid
            AND p.datname = current_database()
            AND p.index_relid IN (0, i.indexrelid)
    )
ORDER BY name
