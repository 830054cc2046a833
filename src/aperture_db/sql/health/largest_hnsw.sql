-- The largest HNSW index, and the memory that building it anew may use. Privilege: none.
SELECT
    i.indexrelid::regclass::text AS name,
    pg_relation_size(i.indexrelid) AS size_bytes,
    pg_size_bytes(current_setting('maintenance_work_mem')) AS maintenance_work_mem_bytes
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS a ON a.oid = c.relam
WHERE a.amname = 'hnsw'
ORDER BY size_bytes DESC
LIMIT 1
