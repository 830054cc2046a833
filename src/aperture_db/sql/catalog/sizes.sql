-- Disk space of tables. heap + toast + index = total. An index counts with its table; the index
-- of a TOAST table counts as TOAST. Waits behind ACCESS EXCLUSIVE locks on the tables and their
-- indexes; a table that was dropped meanwhile gives no row. Privilege: none.
SELECT
    sized.oid,
    sized.table_bytes - sized.toast_bytes AS heap_bytes,
    sized.toast_bytes,
    sized.index_bytes,
    (
        SELECT coalesce(sum(pg_table_size(i.indexrelid)), 0)::bigint
        FROM pg_index AS i
        JOIN pg_class AS ic ON ic.oid = i.indexrelid
        JOIN pg_am AS am ON am.oid = ic.relam
        WHERE i.indrelid = sized.oid AND am.amname IN ('hnsw', 'ivfflat')
    ) AS vector_index_bytes,
    sized.table_bytes + sized.index_bytes AS total_bytes,
    sized.main_fork_bytes / current_setting('block_size')::integer AS pages
FROM (
    SELECT
        c.oid,
        pg_table_size(c.oid) AS table_bytes,
        CASE
            WHEN c.reltoastrelid = 0 THEN 0
            ELSE coalesce(pg_total_relation_size(c.reltoastrelid), 0)
        END AS toast_bytes,
        pg_indexes_size(c.oid) AS index_bytes,
        pg_relation_size(c.oid) AS main_fork_bytes
    FROM pg_class AS c
    WHERE c.oid = ANY (%(oids)s::oid[])
) AS sized
WHERE sized.table_bytes IS NOT NULL AND sized.index_bytes IS NOT NULL
