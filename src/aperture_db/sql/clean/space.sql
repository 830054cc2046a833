-- The space of a table that an empty one would not take: heap and TOAST, and the indexes. Empty
-- indexes keep their first pages; how many differs by access method. Waits behind ACCESS EXCLUSIVE
-- locks. Privilege: none.
WITH first_pages (access_method, pages) AS (
    VALUES ('btree', 1), ('gist', 1), ('gin', 2), ('hnsw', 2), ('spgist', 3), ('hash', 4),
        ('brin', 6)
), empty_index AS (
    SELECT i.indrelid, sum(p.pages) * current_setting('block_size')::bigint AS bytes
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_am AS a ON a.oid = c.relam
    JOIN first_pages AS p ON p.access_method = a.amname
    GROUP BY i.indrelid
)
SELECT
    (pg_table_size(c.oid) - coalesce(toast.bytes, 0))::bigint AS data_bytes,
    (pg_indexes_size(c.oid) - coalesce(own.bytes, 0))::bigint AS index_bytes,
    pg_total_relation_size(c.oid) AS total_bytes
FROM pg_class AS c
LEFT JOIN empty_index AS own ON own.indrelid = c.oid
LEFT JOIN empty_index AS toast ON toast.indrelid = c.reltoastrelid
WHERE c.oid = %(oid)s
