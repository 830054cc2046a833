-- The indexes of tables, in the order in which VACUUM works on them. Pages are counted for the
-- tables in "measured", which waits behind ACCESS EXCLUSIVE locks; for others they are those of the
-- catalog, which VACUUM does not renew for an HNSW index. Privilege: none.
SELECT
    i.indrelid AS table_oid,
    c.oid,
    n.nspname AS schema,
    c.relname AS name,
    am.amname = 'hnsw' AS is_hnsw,
    i.indisvalid AS is_valid,
    CASE
        WHEN i.indrelid = ANY (%(measured)s::oid[])
            THEN pg_relation_size(c.oid) / current_setting('block_size')::integer
        ELSE c.relpages
    END::integer AS pages
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_am AS am ON am.oid = c.relam
WHERE i.indrelid = ANY (%(oids)s::oid[])
ORDER BY i.indrelid, c.oid
